"""Exercises on how much each task counts: how often it comes, and where learned weights come to rest."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise

_SIZES = [
    Case(([100, 400, 2500], 0.5), "100, 400 and 2,500 rows and exponent 0.5"),
    Case(([32, 4000], 1.0), "32 and 4,000 rows and exponent 1"),
    Case(([32, 4000], 0.0), "32 and 4,000 rows and exponent 0"),
    Case(([30, 10, 90], 0.3), "30, 10 and 90 rows and exponent 0.3"),
]


def _over_sum(powers: list[float]) -> list[float]:
    return [power / sum(powers) for power in powers]


def _softmax(values: list[float]) -> list[float]:
    return _over_sum([math.exp(value - max(values)) for value in values])


def _shares(sizes: list[int], exponent: float) -> list[float]:
    return _over_sum([n**exponent for n in sizes])


_SHARE_FAULTS: dict[str, Callable[[list[int], float], list[float]]] = {
    "these are the powers; divide by their sum": lambda n, a: [size**a for size in n],
    "that ignores the exponent, as if it were 1": lambda n, a: _over_sum(
        [float(size) for size in n]
    ),
    "that is each task alike, as if the exponent were 0": lambda n, a: [1 / len(n)] * len(n),
    "that multiplies by the exponent, which cancels; raise to it": lambda n, a: _over_sum(
        [size * (a or 1.0) for size in n]
    ),
    "that raises the shares by size, whose sum is not 1 any more; divide again": lambda n, a: [
        s**a for s in _shares(n, 1.0)
    ],
    "that favours the small tasks; the exponent must not be negative": lambda n, a: _shares(n, -a),
    "that divides by the largest, not by the sum": lambda n, a: [
        (size / max(n)) ** a for size in n
    ],
    "that is the root with exponent 1 / a; raise to the exponent itself": lambda n, a: _shares(
        n, 1 / a if a else 0.0
    ),
    "that is a softmax of the sizes": lambda n, a: _softmax([a * size for size in n]),
}


@exercise(
    "How often each task comes",
    difficulty=1,
    minutes=5,
    hints=[
        "With exponent 1 a task comes as often as it has rows; with 0 each comes alike. What lies between?",
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
    """`yours(sizes, exponent)`: for tasks of these numbers of rows their shares of the steps, in proportion to size ** exponent."""
    yours = as_function(yours, "sizes, exponent")
    answers = [_listed(call(yours, "sizes, exponent", *case.given), case) for case in _SIZES]
    why = diagnose(answers, _SIZES, _SHARE_FAULTS, _near)
    for case, got in zip(_SIZES, answers, strict=True):
        if not _near(got, right := _shares(*case.given)):
            raise Wrong(
                f"for {case.words} the shares must be {_words(right)}, yours are {_words(got)}{why}"
            )
    steps = 80 * _shares([32, 4000], 1.0)[0]
    return f"By size, a task of 32 rows beside one of 4,000 gets {steps:.1f} of 80 steps; with exponent 0 it gets 40."


def _listed(answer: Any, case: Case) -> list[float]:
    if isinstance(answer, str | Mapping) or not hasattr(answer, "__iter__"):
        raise Wrong(f"the answer must be a list of shares, got {kind(answer)}")
    try:
        found = [float(share) for share in answer]
    except (TypeError, ValueError):
        raise Wrong(
            "every share must be a number; list the shares alone, in the order of the sizes"
        ) from None
    if len(found) != len(case.given[0]):
        raise Wrong(
            f"for {case.words} there must be {len(case.given[0])} shares, yours are {len(found)}"
        )
    return found


def _near(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) <= 1e-6 * max(1.0, abs(b)) for a, b in zip(one, other, strict=True))


def _words(found: list[float]) -> str:
    return f"[{', '.join(f'{share:.4g}' for share in found)}]"


Rest = tuple[Tensor, Tensor]


def _held(*losses: float) -> Case:
    return Case((torch.tensor(losses),), f"losses {_words(list(losses))}")


_HELD = [_held(1.4, 0.9, 0.05), _held(0.3, 2.0), _held(4.0)]


def _at_rest(losses: Tensor) -> Rest:
    return (2 * losses).log(), 1 / (2 * losses)


_REST_FAULTS: dict[str, Callable[[Tensor], Rest]] = {
    "that forgets the half of `s / 2`: at rest exp(-s) loss is a half, not 1": lambda loss: (
        loss.log(),
        1 / loss,
    ),
    "the half is on the wrong side: at rest exp(-s) loss is a half": lambda loss: (
        (loss / 2).log(),
        2 / loss,
    ),
    "the sign of s is wrong: a large loss must make it large": lambda loss: (
        -(2 * loss).log(),
        2 * loss,
    ),
    "a weight is exp(-s), yours is exp(s)": lambda loss: ((2 * loss).log(), 2 * loss),
    "those are the weighted losses, a half for every task; a weight is exp(-s)": lambda loss: (
        (2 * loss).log(),
        torch.full_like(loss, 0.5),
    ),
    "the first must be s, the logarithm; yours is exp(s)": lambda loss: (2 * loss, 1 / (2 * loss)),
    "the pair is the other way round; s first": lambda loss: _at_rest(loss)[::-1],
    "the weights need not sum to 1": lambda loss: ((2 * loss).log(), (1 / loss) / (1 / loss).sum()),
    "that is the form for regression, exp(-s) / 2 times the loss": lambda loss: (
        loss.log(),
        1 / (2 * loss),
    ),
    "the values are those of a start, s = 0, not of the rest": lambda loss: (
        torch.zeros_like(loss),
        torch.ones_like(loss),
    ),
}


@exercise(
    "Where learned weights come to rest",
    difficulty=2,
    minutes=8,
    hints=[
        "The tasks do not meet in this sum, so look at one: `exp(-s) * loss + s / 2`. What is its slope in s?",
        "At rest the slope, `-exp(-s) * loss + 1 / 2`, is zero. Solve it for exp(-s).",
        "exp(-s) is `1 / (2 * losses)`, so s is `torch.log(2 * losses)`; return s first.",
    ],
    solution="""
