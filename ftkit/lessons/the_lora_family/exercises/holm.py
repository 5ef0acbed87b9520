"""An exercise on many comparisons at once: Holm's rule."""

import math
from collections.abc import Callable
from typing import Any

from ftkit.stats.paired import holm as _holm
from ftkit.teaching.checking import Case, as_function, call, diagnose, kind
from ftkit.teaching.exercise import Wrong, exercise

_FAMILIES = [
    Case(([0.01, 0.04, 0.03],), "p = 0.01, 0.04, 0.03"),
    Case(([0.2, 0.004, 0.011, 0.012, 0.9],), "p = 0.2, 0.004, 0.011, 0.012, 0.9"),
    Case(([0.03],), "p = 0.03"),
    Case(([0.6, 0.02, 0.7],), "p = 0.6, 0.02, 0.7"),
    Case(([0.02, 0.3, 0.02],), "p = 0.02, 0.3, 0.02"),
]


def _ranked(
    of: Callable[[float, int, int], float], monotone: bool = True, most: float = 1.0
) -> Callable[[list[float]], list[float]]:
    """Adjusted ps by a factor of p, its place from the smallest (0 for the first), and how many there are."""

    def adjusted(p: list[float]) -> list[float]:
        order, out, top = sorted(range(len(p)), key=p.__getitem__), [0.0] * len(p), 0.0
        for place, k in enumerate(order):
            value = min(most, of(p[k], place, len(p)))
            top = max(top, value) if monotone else value
            out[k] = top
        return out

    return adjusted


_ADJUSTED: dict[str, Callable[[list[float]], list[float]]] = {
    "that is Bonferroni's rule, which multiplies every p by the number of tests": _ranked(
        lambda p, k, n: n * p
    ),
    "a larger p must not be adjusted to less than a smaller one: keep the running maximum": _ranked(
        lambda p, k, n: (n - k) * p, False
    ),
    "no p is adjusted": _ranked(lambda p, k, n: p),
    "the factors go the wrong way: the smallest p gets the largest": _ranked(
        lambda p, k, n: (k + 1) * p
    ),
    "that divides by the place, which controls the false discovery rate, another error": _ranked(
        lambda p, k, n: n * p / (k + 1), False
    ),
    "the factors are one too small: the smallest p is multiplied by the number of tests": _ranked(
        lambda p, k, n: (n - k - 1) * p
    ),
    "the factors are one too large: the largest p is multiplied by 1": _ranked(
        lambda p, k, n: (n - k + 1) * p
    ),
    "the adjusted ps are sorted; they must stand where their p stood": lambda p: sorted(_holm(p)),
    "an adjusted p is a probability: cut it at 1": _ranked(
        lambda p, k, n: (n - k) * p, most=math.inf
    ),
}


@exercise(
    "Many comparisons, one family",
    difficulty=3,
    minutes=15,
    hints=[
        "Sort the ps. The smallest must survive as many tests as there are; once it has, one fewer is left.",
        "The k-th smallest of n (k from 0) is multiplied by n - k. What if a later one comes out smaller than one before?",
        "Keep the running maximum along the sorted ps, cut at 1, and put each back where its p stood.",
    ],
    solution="""
def holm(p):
    order = sorted(range(len(p)), key=lambda k: p[k])
    adjusted, most = [0.0] * len(p), 0.0
    for place, k in enumerate(order):
        most = max(most, min(1.0, (len(p) - place) * p[k]))
        adjusted[k] = most
    return adjusted
""",
)
def holm(yours: Any) -> str:
    """`yours(p)` is the list of adjusted ps of a family of tests, by Holm's rule, each where its p stood in the list."""
    yours = as_function(yours, "p")
    answers = [_numbers(call(yours, "p", *case.given), case) for case in _FAMILIES]
    why = diagnose(answers, _FAMILIES, _ADJUSTED, _close)
    for case, answer in zip(_FAMILIES, answers, strict=True):
        if not _close(answer, right := _holm(*case.given)):
            wanted, got = ([round(x, 4) for x in values] for values in (right, answer))
            raise Wrong(f"for {case.words} the adjusted ps are {wanted}, yours are {got}{why}")
    return "With eight seeds the smallest p is 2 / 256. Seven rivals make 0.055 of it: before the runs, count rivals and seeds together."


def _numbers(answer: Any, case: Case) -> list[float]:
    values = answer.tolist() if hasattr(answer, "tolist") else answer
    if not isinstance(values, tuple | list):
        raise Wrong(f"the answer must be a list of numbers, got {kind(answer)}")
    if len(values) != len(case.given[0]):
        raise Wrong(
            f"for {case.words} there must be {len(case.given[0])} adjusted ps, got {len(values)}"
        )
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        raise Wrong(
            f"the answer must be a list of numbers, got one with {kind(next(v for v in values if not isinstance(v, float)))}"
        ) from None


def _close(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(one, other, strict=True))
