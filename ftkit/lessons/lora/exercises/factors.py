"""Exercises on LoRA's two factors: their parameters, their merge, and the best they can do."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import (
    Case,
    ObservedScale,
    as_function,
    call,
    check_cases,
    check_scales,
    close,
    parts,
    scale_between,
    tensor,
    whole_number,
)
from ftkit.teaching.exercise import Wrong, exercise

# Count the trainable parameters

Shapes = list[tuple[int, int]]

_NETWORKS = [
    Case(([(64, 32)], 4), "one layer (64, 32) and rank 4"),
    Case(
        ([(128, 128), (512, 128), (128, 512)], 8),
        "the layers (128, 128), (512, 128), (128, 512) and rank 8",
    ),
    Case(([(10, 30), (20, 10)], 3), "the layers (10, 30), (20, 10) and rank 3"),
]


def _sum(of: Callable[[int, int, int], int]) -> Callable[[Shapes, int], int]:
    """Sum `of(out, in, rank)` over the layers."""
    return lambda shapes, rank: sum(of(out, into, rank) for out, into in shapes)


_count = _sum(lambda out, into, r: r * (out + into))
_WRONG_COUNTS: dict[str, Callable[[Shapes, int], int]] = {
    "that is the size of the full matrices, which are frozen": _sum(
        lambda out, into, r: out * into
    ),
    "that counts the frozen weights as well": _sum(
        lambda out, into, r: out * into + r * (out + into)
    ),
    "that is A (rank, in) alone; B (out, rank) is trained too": _sum(lambda out, into, r: r * into),
    "that is B (out, rank) alone; A (rank, in) is trained too": _sum(lambda out, into, r: r * out),
    "that multiplies out and in; A and B are separate matrices, so their sizes add": _sum(
        lambda out, into, r: r * out * into
    ),
    "the rank is missing": _sum(lambda out, into, r: out + into),
    "that takes every layer as square: in is not out": _sum(lambda out, into, r: 2 * r * out),
    "that takes every layer as square: out is not in": _sum(lambda out, into, r: 2 * r * into),
    "that counts a rank x rank matrix between A and B, which LoRA does not have": _sum(
        lambda out, into, r: r * (out + into + r)
    ),
    "only the first layer is counted": lambda shapes, rank: _count(shapes[:1], rank),
    "only the last layer is counted": lambda shapes, rank: _count(shapes[-1:], rank),
}


def _explain_count(case: Case, wanted: int, answer: int) -> str:
    return f"for {case.words} there are {wanted:,} trainable parameters, yours says {answer:,}"


@exercise(
    "Count the trainable parameters",
    difficulty=1,
    minutes=5,
    hints=[
        "Draw one layer: W is (out, in). Which two matrices does LoRA add, and what are their "
        "shapes?",
        "A is (rank, in) and B is (out, rank). W is frozen.",
        "One layer has `rank * in + out * rank` trainable parameters; add up the layers.",
    ],
    solution="""
def trainable_parameters(shapes, rank):
    return sum(rank * (out + into) for out, into in shapes)
""",
)
def trainable_parameters(yours: Any) -> str:
    """`yours(shapes, rank)` is the number of trainable parameters of LoRA.

    `shapes` are those of the layers that it adapts, [(out, in), ...].
    """
    check_cases(
        yours,
        "shapes, rank",
        _count,
        _NETWORKS,
        _WRONG_COUNTS,
        read=whole_number,
        same=operator.eq,
        explain=_explain_count,
    )
    share = _count([(768, 768)], 8) / 768**2
    return (
        "LoRA's count grows with out + in, the matrix with out x in: "
        f"rank 8 trains {share:.1%} of the parameters of a 768 x 768 matrix."
    )


# Merge the change into the weight


def _layer(out: int, into: int, rank: int, alpha: float) -> Case:
    generator = torch.Generator().manual_seed(out)
    weight, a, b = (
        torch.randn(size, generator=generator) for size in ((out, into), (rank, into), (out, rank))
    )
    return Case((weight, a, b, alpha), f"rank {rank} and alpha {alpha:g}")


# In the square layer only the values tell B A from its transpose. Alpha is never the rank, and
# once it is not a multiple of it.
_LAYERS = [_layer(7, 5, 3, 12.0), _layer(6, 9, 2, 5.0), _layer(8, 8, 4, 2.0)]


@exercise(
    "Merge the change into the weight",
    difficulty=2,
    minutes=8,
    hints=[
        "The layer computes `x W' + scale * (x A') B'`. Which single matrix in place of W gives "
        "the same?",
        "The rank is not an argument, but you can read it from a shape; scale is alpha / rank.",
        "The change is `scale * (b @ a)`, (out, in) like W. Add it with `+`: `+=` would write "
        "into W.",
    ],
    solution="""
def merge(weight, a, b, alpha):
    return weight + alpha / len(a) * (b @ a)
