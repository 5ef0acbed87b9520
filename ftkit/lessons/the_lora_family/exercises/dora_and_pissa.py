"""Exercises on LoRA's relatives: length and direction (DoRA), a start from the weight (PiSSA)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import (
    Case,
    Misreadings,
    as_function,
    call,
    check_cases,
    parts,
    tensor,
)
from ftkit.teaching.exercise import Wrong, exercise

Pair = tuple[Tensor, Tensor]
"""(m, direction): (out,) and (out, in)"""


def _weight(out: int, into: int) -> Case:
    generator = torch.Generator().manual_seed(10 * out + into)
    weight = torch.randn(out, into, generator=generator) + 0.3
    return Case((weight,), f"a weight ({out}, {into})")


WEIGHTS = [_weight(5, 3), _weight(4, 4), _weight(3, 6)]


def _by(length: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Pair]:
    """Make a decomposition by another `length` of the rows, (out,)."""
    return lambda weight: (length(weight), weight / length(weight).unsqueeze(1))


def _lengths(weight: Tensor) -> Tensor:
    return weight.norm(dim=1)


def _column(lengths: Tensor) -> Tensor:
    return lengths.unsqueeze(1)


_decompose = _by(_lengths)
wrong_splits = Misreadings(
    {
        "the lengths are squared; the root is missing": _by(lambda w: w.square().sum(1)),
        "that is the sum of the absolute values, not the length": _by(lambda w: w.abs().sum(1)),
        "that is the largest entry, not the length": _by(lambda w: w.abs().amax(1)),
        "that is the length of the whole matrix, the same for every row": (
            _by(lambda w: w.norm().expand(len(w)))
        ),
        "the direction is the weight itself, not yet divided by the lengths": (
            lambda w: (_lengths(w), w)
        ),
        "the lengths are all 1, and the direction still has them": (
            lambda w: (torch.ones(len(w)), w)
        ),
        "the direction is divided by the root of the lengths": (
            lambda w: (_lengths(w), w / _column(_lengths(w)).sqrt())
        ),
        "the direction is multiplied by the lengths": (
            lambda w: (_lengths(w), w * _column(_lengths(w)))
        ),
        "the mean is subtracted from the direction": (
            lambda w: (_lengths(w), (w - w.mean(1, keepdim=True)) / _column(_lengths(w)))
        ),
    }
)


def _shape(value: Any) -> Any:
    return getattr(value, "shape", None)


def _read_pair(answer: Any, case: Case) -> Pair:
    (weight,) = case.given
    out, into = weight.shape
    m, direction = parts(answer, case, "m, direction")
    if _shape(m) == (out, into) and _shape(direction) == (out,):
        raise Wrong("the two are swapped: m (out,) comes first, then the direction (out, in)")
    if out != into and _shape(m) == (into,):
        raise Wrong(
            f"for {case.words} m has one length for each column; DoRA takes the rows, "
            "which make the output features"
        )
    return (
        tensor(m, f"for {case.words} m", (out,), "(out,)"),
        tensor(direction, f"for {case.words} the direction", (out, into), "(out, in)"),
    )


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-4)


def _explain_pair(case: Case, wanted: Pair, answer: Pair) -> str:
    (weight,) = case.given
    m, direction = answer
    lengths = _lengths(direction)
    if not _near(lengths, torch.ones(len(weight))):
        return (
            f"for {case.words} every row of the direction must have length 1, "
            f"yours have {[round(value, 2) for value in lengths.tolist()]}"
        )
    if not _near(_column(m) * direction, weight):
        return (
            f"for {case.words} m times the direction, row by row, must be the weight again; "
            "yours is not"
        )
    if (m < 0).any():
        return (
            f"for {case.words} a length is at least 0, yours has {m.min():.2f}; "
            "do not reverse the direction"
        )
    return ""


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
    """`yours(weight)` is (m, direction) of a weight (out, in).

    m (out,) has the length of each row; the direction (out, in) has rows of length 1.
    """
    check_cases(
        yours,
        "weight",
        _decompose,
        WEIGHTS,
        wrong_splits,
        read=_read_pair,
        same=lambda one, other: all(map(_near, one, other)),
        explain=_explain_pair,
    )
    return (
        "DoRA trains m directly and lets LoRA change the direction: a row can now grow without "
        "turning, and turn without growing."
    )


def _start(out: int, into: int, rank: int) -> Case:
    weight = torch.randn(out, into, generator=torch.Generator().manual_seed(100 * out + into))
    return Case((weight, rank), f"a weight ({out}, {into}) and rank {rank}")


STARTS = [_start(6, 4, 2), _start(5, 5, 3), _start(3, 7, 1)]


@exercise(
    "Start where the weight is strong",
    difficulty=2,
    minutes=12,
    hints=[
        "What must `rest + b @ a` be before training, bit for bit or nearly?",
        "`u, s, vh = torch.linalg.svd(weight, full_matrices=False)`: the strongest directions come "
        "first.",
        "With `root = s[:rank].sqrt()`, both factors get it: `b = u[:, :rank] * root`, "
        "`a = root[:, None] * vh[:rank]`.",
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
    """`yours(weight, rank)` is (b, a, rest): PiSSA's start for a weight (out, in).

    b (out, rank) and a (rank, in) are the factors of the best approximation of that rank, each
    with the root of the singular values. The rest (out, in) of the weight stays frozen.
    """
    # Factors are not unique, so an answer is checked by what it must fulfil, not by a right one.
    takes = "weight, rank"
    yours = as_function(yours, takes)
    for case in STARTS:
        b, a, rest = _read_factors(call(yours, takes, *case.given), case)
        _check_start(case, b, a, rest)
    return (
        "Adam's first steps now follow W's own main directions, where LoRA starts from random "
        "ones. Whether that helps is a question."
    )


def _read_factors(answer: Any, case: Case) -> tuple[Tensor, Tensor, Tensor]:
    weight, rank = case.given
    out, into = weight.shape
    b, a, rest = parts(answer, case, "b, a, rest")
    if _shape(b) == (rank, into) and _shape(a) == (out, rank):
        raise Wrong("the factors are swapped: b (out, rank) comes first, then a (rank, in)")
    return (
        tensor(b, f"for {case.words} b", (out, rank), "(out, rank)"),
        tensor(a, f"for {case.words} a", (rank, into), "(rank, in)"),
        tensor(rest, f"for {case.words} rest", (out, into), "(out, in)"),
    )


def _check_start(case: Case, b: Tensor, a: Tensor, rest: Tensor) -> None:
    """Check that the three make up the weight, and hold its largest singular values.

    Raises:
        Wrong: they do not.
    """
    weight, rank = case.given
    s = torch.linalg.svdvals(weight)
    if not _near(rest + b @ a, weight):
        counted_twice = torch.allclose(rest, weight)
        why = "; rest is the whole weight, so the change would count twice" if counted_twice else ""
        raise Wrong(
            f"for {case.words} `rest + b @ a` must be the weight: a new adaptation changes no "
            f"answer; yours is not{why}"
        )
    least, norm = float(s[rank:].norm()), float(rest.norm())
    if norm > least * 1.001 + 1e-4:
        has_smallest = float(torch.linalg.svdvals(b @ a)[0]) < float(s[0]) * 0.9
        why = "; it must hold the largest singular values" if has_smallest else ""
        raise Wrong(
            f"for {case.words} the best approximation leaves a rest of norm {least:.3f}, "
            f"yours leaves {norm:.3f}{why}"
        )
    if not torch.allclose(b.norm(dim=0), a.norm(dim=1), rtol=1e-3):
        raise Wrong(
            f"for {case.words} both factors must hold the root of the singular values; "
            "in yours one is larger than the other"
        )
