"""Exercises on comparing LoRA with full fine-tuning: sufficient rank, and forgetting."""

from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np

from ftkit.teaching.checking import Case, Misreadings, as_function, check_cases
from ftkit.teaching.exercise import Wrong, exercise
from ftkit.teaching.learner_code import is_stub

# The rank that is enough

Low = dict[int, float]
"""The low end of an interval for each rank."""

# The ranks are in no order. No low end equals the margin, so `>` and `>=` are both right.
_INTERVALS = [
    Case(({8: -0.02, 1: -0.2, 32: -0.01, 2: -0.1, 4: -0.04}, 0.05), "low ends that rise"),
    Case(({4: -0.03, 1: -0.04, 16: -0.02, 2: -0.09}, 0.05), "a rank 2 that falls behind"),
    Case(({4: -0.08, 8: -0.01, 1: -0.03, 2: -0.02}, 0.06), "a rank 4 that falls behind"),
    Case(({16: 0.1, 2: -0.01, 8: 0.2, 4: 0.03}, 0.05), "ranks that are ahead"),
    Case(({4: -0.01, 8: 0.03, 1: -0.02, 2: 0.01}, 0.0), "no margin"),
    Case(({4: -0.2, 1: -0.3, 2: -0.25}, 0.05), "ranks that are all behind", edge=True),
    Case(
        ({2: -0.04, 16: -0.08, 4: -0.03, 8: -0.02}, 0.05),
        "a highest rank that falls behind",
        edge=True,
    ),
]


def _sufficient(low: Low, margin: float) -> list[int]:
    """Return the ranks, rising, that are enough together with all higher ones."""
    return [
        rank for rank in sorted(low) if all(low[other] > -margin for other in low if other >= rank)
    ]


def _rank_needed(low: Low, margin: float) -> int:
    return min(_sufficient(low, margin), default=0)


_misranked = Misreadings()


@_misranked("every higher rank must be enough as well; yours looks at each rank by itself")
def _each_rank_by_itself(low: Low, margin: float) -> int:
    return min((rank for rank, end in low.items() if end > -margin), default=0)


@_misranked("every higher rank must be enough as well, not only the next one")
def _with_the_next_rank(low: Low, margin: float) -> int:
    ranks = sorted(low)
    for rank, following in pairwise(ranks):
        if low[rank] > -margin and low[following] > -margin:
            return rank
    return ranks[-1] if low[ranks[-1]] > -margin else 0


@_misranked("the dict is in no order; go through its ranks sorted")
def _with_all_listed_later(low: Low, margin: float) -> int:
    ranks = list(low)
    for i, rank in enumerate(ranks):
        if all(low[later] > -margin for later in ranks[i:]):
            return rank
    return 0


@_misranked("the dict is in no order, and every higher rank must be enough as well")
def _first_listed(low: Low, margin: float) -> int:
    return next((rank for rank, end in low.items() if end > -margin), 0)


@_misranked("the low end may be below 0 by as much as the margin; yours wants it that far above")
def _ahead_by_the_margin(low: Low, margin: float) -> int:
    return _rank_needed(low, -margin)


@_misranked("the margin is missing")
def _without_margin(low: Low, margin: float) -> int:
    return _rank_needed(low, 0.0)


@_misranked("a rank that is ahead is enough, however far; yours drops the sign of the low end")
def _within_the_margin(low: Low, margin: float) -> int:
    return _rank_needed({rank: -abs(end) for rank, end in low.items()}, margin)


@_misranked("those ranks are behind by more than the margin")
def _first_that_is_behind(low: Low, margin: float) -> int:
    return min((rank for rank, end in low.items() if end < -margin), default=0)


@_misranked("that is the last rank that is not enough; the next one is wanted")
def _last_insufficient(low: Low, margin: float) -> int:
    return max(set(low) - set(_sufficient(low, margin)), default=0)


@_misranked("that is the largest rank that is enough; the smallest is wanted")
def _largest_sufficient(low: Low, margin: float) -> int:
    return max(_sufficient(low, margin), default=0)


@_misranked("that is the position of the rank in the sorted list; return the rank")
def _position(low: Low, margin: float) -> int:
    return sorted(low).index(_rank_needed(low, margin))


@_misranked("that is the low end at the rank; return the rank")
def _low_end(low: Low, margin: float) -> float:
    return low[_rank_needed(low, margin)]


@_misranked("that is the number of ranks that are enough; return the smallest of them")
def _number_of_ranks(low: Low, margin: float) -> int:
    return len(_sufficient(low, margin))


@_misranked("that is the rank with the highest low end; the smallest that is enough is wanted")
def _best_rank(low: Low, margin: float) -> int:
    return max(low, key=low.__getitem__)


