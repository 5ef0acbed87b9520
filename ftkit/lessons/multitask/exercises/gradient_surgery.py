"""An exercise on gradient surgery (PCGrad): gradients without their parts that oppose others."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, Misreadings, check_cases, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise

Project = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From (the row as it is by now, the row as it was, the other row) to the row afterwards."""


def _gradients(seed: int, tasks: int, width: int, apart: float = 0.0) -> Case:
    """Draw gradients of different lengths; `apart` turns every second one against the first."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(tasks, width, generator=generator, dtype=torch.float64)
    rows = rows * torch.tensor([[1.0], [2.0], [0.5], [1.5]])[:tasks]
    rows[1::2] -= apart * rows[0]
    return Case((rows,), f"gradients {', '.join(_written(row) for row in rows)}")


def _written(values: Tensor) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in values.tolist())}]"


CASES = [
    _gradients(1, 2, 3, 3.0),
    _gradients(6, 2, 4, -3.0),
    _gradients(0, 3, 2, 1.0),
    _gradients(8, 4, 3, 1.0),
]


def _part(row: Tensor, other: Tensor) -> Tensor:
    """The part of `row` along `other`."""
    return (row @ other) / (other @ other) * other


def _project_all(
    gradients: Tensor, project: Project, backwards: bool = False, changed: bool = False
) -> Tensor:
    """Project every row against every other one.

    The others come from first to last and as they were, unless `backwards` or `changed`.
    """
    new, order = gradients.clone(), range(len(gradients))
    for i in order:
        for j in reversed(order) if backwards else order:
            if i != j:
                new[i] = project(new[i], gradients[i], new[j] if changed else gradients[j])
    return new


def _without_opposed(row: Tensor, _: Tensor, other: Tensor) -> Tensor:
    return row - _part(row, other) if row @ other < 0 else row


def _right(gradients: Tensor) -> Tensor:
    return _project_all(gradients, _without_opposed)


def _if_opposed(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Make a surgery that applies `change(row, other)` where the two oppose each other."""

    def project(row: Tensor, _: Tensor, other: Tensor) -> Tensor:
        return change(row, other) if row @ other < 0 else row

    return lambda gradients: _project_all(gradients, project)


misreading = Misreadings()


@misreading("it is projected against the changed rows; use the others as they were")
def _against_changed(gradients: Tensor) -> Tensor:
    return _project_all(gradients, _without_opposed, changed=True)


@misreading("the others come from last to first; take them from first to last")
def _from_last(gradients: Tensor) -> Tensor:
    return _project_all(gradients, _without_opposed, backwards=True)


@misreading(
    "all parts are removed at once; after each one, ask again whether the rest opposes the next"
)
def _all_at_once(gradients: Tensor) -> Tensor:
    def project(row: Tensor, was: Tensor, other: Tensor) -> Tensor:
        return row - _part(was, other) if was @ other < 0 else row

    return _project_all(gradients, project)


@misreading("it projects where two agree as well; a part that helps the other must stay")
def _always(gradients: Tensor) -> Tensor:
    return _project_all(gradients, lambda row, _, other: row - _part(row, other))


@misreading("it projects where they agree, and not where they oppose each other")
def _where_they_agree(gradients: Tensor) -> Tensor:
    def project(row: Tensor, _: Tensor, other: Tensor) -> Tensor:
        return row - _part(row, other) if row @ other > 0 else row

    return _project_all(gradients, project)


@misreading("only the first is changed; all must be")
def _first_alone(gradients: Tensor) -> Tensor:
    return torch.cat([_right(gradients)[:1], gradients[1:]])


@misreading("nothing is removed at all")
def _unchanged(gradients: Tensor) -> Tensor:
    return gradients


@misreading("the results are scaled to length 1")
def _unit_length(gradients: Tensor) -> Tensor:
    rows = _right(gradients)
    return rows / rows.norm(dim=1, keepdim=True)


misreading |= {
    "it divides by the length of the other, not by its square": (
        _if_opposed(lambda row, other: row - (row @ other) / other.norm() * other)
    ),
    "it divides by its own square, not by that of the other": (
        _if_opposed(lambda row, other: row - (row @ other) / (row @ row) * other)
    ),
    "it removes a part along itself, not along the other": (
        _if_opposed(lambda row, other: row - (row @ other) / (other @ other) * row)
    ),
    "the part along the other is added; it must be subtracted": (
        _if_opposed(lambda row, other: row + _part(row, other))
    ),
    "that is the part that must be removed, not what remains": _if_opposed(_part),
    "a gradient that opposes another is dropped; only its opposed part should go": (
        _if_opposed(lambda row, _: torch.zeros_like(row))
    ),
}


def _read(answer: Any, case: Case) -> Tensor:
    (gradients,) = case.given
    is_list = isinstance(answer, Sequence) and len(answer) == len(gradients)
    if is_list and all(isinstance(row, Tensor) for row in answer):
        width = gradients.shape[1:]
        rows = [tensor(row, "a new gradient", width, "(width,)", like=gradients) for row in answer]
        answer = torch.stack(rows)
    if not isinstance(answer, Tensor):
        raise Wrong(
            f"for {case.words} the answer must be the same number of new gradients, "
            f"one per row, got {kind(answer)}"
        )
    what = f"for {case.words} the answer"
    return tensor(answer, what, gradients.shape, "(tasks, width)", like=gradients)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-6)


def _explain(case: Case, wanted: Tensor, answer: Tensor) -> str:
    rows = zip(answer, wanted, strict=True)
    for i, (row, right) in enumerate(rows):
        if not _same(row, right):
            return (
                f"for {case.words} row {i} must become {_written(right)}, "
                f"yours becomes {_written(row)}"
            )
    return ""


@exercise(
    "Gradient surgery for any number of tasks",
    difficulty=3,
    minutes=15,
    hints=[
        "Two loops: over the rows, and for each over the others. What must a row be compared "
        "with, what the others are by now, or what they were?",
        "Start from a copy, `new = gradients.clone()`. Is `new[i] @ gradients[j]` below 0? Then "
        "what part of new[i] must go?",
        "`dot = new[i] @ gradients[j]`; where it is negative: "
        "`new[i] -= dot / gradients[j].square().sum() * gradients[j]`.",
    ],
    solution="""
def surgery(gradients):
    new = gradients.clone()
    for i in range(len(gradients)):
        for j in range(len(gradients)):
            dot = new[i] @ gradients[j]
            if i != j and dot < 0:
                new[i] -= dot / gradients[j].square().sum() * gradients[j]
    return new
""",
)
def surgery(yours: Any) -> str:
    """`yours(gradients)` is (tasks, width): each row without its part that opposes the others.

    `gradients` is (tasks, width), one row per task, any number of tasks. A row is compared with
    the others from first to last, each *as it was*. Where the product is below 0 by then, the row
    loses its part along the other.
    """
    check_cases(
        yours, "gradients", _right, CASES, misreading, read=_read, same=_same, explain=_explain
    )
    return (
        "Of two tasks, neither opposes the other now. Of three that is not certain: the second "
        "projection may undo a part of the first."
    )
