"""What an accuracy is worth: its share of the full gain, its cost, its odds, and its tuning."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ftkit import checks
from ftkit.stats.paired import check_level
from ftkit.stats.sample import finite

MOST_TRIALS = 10**9


def share_of_gain(
    method: Sequence[float], frozen: Sequence[float], full: Sequence[float], level: float = 0.95
) -> tuple[float, float, float]:
    """The share of full fine-tuning's gain that a method has: (share, low, high); 1 is all of it.

    A gain is the accuracy minus that of a frozen body. The interval is Fieller's (1954), for a
    ratio of two means over the same seeds. It is (-inf, inf) where full fine-tuning's own gain
    could be 0, and the share is nan where it is exactly 0.

    Args:
        method: accuracies, one a seed; `frozen` and `full` the same, on the same seeds.
        level: the share of such intervals that cover the true share, in (0, 1).

    Raises:
        ValueError: fewer than two seeds, not the same number of each, an accuracy that is not
            finite, or a level outside (0, 1).
    """
    check_level(level)
    of_method, baseline = finite("method", method, 0), finite("frozen", frozen, 0)
    of_full = finite("full", full, 0)
    if not len(of_method) == len(baseline) == len(of_full) >= 2:
        raise ValueError(
            "all three must have the same seeds, two at least, got "
            f"{len(of_method)}, {len(baseline)} and {len(of_full)}; pass one accuracy a seed"
        )
    gains, full_gains = of_method - baseline, of_full - baseline
    gain, full_gain = gains.mean(), full_gains.mean()
    share = float(gain / full_gain) if full_gain else float("nan")

    # The variances of the two means, and their covariance.
    (v_gain, covariance), (_, v_full) = np.cov(gains, full_gains) / len(gains)
    t_squared = float(stats.t.ppf((1 + level) / 2, len(gains) - 1)) ** 2
    # For the true share r, the mean of gains - r * full_gains is 0. So a t-test at this level
    # keeps every r with
    #   (gain - r * full_gain)^2 <= t^2 * (v_gain - 2 * r * covariance + r^2 * v_full),
    # which sorted by powers of r is a * r^2 - 2 * b * r + c <= 0 with
    a = full_gain**2 - t_squared * v_full
    b = gain * full_gain - t_squared * covariance
    c = gain**2 - t_squared * v_gain
    # Only for a > 0 (full_gain is significantly different from 0) that is an interval, and its
    # ends are the two roots.
    if a <= 0:
        return share, -float("inf"), float("inf")
    half = float(np.sqrt(max(0.0, b * b - a * c)))
    return share, float((b - half) / a), float((b + half) / a)


def pareto_front(costs: ArrayLike, scores: ArrayLike) -> list[int]:
    """The indices of the points on the Pareto front, from the cheapest to the dearest.

    A point is on the front if no other point is at least as good in both cost and score, and
    better in one. Of equal points, all are on it.

    Args:
        costs: (n,), less is better.
        scores: (n,), more is better.

    Raises:
        ValueError: another number of costs than of scores, or one that is not finite.

    >>> pareto_front([1, 2, 3, 2], [0.5, 0.7, 0.6, 0.4])
    [0, 1]
    """
    cost, score = finite("costs", costs, 0), finite("scores", scores, 0)
    if len(cost) != len(score):
        raise ValueError(
            f"each point must have a cost and a score, got {len(cost)} costs and {len(score)} "
            "scores; pass one of each a point"
        )
    # dominated[i, j]: point j is at least as good as point i in both, and better in one.
    dominated = (cost[None] <= cost[:, None]) & (score[None] >= score[:, None])
    dominated &= (cost[None] < cost[:, None]) | (score[None] > score[:, None])
    on_front = np.flatnonzero(~dominated.any(1)).tolist()
    return sorted(on_front, key=lambda i: (cost[i], i))


front = pareto_front
"""The short name, as in `from ftkit import front`."""


def expected_best(values: Sequence[float], trials: int) -> float:
    """The expected best validation score of a number of trials.

    Each trial draws one of the settings that were tried, with replacement. A method that needs
    little tuning is good after one trial already.

    Source: Dodge et al. 2019, arXiv:1909.03004.

    Args:
        values: the validation scores of all settings that were tried.
        trials: the number of settings that a user would try, at least 1.

    Raises:
        ValueError: no values, one that is not finite, or trials that are no whole number from 1
            to `MOST_TRIALS`.

    >>> [round(expected_best([0.2, 0.4], trials), 2) for trials in (1, 2)]
    [0.3, 0.35]
    """
    scores = finite("values", values, least=0)
    if not len(scores) or (checks.is_whole(trials) and trials < 1):
        raise ValueError(
            f"there must be at least one value and one trial, got {len(scores)} values and "
            f"{checks.shown(trials)} trials; try a setting first"
        )
    checks.whole("trials", trials, 1, MOST_TRIALS, "it counts settings that a user would try")
    # The k-th smallest of n values is the best of all trials with probability
    # (k / n)^trials - ((k - 1) / n)^trials.
    ranks = np.arange(len(scores) + 1) / len(scores)
    return float(np.sort(scores) @ np.diff(ranks**trials))


def improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """The probability that a run of the first method is better than a run of the second, in [0, 1].

    A tie counts one half.

    Source: Agarwal et al. 2021, arXiv:2108.13264.

    Raises:
        ValueError: a method has no values, or one that is not finite.

    >>> improvement([0.5, 0.7], [0.6, 0.6])
    0.5
    """
    a, b = finite("first", first)[:, None], finite("second", second)[None]
    return float(((a > b) + 0.5 * (a == b)).mean())