@_misranked("that is the smallest rank of all")
def _smallest_rank(low: Low, margin: float) -> int:
    return min(low)


def _explain_rank(case: Case, wanted: int, answer: float) -> str:
    low, margin = case.given
    must = (
        f"the answer must be {wanted}" if wanted else "no rank is enough, so the answer must be 0"
    )
    return f"for {case.words}, {low} with margin {margin:g}, {must}, yours is {answer:g}"


def _refuse_none(yours: Callable[..., Any]) -> Callable[..., Any]:
    """Say that "no rank" is 0, for learners who return None for it."""

    @wraps(yours)  # so that a stub is still known as one
    def asked(low: Low, margin: float) -> Any:
        answer = yours(low, margin)
        if answer is None and not is_stub(yours):
            raise Wrong(
                f"for {low} with margin {margin:g} your function returns None; "
                "return 0 if no rank is enough (or is a `return` missing?)"
            )
        return answer

    return asked


@exercise(
    "The rank that is enough",
    difficulty=2,
    minutes=10,
    hints=[
        "A rank is behind by no more than the margin if its low end is above `-margin`. For which "
        "ranks of the dict does that hold?",
        "Sort the ranks; a dict keeps the order in which they were added. One lucky rank is not "
        "enough: it must hold for every higher rank, too.",
        "For each rank of `sorted(low)`: `all(low[r] > -margin for r in low if r >= rank)`. Return "
        "the first rank for which it holds, and 0 after the loop.",
    ],
    solution="""
def rank_needed(low, margin):
    for rank in sorted(low):
        if all(low[r] > -margin for r in low if r >= rank):
            return rank
    return 0
""",
)
def rank_needed(yours: Any) -> str:
    """`yours(low, margin)` is the smallest rank at which LoRA is at most `margin` behind.

    It must be at most `margin` behind full fine-tuning at every higher rank of `low`, too; if there
    is no such rank, the answer is 0. `low` is {rank: low end}, in no order, of the 95 % intervals
    of LoRA minus full fine-tuning. LoRA counts as at most `margin` behind if the low end is above
    `-margin`.
    """
    takes = "low, margin"
    yours = _refuse_none(as_function(yours, takes))
    check_cases(yours, takes, _rank_needed, _INTERVALS, _misranked, explain=_explain_rank)
    return (
        "Fix the margin in the plan, before the runs. A low end asks for proof: with few seeds the "
        "intervals are wide, and you can show only for a higher rank that it is enough."
    )


# Forgetting at equal accuracy

Points = list[tuple[float, float]]
"""(accuracy, forgetting) of several runs."""

_FOUR: Points = [(0.8, 0.3), (0.6, 0.1), (0.9, 0.7), (0.7, 0.12)]
_CURVES = [
    Case((_FOUR, 0.87), "four points in no order"),
    Case(
        ([(0.7, 0.05), (0.4, 0.2), (0.55, -0.1), (0.85, 0.4)], 0.45),
        "forgetting that falls and rises",
    ),
    Case(([(0.6, 0.1), (0.9, 0.5)], 0.7), "two points"),
    Case(
        ([(0.9, 0.5), (0.5, 0.02), (0.8, 0.1), (0.65, 0.6), (0.72, 0.3)], 0.62),
        "five points in no order",
    ),
    Case((_FOUR, 0.7), "an accuracy that is a point's own", edge=True),
    Case((_FOUR, 0.6), "the lowest accuracy", edge=True),
    Case((_FOUR, 0.9), "the highest accuracy", edge=True),
]


def _along(points: Points, accuracy: float) -> float:
    """Interpolate along the points in the order that they have."""
    accuracies, forgetting = zip(*points, strict=True)
    return float(np.interp(accuracy, accuracies, forgetting))


def _forgetting_at(points: Points, accuracy: float) -> float:
    return _along(sorted(points), accuracy)


def _between(mix: Callable[[float, float, float], float]) -> Callable[[Points, float], float]:
    """Mix the forgetting of the two neighbours in accuracy.

    `mix(low, high, t)` gets the forgetting of the lower and the upper neighbour, and how far the
    accuracy is from the lower one (0) to the upper one (1).
    """

    def mixed(points: Points, accuracy: float) -> float:
        lower, low = max(point for point in points if point[0] <= accuracy)
        upper, high = min(point for point in points if point[0] > accuracy)
        return mix(low, high, (accuracy - lower) / (upper - lower))

    return mixed


