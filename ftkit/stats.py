"""Intervals. Small samples, said honestly."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """The mean and its t-interval (mean, low, high); with one value the interval is unknown, and low and high are nan.

    >>> tuple(round(float(x), 2) for x in interval([1.0, 2.0, 3.0]))
    (2.0, -0.48, 4.48)
    """
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if len(sample) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf((1 + level) / 2, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample)))
    return mean, mean - half, mean + half
