"""Only finite real numbers enter a statistic; a run that diverged is never left out silently."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ftkit.stats.paired import (
    bootstrap,
    crossed,
    equivalence,
    family,
    holm,
    interval,
    proportion,
    sign_flip,
    t_interval,
    two_proportions,
    verdict,
)
from ftkit.stats.tradeoff import expected_best, improvement, pareto_front, share_of_gain
from ftkit.teaching.verdicts import judge_differences, points

GAINS = [0.031, 0.024, 0.029, 0.035, 0.022, 0.027, 0.03, 0.026]
NAN, INF = math.nan, math.inf

LISTS: dict[str, Callable[[Any], Any]] = {
    "interval": interval,
    "sign_flip": sign_flip,
    "holm": holm,
    "verdict": verdict,
    "equivalence": lambda values: equivalence(values, 0.1),
    "family": lambda values: family({"a": values}),
    "expected_best": lambda values: expected_best(values, 2),
    "improvement": lambda values: improvement(values, [0.1]),
    "improvement over it": lambda values: improvement([0.1], values),
    "pareto_front of costs": lambda values: pareto_front(values, [0.1, 0.2, 0.3, 0.4]),
    "pareto_front of scores": lambda values: pareto_front([0.1, 0.2, 0.3, 0.4], values),
    "share_of_gain": lambda values: share_of_gain(values, [0.1, 0.2, 0.3, 0.4], [0.5] * 4),
}
"""Every statistic of one list of values, as a function of that list."""


@pytest.mark.parametrize("statistic", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (INF, r"must be finite and at most 1e\+50 in size, got inf at position 2; "),
        (-INF, "got -inf at position 2; "),
        (1e300, r"got 1e\+300 at position 2; "),
        (10**400, "must be finite .*, got inf at position 2; "),
        (True, "must be real numbers, got True at position 2; "),
        (np.True_, "must be real numbers, got True at position 2; "),
        ("0.1", "must be real numbers, got '0.1' at position 2; "),
        (1j, "must be real numbers, got 1j at position 2; "),
        (None, "must be real numbers, got None at position 2; "),
        ([0.1], r"must be real numbers, got \[0.1\] at position 2; "),
    ],
    ids=repr,
)
def test_a_value_that_is_no_finite_number_is_refused_by_its_position(
    statistic: Callable[[Any], Any], odd: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        statistic([0.01, 0.02, odd, 0.01])


@pytest.mark.parametrize("name", [name for name in LISTS if name != "family"])
@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        np.array,
        lambda values: np.array(values, dtype=np.float32),
        pd.Series,
        lambda values: pd.Series([0.01, 0.02, None, 0.01], dtype="Float64"),
        torch.tensor,
        lambda values: torch.tensor(values, dtype=torch.bfloat16, requires_grad=True),
        lambda values: np.ma.masked_invalid(values),
        lambda values: [torch.tensor(value) for value in values],
    ],
)
def test_nan_is_refused_in_every_form(name: str, form: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match="must be finite .*, got nan at position 2; "):
        LISTS[name](form([0.01, 0.02, NAN, 0.01]))


def test_the_message_names_the_seed_where_a_column_is_indexed_by_it() -> None:
    column = pd.Series([0.1, NAN], index=pd.Index([100, 107], name="seed"))
    with pytest.raises(ValueError, match="got nan for seed 107; find out why"):
        sign_flip(column)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in LISTS if name != "holm"])
@pytest.mark.parametrize("nothing", [[], (), np.array([]), torch.tensor([]), 0.5, None, "", {}, 1])
def test_no_list_of_values_at_all_is_refused(name: str, nothing: Any) -> None:
    with pytest.raises(ValueError, match="must .*, got .*; "):
        LISTS[name](nothing)


def test_every_form_of_the_same_values_gives_the_same_interval() -> None:
    forms = [tuple, np.array, pd.Series, lambda values: torch.tensor(values, dtype=torch.float64)]
    assert {interval(form(GAINS)) for form in forms} == {interval(GAINS)}


@pytest.mark.parametrize("method", [crossed, bootstrap])
@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (NAN, r"differences must be finite .*, got nan at position \(1, 2\); "),
        (INF, r"got inf at position \(1, 2\); "),
        ("1", r"differences must be real numbers, got '1' at position \(1, 2\); "),
        (True, r"got True at position \(1, 2\); "),
    ],
)
def test_a_table_names_seed_and_item(method: Any, odd: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method([[0, 1, 0], [0, 1, odd]])


@pytest.mark.parametrize("level", [95, -1, 0, 1, NAN, INF, True, "0.95", None, [0.9]])
@pytest.mark.parametrize(
    "with_level",
    [
        lambda level: interval(GAINS, level),
        lambda level: interval([0.1], level),
        lambda level: t_interval(0.0, 1.0, 7, level),
        lambda level: crossed(np.eye(3), level),
        lambda level: bootstrap(np.eye(3), level),
        lambda level: proportion(1, 2, level),
        lambda level: share_of_gain([0.1, 0.2], [0.0, 0.1], [0.3, 0.5], level),
    ],
)
def test_a_level_is_a_share(with_level: Callable[[Any], Any], level: Any) -> None:
    with pytest.raises(ValueError, match="level must be above 0 and below 1, got .*; 0.95 is usu"):
        with_level(level)


@pytest.mark.parametrize("margin", [0, -0.01, NAN, INF, "x", None, True])
@pytest.mark.parametrize(
    "with_margin",
    [
        lambda margin: verdict(GAINS, margin),
        lambda margin: verdict(GAINS[:2], margin),
        lambda margin: equivalence(GAINS, margin),
        lambda margin: family({"a": GAINS}, margin),
    ],
)
def test_a_margin_is_above_0(with_margin: Callable[[Any], Any], margin: Any) -> None:
    with pytest.raises(ValueError, match="the margin must be .*, got .*; declare before the runs"):
        with_margin(margin)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: holm([-1, 0.5]), "p must be from 0 to 1, got -1 at position 0"),
        (lambda: holm([0.5, 1.1]), "p must be from 0 to 1, got 1.1 at position 1"),
        (lambda: proportion(3, 2), "the number of right items must be at most 2, got 3"),
        (lambda: proportion(0, 0), "the number of items must be at least 1, got 0"),
        (lambda: proportion(0.5, 2), "the number of right items must be a whole number, got 0.5"),  # type: ignore[arg-type]
        (lambda: two_proportions(1, 2, 1, NAN), "of items must be a whole number, got nan"),  # type: ignore[arg-type]
        (lambda: two_proportions(1, 2, -1, 2), "right items must be at least 0, got -1"),
        (lambda: bootstrap(np.eye(3), draws=0), "draws must be at least 1, got 0"),
        (lambda: bootstrap(np.eye(3), draws=10**12), "draws must be at most 1000000, got 10000"),
        (lambda: bootstrap(np.eye(3), seed=-1), "seed must be at least 0, got -1"),
        (lambda: expected_best([0.1], 1.5), "trials must be a whole number, got 1.5"),  # type: ignore[arg-type]
        (lambda: expected_best([0.1], True), "trials must be a whole number, got True"),
        (lambda: pareto_front([1, 2], [0.5]), "each point must have a cost and a score, got 2 cos"),
        (lambda: equivalence([0.1], 0.2), "differences must hold at least 2 values, got 1"),
        (lambda: t_interval(0.0, -1.0, 7), "error at least 0 and freedom above 0, got error=-1"),
        (lambda: t_interval(0.0, 1.0, 0), "freedom above 0, got freedom=0"),
        (lambda: t_interval(NAN, 1.0, 7), "mean must be finite, .* got mean=nan"),
        (lambda: family([GAINS]), "differences must be {name of a comparison: its differences}"),  # type: ignore[arg-type]
    ],
)
def test_other_parameters_outside_their_range(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_one_difference_is_as_far_from_0_under_every_flip() -> None:
    assert sign_flip([0.01]) == 1.0


def test_an_empty_family_is_adjusted_to_an_empty_one() -> None:
    assert holm([]) == [] and family({}) == {}


@pytest.mark.parametrize(("value", "p"), [(0.05, 0.0), (-0.1, 1.0), (0.1, 1.0), (-0.3, 1.0)])
def test_equal_differences_are_within_the_margin_or_not(value: float, p: float) -> None:
    """A t-test would divide by a deviation of 0, and give nan at the margin itself."""
    assert equivalence([value] * 4, 0.1) == p


class TestDivergedRuns:
    """A comparison with a run that diverged is inconclusive, and takes no verdict from others."""

    def test_the_others_keep_their_verdicts(self) -> None:
        cases = {"a": GAINS, "b": [*GAINS[:3], NAN, *GAINS[4:]], "c": [-gain for gain in GAINS]}
        judged = family(cases)
        assert [each.verdict for each in judged.values()] == ["beats", "inconclusive", "loses"]
        assert judged["b"].note == "the run at position 3 diverged"
        assert judged["b"].p == 1 and math.isnan(judged["b"].mean)
        assert judged["a"].note == judged["c"].note == ""

    def test_it_keeps_its_place_in_the_family(self) -> None:
        """Six comparisons can have a verdict with eight seeds, seven cannot."""
        six = {str(k): GAINS for k in range(6)}
        assert family({**six, "diverged": [NAN] * 8})["0"].verdict == "inconclusive"
        assert family(six)["0"].verdict == "beats"

    @pytest.mark.parametrize("form", [np.array, pd.Series, torch.tensor])
    def test_in_every_form(self, form: Callable[[Any], Any]) -> None:
        judged = family({"a": form([NAN, *GAINS, NAN])})["a"]
        assert judged.verdict == "inconclusive"
        assert judged.note == "the runs at positions 0, 9 diverged"

    def test_a_claim_says_so(self) -> None:
        gaps = {"a": np.array(GAINS), "b": np.array([*GAINS[:7], NAN])}
        findings, says = judge_differences(gaps, {"beats", "ties"})
        assert says == "inconclusive"
        assert str(findings[1]) == "b no mean, the run at position 7 diverged, inconclusive"
        assert findings[0].verdict == "beats"
        assert points([NAN, 0.1]) == "no mean, the run at position 0 diverged"
