"""Answers to the exercises on LoRA's relatives: wrong ones with the words that must name the fault,
and right ones."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F


def wrong_decompose() -> dict[str, tuple[Any, str]]:
    def in_place(weight: Any) -> Any:
        m = weight.norm(dim=1)
        weight /= m.unsqueeze(1)
        return m, weight

    def split(m: Any, weight: Any) -> Any:
        return m, weight / m.unsqueeze(1)

    return {
        "columns": (
            lambda w: (w.norm(dim=0), w / w.norm(dim=0)),
            "m has one length for each column; DoRA takes the rows",
        ),
        "swapped": (
            lambda w: (F.normalize(w), w.norm(dim=1)),
            "two are swapped: m (out,) comes first",
        ),
        "squared": (lambda w: split(w.square().sum(1), w), "the root is missing"),
        "absolute": (lambda w: split(w.abs().sum(1), w), "the sum of the absolute values"),
        "largest": (lambda w: split(w.abs().amax(1), w), "the largest entry"),
        "whole": (lambda w: split(w.norm().expand(len(w)), w), "the length of the whole matrix"),
        "not divided": (lambda w: (w.norm(dim=1), w), "not yet divided by the lengths"),
        "ones": (lambda w: (torch.ones(len(w)), w), "the lengths are all 1"),
        "turned": (lambda w: (-w.norm(dim=1), -F.normalize(w)), "a length is at least 0"),
        "not the weight": (
            lambda w: (2 * w.norm(dim=1), F.normalize(w)),
            "must be the weight again",
        ),
        "kept dimension": (
            lambda w: (w.norm(dim=1, keepdim=True), F.normalize(w)),
            "must have the shape (out,)",
        ),
        "direction alone": (lambda w: F.normalize(w), "must be the pair (m, direction)"),
        "in place": (in_place, "writes into `weight`"),
        "lists": (
            lambda w: (w.norm(dim=1).tolist(), F.normalize(w)),
            "must be a torch.Tensor, got a list",
        ),
    }


def right_decompose() -> dict[str, Any]:
    def loop(weight: Any) -> Any:
        m = torch.stack([row.square().sum().sqrt() for row in weight])
        return m, torch.stack([row / length for row, length in zip(weight, m, strict=True)])

    return {
        "a lambda": lambda w: (w.norm(dim=1), F.normalize(w)),
        "a loop": loop,
        "linalg": lambda w: [
            torch.linalg.vector_norm(w, dim=1),
            (w.T / torch.linalg.vector_norm(w, dim=1)).T,
        ],
    }


def wrong_principal() -> dict[str, tuple[Any, str]]:
    def svd(weight: Any) -> Any:
        return torch.linalg.svd(weight, full_matrices=False)

    def made(
        weight: Any, rank: int, left: float = 0.5, right: float = 0.5, keep: Any = None
    ) -> Any:
        u, s, vh = svd(weight)
        keep = slice(rank) if keep is None else keep
        return u[:, keep] * s[keep] ** left, (s[keep] ** right).unsqueeze(1) * vh[keep]

    def with_rest(weight: Any, b: Any, a: Any) -> Any:
        return b, a, weight - b @ a

    def swapped(weight: Any, rank: int) -> Any:
        b, a = made(weight, rank)
        return a, b, weight - b @ a

    def lora(weight: Any, rank: int) -> Any:
        b, a = torch.zeros(len(weight), rank), torch.randn(rank, weight.shape[1])
        return b, a, weight.clone()

    return {
        "the smallest": (
            lambda w, r: with_rest(w, *made(w, r, keep=slice(-r, None))),
            "it must hold the largest singular values",
        ),
        "all in b": (
            lambda w, r: with_rest(w, *made(w, r, 1.0, 0.0)),
            "one is larger than the other",
        ),
        "all in a": (
            lambda w, r: with_rest(w, *made(w, r, 0.0, 1.0)),
            "one is larger than the other",
        ),
        "squared": (
            lambda w, r: with_rest(w, *made(w, r, 1.0, 1.0)),
            "the best approximation leaves a rest of norm",
        ),
        "no values": (
            lambda w, r: with_rest(w, *made(w, r, 0.0, 0.0)),
            "the best approximation leaves a rest of norm",
        ),
        "whole rest": (lambda w, r: (*made(w, r), w.clone()), "the change would count twice"),
        "no rest": (lambda w, r: made(w, r), "must be the tuple (b, a, rest), got a tuple of 2"),
        "zero rest": (
            lambda w, r: (*made(w, r), torch.zeros_like(w)),
            "`rest + b @ a` must be the weight",
        ),
        "swapped": (swapped, "factors are swapped"),
        "LoRA's start": (lora, "the best approximation leaves a rest of norm"),
        "all directions": (
            lambda w, r: with_rest(w, *made(w, len(w))),
            "must have the shape (out, rank)",
        ),
        "rows": (
            lambda w, r: with_rest(w, torch.eye(len(w))[:, :r], w[:r]),
            "the best approximation leaves a rest of norm",
        ),
    }


def right_principal() -> dict[str, Any]:
    def eigen(weight: Any, rank: int) -> Any:
        values, vectors = torch.linalg.eigh(weight.double().T @ weight.double())
        v = vectors[:, -rank:]
        s = values[-rank:].sqrt()
        a = s.sqrt().unsqueeze(1) * v.T
        b = weight.double() @ v / s.sqrt()
        return b.float(), a.float(), (weight.double() - b @ a).float()

    def plain(weight: Any, rank: int) -> Any:
        u, s, vh = torch.linalg.svd(weight)
        half = torch.diag(s[:rank].sqrt())
        b, a = u[:, :rank] @ half, half @ vh[:rank]
        return [b, a, weight - b @ a]

    def turned(weight: Any, rank: int) -> Any:
        b, a, rest = plain(weight, rank)
        return -b, -a, rest

    return {"the svd": plain, "eigenvectors": eigen, "another sign": turned}


def wrong_holm() -> dict[str, tuple[Any, str]]:
    def ranked(of: Any, monotone: bool = True, cut: bool = True) -> Any:
        def adjust(p: Any) -> Any:
            order = np.argsort(p, kind="stable")
            values = np.array([of(p[k], place, len(p)) for place, k in enumerate(order)])
            values = np.maximum.accumulate(values) if monotone else values
            out = np.empty(len(p))
            out[order] = np.minimum(values, 1) if cut else values
            return out.tolist()

        return adjust

    def by_value(p: Any) -> Any:
        out, most = [0.0] * len(p), 0.0
        for place, x in enumerate(sorted(p)):
            most = max(most, min(1.0, (len(p) - place) * x))
            out[p.index(x)] = most
        return out

    return {
        "Bonferroni": (lambda p: [min(1.0, len(p) * x) for x in p], "that is Bonferroni's rule"),
        "not monotone": (
            ranked(lambda p, k, n: (n - k) * p, monotone=False),
            "keep the running maximum",
        ),
        "nothing": (lambda p: list(p), "no p is adjusted"),
        "upside down": (ranked(lambda p, k, n: (k + 1) * p), "the factors are in the wrong order"),
        "false discoveries": (
            ranked(lambda p, k, n: n * p / (k + 1), monotone=False),
            "controls the false discovery rate",
        ),
        "one too few": (ranked(lambda p, k, n: (n - k - 1) * p), "the factors are one too small"),
        "one too many": (ranked(lambda p, k, n: (n - k + 1) * p), "the factors are one too large"),
        "not cut": (
            ranked(lambda p, k, n: (n - k) * p, cut=False),
            "an adjusted p is a probability: cut it at 1",
        ),
        "by its value": (by_value, "yours are [0.06, 0.3, 0.0]"),
        "sorted": (
            lambda p: sorted(ranked(lambda p, k, n: (n - k) * p)(p)),
            "each must be at the position of its p",
        ),
        "sorts the caller's": (lambda p: p.sort() or p, "writes into `p`"),
        "yes or no": (lambda p: min(p) < 0.05, "must be a list of numbers, got a bool"),
        "one short": (
            lambda p: ranked(lambda p, k, n: (n - k) * p)(p)[1:],
            "there must be 3 adjusted p-values, got 2",
        ),
        "words": (lambda p: ["small"] * len(p), "must be a list of numbers, got one with a str"),
    }


def right_holm() -> dict[str, Any]:
    def numpy(p: Any) -> Any:
        order = np.argsort(p)
        values = np.minimum(1, np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1)))
        return values[np.argsort(order)]

    def direct(p: Any) -> Any:
        return [min(1.0, max(sum(q >= y for q in p) * y for y in p if y <= x)) for x in p]

    return {"numpy": numpy, "by counting": direct, "a tensor": lambda p: torch.tensor(numpy(p))}


WRONG = {
    "decompose": wrong_decompose(),
    "principal": wrong_principal(),
    "holm": wrong_holm(),
}
RIGHT = {
    "decompose": right_decompose(),
    "principal": right_principal(),
    "holm": right_holm(),
}

RISING = {
    "decompose": (1, 6),
    "principal": (2, 12),
    "holm": (3, 15),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
