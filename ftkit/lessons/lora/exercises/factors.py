"""Exercises on the two factors of LoRA: how many numbers they hold, how they are merged, how close they can come."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import (
    Case,
    ObservedScale,
    as_function,
    call,
    check_scales,
    diagnose,
    kind,
    scale_between,
    tensor,
)
from ftkit.teaching.exercise import Wrong, exercise

Shapes = list[tuple[int, int]]

_SHAPES = [
    Case(([(64, 32)], 4), "one layer (64, 32) and rank 4"),
    Case(
        ([(128, 128), (512, 128), (128, 512)], 8),
        "the layers (128, 128), (512, 128), (128, 512) and rank 8",
    ),
    Case(([(10, 30), (20, 10)], 3), "the layers (10, 30), (20, 10) and rank 3"),
]


def _sum(of: Callable[[int, int, int], int]) -> Callable[[Shapes, int], int]:
    return lambda shapes, rank: sum(of(out, into, rank) for out, into in shapes)


_COUNT = _sum(lambda out, into, r: r * (out + into))
_MISCOUNTS = {
    "that is the size of the full matrices, which are frozen": _sum(
        lambda out, into, r: out * into
    ),
    "that counts the frozen weights as well": _sum(
        lambda out, into, r: out * into + r * (out + into)
    ),
    "that is A (rank, in) alone; B (out, rank) trains too": _sum(lambda out, into, r: r * into),
    "that is B (out, rank) alone; A (rank, in) trains too": _sum(lambda out, into, r: r * out),
    "that multiplies out and in; A and B stand beside each other, so their sizes add": _sum(
        lambda out, into, r: r * out * into
    ),
    "the rank is missing": _sum(lambda out, into, r: out + into),
    "that takes every layer as square: in is not out": _sum(lambda out, into, r: 2 * r * out),
    "that takes every layer as square: out is not in": _sum(lambda out, into, r: 2 * r * into),
    "that counts a rank x rank matrix between A and B, which LoRA has not": _sum(
        lambda out, into, r: r * (out + into + r)
    ),
    "only the first layer is counted": lambda shapes, rank: _COUNT(shapes[:1], rank),
    "only the last layer is counted": lambda shapes, rank: _COUNT(shapes[-1:], rank),
}


@exercise(
    "Count what trains",
    difficulty=1,
    minutes=5,
    hints=[
        "Draw one layer: W is (out, in). Which two matrices does LoRA add, and what are their shapes?",
        "A is (rank, in) and B is (out, rank). W does not train.",
        "One layer has `rank * in + out * rank` numbers that train; add up the layers.",
    ],
    solution="""
def trainable_parameters(shapes, rank):
    return sum(rank * (out + into) for out, into in shapes)
""",
)
def trainable_parameters(yours: Any) -> str:
    """`yours(shapes, rank)` is the number of trainable numbers of LoRA on layers of those shapes [(out, in), ...]."""
    yours, answers = as_function(yours, "shapes, rank"), []
    for case in _SHAPES:
        answer = call(yours, "shapes, rank", *case.given)
        try:
            answers.append(operator.index(answer))
        except TypeError:
            rounder = (
                "; it is a count, so leave out what makes a float of it"
                if isinstance(answer, float)
                else ""
            )
            raise Wrong(
                f"the answer must be a whole number (an int), got {kind(answer)}{rounder}"
            ) from None
    why = diagnose(answers, _SHAPES, _MISCOUNTS, operator.eq)
    for case, answer in zip(_SHAPES, answers, strict=True):
        if answer != (right := _COUNT(*case.given)):
            raise Wrong(
                f"for {case.words} there are {right:,} numbers to train, yours says {answer:,}{why}"
            )
    share = _COUNT([(768, 768)], 8) / 768**2
    return f"The count grows with out + in, the matrix with out x in: rank 8 on a matrix of 768 x 768 trains {share:.1%} of it."


def _layer(out: int, into: int, rank: int, alpha: float) -> Case:
    generator = torch.Generator().manual_seed(out)
    weight, a, b = (
        torch.randn(size, generator=generator) for size in ((out, into), (rank, into), (out, rank))
    )
    return Case((weight, a, b, alpha), f"rank {rank} and alpha {alpha:g}")


# The square one tells B A from its transpose; alpha is never the rank, and once does not divide by it.
_LAYERS = [_layer(7, 5, 3, 12.0), _layer(6, 9, 2, 5.0), _layer(8, 8, 4, 2.0)]


@exercise(
    "Merge the change into the weight",
    difficulty=2,
    minutes=8,
    hints=[
        "The layer computes `x W' + scale * (x A') B'`. Which one matrix in the place of W gives the same?",
        "The rank is not handed over, but a shape knows it; scale is alpha / rank.",
        "The change is `scale * (b @ a)`, (out, in) like W. Add it with `+`: `+=` would write into W.",
    ],
    solution="""
def merge(weight, a, b, alpha):
    return weight + alpha / len(a) * (b @ a)
