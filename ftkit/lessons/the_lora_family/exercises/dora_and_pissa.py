"""Exercises on LoRA's relatives: length and direction (DoRA), a start from the weight itself (PiSSA)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise

Pair = tuple[Tensor, Tensor]


def _weight(out: int, into: int, words: str) -> Case:
    return Case(
        (torch.randn(out, into, generator=torch.Generator().manual_seed(10 * out + into)) + 0.3,),
        words,
    )


_WEIGHTS = [
    _weight(5, 3, "a weight (5, 3)"),
    _weight(4, 4, "a weight (4, 4)"),
    _weight(3, 6, "a weight (3, 6)"),
]


def _split(length: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Pair]:
    """Lengths (out,) that a fault would give, and the weight divided by them."""
    return lambda weight: (length(weight), weight / length(weight).unsqueeze(1))


_SPLITS: dict[str, Callable[[Tensor], Pair]] = {
    "the lengths are squared; the root is missing": _split(lambda w: w.square().sum(1)),
    "that is the sum of the absolute values, not the length": _split(lambda w: w.abs().sum(1)),
    "that is the largest entry, not the length": _split(lambda w: w.abs().amax(1)),
    "that is the length of the whole matrix, the same for every row": _split(
        lambda w: w.norm().expand(len(w))
    ),
    "the direction is the weight itself, not yet divided by the lengths": lambda w: (
        w.norm(dim=1),
        w,
    ),
    "the lengths are all 1, and the direction still has them": lambda w: (torch.ones(len(w)), w),
    "the direction is divided by the root of the lengths": lambda w: (
        w.norm(dim=1),
        w / w.norm(dim=1, keepdim=True).sqrt(),
    ),
    "the direction is multiplied by the lengths": lambda w: (
        w.norm(dim=1),
        w * w.norm(dim=1, keepdim=True),
    ),
    "the mean is taken out of the direction": lambda w: (
        w.norm(dim=1),
        (w - w.mean(1, keepdim=True)) / w.norm(dim=1, keepdim=True),
    ),
}


@exercise(
    "Length and direction, apart",
    difficulty=1,
    minutes=6,
    hints=[
        "One row of the weight makes one output feature. How long is a row?",
        "`weight.norm(dim=1)` is the length of each row, (out,).",
        "Divide each row by its length: `weight / m.unsqueeze(1)`. Return m first.",
    ],
    solution="""
def decompose(weight):
    m = weight.norm(dim=1)
    return m, weight / m.unsqueeze(1)
