"""Exercises on comparing LoRA with full fine-tuning: the rank that is enough, and forgetting at equal accuracy."""

from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np

from ftkit.teaching.checking import Case, as_function, call, close, diagnose, number
from ftkit.teaching.exercise import Wrong, exercise
from ftkit.teaching.learner_code import is_stub

Low = dict[int, float]
Points = list[tuple[float, float]]

# Ranks in no order; no low end is the margin itself, so `>` and `>=` are both right.
_ENOUGH = [
    Case(({8: -0.02, 1: -0.2, 32: -0.01, 2: -0.1, 4: -0.04}, 0.05), "low ends that rise"),
    Case(({4: -0.03, 1: -0.04, 16: -0.02, 2: -0.09}, 0.05), "a rank 2 that falls behind"),
    Case(({4: -0.08, 8: -0.01, 1: -0.03, 2: -0.02}, 0.06), "a rank 4 that falls behind"),
    Case(({16: 0.1, 2: -0.01, 8: 0.2, 4: 0.03}, 0.05), "ranks that are ahead"),
    Case(({4: -0.01, 8: 0.03, 1: -0.02, 2: 0.01}, 0.0), "no margin"),
]
_NOT_ENOUGH = [
    Case(({4: -0.2, 1: -0.3, 2: -0.25}, 0.05), "ranks that are all behind"),
    Case(({2: -0.04, 16: -0.08, 4: -0.03, 8: -0.02}, 0.05), "a highest rank that falls behind"),
]

Enough = Callable[[float, float], bool]


def _enough(low: float, margin: float) -> bool:
    return low > -margin


def _found(
    low: Low,
    margin: float,
    enough: Enough = _enough,
    order: Callable[[Low], list[int]] = sorted,
    after: int = 99,
) -> list[int]:
    """The ranks, in some order, that are enough together with so many after them."""
    ranks = order(low)
    return [
        rank
        for i, rank in enumerate(ranks)
        if all(enough(low[other], margin) for other in ranks[i : i + 1 + after])
    ]


def _first(
    enough: Enough = _enough, order: Callable[[Low], list[int]] = sorted, after: int = 99
) -> Callable[[Low, float], int]:
    return lambda low, margin: next(iter(_found(low, margin, enough, order, after)), 0)


_NEEDED = _first()
_MISREAD: dict[str, Callable[[Low, float], float]] = {
    "every higher rank must be enough as well; yours looks at each rank by itself": _first(after=0),
    "every higher rank must be enough as well, not only the next one": _first(after=1),
    "the dict is in no order; go through its ranks sorted": _first(order=list),
    "the dict is in no order, and every higher rank must be enough as well": _first(
        order=list, after=0
    ),
    "the low end may lie below 0, by as much as the margin; yours wants it that far above": _first(
        lambda end, m: end > m
    ),
    "the margin is left out": _first(lambda end, m: end > 0),
    "a rank that is ahead is enough, however far ahead; yours takes the size without the sign": _first(
        lambda end, m: abs(end) < m
    ),
    "those ranks are behind by more than the margin": _first(lambda end, m: end < -m, after=0),
    "that is the last rank that is not enough; the next one is wanted": lambda low, m: max(
        set(low) - set(_found(low, m)), default=0
    ),
    "that is the largest rank that is enough; the smallest is wanted": lambda low, m: max(
        _found(low, m), default=0
    ),
    "that is the place of the rank in the list; answer with the rank": lambda low, m: sorted(
        low
    ).index(_NEEDED(low, m)),
    "that is the low end at the rank; answer with the rank": lambda low, m: low[_NEEDED(low, m)],
    "that is how many ranks are enough; answer with the smallest of them": lambda low, m: len(
        _found(low, m)
    ),
    "that is the rank with the highest low end; the smallest that is enough is wanted": lambda low, m: (
        max(low, key=low.__getitem__)
    ),
    "that is the smallest rank there is": lambda low, m: min(low),
}


