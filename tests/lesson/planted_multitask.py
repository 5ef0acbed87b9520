"""Answers to the exercises on shares and learned weights: wrong ones with the words that name the fault, and right ones."""

import math
from typing import Any

import numpy as np
import torch


def wrong_shares() -> dict[str, tuple[Any, str]]:
    def of(powers: list[float]) -> list[float]:
        return [power / sum(powers) for power in powers]

    return {
        "powers": (lambda sizes, exponent: [n**exponent for n in sizes], "divide by their sum"),
        "no exponent": (lambda sizes, exponent: of(list(map(float, sizes))), "ignores the exponent"),
        "alike": (lambda sizes, exponent: [1 / len(sizes) for _ in sizes], "each task alike"),
        "times": (lambda sizes, exponent: of([n * (exponent or 1) for n in sizes]), "ignores the exponent"),
        "shares to the power": (lambda sizes, exponent: [(n / sum(sizes)) ** exponent for n in sizes], "divide again"),
        "small first": (lambda sizes, exponent: of([n**-exponent for n in sizes]), "favours the small tasks"),
        "over the largest": (lambda sizes, exponent: [(n / max(sizes)) ** exponent for n in sizes], "by the largest"),
        "the root": (lambda sizes, exponent: of([n ** (1 / exponent) if exponent else 1.0 for n in sizes]), "exponent 1 / a"),
        "logarithms": (
            lambda sizes, exponent: of([math.log(n) * exponent + 1 for n in sizes]),
            "and exponent 0.5 the shares must be [0.125, 0.25, 0.625], yours are",
        ),
        "a dict": (lambda sizes, exponent: {n: n**exponent for n in sizes}, "must be a list of shares, got a dict"),
        "one too few": (lambda sizes, exponent: of([n**exponent for n in sizes])[1:], "there must be 3 shares, yours are 2"),
        "pairs": (lambda sizes, exponent: [(n, n**exponent) for n in sizes], "Every share must be a number"),
        "the largest alone": (lambda sizes, exponent: max(sizes) ** exponent, "must be a list of shares, got a float"),
    }


def right_shares() -> dict[str, Any]:
    def with_numpy(sizes: Any, exponent: float) -> Any:
        powers = np.array(sizes, dtype=float) ** exponent
        return powers / powers.sum()

    return {
        "numpy": with_numpy,
        "a softmax of logarithms": lambda sizes, exponent: torch.softmax(exponent * torch.tensor(sizes, dtype=torch.float64).log(), 0),
        "a generator": lambda sizes, exponent: (n**exponent / sum(m**exponent for m in sizes) for n in sizes),
    }


def wrong_uncertain() -> dict[str, tuple[Any, str]]:
    def detached(losses: Any, s: Any) -> Any:
        return (torch.exp(-s.detach()) * losses + s / 2).sum()

    return {
        "no second term": (lambda losses, s: (torch.exp(-s) * losses).sum(), "without `+ s / 2`"),
        "sign": (lambda losses, s: (torch.exp(s) * losses + s / 2).sum(), "the sign of s"),
        "all of s": (lambda losses, s: (torch.exp(-s) * losses + s).sum(), "must be half of s"),
        "over s": (lambda losses, s: (losses / s + s / 2).sum(), "divide by exp(s)"),
        "a mean": (lambda losses, s: (torch.exp(-s) * losses + s / 2).mean(), "the tasks are summed"),
        "regression": (lambda losses, s: (losses / (2 * torch.exp(s)) + s / 2).sum(), "the form for regression"),
        "the plain sum": (lambda losses, s: losses.sum(), "s is not used"),
        "deviations": (lambda losses, s: (losses / torch.exp(s) ** 2 + s).sum(), "not of the deviation"),
        "minus": (lambda losses, s: (torch.exp(-s) * losses - s / 2).sum(), "is subtracted"),
        "each task": (lambda losses, s: torch.exp(-s) * losses + s / 2, "must have the shape no dimension"),
        "a float": (lambda losses, s: float((torch.exp(-s) * losses + s / 2).sum()), "must be a torch.Tensor, got a float"),
        "s without gradient": (detached, "the gradient at `s` is not"),
        "losses without gradient": (
            lambda losses, s: (torch.exp(-s) * losses.detach() + s / 2).sum(),
            "No gradient reaches `losses`",
        ),
        "a new tensor": (
            lambda losses, s: torch.tensor((torch.exp(-s) * losses + s / 2).sum().item()),
            "No gradient leaves your answer",
        ),
        "softmax": (lambda losses, s: (torch.softmax(-s, 0) * losses + s / 2).sum(), "the loss must be"),
    }


def right_uncertain() -> dict[str, Any]:
    def one_by_one(losses: Any, s: Any) -> Any:
        total = torch.zeros(())
        for loss, one in zip(losses, s, strict=True):
            total = total + loss / one.exp() + 0.5 * one
        return total

    return {
        "one by one": one_by_one,
        "a product": lambda losses, s: (-s).exp() @ losses + s.sum() / 2,
    }
