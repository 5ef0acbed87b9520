import math

import numpy as np
import pytest

from ftkit.stats import interval, verdict


def test_the_interval_is_scipys() -> None:
    from scipy import stats

    values = [0.51, 0.47, 0.55, 0.50, 0.49]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert interval(values) == pytest.approx((np.mean(values), low, high))


def test_one_value_has_no_interval() -> None:
    mean, low, high = interval([0.5])
    assert mean == 0.5
    assert math.isnan(low)
    assert math.isnan(high)


def test_a_95_per_cent_interval_covers_95_per_cent() -> None:
    random = np.random.default_rng(0)
    hits = [low <= 0 <= high for low, high in (interval(random.normal(size=8))[1:] for _ in range(2000))]
    assert 0.93 < np.mean(hits) < 0.97


@pytest.mark.parametrize(
    ("differences", "says"),
    [
        ([0.02, 0.03, 0.04, 0.02, 0.03, 0.04, 0.03, 0.03], "beats"),
        ([-0.02, -0.03, -0.04, -0.02, -0.03, -0.04, -0.03, -0.03], "loses"),
        ([0.001, -0.002, 0.0, 0.002, -0.001, 0.001, 0.0, -0.001], "ties"),
        ([0.2, -0.1, 0.15, -0.05, 0.1, -0.08, 0.12, -0.02], "cannot tell"),
        ([0.006, 0.009, 0.012, 0.007, 0.008, 0.011, 0.009, 0.010], "cannot tell"),
        ([0.02, 0.03, 0.04, 0.02, 0.03, 0.04, 0.03], "cannot tell"),
    ],
)
def test_verdicts(differences: list[float], says: str) -> None:
    assert verdict(differences) == says
