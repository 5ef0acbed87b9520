"""An exercise on what a few seeds can show: the exact p-value of the sign-flip test."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ftkit.teaching.checking import Case, Misreadings, check_cases
from ftkit.teaching.exercise import exercise

Rule = Callable[[list[float]], float]

CASES = [
    # Their sums are exact in any order, in float32 too. Only the mirrored flip has the mean of the
    # one that was observed.
    Case(([-1.5, 0.5, -2.0, -0.25],), "four seeds"),
    Case(([2.0, 1.5, -0.5, 1.0, 0.25],), "five seeds"),
    Case(([0.5, 1.0, 0.125, -4.25, 1.5, 2.0],), "six seeds, one of them far off"),
    Case(([-0.5, -1.25, 0.25, -2.0, -0.75, -1.0, -1.75, 0.125],), "eight seeds"),
    Case(([0.5, 0.5, 0.5, 0.5, 0.5],), "five equal differences", edge=True),
    Case(([1.5, 0.0, 1.0, 2.0],), "a difference of 0, which has two signs as well", edge=True),
    Case(([1.0, -1.0, 2.0, -2.0],), "differences that cancel", edge=True),
    Case(
        ([0.5, 1.0, 0.25, 2.0, 1.5, 0.75, 1.25, 3.0, 2.5, 1.75],),
        "ten seeds, all of one sign",
        edge=True,
    ),
]


def _share(
    counts: Callable[[NDArray[np.float64], float], Any], signs: tuple[float, float] = (1.0, -1.0)
) -> Rule:
    """Make a rule: the share of all flips that count.

    Args:
        counts: `counts(sums of all flips (2^n,), observed sum)`, true where a flip counts.
        signs: the two factors that a difference may get.
    """

    def share(differences: list[float]) -> float:
        flips = np.array(list(product(signs, repeat=len(differences))))
        return float(np.mean(counts(flips @ np.array(differences), sum(differences))))

    return share


def _of_counts(p: Callable[[float, int], float]) -> Rule:
    """Make a rule from the number of flips that count and the number of all flips."""
    return lambda differences: p(_p(differences) * 2 ** len(differences), 2 ** len(differences))


_p = _share(lambda sums, observed: abs(sums) >= abs(observed))
_at_least = _share(lambda sums, observed: sums >= observed)

misreadings = Misreadings(
    {
        "yours counts the means that are at least as large; those as far from 0 on the other side "
        "count as well": _at_least,
        "yours counts the means that are at most as large; those as far from 0 on the other side "
        "count as well": _share(lambda s, x: s <= x),
        "that is half of it: a mean as far from 0 on the other side counts as well": (
            lambda d: _p(d) / 2
        ),
        "that is twice it: both sides are counted already": lambda d: 2 * _p(d),
        "where the observed mean is below 0, its size is wanted: `abs(mean) >= abs(observed)`": (
            _share(lambda s, x: abs(s) >= x)
        ),
        "twice the larger means is wrong where the observed mean is below 0; take "
        "`abs(mean) >= abs(observed)`": lambda d: 2 * _at_least(d),
        "`>=`, not `>`: the differences as they are count, and so does their mirror": (
            _share(lambda s, x: abs(s) > abs(x))
        ),
        "one flip is missing in the numerator, the one that changes nothing or its mirror; both "
        "count": _of_counts(lambda count, n: (count - 1) / n),
        "one flip is missing in numerator and denominator, the one that changes nothing or its "
        "mirror; both are among the 2^n": _of_counts(lambda count, n: (count - 1) / (n - 1)),
        "two flips are missing in numerator and denominator, the one that changes nothing and its "
        "mirror; both are among the 2^n": _of_counts(lambda count, n: (count - 2) / (n - 2)),
        "the + 1 belongs to random flips; here every flip is counted, also the observed one": (
            _of_counts(lambda count, n: (count + 1) / (n + 1))
        ),
        "that is 1 - p": lambda d: 1 - _p(d),
        "that is the number of flips that count; answer with their share of all 2^n": (
            _of_counts(lambda count, n: count)
        ),
        "another order of the differences does not change their mean; flip their signs": (
            lambda d: 1.0
        ),
        "p is never 0: the differences as they are count, and so does their mirror": lambda d: 0.0,
        "that is the p of a t-test, which assumes normal differences; count the flips": (
            lambda d: float(stats.ttest_1samp(d, 0).pvalue)
        ),
        "that is the sign test, which counts the signs alone; the mean has the sizes too": (
            lambda d: float(stats.binomtest(sum(x > 0 for x in d), len(d)).pvalue)
        ),
        "that is Wilcoxon's test, which uses ranks instead of the sizes": (
            lambda d: _p((stats.rankdata(np.abs(d)) * np.sign(d)).tolist())
        ),
        "a sign is 1 or -1; with 0 a difference is left out, not flipped": (
            _share(lambda s, x: abs(s) >= abs(x), (0.0, 1.0))
        ),
        "yours compares sums with the observed mean; compare means with the mean, or sums with "
        "the sum": lambda d: _share(lambda s, x: abs(s) >= abs(x) / len(d))(d),
    }
)


def _explain(case: Case, wanted: float, answer: float) -> str:
    return f"for {case.words}, {case.given[0]}, p is {wanted:.4g}, yours is {answer:.4g}"


@exercise(
    "The exact p of a few seeds",
    difficulty=2,
    minutes=12,
    hints=[
        "If the methods were equal, each difference could as well have had the other sign. Which "
        "means could then have come out?",
        "`itertools.product((1, -1), repeat=n)` gives all `2 ** n` ways. Take the mean of each, "
        "and compare sizes: `abs` on both sides.",
        "Count the flips with `abs(sum(flipped)) >= abs(sum(differences)) - 1e-12`, the one that "
        "changes nothing too, over `2 ** n`. (Sums that differ by rounding alone are equal.)",
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
    """`yours(differences)` is the exact two-sided p of the sign-flip test of paired differences.

    There are two to ten differences, one per seed. p is a share of all `2 ** n` ways to give each
    of the n differences a sign: those whose mean is at least as far from 0 as the observed mean.
    The differences as they are count as one of the ways, and so does their mirror, with every sign
    flipped.
    """
    check_cases(yours, "differences", _p, CASES, misreadings, explain=_explain)
    return (
        "With n seeds no p is below 2 / 2^n: five seeds can never reach 0.05, and eight cannot in "
        "a family of seven, where Holm's rule makes 0.055 of 2 / 256."
    )