def _polynomial(degree: Callable[[int], int]) -> Callable[[Points, float], float]:
    """Fit a polynomial of degree `degree(number of points)` to all points."""

    def fitted(points: Points, accuracy: float) -> float:
        accuracies, forgetting = np.array(points).T
        coefficients = np.polyfit(accuracies, forgetting, degree(len(points)))
        return float(np.polyval(coefficients, accuracy))

    return fitted


def _next_in_list(points: Points, accuracy: float) -> float:
    """Interpolate between the first two points, next to each other in the list, around it."""
    pairs = [sorted(pair) for pair in pairwise(points)]
    around = next(pair for pair in pairs if pair[0][0] <= accuracy <= pair[1][0])
    return _along(around, accuracy)


def _sorted_apart(points: Points, accuracy: float) -> float:
    accuracies, forgetting = zip(*points, strict=True)
    return _along(list(zip(sorted(accuracies), sorted(forgetting), strict=True)), accuracy)


_WRONG_FORGETTING: dict[str, Callable[[Points, float], float]] = {
    "the points are in no order, and `np.interp` needs rising accuracies; sort them first": _along,
    "neighbours in the list need not be neighbours in accuracy; sort the points first": (
        _next_in_list
    ),
    "the points are sorted by forgetting; sort them by accuracy": (
        lambda p, a: _along(sorted(p, key=lambda point: point[1]), a)
    ),
    "accuracies and forgetting are sorted apart; keep each point together": _sorted_apart,
    "that is the nearest point; go along the line between its neighbours": (
        lambda p, a: min(p, key=lambda point: abs(point[0] - a))[1]
    ),
    "the axes are swapped; the accuracy is given, the forgetting is wanted": (
        lambda p, a: _along(sorted((forgetting, accuracy) for accuracy, forgetting in p), a)
    ),
    "that is the mean of all points": lambda p, a: fmean(forgetting for _, forgetting in p),
    "that is a line from the lowest point to the highest; go from neighbour to neighbour": (
        lambda p, a: _along([min(p), max(p)], a)
    ),
    "that is one line fitted to all points; go from neighbour to neighbour": (
        _polynomial(lambda count: 1)
    ),
    "that is a curve through all points; go straight from neighbour to neighbour": (
        _polynomial(lambda count: count - 1)
    ),
    "the weights of the two neighbours are swapped; the nearer one counts more": _between(
        lambda low, high, t: t * low + (1 - t) * high
    ),
    "that is half-way between the two neighbours; the nearer one counts more": _between(
        lambda low, high, t: (low + high) / 2
    ),
    "that is the neighbour below": _between(lambda low, high, t: low),
    "that is the neighbour above": _between(lambda low, high, t: high),
    "that is only the change from the neighbour below; add it to that one's forgetting": (
        _between(lambda low, high, t: t * (high - low))
    ),
    "that is the forgetting of the most accurate point": lambda p, a: max(p)[1],
    "that is the least forgetting of all, at any accuracy": (
        lambda p, a: min(forgetting for _, forgetting in p)
    ),
}


def _explain_forgetting(case: Case, wanted: float, answer: float) -> str:
    points, accuracy = case.given
    return (
        f"for {case.words}, {points}, the forgetting at {accuracy:g} is {wanted:.4g}, "
        f"yours is {answer:.4g}"
    )


@exercise(
    "Forgetting at equal accuracy",
    difficulty=3,
    minutes=12,
    hints=[
        "Draw the points, with accuracy on the x-axis and forgetting on the y-axis. Join "
        "neighbours by straight lines, and find the forgetting at the given accuracy.",
        "Sort the points by accuracy. If the accuracy is a share t of the way from one neighbour "
        "to the next, so is the forgetting.",
        "`np.interp(accuracy, accuracies, forgettings)` does it if the accuracies rise; "
        "`sorted(points)` sorts by the first number.",
    ],
    solution="""
def at_equal(points, accuracy):
    points = sorted(points)
    for (a, low), (b, high) in zip(points, points[1:]):
        if a <= accuracy <= b:
            return low + (accuracy - a) / (b - a) * (high - low)
""",
)
def at_equal(yours: Any) -> str:
    """`yours(points, accuracy)` is a method's forgetting at the given accuracy.

    Interpolate on straight lines between neighbours in accuracy. `points` lists the method's
    (accuracy, forgetting) at several learning rates, in no order; the given accuracy is between
    their lowest and their highest, or one of them.
    """
    check_cases(
        yours,
        "points, accuracy",
        _forgetting_at,
        _CURVES,
        _WRONG_FORGETTING,
        explain=_explain_forgetting,
    )
    return (
        "To claim that LoRA forgets less, compare at equal accuracy: a method that has learned "
        "less has also forgotten less. At an accuracy that one method does not reach, there is "
        "nothing to compare."
    )
