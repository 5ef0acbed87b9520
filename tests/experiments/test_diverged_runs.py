"""A run that diverged or failed stays in every table, and never makes a mean better."""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from ftkit.experiments.rate_search import chosen, tune_and_test, wider_jobs
from ftkit.experiments.recording import standing
from ftkit.experiments.resumable import CachedExecutor
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import last, summary, tuned, where
from ftkit.panel.recorded_runs import Recorded
from ftkit.teaching.recorded_evidence import items_by_seed, values_by_seed
from ftkit.training.events import Diverged, Event, packed


def trial(
    lr: float, seed: int, method: str = "steady", bench: str = "here", test: bool = False
) -> Iterator[Event]:
    """The larger the learning rate the better, but from 0.1 on some seeds do not come to the end.

    "steady" diverges at 0.1 with seed 1 alone, "wild" at every learning rate, "broken" fails at
    0.1, "late" diverges with seed 3, which takes no part in the search.
    """
    yield Event(1, "valid", {"valid/accuracy": 0.5 + lr})
    if method == "wild" or (method == "steady" and lr >= 0.1 and seed == 1):
        raise Diverged("the loss is nan at step 2")
    if method == "broken" and lr >= 0.1 and seed == 1:
        raise OSError("no such disk")
    if method == "late" and seed == 3:
        raise Diverged("the loss is nan at step 2")
    yield Event(2, "valid", {"valid/accuracy": 0.6 + lr})
    if test:
        right = [1, 0, 1, int(lr > 0.02)]
        accuracy = sum(right) / 4
        yield Event(2, "test", {"test/accuracy": accuracy}, {"test/accuracy": packed(right)})
    yield Event(2, "cost", {"cost/trainable": 10.0})


def table(method: str, seeds: int = 2) -> pd.DataFrame:
    jobs = grid(lr=[0.01, 0.03, 0.1], seed=range(seeds), method=[method], bench=["here"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sweep(trial, jobs)


def tuned_and_tested(*methods: str) -> pd.DataFrame:
    jobs = grid(method=methods, lr=[0.01, 0.03, 0.1], seed=[0, 1])
    return tune_and_test(trial, jobs, ["method"], (0, 1, 2, 3), None)


@pytest.mark.parametrize("method", ["steady", "broken"])
def test_the_last_value_of_a_run_that_did_not_end_is_nan(method: str) -> None:
    ends = last(table(method)).set_index(["lr", "seed"])["value"]
    assert len(ends) == 6
    assert math.isnan(ends[0.1, 1]) and ends[0.1, 0] == 0.7
    assert ends.isna().sum() == 1


def test_a_run_that_diverged_before_any_validation_is_there_too() -> None:
    def at_once(seed: int) -> Iterator[Event]:
        if seed:
            raise Diverged("the loss is nan at step 1")
        yield Event(1, "valid", {"valid/accuracy": 0.5})

    ends = last(sweep(at_once, grid(seed=[0, 1])))
    assert ends["seed"].tolist() == [0, 1]
    assert ends["value"].isna().tolist() == [False, True]


def test_a_mean_with_such_a_run_is_nan_and_counts_it() -> None:
    means = summary(last(table("steady")), ["lr"]).set_index("lr")
    assert means.loc[0.1, ["mean", "low", "high"]].isna().all() and means.loc[0.1, "runs"] == 2
    assert means.loc[0.03, "mean"] == pytest.approx(0.63)


@pytest.mark.parametrize("method", ["steady", "broken"])
def test_a_learning_rate_with_such_a_run_is_never_chosen(method: str) -> None:
    runs = table(method)
    without = runs[~runs["quantity"].isin(["diverged", "failed"])]
    assert tuned(without, ["method"]) == {(method,): 0.1}, "what it had reached was the best"
    assert tuned(runs, ["method"]) == {(method,): 0.03}


def test_without_any_other_learning_rate_none_is_chosen() -> None:
    both = pd.concat([table("wild"), table("steady")], ignore_index=True)
    assert tuned(both, ["method"]) == {("wild",): None, ("steady",): 0.03}


def test_the_search_goes_on_below_the_lowest_where_all_diverged() -> None:
    jobs = grid(method=["wild"], lr=[0.01, 0.03], seed=[0, 1])
    more = wider_jobs(sweep(trial, jobs), jobs, ["method"])
    assert more == grid(method=["wild"], lr=[0.003], seed=[0, 1])


def test_a_search_keeps_every_such_run_and_tests_the_others() -> None:
    with pytest.warns(UserWarning, match="at every learning rate of {'method': 'wild'}; it is not"):
        found = tuned_and_tested("wild", "steady")
    assert chosen(found, method="steady") == 0.03
    assert len(where(found, method="steady", quantity="diverged")) == 1
    assert len(where(found, method="wild", quantity="diverged")) == 2 * (3 + 4)
    assert where(found, method="wild", quantity="test/accuracy").empty


def test_a_search_in_which_all_diverged_is_a_table_too() -> None:
    with pytest.warns(UserWarning, match="at every learning rate"):
        found = tuned_and_tested("wild")
    assert set(found["quantity"]) == {"valid/accuracy", "diverged"}


def test_a_seed_that_diverged_in_the_final_runs_is_nan_among_the_others() -> None:
    found = tuned_and_tested("late")
    values = values_by_seed(found, method="late")
    assert [math.isnan(value) for value in values] == [False, False, False, True]
    with pytest.raises(ValueError, match="got diverged runs for seed 3; leave this comparison out"):
        items_by_seed(found, method="late")


def test_a_run_that_diverged_in_the_search_is_not_missing_on_test() -> None:
    found = tuned_and_tested("steady")
    assert [math.isnan(value) for value in values_by_seed(found)] == [False] * 4
    assert len(last(found, "test/accuracy")) == 4


def test_the_results_so_far_have_no_mean_for_them_and_come_last(tmp_path: Path) -> None:
    jobs = grid(lr=[0.03, 0.1], seed=[0, 1], method=["steady"], bench=["here"])
    with CachedExecutor(tmp_path / "runs.sqlite") as executor:
        sweep(trial, jobs, executor)
    so_far = standing(tmp_path / "runs.sqlite")
    assert so_far["lr"].tolist() == [0.03, 0.1] and so_far["runs"].tolist() == [2, 2]
    assert so_far["mean"].isna().tolist() == [False, True]


def test_a_panel_draws_no_mean_beyond_the_end_of_such_a_run() -> None:
    both = pd.concat([table("steady").assign(rank=1), table("late", 4).assign(rank=1, bench="far")])
    recorded = Recorded(both, "steady", "lr", baselines={"here": 0.5})
    curve = recorded.curve({"bench": "here", "lr": 0.1, "rank": 1})
    assert curve is not None
    assert [math.isnan(value) for value in curve["mean"]] == [True, True]
    points = recorded.points({"bench": "here", "lr": 0.1, "rank": 1})
    assert [point["label"] for point in points] == ["0.01", "0.03"]
    assert recorded.references == {}