""",
)
def merge(yours: Any) -> str:
    """`yours(weight, a, b, alpha)` is the one matrix that acts like weight and LoRA together.

    It writes into none of its arguments.
    """
    takes = "weight, a, b, alpha"
    yours = as_function(yours, takes)
    observed = []
    for case in _LAYERS:
        weight, a, b, alpha = case.given
        merged = tensor(
            call(yours, takes, *case.given),
            f"for {case.words} the merged weight",
            weight.shape,
            "(out, in)",
            like=weight,
        )
        if scale_between(merged, torch.zeros_like(weight), b @ a) is not None:
            raise Wrong(
                f"for {case.words} yours is the change alone; "
                "the merged weight is `weight` plus the change"
            )
        scale = scale_between(merged, weight, b @ a)
        observed.append(ObservedScale(len(a), alpha, len(b), a.shape[1], scale))
    check_scales(observed, "weight + scale * (b @ a)")
    return (
        "After merging, the layer is one matrix again and costs what it did before. The scale is "
        "part of that matrix, once."
    )


# The best change of a given rank


def _matrix(out: int, into: int, rank: int) -> Case:
    generator = torch.Generator().manual_seed(out + rank)
    delta = torch.randn(out, into, generator=generator, dtype=torch.float32)
    return Case((delta, rank), f"a delta of shape ({out}, {into}) and rank {rank}")


_MATRICES = [_matrix(8, 5, 2), _matrix(6, 9, 1), _matrix(7, 7, 4)]


def _spectrum(change: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """Rebuild delta with its singular values replaced by `change(values, rank)`."""

    def product(delta: Tensor, rank: int) -> Tensor:
        u, s, vh = torch.linalg.svd(delta.double(), full_matrices=False)
        return u @ torch.diag(change(s, rank)) @ vh

    return product


def _largest(s: Tensor, rank: int) -> Tensor:
    """Set all but the `rank` largest values to zero; they are in falling order."""
    return torch.where(torch.arange(len(s)) < rank, s, 0.0)


def _first_rows(delta: Tensor, rank: int) -> Tensor:
    return torch.cat([delta[:rank], 0 * delta[rank:]]).double()


def _first_columns(delta: Tensor, rank: int) -> Tensor:
    return torch.cat([delta[:, :rank], 0 * delta[:, rank:]], 1).double()


def _columns_of_vh(delta: Tensor, rank: int) -> Tensor:
    u, s, vh = torch.linalg.svd(delta)
    return ((u[:, :rank] * s[:rank]) @ vh[:, :rank].t()).double()


_best_product = _spectrum(_largest)
_WRONG_PRODUCTS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "the singular values are missing": _spectrum(lambda s, r: _largest(s, r).bool().to(s)),
    "the singular values are in both factors, so the product has them squared": _spectrum(
        lambda s, r: _largest(s, r) ** 2
    ),
    "the product has only the square root of the singular values": _spectrum(
        lambda s, r: _largest(s, r) ** 0.5
    ),
    "that keeps the smallest singular values; the largest hold most of delta": _spectrum(
        lambda s, r: s - _largest(s, len(s) - r)
    ),
    "those are the first rows of delta, which need not be its strongest": _first_rows,
    "those are the first columns of delta, which need not be its strongest": _first_columns,
    "`svd` returns V transposed already; do not take its columns": _columns_of_vh,
}


def _read_product(answer: Any, case: Case) -> Tensor:
    """Read (b, a) as their product, in double precision."""
    delta, rank = case.given
    out, into = delta.shape
    b, a = parts(answer, case, "b, a")
    if getattr(b, "shape", None) == (rank, into) and getattr(a, "shape", None) == (out, rank):
        raise Wrong("the two factors are swapped: b (out, rank) comes first, then a (rank, in)")
    b = tensor(b, f"for {case.words}, b", (out, rank), "(out, rank)")
    a = tensor(a, f"for {case.words}, a", (rank, into), "(rank, in)")
    return b.double() @ a.double()


def _explain_product(case: Case, wanted: Tensor, answer: Tensor) -> str:
    """Accept every product that is as close to delta as the best one, within 0.1 %."""
    delta, rank = case.given
    least = float(torch.linalg.svdvals(delta)[rank:].norm())
    distance = float((delta - answer).norm())
    if distance <= least * 1.001:
        return ""
    return (
        f"for {case.words} the distance from b @ a to delta can be {least:.3f}, "
        f"yours is {distance:.3f}"
    )


@exercise(
    "The best change of a given rank",
    difficulty=3,
    minutes=12,
    hints=[
        "What does the singular value decomposition of delta say about its strongest directions?",
        "`torch.linalg.svd(delta, full_matrices=False)` returns U, S, Vh, with the largest "
        "singular values first. Keep the first `rank`.",
        "b @ a must have each of these singular values once: multiply one factor by S, or both "
        "by its square root.",
    ],
    solution="""
def best_of_rank(delta, rank):
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    return u[:, :rank] * s[:rank], vh[:rank]
""",
)
def best_of_rank(yours: Any) -> str:
    """`yours(delta, rank)` is a pair (b, a), (out, rank) and (rank, in).

    Their product b @ a is the matrix of that rank that is closest to delta (in the Frobenius norm).
    """
    check_cases(
        yours,
        "delta, rank",
        _best_product,
        _MATRICES,
        _WRONG_PRODUCTS,
        read=_read_product,
        same=partial(close, tolerance=1e-3),
        explain=_explain_product,
    )
    return (
        "The distance that is left is the root of the summed squares of the singular values that "
        "you cut off (Eckart and Young 1936). LoRA of this rank cannot come closer to this delta, "
        "however it is trained."
    )