""",
)
def merge(yours: Any) -> str:
    """`yours(weight, a, b, alpha)` is the one matrix that acts as weight and LoRA together; it writes into none of them."""
    takes, seen = "weight, a, b, alpha", []
    yours = as_function(yours, takes)
    for case in _LAYERS:
        weight, a, b, alpha = case.given
        got = tensor(
            call(yours, takes, *case.given),
            f"for {case.words} the merged weight",
            weight.shape,
            "(out, in)",
            like=weight,
        )
        if scale_between(got, torch.zeros_like(weight), b @ a) is not None:
            raise Wrong(
                f"for {case.words} yours is the change alone; the merged weight is `weight` plus the change"
            )
        seen.append(
            ObservedScale(len(a), alpha, len(b), a.shape[1], scale_between(got, weight, b @ a))
        )
    check_scales(seen, "weight + scale * (b @ a)")
    return "Merged, the layer is one matrix again and costs what it cost before; the scale went into it, once."


def _matrix(out: int, into: int, rank: int) -> Case:
    delta = torch.randn(
        out, into, generator=torch.Generator().manual_seed(out + rank), dtype=torch.float32
    )
    return Case((delta, rank), f"a delta of shape ({out}, {into}) and rank {rank}")


_MATRICES = [_matrix(8, 5, 2), _matrix(6, 9, 1), _matrix(7, 7, 4)]


def _spectrum(change: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """The product that comes out if the singular values are treated by `change`."""

    def product(delta: Tensor, rank: int) -> Tensor:
        u, s, vh = torch.linalg.svd(delta, full_matrices=False)
        return u @ torch.diag(change(s, rank)) @ vh

    return product


def _largest(s: Tensor, rank: int) -> Tensor:
    return torch.where(torch.arange(len(s)) < rank, s, 0.0)


_CUTS = {
    "the singular values are missing": _spectrum(lambda s, r: _largest(s, r).bool().float()),
    "the singular values are in both factors, so the product has them squared": _spectrum(
        lambda s, r: _largest(s, r) ** 2
    ),
    "only the root of the singular values is in the product": _spectrum(
        lambda s, r: _largest(s, r) ** 0.5
    ),
    "that keeps the smallest singular values; the largest hold most of delta": _spectrum(
        lambda s, r: s - _largest(s, len(s) - r)
    ),
    "that is the first rows of delta, which need not be its strongest": lambda d, r: torch.cat(
        [d[:r], 0 * d[r:]]
    ),
    "that is the first columns of delta, which need not be its strongest": lambda d, r: torch.cat(
        [d[:, :r], 0 * d[:, r:]], 1
    ),
    "`svd` gives V transposed already; do not take its columns": lambda d, r: _columns_of_vh(d, r),
}


def _columns_of_vh(delta: Tensor, rank: int) -> Tensor:
    u, s, vh = torch.linalg.svd(delta)
    return (u[:, :rank] * s[:rank]) @ vh[:, :rank].t()


@exercise(
    "The best change of a given rank",
    difficulty=3,
    minutes=12,
    hints=[
        "What does the singular value decomposition of delta say about its strongest directions?",
        "`torch.linalg.svd(delta, full_matrices=False)` gives U, S, Vh, the largest singular values first. Keep the first `rank`.",
        "b @ a must hold each kept singular value once: give S to one of the two, or its root to both.",
    ],
    solution="""
def best_of_rank(delta, rank):
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    return u[:, :rank] * s[:rank], vh[:rank]
""",
)
def best_of_rank(yours: Any) -> str:
    """`yours(delta, rank)` is (b, a), (out, rank) and (rank, in), whose product is the closest matrix of that rank to delta."""
    yours = as_function(yours, "delta, rank")
    products = [_product(call(yours, "delta, rank", *case.given), case) for case in _MATRICES]
    why = diagnose(
        products,
        _MATRICES,
        _CUTS,
        lambda got, wrong: torch.allclose(got, wrong.double(), atol=1e-3),
    )
    for case, got in zip(_MATRICES, products, strict=True):
        delta, rank = case.given
        least = float(torch.linalg.svdvals(delta)[rank:].norm())
        if (far := float((delta - got).norm())) > least * 1.001:
            raise Wrong(
                f"for {case.words} b @ a can come as close as {least:.3f} to delta, yours is {far:.3f} away{why}"
            )
    return (
        "What is left over is the root of the summed squares of the singular values that were cut off (Eckart and Young 1936). "
        "No training of LoRA with this rank can come closer to this delta."
    )


def _product(answer: Any, case: Case) -> Tensor:
    delta, rank = case.given
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        length = f" of {len(answer)}" if isinstance(answer, tuple | list) else ""
        raise Wrong(
            f"the answer must be the pair (b, a), got {kind(answer)}{length}; the product is formed by the check"
        )
    (out, into), (b, a) = delta.shape, answer
    if [tuple(getattr(x, "shape", ())) for x in (b, a)] == [(rank, into), (out, rank)]:
        raise Wrong("the two factors are swapped: b (out, rank) comes first, then a (rank, in)")
    b = tensor(b, f"for {case.words}, b", (out, rank), "(out, rank)")
    return b.double() @ tensor(a, f"for {case.words}, a", (rank, into), "(rank, in)").double()
