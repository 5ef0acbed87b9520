"""Intervals, tests and verdicts against their definitions, other libraries and simulations."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ftkit.stats.paired import (
    bootstrap,
    crossed,
    equivalence,
    family,
    holm,
    interval,
    proportion,
    sign_flip,
    two_proportions,
    verdict,
)
from ftkit.stats.tradeoff import expected_best, improvement, pareto_front, share_of_gain

GAINS = [0.031, 0.024, -0.009, 0.035, 0.022, 0.027, 0.03, 0.006]


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
    intervals = [interval(random.normal(size=8)) for _ in range(2000)]
    hits = [low <= 0 <= high for _, low, high in intervals]
    assert 0.93 < np.mean(hits) < 0.97


@pytest.mark.parametrize(
    ("differences", "says"),
    [
        ([0.02, 0.03, 0.04, 0.02, 0.03, 0.04, 0.03, 0.03], "beats"),
        ([-0.02, -0.03, -0.04, -0.02, -0.03, -0.04, -0.03, -0.03], "loses"),
        ([0.001, -0.002, 0.0, 0.002, -0.001, 0.001, 0.0, -0.001], "ties"),
        ([0.2, -0.1, 0.15, -0.05, 0.1, -0.08, 0.12, -0.02], "inconclusive"),
        ([0.006, 0.009, 0.012, 0.007, 0.008, 0.011, 0.009, 0.010], "inconclusive"),
        ([0.02, 0.03, 0.04, 0.02, 0.03, 0.04, 0.03], "inconclusive"),
    ],
)
def test_verdicts(differences: list[float], says: str) -> None:
    assert verdict(differences) == says


class TestProportion:
    @pytest.mark.parametrize(
        "counts", [(60, 100, 45, 100), (694, 1319, 631, 1319), (0, 10, 0, 10), (3, 9, 5, 20)]
    )
    def test_two_of_them_are_statsmodels_test(self, counts: tuple[int, int, int, int]) -> None:
        from statsmodels.stats.proportion import proportions_ztest

        a, n, b, m = counts
        expected = proportions_ztest([a, b], [n, m])[1] if a + b else 1.0
        assert two_proportions(*counts) == pytest.approx(expected)

    @pytest.mark.parametrize(("right", "of"), [(0, 10), (3, 10), (55, 100), (700, 1319)])
    def test_it_is_statsmodels_wilson_interval(self, right: int, of: int) -> None:
        from statsmodels.stats.proportion import proportion_confint

        assert proportion(right, of)[1:] == pytest.approx(
            proportion_confint(right, of, method="wilson")
        )


def differences(
    random: np.random.Generator, seeds: int, items: int, of_seed: float, of_item: float
) -> NDArray[np.float64]:
    """Simulate two equally good methods: 0 or 1 of the first minus that of the second.

    Args:
        random: the generator.
        seeds, items: the shape of the result.
        of_seed: the deviation between the seeds of a method.
        of_item: the deviation between the methods on an item.
    """
    easiness, advantage = random.normal(1, 2, items), random.normal(0, of_item, items)
    shared = random.normal(0, 1, (seeds, items))
    right = []
    for sign in (1, -1):
        by_seed = random.normal(0, of_seed, (seeds, 1))
        rest = random.normal(0, 0.5, (seeds, items))
        right.append(easiness + sign * advantage / 2 + by_seed + shared + rest > 0)
    return right[0].astype(float) - right[1]


def coverage(method, runs: int, **case) -> float:  # type: ignore[no-untyped-def]
    """The share of simulated runs in which the interval of a method covers the true mean, 0."""
    random = np.random.default_rng(0)
    intervals = [method(differences(random, **case)) for _ in range(runs)]
    return float(np.mean([low <= 0 <= high for _, low, high in intervals]))


CASES = [
    {"seeds": 8, "items": 400, "of_seed": 0.1, "of_item": 0.0},
    {"seeds": 8, "items": 400, "of_seed": 0.1, "of_item": 0.7},
    {"seeds": 8, "items": 400, "of_seed": 0.4, "of_item": 0.3},
    {"seeds": 16, "items": 400, "of_seed": 0.1, "of_item": 0.5},
]


class TestSeedsAndItems:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_the_crossed_interval_covers_95_per_cent(self, case: dict[str, float]) -> None:
        assert 0.93 <= coverage(crossed, 1500, **case) <= 0.97

    def test_an_interval_over_seeds_alone_does_not_where_items_are_a_sample_too(self) -> None:
        assert coverage(lambda table: interval(table.mean(1)), 600, **CASES[1]) < 0.93

    def test_the_bootstrap_is_too_narrow_or_too_wide_with_eight_seeds(self) -> None:
        def short_bootstrap(table: NDArray[np.float64]) -> tuple[float, float, float]:
            return bootstrap(table, draws=400)

        equal_seeds = {"seeds": 8, "items": 100, "of_seed": 0.0, "of_item": 0.0}
        assert coverage(short_bootstrap, 200, **CASES[2]) < 0.93
        assert coverage(short_bootstrap, 200, **equal_seeds) > 0.97

    def test_the_bootstrap_has_the_quantiles_of_all_tables_that_can_be_drawn(self) -> None:
        table = differences(np.random.default_rng(1), 3, 4, 0.5, 0.5)
        seeds, items = product(range(3), repeat=3), product(range(4), repeat=4)
        means = [table[np.ix_(s, i)].mean() for s, i in product(seeds, items)]
        mean, low, high = bootstrap(table, draws=200_000)
        assert mean == table.mean()
        assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)

    def test_with_equal_items_it_is_the_interval_of_the_seeds(self) -> None:
        table = np.repeat(np.array(GAINS)[:, None], 50, axis=1)
        assert crossed(table) == pytest.approx(interval(GAINS))

    def test_with_equal_seeds_it_is_the_interval_of_the_items(self) -> None:
        items = np.random.default_rng(0).normal(size=30)
        assert crossed(np.repeat(items[None], 4, axis=0)) == pytest.approx(interval(items.tolist()))

    def test_no_difference_at_all_is_a_point(self) -> None:
        assert crossed(np.zeros((8, 20))) == (0, 0, 0)

    @pytest.mark.parametrize("method", [crossed, bootstrap])
    @pytest.mark.parametrize("shape", [(8,), (1, 20), (8, 1)])
    def test_one_seed_or_one_item_is_refused(self, method: Any, shape: tuple[int, ...]) -> None:
        message = r"differences must be \(seeds, items\) with at least two of each"
        with pytest.raises(ValueError, match=message):
            method(np.zeros(shape))


class TestTests:
    def test_sign_flips_count_every_choice_of_signs(self) -> None:
        sample = np.array(GAINS)
        means = [abs((sample * signs).mean()) for signs in product((1, -1), repeat=8)]
        as_far = [mean >= abs(sample.mean()) - 1e-12 for mean in means]
        assert sign_flip(GAINS) == pytest.approx(np.mean(as_far))

    @pytest.mark.parametrize("seeds", [5, 8, 12])
    def test_the_smallest_p_is_2_in_2_to_the_seeds(self, seeds: int) -> None:
        assert sign_flip(np.linspace(0.01, 0.02, seeds).tolist()) == 2 / 2**seeds

    def test_many_seeds_are_sampled(self) -> None:
        from scipy import stats

        sample = np.random.default_rng(0).normal(0.3, 1, 40)
        p = stats.ttest_1samp(sample, 0).pvalue
        assert sign_flip(sample.tolist()) == pytest.approx(p, abs=0.02)

    @pytest.mark.parametrize(
        "p", [[0.01, 0.04, 0.03], [0.5, 0.6], [0.001] * 4, [0.02], [0.2, 0.0, 0.011, 0.04, 0.03]]
    )
    def test_holm_is_statsmodels(self, p: list[float]) -> None:
        from statsmodels.stats.multitest import multipletests

        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])

    def test_equivalence_is_statsmodels_two_one_sided_tests(self) -> None:
        from statsmodels.stats.weightstats import ttost_paired

        other = np.random.default_rng(0).normal(size=8)
        p = ttost_paired(other + GAINS, other, -0.03, 0.03)[0]
        assert equivalence(GAINS, 0.03) == pytest.approx(p)

    def test_a_verdict_of_ties_is_equivalence(self) -> None:
        random = np.random.default_rng(0)
        for _ in range(200):
            values = random.normal(0.003, random.uniform(0.002, 0.02), 8).tolist()
            assert (verdict(values) == "ties") == (equivalence(values, 0.01) < 0.025)

    def test_the_margin_must_be_above_0(self) -> None:
        with pytest.raises(ValueError, match="the margin must be above 0, got 0"):
            equivalence(GAINS, 0)


class TestFamily:
    def test_among_equal_methods_it_says_beats_in_at_most_5_per_cent(self) -> None:
        random = np.random.default_rng(0)
        wrong = []
        for _ in range(250):
            judged = family({str(k): random.normal(0, 0.03, 10).tolist() for k in range(5)})
            wrong.append(any(each.verdict == "beats" for each in judged.values()))
        assert np.mean(wrong) <= 0.05

    def test_without_holm_it_would_say_so_more_often(self) -> None:
        random = np.random.default_rng(0)
        wrong = []
        for _ in range(1000):
            verdicts = [verdict(random.normal(0, 0.03, 10).tolist()) for _ in range(5)]
            wrong.append("beats" in verdicts)
        assert np.mean(wrong) > 0.05

    @pytest.mark.parametrize(("rivals", "says"), [(6, "beats"), (7, "inconclusive")])
    def test_eight_seeds_are_enough_for_at_most_six_comparisons(
        self, rivals: int, says: str
    ) -> None:
        values = np.linspace(0.02, 0.04, 8).tolist()
        judged = family({str(k): values for k in range(rivals)})
        assert {each.verdict for each in judged.values()} == {says}

    def test_a_tie_needs_no_test_against_0(self) -> None:
        values = [0.001, -0.002, 0.0, 0.002, -0.001, 0.001, 0.0, -0.001]
        judged = family({"a": values})["a"]
        assert judged.verdict == "ties" and judged.p > 0.5
        assert (judged.mean, judged.low, judged.high) == interval(values)


class TestShareOfGain:
    def test_the_ends_are_0_and_1(self) -> None:
        frozen, full = [0.5, 0.52, 0.49, 0.51], [0.6, 0.63, 0.6, 0.6]
        assert share_of_gain(frozen, frozen, full) == pytest.approx((0, 0, 0))
        assert share_of_gain(full, frozen, full) == pytest.approx((1, 1, 1))

    def test_it_covers_95_per_cent(self) -> None:
        random, hits = np.random.default_rng(0), []
        for _ in range(2000):
            frozen = random.normal(0.5, 0.02, 8)
            method = frozen + random.normal(0.06, 0.02, 8)
            full = frozen + random.normal(0.1, 0.03, 8)
            _, low, high = share_of_gain(method.tolist(), frozen.tolist(), full.tolist())
            hits.append(low <= 0.6 <= high)
        assert 0.93 < np.mean(hits) < 0.97

    def test_without_a_gain_of_full_fine_tuning_the_interval_is_infinite(self) -> None:
        _, low, high = share_of_gain([0.5, 0.6, 0.5], [0.5, 0.5, 0.5], [0.4, 0.6, 0.51])
        assert (low, high) == (-math.inf, math.inf)

    def test_seeds_must_be_shared(self) -> None:
        with pytest.raises(
            ValueError, match="all three must have the same seeds, two at least, got 2, 3 and 2"
        ):
            share_of_gain([0.5, 0.5], [0.5] * 3, [0.5] * 2)


class TestTradeOff:
    def test_a_point_is_on_the_front_if_no_other_dominates_it(self) -> None:
        random = np.random.default_rng(0)
        cost, score = random.integers(0, 6, 40), random.integers(0, 6, 40)
        front = pareto_front(cost, score)

        def dominates(other: int, point: int) -> bool:
            as_good = cost[other] <= cost[point] and score[other] >= score[point]
            return bool(as_good and (cost[other] < cost[point] or score[other] > score[point]))

        for point in range(40):
            dominated = any(dominates(other, point) for other in range(40))
            assert (point in front) != dominated
        assert [cost[i] for i in front] == sorted(cost[i] for i in front)

    @pytest.mark.parametrize("trials", [1, 2, 3])
    def test_the_expected_best_is_the_mean_over_every_draw(self, trials: int) -> None:
        values = [0.3, 0.5, 0.5, 0.1]
        best = [max(draw) for draw in product(values, repeat=trials)]
        assert expected_best(values, trials) == pytest.approx(np.mean(best))

    @pytest.mark.parametrize(("values", "trials"), [([], 1), ([0.1], 0)])
    def test_no_value_or_no_trial_is_refused(self, values: list[float], trials: int) -> None:
        with pytest.raises(ValueError, match="there must be at least one value and one trial"):
            expected_best(values, trials)

    def test_the_probability_of_improvement_is_mann_whitneys(self) -> None:
        from scipy import stats

        a, b = [0.5, 0.7, 0.6, 0.6], [0.6, 0.4, 0.5]
        assert improvement(a, b) == pytest.approx(stats.mannwhitneyu(a, b).statistic / 12)
