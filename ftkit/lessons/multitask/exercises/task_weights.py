"""Exercises on how much each task counts: its share of the steps, and its learned weight."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import (
    Case,
    Misreadings,
    check_cases,
    close,
    numbers,
    parts,
    tensor,
    written,
)
from ftkit.teaching.exercise import exercise

SIZES = [
    Case(([100, 400, 2500], 0.5), "100, 400 and 2,500 rows and exponent 0.5"),
    Case(([32, 4000], 1.0), "32 and 4,000 rows and exponent 1"),
    Case(([32, 4000], 0.0), "32 and 4,000 rows and exponent 0"),
    Case(([30, 10, 90], 0.3), "30, 10 and 90 rows and exponent 0.3"),
]


def _over_sum(values: list[float]) -> list[float]:
    return [value / sum(values) for value in values]


def _shares(sizes: list[int], exponent: float) -> list[float]:
    return _over_sum([size**exponent for size in sizes])


wrong_shares = Misreadings(
    {
        "these are the powers; divide by their sum": lambda n, a: [size**a for size in n],
        "that ignores the exponent, as if it were 1": lambda n, a: _shares(n, 1.0),
        "that gives every task the same share, as if the exponent were 0": (
            lambda n, a: [1 / len(n)] * len(n)
        ),
        "that multiplies by the exponent, which cancels; raise to it": (
            lambda n, a: _over_sum([size * (a or 1.0) for size in n])
        ),
        "that raises the shares by size, and their sum is no longer 1; divide again": (
            lambda n, a: [share**a for share in _shares(n, 1.0)]
        ),
        "that favours the small tasks; the exponent must not be negative": (
            lambda n, a: _shares(n, -a)
        ),
        "that divides by the largest, not by the sum": (
            lambda n, a: [(size / max(n)) ** a for size in n]
        ),
        "that is the root with exponent 1 / a; raise to the exponent itself": (
            lambda n, a: _shares(n, 1 / a if a else 0.0)
        ),
    }
)


@wrong_shares("that is a softmax of the sizes")
def _softmax(sizes: list[int], exponent: float) -> list[float]:
    scores = [exponent * size for size in sizes]
    return _over_sum([math.exp(score - max(scores)) for score in scores])


def _explain_shares(case: Case, wanted: list[float], answer: list[float]) -> str:
    return f"for {case.words} the shares must be {written(wanted)}, yours are {written(answer)}"


@exercise(
    "How often each task comes",
    difficulty=1,
    minutes=5,
    hints=[
        "With exponent 1 the share of a task is its share of the rows; with 0 all shares are "
        "equal. What is in between?",
        "First raise every size to the exponent; then make the shares sum to 1.",
        "`powers = [n**exponent for n in sizes]`, and each of them over `sum(powers)`.",
    ],
    solution="""
def shares(sizes, exponent):
    powers = [size**exponent for size in sizes]
    return [power / sum(powers) for power in powers]
""",
)
def shares(yours: Any) -> str:
    """`yours(sizes, exponent)` is the list of the tasks' shares of the steps.

    `sizes` are their numbers of rows; the shares are in proportion to size ** exponent and sum
    to 1.
    """
    check_cases(
        yours,
        "sizes, exponent",
        _shares,
        SIZES,
        wrong_shares,
        read=numbers("shares", lambda sizes, exponent: len(sizes)),
        same=partial(close, tolerance=1e-6),
        explain=_explain_shares,
    )
    steps = 80 * _shares([32, 4000], 1.0)[0]
    return (
        f"By size, a task of 32 rows next to one of 4,000 gets {steps:.1f} of 80 steps; "
        "with exponent 0 it gets 40."
    )


Rest = tuple[Tensor, Tensor]
"""(s, weights), both (tasks,)"""


def _held(*losses: float) -> Case:
    return Case((torch.tensor(losses),), f"losses {written(list(losses))}")


HELD = [_held(1.4, 0.9, 0.05), _held(0.3, 2.0), _held(4.0)]


def _at_rest(losses: Tensor) -> Rest:
    return (2 * losses).log(), 1 / (2 * losses)


wrong_rest = Misreadings(
    {
        "that forgets the half of `s / 2`: at rest exp(-s) loss is a half, not 1": (
            lambda loss: (loss.log(), 1 / loss)
        ),
        "the half is on the wrong side: at rest exp(-s) loss is a half": (
            lambda loss: ((loss / 2).log(), 2 / loss)
        ),
        "the sign of s is wrong: a large loss must make it large": (
            lambda loss: (-(2 * loss).log(), 2 * loss)
        ),
        "a weight is exp(-s), yours is exp(s)": lambda loss: ((2 * loss).log(), 2 * loss),
        "those are the weighted losses, a half for every task; a weight is exp(-s)": (
            lambda loss: ((2 * loss).log(), torch.full_like(loss, 0.5))
        ),
        "the first must be s, the logarithm; yours is exp(s)": (
            lambda loss: (2 * loss, 1 / (2 * loss))
        ),
        "the pair is swapped; s comes first": lambda loss: _at_rest(loss)[::-1],
        "the weights need not sum to 1": (
            lambda loss: ((2 * loss).log(), (1 / loss) / (1 / loss).sum())
        ),
        "that is the form for regression, exp(-s) / 2 times the loss": (
            lambda loss: (loss.log(), 1 / (2 * loss))
        ),
        "the values are those of the start, s = 0, not those at rest": (
            lambda loss: (torch.zeros_like(loss), torch.ones_like(loss))
        ),
    }
)


def _read_rest(answer: Any, case: Case) -> Rest:
    (losses,) = case.given
    s, weights = parts(answer, case, "s, weights")
    return (
        tensor(s, f"for {case.words} s", losses.shape, "(tasks,)").float(),
        tensor(weights, f"for {case.words} the weights", losses.shape, "(tasks,)").float(),
    )


def _near(one: Tensor, other: Tensor) -> bool:
    """Near enough for an answer that was found by gradient descent."""
    return torch.allclose(one, other, atol=2e-3, rtol=2e-3)


def _explain_rest(case: Case, wanted: Rest, answer: Rest) -> str:
    is_s_wrong = not _near(answer[0], wanted[0])
    name, which = ("s", 0) if is_s_wrong else ("the weights", 1)
    return (
        f"for {case.words} {name} must be {written(wanted[which])}, yours: {written(answer[which])}"
    )


@exercise(
    "Where learned weights come to rest",
    difficulty=2,
    minutes=8,
    hints=[
        "The terms of this sum do not interact, so take one task: `exp(-s) * loss + s / 2`. What "
        "is its slope in s?",
        "At rest the slope, `-exp(-s) * loss + 1 / 2`, is zero. Solve it for exp(-s).",
        "exp(-s) is `1 / (2 * losses)`, so s is `torch.log(2 * losses)`; return s first.",
    ],
    solution="""
def at_rest(losses):
    return torch.log(2 * losses), 1 / (2 * losses)
""",
)
def at_rest(yours: Any) -> str:
    """`yours(losses)` is the pair (s, weights), both (tasks,), at which learned weights rest.

    The losses (tasks,) are held constant. s minimises the sum of exp(-s) loss + s / 2; the weights
    are exp(-s) there.
    """
    check_cases(
        yours,
        "losses",
        _at_rest,
        HELD,
        wrong_rest,
        read=_read_rest,
        same=lambda one, other: all(map(_near, one, other)),
        explain=_explain_rest,
    )
    return (
        "At rest every task's exp(-s) loss is a half. So a task with a large loss gets a small "
        "weight, whether it is noisy or only hard."
    )
