"""An exercise on what a few seeds can say: the exact p of the sign-flip test."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ftkit.teaching.checking import Case, as_function, first_mismatch
from ftkit.teaching.exercise import Wrong, exercise

Rule = Callable[[list[float]], float]

# Sums of these are exact in any order, in float32 too; no flip but the mirror has the mean of the one seen.
_SEEDS = [
    Case(([-1.5, 0.5, -2.0, -0.25],), "four seeds"),
    Case(([2.0, 1.5, -0.5, 1.0, 0.25],), "five seeds"),
    Case(([0.5, 1.0, 0.125, -4.25, 1.5, 2.0],), "six seeds, one of them far off"),
    Case(([-0.5, -1.25, 0.25, -2.0, -0.75, -1.0, -1.75, 0.125],), "eight seeds"),
]
_PLAIN = [
    Case(([0.5, 0.5, 0.5, 0.5, 0.5],), "five equal differences"),
    Case(([1.5, 0.0, 1.0, 2.0],), "a difference of 0, which has two signs as well"),
    Case(([1.0, -1.0, 2.0, -2.0],), "differences that cancel"),
    Case(([0.5, 1.0, 0.25, 2.0, 1.5, 0.75, 1.25, 3.0, 2.5, 1.75],), "ten seeds, all of one sign"),
]


def _share(
    holds: Callable[[NDArray[np.float64], float], Any], signs: tuple[float, float] = (1.0, -1.0)
) -> Rule:
    """The share of all flips whose sum holds beside the sum seen."""

    def share(differences: list[float]) -> float:
        sums = np.array(list(product(signs, repeat=len(differences)))) @ np.array(differences)
        return float(np.mean(holds(sums, sum(differences))))

    return share


_P = _share(lambda sums, seen: abs(sums) >= abs(seen))


def _counted(p: Callable[[float, int], float]) -> Rule:
    """By how many flips count, and how many there are."""
    return lambda d: p(_P(d) * 2 ** len(d), 2 ** len(d))


def _larger(differences: list[float]) -> float:
    return _share(lambda sums, seen: sums >= seen)(differences)


_MISCOUNTED: dict[str, Rule] = {
    "yours counts the means that are at least as large; those as far from 0 on the other side count as well": _larger,
    "yours counts the means that are at most as large; those as far from 0 on the other side count as well": _share(
        lambda s, x: s <= x
    ),
    "that is half of it: a mean as far from 0 on the other side counts as well": lambda d: (
        _P(d) / 2
    ),
    "that is twice it: both sides are counted already": lambda d: 2 * _P(d),
    "where the mean seen is below 0, its size is wanted: `abs(mean) >= abs(seen)`": _share(
        lambda s, x: abs(s) >= x
    ),
    "twice the larger means is wrong where the mean seen is below 0; take `abs(mean) >= abs(seen)`": lambda d: (
        2 * _larger(d)
    ),
    "`>=`, not `>`: the differences as they are count, and so does their mirror": _share(
        lambda s, x: abs(s) > abs(x)
    ),
    "one flip is left out above, the one that changes nothing or its mirror; both count": _counted(
        lambda c, n: (c - 1) / n
    ),
    "one flip is left out above and below, the one that changes nothing or its mirror; both are among the 2^n": _counted(
        lambda c, n: (c - 1) / (n - 1)
    ),
    "two flips are left out above and below, the one that changes nothing and its mirror; both are among the 2^n": _counted(
        lambda c, n: (c - 2) / (n - 2)
    ),
    "the + 1 belongs to flips drawn by chance; here every flip is counted, also the one that was seen": _counted(
        lambda c, n: (c + 1) / (n + 1)
    ),
    "that is 1 - p": lambda d: 1 - _P(d),
    "that is how many flips count; answer with their share of all 2^n": _counted(lambda c, n: c),
    "another order of the differences leaves their mean as it is; flip their signs": lambda d: 1.0,
    "p is never 0: the differences as they are count, and so does their mirror": lambda d: 0.0,
    "that is the p of a t-test, which takes the differences to be normal; count the flips": lambda d: (
        float(stats.ttest_1samp(d, 0).pvalue)
    ),
    "that is the sign test, which counts the signs alone; the mean has the sizes too": lambda d: (
        float(stats.binomtest(sum(x > 0 for x in d), len(d)).pvalue)
    ),
    "that is Wilcoxon's test, which has ranks in the place of the sizes": lambda d: _P(
        (stats.rankdata(np.abs(d)) * np.sign(d)).tolist()
    ),
    "a sign is 1 or -1; with 0 a difference is left out, not flipped": _share(
        lambda s, x: abs(s) >= abs(x), (0.0, 1.0)
    ),
    "yours sets sums beside the mean seen; compare means with the mean, or sums with the sum": lambda d: (
        _share(lambda s, x: abs(s) >= abs(x) / len(d))(d)
    ),
}


@exercise(
    "The exact p of a few seeds",
    difficulty=2,
    minutes=12,
    hints=[
        "If the methods were equal, each difference could as well have had the other sign. Which means could then have come out?",
        "`itertools.product((1, -1), repeat=n)` gives all `2 ** n` ways. Take the mean of each, and compare sizes: `abs` on both sides.",
        "Count the flips with `abs(sum(flipped)) >= abs(sum(differences)) - 1e-12`, the one that changes nothing too, over `2 ** n`. "
        "(Sums that differ by rounding alone are equal.)",
    ],
    solution="""
from itertools import product

def flips(differences):
    seen = abs(sum(differences)) - 1e-12  # sums that differ by rounding alone are equal
    ways = list(product((1, -1), repeat=len(differences)))
    count = sum(abs(sum(sign * d for sign, d in zip(way, differences))) >= seen for way in ways)
    return count / len(ways)
""",
)
def flips(yours: Any) -> str:
    """`yours(differences)` is the exact two-sided p of the sign-flip test of paired differences, one a seed, two to ten of them: over all
    `2 ** n` ways to give each of the n differences a sign, the share whose mean is at least as far from 0 as the mean seen. The
    differences as they are count as one of the ways, and so does their mirror, with every sign flipped."""
    yours = as_function(yours, "differences")
    wrong = first_mismatch(yours, "differences", _P, _SEEDS, _MISCOUNTED) or first_mismatch(
        yours, "differences", _P, _PLAIN, {}
    )
    if wrong:
        case, right, answer, why = wrong
        raise Wrong(
            f"for {case.words}, {case.given[0]}, p is {right:.4g}, yours says {answer:.4g}{why}"
        )
    return (
        "With n seeds no p is below 2 / 2^n: five seeds can never reach 0.05, and eight cannot in a family of seven, where Holm's rule "
        "makes 0.055 of 2 / 256."
    )
