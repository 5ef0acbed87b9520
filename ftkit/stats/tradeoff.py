"""What an accuracy is worth beside its rivals: its share of the whole gain, its place among costs, its odds, and its tuning."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def share_of_gain(
    method: Sequence[float], frozen: Sequence[float], full: Sequence[float], level: float = 0.95
) -> tuple[float, float, float]:
    """How much of what full fine-tuning gains over a frozen body a method gains: (share, low, high); 1 is all of it.

    The interval is Fieller's (1954), for a ratio of two means over the same seeds. Where full fine-tuning's own gain could be 0 there is
    none, and it is (-inf, inf).

    Args:
        method: accuracies, one a seed; `frozen` and `full` the same, on the same seeds.

    Raises:
        ValueError: fewer than two seeds, or not the same number of each.
    """
    if not len(method) == len(frozen) == len(full) >= 2:
        raise ValueError(
            f"all three must have the same seeds, two at least, got {len(method)}, {len(frozen)} and {len(full)}"
        )
    floor = np.asarray(frozen, dtype=float)
    gain, whole = np.asarray(method, dtype=float) - floor, np.asarray(full, dtype=float) - floor
    (of_gain, both), (_, of_whole) = np.cov(gain, whole) / len(gain)
    t = float(stats.t.ppf((1 + level) / 2, len(gain) - 1)) ** 2
    a, b, c = (
        whole.mean() ** 2 - t * of_whole,
        gain.mean() * whole.mean() - t * both,
        gain.mean() ** 2 - t * of_gain,
    )
    share = float(gain.mean() / whole.mean()) if whole.mean() else float("nan")
    if a <= 0:
        return share, -float("inf"), float("inf")
    half = float(np.sqrt(max(0.0, b * b - a * c)))
    return share, float((b - half) / a), float((b + half) / a)


def pareto_front(costs: ArrayLike, scores: ArrayLike) -> list[int]:
    """Who is on the Pareto front: the places, from cheap to dear, of those whom nobody else beats in one and matches in the other.

    Args:
        costs: (n,), less is better; `scores`: (n,), more is better. Equals stand side by side.

    >>> pareto_front([1, 2, 3, 2], [0.5, 0.7, 0.6, 0.4])
    [0, 1]
    """
    cost, score = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    worse = (cost[None] <= cost[:, None]) & (score[None] >= score[:, None])
    worse &= (cost[None] < cost[:, None]) | (score[None] > score[:, None])
    return sorted(np.flatnonzero(~worse.any(1)).tolist(), key=lambda i: (cost[i], i))


front = pareto_front
"""The short name that `from ftkit import front` gives."""


def expected_best(values: Sequence[float], trials: int) -> float:
    """The best validation score that `trials` settings drawn from those that were tried would give on average.

    Dodge et al. 2019, arXiv:1909.03004. What a method needs little tuning for shows at one trial.

    Raises:
        ValueError: no values, or trials below 1.

    >>> [round(expected_best([0.2, 0.4], trials), 2) for trials in (1, 2)]
    [0.3, 0.35]
    """
    if not len(values) or trials < 1:
        raise ValueError(
            f"there must be a value and a trial at least, got {len(values)} values and {trials} trials"
        )
    ranks = np.arange(len(values) + 1) / len(values)
    return float(np.sort(values) @ np.diff(ranks**trials))


def improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """The chance that a run of the first method does better than a run of the second, ties by half, in [0, 1].

    Agarwal et al. 2021, arXiv:2108.13264.

    >>> improvement([0.5, 0.7], [0.6, 0.6])
    0.5
    """
    a, b = np.asarray(first, dtype=float)[:, None], np.asarray(second, dtype=float)[None]
    return float(((a > b) + 0.5 * (a == b)).mean())
