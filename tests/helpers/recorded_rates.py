"""What tests of recorded learning rates have in common."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ftkit.experiments.rate_search import tuning_seeds
from ftkit.experiments.tables import last, where
from ftkit.paths import kit_path
from ftkit.storage import read_table


class TunedGroup(NamedTuple):
    """Runs that differ only in learning rate and seed, one of whose learning rates is evaluated on
    test."""

    key: tuple[Any, ...]
    runs: pd.DataFrame
    lr: float


def recorded_runs(name: str) -> tuple[pd.DataFrame, list[int]]:
    """Read a recorded table, and the seeds that chose its learning rates."""
    table, about = read_table(kit_path("data", "results", f"{name}.parquet"))
    return table, tuning_seeds(about["seeds"])


def tuned_groups(table: pd.DataFrame, by: Sequence[str]) -> Iterator[TunedGroup]:
    """Yield each group of `by` that is evaluated on test; fail if it is at several learning rates.

    A setting that the evaluated runs do not have is not compared.
    """
    tested = where(table, quantity="test/accuracy")
    for key, rows in tested.groupby(list(by), dropna=False):
        settings = dict(zip(by, key, strict=True))
        known = {name: value for name, value in settings.items() if pd.notna(value)}
        (lr,) = rows["lr"].unique()
        yield TunedGroup(key, where(table, **known), float(lr))


def check_best_on_valid(
    group: TunedGroup, seeds: Sequence[int], chosen_by: str = "valid/accuracy"
) -> None:
    """Assert that the learning rate was the best of its group on valid, and is inside the grid.

    Args:
        group: the runs and the learning rate.
        seeds: the seeds that chose it.
        chosen_by: the quantity that chose it, higher is better.
    """
    tuning = group.runs[group.runs["seed"].isin(seeds)]
    means = last(tuning, chosen_by).groupby("lr")["value"].mean()
    assert means.idxmax() == group.lr, group.key
    assert means.index.min() < group.lr < means.index.max(), group.key
