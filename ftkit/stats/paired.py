"""Intervals, tests and verdicts for few seeds, said honestly. Differences are paired: one a seed, both methods on that seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FEWEST = 8
"""Fewer seeds give no verdict: flipping the signs of five differences can never reach p < 0.05."""
EXACT = 16
"""Up to so many differences every one of the 2^n sign flips is counted."""


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """The mean and its t-interval (mean, low, high); with one value the interval is unknown, and low and high are nan.

    >>> tuple(round(float(x), 2) for x in interval([1.0, 2.0, 3.0]))
    (2.0, -0.48, 4.48)
    """
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if len(sample) < 2:
        return mean, float("nan"), float("nan")
    half = float(
        stats.t.ppf((1 + level) / 2, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    )
    return mean, mean - half, mean + half


def proportion(right: int, of: int, level: float = 0.95) -> tuple[float, float, float]:
    """A share of independent items and its Wilson interval (share, low, high), in [0, 1]: what one run on one test split can say.

    >>> tuple(round(x, 3) for x in proportion(55, 100))
    (0.55, 0.452, 0.644)
    """
    found = stats.binomtest(right, of).proportion_ci(level, method="wilson")
    return right / of, float(found.low), float(found.high)


def two_proportions(right: int, of: int, other_right: int, other_of: int) -> float:
    """The two-sided p that two shares of independent items are equal, with the pooled variance: two runs on two draws of a test split.

    >>> round(two_proportions(60, 100, 45, 100), 3)
    0.034
    """
    pooled = (right + other_right) / (of + other_of)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / of + 1 / other_of))
    return (
        1.0
        if spread == 0
        else float(2 * stats.norm.sf(abs(right / of - other_right / other_of) / spread))
    )


def crossed(differences: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """The mean and its interval where both the seeds and the test items are a sample: (mean, low, high).

    A t-interval on seeds alone speaks of these very items. Here the variance of the mean is that of an analysis of variance with two
    crossed random effects, (MS_seed + MS_item - MS_rest) / (seeds * items), and its degrees of freedom are Satterthwaite's.

    Args:
        differences: (seeds, items); one method's 0 or 1 for each item less the other's.

    Raises:
        ValueError: fewer than two seeds or two items.
    """
    table = _crossing(differences)
    seeds, items = table.shape
    mean, rows, columns = (
        float(table.mean()),
        table.mean(1, keepdims=True),
        table.mean(0, keepdims=True),
    )
    of_seeds = items * np.square(rows - mean).sum() / (seeds - 1)
    of_items = seeds * np.square(columns - mean).sum() / (items - 1)
    rest = np.square(table - rows - columns + mean).sum() / ((seeds - 1) * (items - 1))
    together = max(of_seeds + of_items - rest, of_seeds, of_items)
    if together <= 0:
        return mean, mean, mean
    parts = (
        of_seeds**2 / (seeds - 1)
        + of_items**2 / (items - 1)
        + rest**2 / ((seeds - 1) * (items - 1))
    )
    half = float(
        stats.t.ppf((1 + level) / 2, max(1.0, together**2 / parts))
        * np.sqrt(together / (seeds * items))
    )
    return mean, mean - half, mean + half


def bootstrap(
    differences: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """The same by a bootstrap of seeds and items at once (Owen 2007, "The pigeonhole bootstrap"): (mean, low, high).

    It asks for nothing to be normal, but few seeds are few: simulated with eight, its 95 % interval covers about 90 % where the seeds
    differ much, and more than 97 % where they do not. `crossed` covers 93 to 97 % in both, and is what a verdict should rest on.

    Args:
        differences: (seeds, items), as in `crossed`.

    Raises:
        ValueError: fewer than two seeds or two items.
    """
    table, random = _crossing(differences), np.random.default_rng(seed)
    seeds, items = (random.multinomial(n, np.full(n, 1 / n), draws) / n for n in table.shape)
    means = ((seeds @ table) * items).sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(table.mean()), float(low), float(high)


def _crossing(differences: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(differences, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(
            f"differences must be (seeds, items) with at least two of each, got shape {table.shape}"
        )
    return table


def sign_flip(differences: Sequence[float]) -> float:
    """The two-sided p of a permutation test: how often the mean would be as far from 0 if each difference had its sign by chance.

    Exact up to sixteen differences, else 20,000 random flips. The smallest p of n seeds is 2 / 2^n.

    >>> sign_flip([0.03, 0.02, 0.04, 0.01, 0.02])
    0.0625
    """
    sample = np.asarray(differences, dtype=float)
    exact = len(sample) <= EXACT
    found = stats.permutation_test(
        (sample,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if exact else 20_000,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Each p adjusted for being one of a family (Holm 1979): below 0.05 in all with at most 5 % for any false one among them.

    >>> [round(x, 3) for x in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate([(len(p) - i) * p[k] for i, k in enumerate(order)])
    out = np.empty(len(p))
    out[order] = np.minimum(1.0, adjusted)
    return [float(x) for x in out]


def equivalence(differences: Sequence[float], margin: float) -> float:
    """The p of "the mean is as far from 0 as the margin, or farther": two one-sided t-tests (TOST), the larger of them.

    Raises:
        ValueError: a margin that is not above 0.
    """
    if margin <= 0:
        raise ValueError(
            f"the margin must be above 0, got {margin}; declare before the runs which difference would not matter"
        )
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    return float(max(above, below))


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """The exact two-sided p that two models, one run each, are right equally often: a binomial test of the items only one has right.

    Args:
        first: 0 or 1 for each item, (items,); `second` the same.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    only = int((a & ~b).sum()), int((b & ~a).sum())
    return float(stats.binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0


def verdict(differences: Sequence[float], margin: float = 0.01) -> str:
    """What paired differences over shared seeds say: "beats", "loses", "ties" or "inconclusive".

    "ties" if the 95 % interval lies within plus or minus `margin`; "beats" if it lies above 0 and its mean above the margin, "loses" the
    same way below; else "inconclusive". Fewer than eight seeds never tell.

    >>> verdict([0.031, 0.024, 0.029, 0.035, 0.022, 0.027, 0.03, 0.026])
    'beats'
    >>> verdict([0.03, -0.02, 0.01, 0.04, -0.03, 0.02, 0.0, 0.01])
    'inconclusive'
    """
    mean, low, high = interval(differences)
    if len(differences) < FEWEST:
        return "inconclusive"
    if -margin < low and high < margin:
        return "ties"
    if low > 0 and mean > margin:
        return "beats"
    if high < 0 and mean < -margin:
        return "loses"
    return "inconclusive"


@dataclass(frozen=True)
class Judged:
    """One of a family: its mean difference, 95 % interval, the p of its sign flips adjusted by Holm, and its verdict."""

    mean: float
    low: float
    high: float
    p: float
    verdict: str


def family(differences: Mapping[str, Sequence[float]], margin: float = 0.01) -> dict[str, Judged]:
    """The verdicts of several comparisons with one rival: as `verdict`, but "beats" and "loses" need an adjusted p below 0.05 too.

    With n seeds the smallest p is 2 / 2^n, so a family of k needs 2 k / 2^n < 0.05: eight seeds can never tell of more than six.
    """
    adjusted = holm([sign_flip(values) for values in differences.values()])
    found = {}
    for (name, values), p in zip(differences.items(), adjusted, strict=True):
        says = verdict(values, margin)
        found[name] = Judged(
            *interval(values),
            p,
            "inconclusive" if says in ("beats", "loses") and p >= 0.05 else says,
        )
    return found
