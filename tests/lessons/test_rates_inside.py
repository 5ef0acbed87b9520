"""The learning rate for which a record reads test was the best on valid, and lies inside those that were tried."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.experiments.rate_search import few
from ftkit.experiments.tables import last, where
from ftkit.lessons.multitask import study as multitask_record
from ftkit.lessons.multitask.study import BALANCE, DELTAS, TRANSFER
from ftkit.lessons.sparse import study as sparse_record
from ftkit.lessons.transfer_learning import study as freezing_record
from ftkit.paths import kit_path
from ftkit.storage import read_table

Group = tuple[tuple[Any, ...], pd.DataFrame, float]


def record(name: str) -> tuple[pd.DataFrame, list[int]]:
    """A recorded table and the seeds with which its rates were chosen."""
    table, about = read_table(kit_path("data", "results", f"{name}.parquet"))
    return table, few(about["seeds"])


def tuned_groups(table: pd.DataFrame, by: list[str]) -> Iterator[Group]:
    """Each group of runs of which one rate reads test: its settings, its rows, and that rate."""
    for key, read in table[table["quantity"] == "test/accuracy"].groupby(by):
        (lr,) = read["lr"].unique()
        yield key, where(table, **dict(zip(by, key, strict=True))), float(lr)


def check(group: Group, seeds: list[int], chosen_by: str = "valid/accuracy") -> None:
    key, rows, lr = group
    means = last(rows[rows["seed"].isin(seeds)], chosen_by).groupby("lr")["value"].mean()
    assert means.idxmax() == lr, key
    assert means.index.min() < lr < means.index.max(), key


def test_the_best_rates_of_the_recipes_and_the_far_task_of_lesson_01_lie_inside() -> None:
    table, seeds = record("01_transfer_learning")
    groups = list(
        tuned_groups(table[table["method"] != freezing_record.FREEZING], ["method", "bench"])
    )
    far = {(method, "digits as text") for method in freezing_record.FAR_LRS}
    recipes = {(method, "library") for method in freezing_record.RECIPE_LRS}
    assert {key for key, *_ in groups} == far | recipes | {("first block", "opening")}
    for group in groups:
        check(group, seeds)


def test_the_best_rates_of_the_masks_and_rails_of_lesson_05_lie_inside() -> None:
    table, seeds = record("05_sparse")
    groups = list(tuned_groups(table, ["method", *sparse_record.MASK_SETTINGS]))
    methods = [method for (method, *_), *_ in groups]
    assert {method: methods.count(method) for method in methods} == {
        sparse_record.SPARSE: 26,
        FULL: 3,
        FROZEN: 3,
    }
    for group in groups:
        check(group, seeds)


def test_the_best_rates_of_all_that_is_tuned_in_lesson_07_lie_inside() -> None:
    """How often gradients are opposed is looked at with the rates of others, and the panel's pair of images is shown at one rate."""
    table, seeds = record("07_multitask")
    groups = list(tuned_groups(table, ["part", "method", "pair", "way", "share"]))
    parts = [part for (part, *_), *_ in groups]
    ways = len(multitask_record.JUDGED_PAIRS) * (
        len(multitask_record.SHARES) + len(multitask_record.LEARNED)
    )
    assert {part: parts.count(part) for part in parts} == {BALANCE: ways, TRANSFER: 10, DELTAS: 1}
    for group in groups:
        check(group, seeds, "valid/both" if group[0][0] == BALANCE else "valid/accuracy")
