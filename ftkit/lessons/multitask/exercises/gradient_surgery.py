"""An exercise on gradient surgery of any number of tasks: each gradient without what opposes the others."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise

Give = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What is left of a row beside one other: of (the row as it is by now, as it was, the other as it was)."""


def _drawn(seed: int, tasks: int, numbers: int, apart: float = 0.0) -> Case:
    """Random gradients of each length; `apart` turns every second one against the first."""
    generator = torch.Generator().manual_seed(seed)
    rows = (
        torch.randn(tasks, numbers, generator=generator, dtype=torch.float64)
        * torch.tensor([[1.0], [2.0], [0.5], [1.5]])[:tasks]
    )
    rows[1::2] -= apart * rows[0]
    return Case((rows,), f"{tasks} gradients of {numbers} numbers")


_CASES = [_drawn(1, 2, 3, 3.0), _drawn(6, 2, 4, -3.0), _drawn(0, 3, 2, 1.0), _drawn(8, 4, 3, 1.0)]


def _part(row: Tensor, other: Tensor) -> Tensor:
    return (row @ other) / (other @ other) * other


def _each(gradients: Tensor, give: Give, backwards: bool = False, changed: bool = False) -> Tensor:
    """Every row, after it has met every other: from first to last, and as they were, unless told otherwise."""
    new, order = gradients.clone(), range(len(gradients))
    for i in order:
        for j in reversed(order) if backwards else order:
            if i != j:
                new[i] = give(new[i], gradients[i], new[j] if changed else gradients[j])
    return new


def _free(row: Tensor, _: Tensor, other: Tensor) -> Tensor:
    return row - _part(row, other) if row @ other < 0 else row


def _right(gradients: Tensor) -> Tensor:
    return _each(gradients, _free)


def _if_opposed(mend: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda g: _each(g, lambda row, _, other: mend(row, other) if row @ other < 0 else row)


def _first_alone(gradients: Tensor) -> Tensor:
    return torch.cat([_right(gradients)[:1], gradients[1:]])


_FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "it is projected against what the others have become; take them as they were": lambda g: _each(
        g, _free, changed=True
    ),
    "the others come from last to first; take them from first to last": lambda g: _each(
        g, _free, backwards=True
    ),
    "all parts are taken off at once; after each, ask again whether what is left opposes the next": lambda g: (
        _each(g, lambda row, was, other: row - _part(was, other) if was @ other < 0 else row)
    ),
    "it projects where two agree as well; a part that helps the other must stay": lambda g: _each(
        g, lambda row, _, other: row - _part(row, other)
    ),
    "it projects where they agree, and not where they oppose each other": lambda g: _each(
        g, lambda row, _, other: row - _part(row, other) if row @ other > 0 else row
    ),
    "it divides by the length of the other, not by its square": _if_opposed(
        lambda a, b: a - (a @ b) / b.norm() * b
    ),
    "it divides by its own square, not by that of the other": _if_opposed(
        lambda a, b: a - (a @ b) / (a @ a) * b
    ),
    "it takes away a part along itself, not along the other": _if_opposed(
        lambda a, b: a - (a @ b) / (b @ b) * a
    ),
    "the part along the other is added where it must be taken away": _if_opposed(
        lambda a, b: a + _part(a, b)
    ),
    "that is the part that is kept away from: what must be taken off, not what is left": _if_opposed(
        _part
    ),
    "a gradient that opposes another is dropped; only its opposed part should go": _if_opposed(
        lambda a, _: torch.zeros_like(a)
    ),
    "only the first gives way; all must": _first_alone,
    "nothing is taken away at all": lambda g: g,
    "the results are scaled to length 1": lambda g: _right(g) / _right(g).norm(dim=1, keepdim=True),
}


@exercise(
    "Gradient surgery for any number of tasks",
    difficulty=3,
    minutes=15,
    hints=[
        "Two loops: over the rows, and for each over the others. What must a row be compared with, what others are, or what they were?",
        "Start from a copy, `new = gradients.clone()`. Is `new[i] @ gradients[j]` below 0? Then what part of new[i] must go?",
        "`dot = new[i] @ gradients[j]`; where it is negative: `new[i] -= dot / gradients[j].square().sum() * gradients[j]`.",
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
    """`yours(gradients)`: (tasks, numbers), a row a task, any number of tasks; of the same shape, each row without what opposes the others.
    A row meets the others from first to last, each *as it was*; where the product is below 0 by then, it gives up its part along it."""
    yours = as_function(yours, "gradients")
    answers = [_rows(call(yours, "gradients", *case.given), case) for case in _CASES]
    why = diagnose(answers, _CASES, _FAULTS, _same)
    for case, got in zip(_CASES, answers, strict=True):
        for i, (row, wanted) in enumerate(zip(got, _right(*case.given), strict=True)):
            if not _same(row, wanted):
                raise Wrong(
                    f"for {_given(case)} row {i} must become {_words(wanted)}, yours becomes {_words(row)}{why}"
                )
    return "Of two tasks neither opposes the other now. Of three that is not certain: the second projection may bring the first back."


def _rows(answer: Any, case: Case) -> Tensor:
    (gradients,) = case.given
    if (
        isinstance(answer, Sequence)
        and len(answer) == len(gradients)
        and all(isinstance(row, Tensor) for row in answer)
    ):
        answer = torch.stack(
            [
                tensor(row, "a new gradient", gradients.shape[1:], "(numbers,)", like=gradients)
                for row in answer
            ]
        )
    if not isinstance(answer, Tensor):
        raise Wrong(
            f"for {case.words} the answer must be as many new gradients, a row each, got {kind(answer)}"
        )
    return tensor(
        answer, f"for {case.words} the answer", gradients.shape, "(tasks, numbers)", like=gradients
    )


def _given(case: Case) -> str:
    return f"gradients {', '.join(_words(row) for row in case.given[0])}"


def _words(values: Tensor) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in values.tolist())}]"


def _same(got: Tensor, wrong: Tensor) -> bool:
    return torch.allclose(got, wrong, atol=1e-6)
