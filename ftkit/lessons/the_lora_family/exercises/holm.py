"""An exercise on many comparisons at once: Holm's rule."""

import math
from collections.abc import Callable
from typing import Any

from ftkit.stats.paired import holm as _holm
from ftkit.teaching.checking import Case, Misreadings, check_cases, kind
from ftkit.teaching.exercise import Wrong, exercise

FAMILIES = [
    Case(([0.01, 0.04, 0.03],), "p = 0.01, 0.04, 0.03"),
    Case(([0.2, 0.004, 0.011, 0.012, 0.9],), "p = 0.2, 0.004, 0.011, 0.012, 0.9"),
    Case(([0.03],), "p = 0.03"),
    Case(([0.6, 0.02, 0.7],), "p = 0.6, 0.02, 0.7"),
    Case(([0.02, 0.3, 0.02],), "p = 0.02, 0.3, 0.02"),
]


def _stepwise(
    adjust: Callable[[float, int, int], float], monotone: bool = True, most: float = 1.0
) -> Callable[[list[float]], list[float]]:
    """Make a rule that adjusts p-values from the smallest to the largest.

    Args:
        adjust: `adjust(p, place, n)`, with 0 as the place of the smallest of n.
        monotone: whether the running maximum is kept.
        most: where an adjusted value is cut.
    """

    def adjusted(p: list[float]) -> list[float]:
        order = sorted(range(len(p)), key=p.__getitem__)
        values, running = [0.0] * len(p), 0.0
        for place, index in enumerate(order):
            value = min(most, adjust(p[index], place, len(p)))
            running = max(running, value) if monotone else value
            values[index] = running
        return values

    return adjusted


misreadings = Misreadings(
    {
        "that is Bonferroni's rule, which multiplies every p by the number of tests": (
            _stepwise(lambda p, k, n: n * p)
        ),
        "a larger p must not be adjusted to less than a smaller one: keep the running maximum": (
            _stepwise(lambda p, k, n: (n - k) * p, monotone=False)
        ),
        "no p is adjusted": _stepwise(lambda p, k, n: p),
        "the factors are in the wrong order: the smallest p gets the largest": (
            _stepwise(lambda p, k, n: (k + 1) * p)
        ),
        "that divides by the place, which controls the false discovery rate, a different error": (
            _stepwise(lambda p, k, n: n * p / (k + 1), monotone=False)
        ),
        "the factors are one too small: the smallest p is multiplied by the number of tests": (
            _stepwise(lambda p, k, n: (n - k - 1) * p)
        ),
        "the factors are one too large: the largest p is multiplied by 1": (
            _stepwise(lambda p, k, n: (n - k + 1) * p)
        ),
        "the adjusted p-values are sorted; each must be at the position of its p": (
            lambda p: sorted(_holm(p))
        ),
        "an adjusted p is a probability: cut it at 1": (
            _stepwise(lambda p, k, n: (n - k) * p, most=math.inf)
        ),
    }
)


def _read(answer: Any, case: Case) -> list[float]:
    values = answer.tolist() if hasattr(answer, "tolist") else answer
    if not isinstance(values, tuple | list):
        raise Wrong(f"the answer must be a list of numbers, got {kind(answer)}")
    if len(values) != len(case.given[0]):
        raise Wrong(
            f"for {case.words} there must be {len(case.given[0])} adjusted p-values, "
            f"got {len(values)}"
        )
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        refused = next(value for value in values if not isinstance(value, float))
        raise Wrong(f"the answer must be a list of numbers, got one with {kind(refused)}") from None


def _same(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(one, other, strict=True))


def _explain(case: Case, wanted: list[float], answer: list[float]) -> str:
    right, yours = ([round(value, 4) for value in values] for values in (wanted, answer))
    return f"for {case.words} the adjusted p-values are {right}, yours are {yours}"


@exercise(
    "Many comparisons, one family",
    difficulty=3,
    minutes=15,
    hints=[
        "Sort the p-values. The smallest has to survive all tests; once it has, there is one test "
        "fewer.",
        "The k-th smallest of n (k from 0) is multiplied by n - k. What if a later one comes out "
        "smaller than one before?",
        "Keep the running maximum along the sorted p-values, cut at 1, and put each back at the "
        "position of its p.",
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
    """`yours(p)` is the list of the adjusted p-values of a family of tests, by Holm's rule.

    Each is at the position of its p in the list.
    """
    check_cases(yours, "p", _holm, FAMILIES, misreadings, read=_read, same=_same, explain=_explain)
    return (
        "With eight seeds the smallest possible p is 2 / 256. With seven rivals it is adjusted to "
        "0.055: before the runs, count rivals and seeds together."
    )
