"""Answers to the exercises on shares and on learned weights at rest: wrong ones with the words that
name the fault, and right ones."""

import math
from typing import Any

import numpy as np
import torch


def wrong_shares() -> dict[str, tuple[Any, str]]:
    def of(powers: list[float]) -> list[float]:
        return [power / sum(powers) for power in powers]

    return {
        "powers": (lambda sizes, exponent: [n**exponent for n in sizes], "divide by their sum"),
        "no exponent": (
            lambda sizes, exponent: of(list(map(float, sizes))),
            "ignores the exponent",
        ),
        "alike": (
            lambda sizes, exponent: [1 / len(sizes) for _ in sizes],
            "gives every task the same share",
        ),
        "times": (
            lambda sizes, exponent: of([n * (exponent or 1) for n in sizes]),
            "ignores the exponent",
        ),
        "shares to the power": (
            lambda sizes, exponent: [(n / sum(sizes)) ** exponent for n in sizes],
            "divide again",
        ),
        "small first": (
            lambda sizes, exponent: of([n**-exponent for n in sizes]),
            "favours the small tasks",
        ),
        "over the largest": (
            lambda sizes, exponent: [(n / max(sizes)) ** exponent for n in sizes],
            "by the largest",
        ),
        "the root": (
            lambda sizes, exponent: of([n ** (1 / exponent) if exponent else 1.0 for n in sizes]),
            "exponent 1 / a",
        ),
        "logarithms": (
            lambda sizes, exponent: of([math.log(n) * exponent + 1 for n in sizes]),
            "and exponent 0.5 the shares must be [0.125, 0.25, 0.625], yours are",
        ),
        "a dict": (
            lambda sizes, exponent: {n: n**exponent for n in sizes},
            "must be a list of shares, got a dict",
        ),
        "one too few": (
            lambda sizes, exponent: of([n**exponent for n in sizes])[1:],
            "must have 3 shares, got 2",
        ),
        "pairs": (
            lambda sizes, exponent: [(n, n**exponent) for n in sizes],
            "Every entry must be one number",
        ),
        "the largest alone": (
            lambda sizes, exponent: max(sizes) ** exponent,
            "must be a list of shares, got a float",
        ),
    }


def right_shares() -> dict[str, Any]:
    def with_numpy(sizes: Any, exponent: float) -> Any:
        powers = np.array(sizes, dtype=float) ** exponent
        return powers / powers.sum()

    return {
        "numpy": with_numpy,
        "a softmax of logarithms": lambda sizes, exponent: torch.softmax(
            exponent * torch.tensor(sizes, dtype=torch.float64).log(), 0
        ),
        "a generator": lambda sizes, exponent: (
            n**exponent / sum(m**exponent for m in sizes) for n in sizes
        ),
    }


def wrong_at_rest() -> dict[str, tuple[Any, str]]:
    def writes(losses: Any) -> Any:
        losses *= 2
        return losses.log(), 1 / losses

    return {
        "no half": (lambda losses: (torch.log(losses), 1 / losses), "forgets the half"),
        "the other half": (lambda losses: (torch.log(losses / 2), 2 / losses), "on the wrong side"),
        "sign": (lambda losses: (-torch.log(2 * losses), 2 * losses), "the sign of s is wrong"),
        "weights of exp(s)": (
            lambda losses: (torch.log(2 * losses), 2 * losses),
            "yours is exp(s)",
        ),
        "weighted losses": (
            lambda losses: (torch.log(2 * losses), 0 * losses + 0.5),
            "those are the weighted losses",
        ),
        "the variance": (
            lambda losses: (2 * losses, 0.5 / losses),
            "the first must be s, the logarithm",
        ),
        "swapped": (lambda losses: (0.5 / losses, torch.log(2 * losses)), "the pair is swapped"),
        "shares": (
            lambda losses: (torch.log(2 * losses), torch.softmax(-losses.log(), 0)),
            "need not sum to 1",
        ),
        "regression": (lambda losses: (losses.log(), 0.5 / losses), "the form for regression"),
        "the start": (
            lambda losses: (torch.zeros(len(losses)), torch.ones(len(losses))),
            "those of the start",
        ),
        "s alone": (
            lambda losses: torch.log(2 * losses),
            "must be the pair (s, weights), got a torch.Tensor",
        ),
        "a dict": (
            lambda losses: {"s": torch.log(2 * losses), "weights": 0.5 / losses},
            "must be the pair (s, weights), got a dict",
        ),
        "the sum": (
            lambda losses: (torch.log(2 * losses).sum(), 0.5 / losses),
            "s must have the shape (tasks,)",
        ),
        "lists": (
            lambda losses: ([0.0] * len(losses), [1.0] * len(losses)),
            "s must be a torch.Tensor, got a list",
        ),
        "in place": (writes, "writes into `losses`"),
        "softmax": (lambda losses: (losses, torch.softmax(-losses, 0)), "s must be"),
    }


def right_at_rest() -> dict[str, Any]:
    def by_descent(losses: Any) -> Any:
        s = torch.zeros(len(losses), dtype=torch.float64, requires_grad=True)
        for _ in range(400):
            (slope,) = torch.autograd.grad((torch.exp(-s) * losses + s / 2).sum(), s)
            s = (s - 0.5 * slope).detach().requires_grad_()
        return s.detach(), torch.exp(-s).detach()

    return {
        "by descent": by_descent,
        "one by one": lambda losses: [
            torch.stack([f(2 * loss) for loss in losses]) for f in (torch.log, torch.reciprocal)
        ],
    }
