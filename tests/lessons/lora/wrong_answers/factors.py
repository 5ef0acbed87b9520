"""Answers to the exercises on counting and merging.

Wrong ones come with words that the message must contain.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def wrong_count() -> dict[str, tuple[Any, str]]:
    def empties(shapes: Any, rank: int) -> int:
        total = 0
        while shapes:
            out, into = shapes.pop()
            total += rank * (out + into)
        return total

    def product(shapes: Any, rank: int) -> int:
        return sum(rank * out * into for out, into in shapes)

    def first(shapes: Any, rank: int) -> int:
        for out, into in shapes:
            return rank * (out + into)
        return 0

    return {
        "the full matrices": (
            lambda shapes, rank: sum(o * i for o, i in shapes),
            "size of the full matrices, which are frozen",
        ),
        "frozen weights too": (
            lambda shapes, rank: sum(o * i + rank * (o + i) for o, i in shapes),
            "counts the frozen weights",
        ),
        "A alone": (lambda shapes, rank: sum(rank * i for _, i in shapes), "A (rank, in) alone; B"),
        "B alone": (
            lambda shapes, rank: sum(rank * o for o, _ in shapes),
            "B (out, rank) alone; A",
        ),
        "product of out and in": (product, "their sizes add"),
        "no rank": (lambda shapes, rank: sum(o + i for o, i in shapes), "the rank is missing"),
        "square layers": (
            lambda shapes, rank: sum(2 * rank * o for o, _ in shapes),
            "every layer as square: in is not out",
        ),
        "a matrix between": (
            lambda shapes, rank: sum(rank * (o + i + rank) for o, i in shapes),
            "a rank x rank matrix between A and B",
        ),
        "return in the loop": (first, "only the first layer is counted"),
        "a float": (
            lambda shapes, rank: float(sum(rank * (o + i) for o, i in shapes)),
            "must be a whole number (an int), got a float",
        ),
        "a list": (
            lambda shapes, rank: [rank * (o + i) for o, i in shapes],
            "must be a whole number (an int), got a list",
        ),
        "off by one": (
            lambda shapes, rank: 1 + sum(rank * (o + i) for o, i in shapes),
            "there are 384 trainable parameters, yours says 385",
        ),
        "empties the list": (
            empties,
            "writes into `shapes`, which belongs to the caller; "
            "make a new one instead (`sorted(x)`",
        ),
        "forgets the rank": (
            lambda shapes: sum(map(sum, shapes)),
            "must take (shapes, rank), in this order; yours takes (shapes)",
        ),
        "called by hand": (384, "without brackets after its name; this is an int"),
    }


def right_count() -> dict[str, Any]:
    def loop(shapes: Any, rank: int) -> int:
        total = 0
        for shape in shapes:
            total += torch.empty(rank, shape[1]).numel() + torch.empty(shape[0], rank).numel()
        return total

    def layers(shapes: Any, rank: int) -> int:
        made = [
            m
            for o, i in shapes
            for m in (nn.Linear(i, rank, bias=False), nn.Linear(rank, o, bias=False))
        ]
        return sum(p.numel() for layer in made for p in layer.parameters())

    class Counter:
        def __call__(self, shapes: Any, rank: int) -> Any:
            return np.int64(rank) * np.sum(shapes)

    return {
        "a lambda": lambda shapes, rank: rank * sum(map(sum, shapes)),
        "a loop over tensors": loop,
        "real layers": layers,
        "a fold": lambda shapes, rank: reduce(
            lambda total, shape: total + rank * shape[0] + shape[1] * rank, shapes, 0
        ),
        "a class": Counter,
        "a callable object": Counter(),
        "a tensor of one int": lambda shapes, rank: rank * torch.tensor(shapes).sum(),
    }


def wrong_merge() -> dict[str, tuple[Any, str]]:
    def in_place(weight: Any, a: Any, b: Any, alpha: float) -> Any:
        weight += alpha / len(a) * (b @ a)
        return weight

    def writes_b(weight: Any, a: Any, b: Any, alpha: float) -> Any:
        return weight + b.mul_(alpha / len(a)) @ a

    def no_return(weight: Any, a: Any, b: Any, alpha: float) -> Any:
        weight = weight + alpha / len(a) * (b @ a)

    def scaled(factor: Callable[[int, float], float]) -> Any:
        return lambda weight, a, b, alpha: weight + factor(len(a), alpha) * (b @ a)

    return {
        "alpha": (
            scaled(lambda r, alpha: alpha),
            "For rank 3 and alpha 12 the change must be scaled by 4, yours is scaled by 12",
        ),
        "no scale": (
            scaled(lambda r, alpha: 1),
            "must be scaled by 4, yours is scaled by 1; the factor alpha / rank is missing",
        ),
        "upside down": (
            scaled(lambda r, alpha: r / alpha),
            "yours is scaled by 0.25; that is rank / alpha",
        ),
        "rounded down": (
            scaled(lambda r, alpha: alpha // r),
            "must be scaled by 2.5, yours is scaled by 2; `//` rounds",
        ),
        "root of the rank": (scaled(lambda r, alpha: alpha / r**0.5), "the scale of rsLoRA"),
        "twice": (
            scaled(lambda r, alpha: (alpha / r) ** 2),
            "yours is scaled by 16; alpha / rank is applied twice",
        ),
        "times rank": (
            scaled(lambda r, alpha: alpha * r),
            "yours is scaled by 36; that is alpha * rank",
        ),
        "rows for rank": (
            lambda w, a, b, alpha: w + alpha / len(b) * (b @ a),
            "divided by the number of rows of the weight",
        ),
        "columns for rank": (
            lambda w, a, b, alpha: w + alpha / a.shape[1] * (b @ a),
            "divided by the number of columns of the weight",
        ),
        "subtracted": (scaled(lambda r, alpha: -alpha / r), "the change is subtracted; add it"),
        "the base as it is": (
            lambda w, a, b, alpha: w.clone(),
            "yours is scaled by 0; the change is missing",
        ),
        "the change alone": (
            lambda w, a, b, alpha: alpha / len(a) * (b @ a),
            "yours is the change alone",
        ),
        "transposed": (
            lambda w, a, b, alpha: (w + alpha / len(a) * (b @ a)).T,
            "got (5, 7); that is transposed",
        ),
        "outer product of sums": (
            lambda w, a, b, alpha: w + alpha / len(a) * b.sum(1)[:, None] * a.sum(0),
            "with scale = 4 or any other",
        ),
        "wrong order": (lambda w, a, b, alpha: w + a @ b, "Your code raised RuntimeError"),
        "in place": (
            in_place,
            "writes into `weight`, which belongs to the caller; make a new one instead (`x + 1`",
        ),
        "writes into b": (writes_b, "writes into `b`"),
        "no return": (no_return, "returns None; is a `return` missing?"),
        "numpy": (
            lambda w, a, b, alpha: (w + alpha / len(a) * (b @ a)).numpy(),
            "must be a torch.Tensor, got a numpy.ndarray",
        ),
        "a list": (
            lambda w, a, b, alpha: (w + alpha / len(a) * (b @ a)).tolist(),
            "must be a torch.Tensor, got a list",
        ),
        "double": (
            lambda w, a, b, alpha: w.double() + alpha / len(a) * (b @ a),
            "must have the dtype of the input",
        ),
        "nan": (lambda w, a, b, alpha: w / 0 * 0, "must be finite, got nan"),
        "arguments": (
            lambda w, a, b: w,
            "must take (weight, a, b, alpha), in this order; yours takes (w, a, b)",
        ),
        "a class without call": (dict, "this is the class dict"),
    }


def right_merge() -> dict[str, Any]:
    def add(weight: Any, a: Any, b: Any, alpha: float) -> Any:
        merged = weight.clone()
        merged += (alpha / a.shape[0]) * torch.matmul(b, a)
        return merged

    def through_a_layer(weight: Any, a: Any, b: Any, alpha: float) -> Any:
        eye = torch.eye(weight.shape[1])
        return (F.linear(eye, weight) + alpha / b.shape[1] * F.linear(F.linear(eye, a), b)).T

    class Merge(nn.Module):
        def forward(self, weight: Any, a: Any, b: Any, alpha: float) -> Any:
            return nn.Parameter(torch.addmm(weight, b, a, alpha=alpha / len(a)))

    return {
        "a lambda": lambda weight, a, b, alpha: weight + alpha / len(a) * (b @ a),
        "einsum": lambda w, a, b, alpha: (
            w + torch.einsum("or,ri->oi", b, a).mul(alpha).div(b.shape[1])
        ),
        "a clone added to": add,
        "the layer on one-hot vectors": through_a_layer,
        "a module class": Merge,
        "a sum of outer products": lambda w, a, b, alpha: (
            w + sum(torch.outer(b[:, k], a[k]) for k in range(len(a))) * alpha / len(a)
        ),
        "in double, and back": lambda w, a, b, alpha: (
            w.double() + alpha / len(a) * (b.double() @ a.double())
        ).float(),
    }
