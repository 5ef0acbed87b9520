"""An exercise on reading a front: which mixes of two tasks no other mix beats on both."""

from collections.abc import Callable
from typing import Any

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind
from ftkit.teaching.exercise import Wrong, exercise

Points = list[tuple[float, float]]

_FRONTS = [
    Case(
        ([(0.1, 0.9), (0.4, 0.85), (0.3, 0.8), (0.5, 0.5), (0.48, 0.49)],),
        "a front of three, two points behind it",
    ),
    Case(([(0.5, 0.5), (0.2, 0.6), (0.5, 0.4), (0.1, 0.6)],), "points that share an accuracy"),
    Case(
        ([(0.3, 0.3), (0.3, 0.3), (0.2, 0.1)],), "two equal points, neither better than the other,"
    ),
    Case(([(0.9, 0.1), (0.8, 0.2), (0.7, 0.3)],), "a front of all"),
    Case(([(0.6, 0.4), (0.1, 0.1), (0.2, 0.9)],), "a point that every other beats"),
    Case(([(0.5, 0.5)],), "a single point"),
]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """At least as good on both, and better on one."""
    return one[0] >= other[0] and one[1] >= other[1] and one != other


def _kept(
    points: Points, gone: Callable[[tuple[float, float], tuple[float, float]], bool]
) -> list[int]:
    return [
        i
        for i, point in enumerate(points)
        if not any(gone(other, point) for j, other in enumerate(points) if j != i)
    ]


def _best(points: Points, score: Callable[[tuple[float, float]], float]) -> list[int]:
    return [i for i, point in enumerate(points) if score(point) == max(map(score, points))]


_FAULTS: dict[str, Callable[[Points], list[int]]] = {
    "a point that ties on one task and loses on the other is beaten too; yours asks for better on both": lambda p: (
        _kept(p, lambda a, b: a[0] > b[0] and a[1] > b[1])
    ),
    "of two equal points neither is better, so both stay": lambda p: _kept(
        p, lambda a, b: a[0] >= b[0] and a[1] >= b[1]
    ),
    "yours drops what is beaten on one task; it must be beaten on both": lambda p: _kept(
        p, lambda a, b: a[0] > b[0] or a[1] > b[1]
    ),
    "that is the best of the means alone; a front keeps every trade": lambda p: _best(p, sum),
    "that is the best on either task alone; what trades one for the other counts as well": lambda p: (
        sorted({*_best(p, lambda x: x[0]), *_best(p, lambda x: x[1])})
    ),
    "those are the points that are beaten": lambda p: [
        i for i in range(len(p)) if i not in _kept(p, _beats)
    ],
    "that is every point": lambda p: list(range(len(p))),
    "higher is better here; yours keeps the lowest": lambda p: _kept(p, lambda a, b: _beats(b, a)),
    "the indices must count from 0": lambda p: [i + 1 for i in _kept(p, _beats)],
}


@exercise(
    "What no other mix beats",
    difficulty=3,
    minutes=12,
    hints=[
        "When would you never choose a point? Say it in words for two accuracies: as good on both, and ... on one.",
        "A point is out if some other is at least as good on both tasks and better on one. Equal points do not throw each other out.",
        "For each i: `any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)`; keep i where that is false.",
    ],
    solution="""
def undominated(points):
    def beaten(x, y):
        return any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)

    return [i for i, (x, y) in enumerate(points) if not beaten(x, y)]
""",
)
def undominated(yours: Any) -> str:
    """`yours(points)`: of accuracies on two tasks, [(target, other), ...], the indices, rising, of those that no other point dominates.

    A point dominates another if it is at least as good on both tasks and better on one.
    """
    yours = as_function(yours, "points")
    answers = [_indices(call(yours, "points", *case.given)) for case in _FRONTS]
    why = diagnose(answers, _FRONTS, _FAULTS, lambda one, other: one == other)
    for case, got in zip(_FRONTS, answers, strict=True):
        if got != (right := _kept(case.given[0], _beats)):
            order = "; list them rising" if sorted(got) == right else why
            raise Wrong(
                f"for {case.words} {case.given[0]} the answer must be {right}, yours is {got}{order}"
            )
    return "A method is of interest if it lies beyond the front that fixed weights draw. Mind the intervals: a dot is not a place."


def _indices(answer: Any) -> list[int]:
    if isinstance(answer, str | dict) or not hasattr(answer, "__iter__"):
        raise Wrong(f"the answer must be a list of indices, got {kind(answer)}")
    found = list(answer)
    try:
        numbers = [int(index) for index in found]
        whole = all(number == index for number, index in zip(numbers, found, strict=True))
    except (TypeError, ValueError):
        whole = False
    if not whole or any(isinstance(index, bool) for index in found):
        raise Wrong(
            "every index must be a whole number, the place of a point in the list; return places, not points or flags"
        )
    return numbers