@exercise(
    "The rank that is enough",
    difficulty=2,
    minutes=10,
    hints=[
        "Behind by no more than the margin means that the low end lies above `-margin`. Which ranks of the dict are so?",
        "Sort the ranks; a dict keeps them as they came. One lucky rank is not enough: every higher one must hold as well.",
        "For each rank of `sorted(low)`: `all(low[r] > -margin for r in low if r >= rank)`. Return the first that holds, after the loop 0.",
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
    """`yours(low, margin)` is the smallest rank from which on LoRA is at most `margin` behind full fine-tuning, at it and at every higher
    rank there is; 0 if no rank is. `low` is {rank: low end}, in no order, of the 95 % intervals of LoRA minus full fine-tuning; LoRA is
    taken to be at most `margin` behind where the low end lies above `-margin`."""
    yours = as_function(yours, "low, margin")
    answers = [_rank(yours, case) for case in (*_ENOUGH, *_NOT_ENOUGH)]
    why = diagnose(answers[: len(_ENOUGH)], _ENOUGH, _MISREAD, close)
    for case, answer in zip((*_ENOUGH, *_NOT_ENOUGH), answers, strict=True):
        if not close(answer, right := _NEEDED(*case.given)):
            low, margin = case.given
            wanted = (
                f"the answer must be {right:g}"
                if right
                else "no rank is enough, so the answer must be 0"
            )
            raise Wrong(
                f"for {case.words}, {low} with margin {margin:g}, {wanted}, yours is {answer:g}{why}"
            )
    return (
        "The margin belongs in the plan, before the runs. A low end asks for proof: with few seeds the intervals are wide, and the rank "
        "that is shown to be enough is higher."
    )


def _rank(yours: Callable[..., Any], case: Case) -> float:
    @wraps(yours)  # so that `ask` still knows a stub
    def said(low: Low, margin: float) -> Any:
        answer = yours(low, margin)
        if answer is None and not is_stub(yours):
            raise Wrong(
                f"for {case.words} your function returns None; answer 0 if no rank is enough (or is a `return` missing?)"
            )
        return answer

    return number(call(said, "low, margin", *case.given), case)


_BETWEEN = [
    Case(([(0.8, 0.3), (0.6, 0.1), (0.9, 0.7), (0.7, 0.12)], 0.87), "four points in no order"),
    Case(
        ([(0.7, 0.05), (0.4, 0.2), (0.55, -0.1), (0.85, 0.4)], 0.45),
        "forgetting that falls and rises",
    ),
    Case(([(0.6, 0.1), (0.9, 0.5)], 0.7), "two points"),
    Case(
        ([(0.9, 0.5), (0.5, 0.02), (0.8, 0.1), (0.65, 0.6), (0.72, 0.3)], 0.62),
        "five points in no order",
    ),
]
_AT = [
    Case(
        ([(0.8, 0.3), (0.6, 0.1), (0.9, 0.7), (0.7, 0.12)], 0.7),
        "an accuracy that is a point's own",
    ),
    Case(([(0.8, 0.3), (0.6, 0.1), (0.9, 0.7), (0.7, 0.12)], 0.6), "the lowest accuracy"),
    Case(([(0.8, 0.3), (0.6, 0.1), (0.9, 0.7), (0.7, 0.12)], 0.9), "the highest accuracy"),
]


def _line(points: Points, accuracy: float) -> float:
    """On the straight lines through the points as they stand."""
    return float(
        np.interp(accuracy, [point[0] for point in points], [point[1] for point in points])
    )


def _forgotten(points: Points, accuracy: float) -> float:
    return _line(sorted(points), accuracy)


def _mixed(mix: Callable[[float, float, float], float]) -> Callable[[Points, float], float]:
    """A mix of the forgetting of the lower and the upper neighbour, and of how far the accuracy is from one to the other."""

    def found(points: Points, accuracy: float) -> float:
        (a, low), (b, high) = (
            max(point for point in points if point[0] <= accuracy),
            min(point for point in points if point[0] > accuracy),
        )
        return mix(low, high, (accuracy - a) / (b - a))

    return found


def _next_listed(points: Points, accuracy: float) -> float:
    """Between the first two that follow each other in the list and have the accuracy between them."""
    pairs = [sorted(pair) for pair in pairwise(points)]
    return next(_line(pair, accuracy) for pair in pairs if pair[0][0] <= accuracy <= pair[1][0])


def _curve(degree: Callable[[int], int]) -> Callable[[Points, float], float]:
    """On the polynomial that fits all points best, its degree by how many there are."""

    def found(points: Points, accuracy: float) -> float:
        x, y = np.array(points).T
        return float(np.polyval(np.polyfit(x, y, degree(len(points))), accuracy))

    return found


_MISPLACED: dict[str, Callable[[Points, float], float]] = {
    "the points are in no order, and `np.interp` wants rising accuracies: sort them first": _line,
    "neighbours in the list need not be neighbours in accuracy: sort the points first": _next_listed,
    "the points are sorted by forgetting; sort them by accuracy": lambda p, a: _line(
        sorted(p, key=lambda point: point[1]), a
    ),
    "only the forgetting is sorted; a point must keep its own": lambda p, a: _line(
        list(zip(sorted(x for x, _ in p), sorted(y for _, y in p), strict=True)), a
    ),
    "that is the nearest point; go along the line between its neighbours": lambda p, a: min(
        p, key=lambda point: abs(point[0] - a)
    )[1],
    "the axes are swapped: the accuracy is given, the forgetting is wanted": lambda p, a: _line(
        sorted((y, x) for x, y in p), a
    ),
    "that is the mean of all points": lambda p, a: fmean(y for _, y in p),
    "that is a line from the lowest point to the highest; go from neighbour to neighbour": lambda p, a: (
        _line([min(p), max(p)], a)
    ),
    "that is one line fitted to all points; go from neighbour to neighbour": _curve(lambda n: 1),
    "that is a curve through all points; go straight from neighbour to neighbour": _curve(
        lambda n: n - 1
    ),
    "the weights of the two neighbours are swapped: the nearer one counts more": _mixed(
        lambda low, high, t: t * low + (1 - t) * high
    ),
    "that is half-way between the two neighbours; the nearer one counts more": _mixed(
        lambda low, high, t: (low + high) / 2
    ),
    "that is the neighbour below": _mixed(lambda low, high, t: low),
    "that is the neighbour above": _mixed(lambda low, high, t: high),
    "that is only the change from the neighbour below; add it to that one's forgetting": _mixed(
        lambda low, high, t: t * (high - low)
    ),
    "that is the forgetting of the point that learned most": lambda p, a: max(p)[1],
    "that is the least forgetting of all, at whatever accuracy": lambda p, a: min(y for _, y in p),
}


@exercise(
    "Forgetting at equal accuracy",
    difficulty=3,
    minutes=12,
    hints=[
        "Draw the points, accuracy to the right, forgetting up. Join neighbours by straight lines and read off above the given accuracy.",
        "Sort the points by accuracy. If the accuracy is a share t of the way from one neighbour to the next, so is the forgetting.",
        "`np.interp(accuracy, accuracies, forgettings)` does it, if the accuracies rise: `sorted(points)` goes by the first number.",
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
    """`yours(points, accuracy)` is a method's forgetting at that accuracy, on straight lines between neighbours in accuracy. `points` lists
    its (accuracy, forgetting) at several learning rates, in no order; the accuracy lies between their lowest and their highest."""
    yours = as_function(yours, "points, accuracy")
    answers = [
        number(call(yours, "points, accuracy", *case.given), case) for case in (*_BETWEEN, *_AT)
    ]
    why = diagnose(answers[: len(_BETWEEN)], _BETWEEN, _MISPLACED, close)
    for case, answer in zip((*_BETWEEN, *_AT), answers, strict=True):
        if not close(answer, right := _forgotten(*case.given)):
            points, accuracy = case.given
            raise Wrong(
                f"for {case.words}, {points}, the forgetting at {accuracy:g} is {right:.4g}, yours is {answer:.4g}{why}"
            )
    return (
        "Who says that LoRA forgets less must ask at equal accuracy: a method that has learned less has forgotten less as well. "
        "Where one does not get as far as the other, there is nothing to compare."
    )
