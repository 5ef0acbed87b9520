"""A study's rates: widened until the best lies inside, and test read once for what was chosen."""

import math
from collections.abc import Iterator

import pytest

from ftkit.events import Event
from ftkit.studies.recording import WIDER, beyond, next_rate, settled
from ftkit.sweeps import grid, last, where

SEEDS = (0, 1, 2, 3)


def trial(method: str, lr: float, seed: int, test: bool = False) -> Iterator[Event]:
    """Best at 0.1 for "high", at 0.001 for "low"; better without end as the rate grows for "endless"."""
    peak = {"high": -1.0, "low": -3.0, "endless": 9.0}[method]
    yield Event(1, "valid", {"valid/accuracy": 0.9 - 0.01 * abs(math.log10(lr) - peak) + 0.0001 * seed})
    if test:
        yield Event(1, "test", {"test/accuracy": 0.5})


def jobs(*methods: str, lrs: tuple[float, ...] = (0.003, 0.01)) -> list[dict[str, object]]:
    return grid(method=methods, lr=lrs, seed=SEEDS[:2])


def test_the_grid_grows_until_the_best_rate_lies_inside() -> None:
    table = settled(trial, jobs("high", "low"), ["method"], SEEDS, None)
    assert sorted(where(table, method="high")["lr"].unique()) == [0.003, 0.01, 0.03, 0.1, 0.3]
    assert sorted(where(table, method="low")["lr"].unique()) == [0.0003, 0.001, 0.003, 0.01]


def test_test_is_read_once_for_the_best_rate_with_all_seeds() -> None:
    table = settled(trial, jobs("high", "low"), ["method"], SEEDS, None)
    read = table[table["quantity"] == "test/accuracy"]
    assert {(row["method"], row["lr"]) for _, row in read.iterrows()} == {("high", 0.1), ("low", 0.001)}
    assert sorted(where(read, method="high")["seed"]) == list(SEEDS)


def test_no_reading_is_kept_twice() -> None:
    table = settled(trial, jobs("high"), ["method"], SEEDS, None)
    assert len(last(table)) == len(last(table).drop_duplicates(["lr", "seed"])) == 5 * 2 + 2


def test_a_best_that_runs_away_is_followed_only_so_far() -> None:
    table = settled(trial, jobs("endless"), ["method"], SEEDS, None)
    assert table["lr"].nunique() == 2 + WIDER


def test_a_single_rate_is_kept() -> None:
    tuning = settled(trial, jobs("high", lrs=(0.01,)), ["method"], SEEDS, None)
    assert set(tuning["lr"]) == {0.01}


def test_only_the_jobs_of_a_group_at_its_edge_are_moved() -> None:
    tuning = settled(trial, jobs("low", lrs=(0.0003, 0.001, 0.003)), ["method"], SEEDS, None)
    assert beyond(tuning, jobs("low", lrs=(0.0003, 0.001, 0.003)), ["method"]) == []


@pytest.mark.parametrize("lr", [1e-4, 3e-4, 1e-3, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
def test_up_and_down_again_is_where_one_was(lr: float) -> None:
    assert next_rate(next_rate(lr, up=True), up=False) == lr == next_rate(next_rate(lr, up=False), up=True)