def at_rest(losses):
    return torch.log(2 * losses), 1 / (2 * losses)
""",
)
def at_rest(yours: Any) -> str:
    """`yours(losses)`: losses (tasks,) that are held still; the pair (s, weights), both (tasks,): the s at which the sum of
    exp(-s) loss + s / 2 is least, and exp(-s) there."""
    yours = as_function(yours, "losses")
    answers = [_pair(call(yours, "losses", *case.given), case) for case in _HELD]
    why = diagnose(answers, _HELD, _REST_FAULTS, _alike)
    for case, got in zip(_HELD, answers, strict=True):
        for name, one, right in zip(("s", "the weights"), got, _at_rest(*case.given), strict=True):
            if not _close(one, right):
                raise Wrong(
                    f"for {case.words} {name} must be {_words(right.tolist())}, yours: {_words(one.tolist())}{why}"
                )
    return "At rest every task's exp(-s) loss is a half. So a task with a large loss gets a small weight, be it noisy or only hard."


def _pair(answer: Any, case: Case) -> Rest:
    if isinstance(answer, Mapping) or not isinstance(answer, Sequence | Tensor) or len(answer) != 2:
        raise Wrong(f"the answer must be a pair, (s, weights), got {kind(answer)}")
    (losses,) = case.given
    s, weights = (
        tensor(value, f"for {case.words} {name}", losses.shape, "(tasks,)")
        for name, value in zip(("s", "the weights"), answer, strict=True)
    )
    return s.float(), weights.float()


def _alike(one: Rest, other: Rest) -> bool:
    return all(map(_close, one, other))


def _close(one: Tensor, other: Tensor) -> bool:
    """Near enough for an answer that was found by descent."""
    return torch.allclose(one, other, atol=2e-3, rtol=2e-3)
