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


def verdict(differences: Sequence[float], margin: float = 0.01) -> str:
    """What paired differences over shared seeds say: "beats", "loses", "ties" or "cannot tell".

    "ties" if the 95 % interval lies within plus or minus `margin`; "beats" if it lies above 0 and its mean above the margin, "loses" the
    same way below; else "cannot tell". Fewer than eight seeds never tell.

    >>> verdict([0.031, 0.024, 0.029, 0.035, 0.022, 0.027, 0.03, 0.026])
    'beats'
    >>> verdict([0.03, -0.02, 0.01, 0.04, -0.03, 0.02, 0.0, 0.01])
    'cannot tell'
    """
    mean, low, high = interval(differences)
    if len(differences) < 8:
        return "cannot tell"
    if -margin < low and high < margin:
        return "ties"
    if low > 0 and mean > margin:
        return "beats"
    if high < 0 and mean < -margin:
        return "loses"
    return "cannot tell"
