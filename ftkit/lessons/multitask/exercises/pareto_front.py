"""An exercise on the Pareto front: which mixes of two tasks no other mix beats on both."""

from collections.abc import Callable
from typing import Any

from ftkit.teaching.checking import Case, Misreadings, check_cases, listed
from ftkit.teaching.exercise import Wrong, exercise

Point = tuple[float, float]
Points = list[Point]
"""Accuracies (target task, other task), each in [0, 1]."""

FRONTS = [
    Case(
        ([(0.1, 0.9), (0.4, 0.85), (0.3, 0.8), (0.5, 0.5), (0.48, 0.49)],),
        "a front of three, and two points behind it,",
    ),
    Case(([(0.5, 0.5), (0.2, 0.6), (0.5, 0.4), (0.1, 0.6)],), "points that share an accuracy"),
    Case(
        ([(0.3, 0.3), (0.3, 0.3), (0.2, 0.1)],), "two equal points, neither better than the other,"
    ),
    Case(([(0.9, 0.1), (0.8, 0.2), (0.7, 0.3)],), "a front of all points"),
    Case(([(0.6, 0.4), (0.1, 0.1), (0.2, 0.9)],), "a point that every other beats"),
    Case(([(0.5, 0.5)],), "a single point"),
]


def _dominates(one: Point, other: Point) -> bool:
    """At least as good on both, and better on one."""
    return one[0] >= other[0] and one[1] >= other[1] and one != other


def _kept(points: Points, beats: Callable[[Point, Point], bool]) -> list[int]:
    """The indices of the points that no other one beats."""
    return [
        i
        for i, point in enumerate(points)
        if not any(beats(other, point) for j, other in enumerate(points) if j != i)
    ]


def _best(points: Points, score: Callable[[Point], float]) -> list[int]:
    best = max(map(score, points))
    return [i for i, point in enumerate(points) if score(point) == best]


def _undominated(points: Points) -> list[int]:
    return _kept(points, _dominates)


misreading = Misreadings()


@misreading(
    "a point that ties on one task and loses on the other is dominated too; yours asks for better "
    "on both"
)
def _better_on_both(points: Points) -> list[int]:
    return _kept(points, lambda a, b: a[0] > b[0] and a[1] > b[1])


@misreading("of two equal points neither is better, so both stay")
def _equal_points_beat(points: Points) -> list[int]:
    return _kept(points, lambda a, b: a[0] >= b[0] and a[1] >= b[1])


@misreading("yours drops what is beaten on one task; it must be beaten on both")
def _better_on_one(points: Points) -> list[int]:
    return _kept(points, lambda a, b: a[0] > b[0] or a[1] > b[1])


@misreading("that is the best mean alone; a front keeps every trade-off")
def _best_mean(points: Points) -> list[int]:
    return _best(points, sum)


@misreading("that is the best on either task alone; what trades one for the other counts as well")
def _best_on_either(points: Points) -> list[int]:
    return sorted({*_best(points, lambda point: point[0]), *_best(points, lambda point: point[1])})


@misreading("those are the points that are dominated")
def _dominated(points: Points) -> list[int]:
    return [i for i in range(len(points)) if i not in _undominated(points)]


@misreading("that is every point")
def _all(points: Points) -> list[int]:
    return list(range(len(points)))


@misreading("higher is better here; yours keeps the lowest")
def _lowest(points: Points) -> list[int]:
    return _kept(points, lambda a, b: _dominates(b, a))


@misreading("the indices must count from 0")
def _from_one(points: Points) -> list[int]:
    return [i + 1 for i in _undominated(points)]


def _read(answer: Any, case: Case) -> list[int]:
    entries = listed(answer, "indices", ordered=False)
    try:
        indices = [int(entry) for entry in entries]
        is_whole = all(index == entry for index, entry in zip(indices, entries, strict=True))
    except (TypeError, ValueError):
        is_whole = False
    if not is_whole or any(isinstance(entry, bool) for entry in entries):
        raise Wrong(
            "every index must be a whole number, the position of a point in the list; "
            "return positions, not points or flags"
        )
    return indices


def _explain(case: Case, wanted: list[int], answer: list[int]) -> str:
    order = "; sort the indices, smallest first" if sorted(answer) == wanted else ""
    return f"for {case.words} {case.given[0]} the answer must be {wanted}, yours is {answer}{order}"


@exercise(
    "What no other mix beats",
    difficulty=3,
    minutes=12,
    hints=[
        "When would you never choose a point? Say it in words for two accuracies: as good on both, "
        "and ... on one.",
        "A point is out if some other is at least as good on both tasks and better on one. Equal "
        "points do not exclude each other.",
        "For each i: `any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)`; keep i "
        "where that is false.",
    ],
    solution="""
def undominated(points):
    def beaten(x, y):
        return any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)

    return [i for i, (x, y) in enumerate(points) if not beaten(x, y)]
""",
)
def undominated(yours: Any) -> str:
    """`yours(points)` is the sorted list of the indices of the points that no other dominates.

    The points are accuracies on two tasks, [(target, other), ...]. A point dominates another if it
    is at least as good on both tasks and better on one.
    """
    check_cases(yours, "points", _undominated, FRONTS, misreading, read=_read, explain=_explain)
    return (
        "A method is of interest if it is beyond the front of the fixed weights. Mind the "
        "intervals: a front of means ignores uncertainty."
    )