""",
)
def decompose(yours: Any) -> str:
    """`yours(weight)` is (m, direction) of a weight (out, in): the length of each row (out,), and rows of length 1 (out, in)."""
    yours, answers = as_function(yours, "weight"), []
    for case in _WEIGHTS:
        (weight,) = case.given
        got = _pair(call(yours, "weight", weight), "(m, direction)", case)
        if getattr(got[0], "shape", None) == weight.shape and getattr(got[1], "shape", None) == (
            len(weight),
        ):
            raise Wrong("the two are swapped: m (out,) comes first, then the direction (out, in)")
        if len(weight) != weight.shape[1] and getattr(got[0], "shape", None) == (weight.shape[1],):
            raise Wrong(
                f"for {case.words} m has one length for each column; DoRA takes the rows, which make the output features"
            )
        m = tensor(got[0], f"for {case.words} m", (len(weight),), "(out,)")
        answers.append(
            (m, tensor(got[1], f"for {case.words} the direction", weight.shape, "(out, in)"))
        )
    why = diagnose(
        answers,
        _WEIGHTS,
        _SPLITS,
        lambda got, wrong: all(
            torch.allclose(a, b, atol=1e-4) for a, b in zip(got, wrong, strict=True)
        ),
    )
    for case, (m, direction) in zip(_WEIGHTS, answers, strict=True):
        (weight,) = case.given
        if not torch.allclose(direction.norm(dim=1), torch.ones(len(weight)), atol=1e-4):
            lengths = [round(x, 2) for x in direction.norm(dim=1).tolist()]
            raise Wrong(
                f"for {case.words} every row of the direction must have length 1, yours have {lengths}{why}"
            )
        if not torch.allclose(m.unsqueeze(1) * direction, weight, atol=1e-4):
            raise Wrong(
                f"for {case.words} m times the direction, row by row, must be the weight again; yours is not{why}"
            )
        if (m < 0).any():
            raise Wrong(
                f"for {case.words} a length is at least 0, yours has {m.min():.2f}; do not turn the direction around"
            )
    return "DoRA trains m as it is and lets LoRA turn the direction: a row may now grow without turning, and turn without growing."


def _pair(answer: Any, names: str, case: Case, count: int = 2) -> Any:
    if not isinstance(answer, tuple | list) or len(answer) != count:
        length = f" of {len(answer)}" if isinstance(answer, tuple | list) else ""
        raise Wrong(f"for {case.words} the answer must be {names}, got {kind(answer)}{length}")
    return answer


def _to_start(out: int, into: int, rank: int) -> Case:
    weight = torch.randn(out, into, generator=torch.Generator().manual_seed(100 * out + into))
    return Case((weight, rank), f"a weight ({out}, {into}) and rank {rank}")


_STARTS = [_to_start(6, 4, 2), _to_start(5, 5, 3), _to_start(3, 7, 1)]


@exercise(
    "Start where the weight is strong",
    difficulty=2,
    minutes=12,
    hints=[
        "What must `rest + b @ a` be before training, bit by bit or nearly so?",
        "`u, s, vh = torch.linalg.svd(weight, full_matrices=False)`: the strongest directions come first.",
        "With `root = s[:rank].sqrt()`, both factors get it: `b = u[:, :rank] * root`, `a = root[:, None] * vh[:rank]`.",
    ],
    solution="""
def principal(weight, rank):
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    root = s[:rank].sqrt()
    b, a = u[:, :rank] * root, root[:, None] * vh[:rank]
    return b, a, weight - b @ a
""",
)
def principal(yours: Any) -> str:
    """`yours(weight, rank)` is (b, a, rest): the factors (out, rank) and (rank, in) of the best approximation of weight of that rank, each
    with the root of the singular values, and what is left of the weight, (out, in), which stays frozen."""
    yours = as_function(yours, "weight, rank")
    for case in _STARTS:
        weight, rank = case.given
        out, into = weight.shape
        b, a, rest = _pair(call(yours, "weight, rank", weight, rank), "(b, a, rest)", case, 3)
        if getattr(b, "shape", None) == (rank, into) and getattr(a, "shape", None) == (out, rank):
            raise Wrong("the factors are swapped: b (out, rank) comes first, then a (rank, in)")
        b = tensor(b, f"for {case.words} b", (out, rank), "(out, rank)")
        a = tensor(a, f"for {case.words} a", (rank, into), "(rank, in)")
        rest = tensor(rest, f"for {case.words} rest", (out, into), "(out, in)")
        _starts_rightly(case, b, a, rest)
    return "Adam's first steps now go along W's own main directions, where LoRA starts from random ones. Whether that helps is a question."


def _starts_rightly(case: Case, b: Tensor, a: Tensor, rest: Tensor) -> None:
    weight, rank = case.given
    s = torch.linalg.svdvals(weight)
    if not torch.allclose(rest + b @ a, weight, atol=1e-4):
        why = (
            "; rest is the whole weight, so that the change would count twice"
            if torch.allclose(rest, weight)
            else ""
        )
        raise Wrong(
            f"for {case.words} `rest + b @ a` must be the weight: a new adaptation changes no answer; yours is not{why}"
        )
    least, far = float(s[rank:].norm()), float(rest.norm())
    if far > least * 1.001 + 1e-4:
        smallest = float(torch.linalg.svdvals(b @ a)[0]) < float(s[0]) * 0.9
        why = "; it must hold the largest singular values" if smallest else ""
        raise Wrong(
            f"for {case.words} the best approximation leaves a rest of norm {least:.3f}, yours leaves {far:.3f}{why}"
        )
    if not torch.allclose(b.norm(dim=0), a.norm(dim=1), rtol=1e-3):
        raise Wrong(
            f"for {case.words} both factors must hold the root of the singular values; in yours one is stronger than the other"
        )
