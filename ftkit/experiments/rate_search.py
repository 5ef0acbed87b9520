"""Search the learning rate of each method on valid, then evaluate it once on test.

1. Every learning rate of a grid runs with half of the seeds.
2. Where the best one is at the edge of the grid, the next one outside runs too.
3. The best one runs with all seeds, and is evaluated on test.
"""

import math
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.sweep import KEPT, Settings, Trial, sweep
from ftkit.experiments.tables import tuned, where

WIDER = 4
"""The most times that a grid of learning rates is widened."""


def tuning_seeds(seeds: Sequence[int]) -> list[int]:
    """The half of the seeds with which learning rates are searched."""
    return list(seeds[: max(1, len(seeds) // 2)])


def tune_and_test(
    trial: Trial,
    jobs: Sequence[Settings],
    by: Sequence[str],
    seeds: Sequence[int],
    executor: Executor | None,
    keep: Sequence[str] = KEPT,
    choose_by: str = "valid/accuracy",
) -> pd.DataFrame:
    """Run `jobs`, and for each group of `by` its best learning rate again with all seeds and test.

    The best learning rate has the best mean of `choose_by`. Where it is the lowest or the
    highest that was tried, the next one outside runs with the same seeds, until the best is
    inside: at the edge, a better one may be outside. A group with one learning rate keeps it.

    A learning rate with which a run diverged or failed is never the best. If all of a group are
    such, lower ones run. If these are too, the group has no runs with test, and a warning names it.
    Every run that diverged is in the table, see `sweep`.

    Args:
        trial: takes the settings of a job, and `test`.
        jobs: the settings of the runs for the search, with `lr` and `seed`.
        by: the settings that make a group, each with a learning rate of its own.
        seeds: the seeds of the runs that are evaluated on test.
        executor: makes the runs, see `sweep`.
        keep: the stages of the events that the runs with test keep.
        choose_by: the quantity on valid by which learning rates are chosen.
    """
    tuning = sweep(trial, jobs, executor)
    for _ in range(WIDER):
        more = wider_jobs(tuning, jobs, by, choose_by)
        if not more:
            break
        tuning = pd.concat([tuning, sweep(trial, more, executor)], ignore_index=True)
    for key, lr in tuned(tuning, by, choose_by=choose_by).items():
        if lr is None:
            group = dict(zip(by, key, strict=True))
            warnings.warn(
                f"a run diverged or failed at every learning rate of {group}; "
                "it is not evaluated on test",
                stacklevel=2,
            )
    final_jobs = final_runs(tuning, by, seeds, choose_by)
    if not final_jobs:
        return tuning
    final = sweep(trial, final_jobs, executor, keep=keep).drop(columns="test")
    table = pd.concat([final, tuning], ignore_index=True)
    # A final run repeats a run of the search, up to test: keep one of each row.
    names = [name for name in table.columns if name != "value"]
    return table.drop_duplicates(names, ignore_index=True)


def final_runs(
    tuning: pd.DataFrame,
    by: Sequence[str],
    seeds: Sequence[int],
    choose_by: str = "valid/accuracy",
) -> list[dict[str, Any]]:
    """The jobs that are evaluated on test: the best learning rate of each group, with all seeds.

    A group without a best learning rate, see `tuned`, has no jobs.
    """
    rates = tuned(tuning, by, choose_by=choose_by)
    best = [
        {**dict(zip(by, key, strict=True)), "lr": lr} for key, lr in rates.items() if lr is not None
    ]
    return [{**settings, "seed": seed, "test": True} for settings in best for seed in seeds]


def wider_jobs(
    tuning: pd.DataFrame,
    jobs: Sequence[Settings],
    by: Sequence[str],
    choose_by: str = "valid/accuracy",
) -> list[dict[str, Any]]:
    """The jobs of the next learning rate outside, for each group whose best one is at the edge.

    For a group without a best one, where runs diverged at all of them, that is the next lower one.
    """
    more = []
    for key, lr in tuned(tuning, by, choose_by=choose_by).items():
        group = dict(zip(by, key, strict=True))
        tried = sorted(where(tuning, **group)["lr"].unique())
        if len(tried) == 1 or (lr is not None and tried[0] < lr < tried[-1]):
            continue
        outside = next_rate(tried[0], up=False) if lr != tried[-1] else next_rate(lr, up=True)
        of_group = [job for job in jobs if all(job[name] == value for name, value in group.items())]
        # The jobs of one learning rate have all seeds and all settings that are not in `by`.
        one_lr = of_group[0]["lr"]
        more += [{**job, "lr": outside} for job in of_group if job["lr"] == one_lr]
    return more


def next_rate(lr: float, up: bool) -> float:
    """The next learning rate in the series 0.001, 0.003, 0.01, 0.03, ..., upwards or downwards.

    >>> next_rate(0.03, up=True), next_rate(0.01, up=False)
    (0.1, 0.003)
    """
    decade = math.floor(math.log10(lr) + 1e-9)
    is_one = lr / 10**decade < 2  # 1e-2 rather than 3e-2
    # Made from text, so that the result is the float that one would write.
    if up:
        return float(f"3e{decade}" if is_one else f"1e{decade + 1}")
    return float(f"3e{decade - 1}" if is_one else f"1e{decade}")


def chosen(table: pd.DataFrame, **settings: Any) -> float:
    """The learning rate that was chosen for these settings: the one that was evaluated on test.

    Raises:
        ValueError: no learning rate, or more than one, was chosen for these settings.
    """
    rows = where(table, **settings)
    rates = set(rows[rows["quantity"] == "test/accuracy"]["lr"])
    if len(rates) != 1:
        raise ValueError(
            f"the settings must have one chosen learning rate, got {len(rates)} for {settings}; "
            "see which settings were recorded"
        )
    return float(rates.pop())


def chosen_rates(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """List the learning rate that was chosen for each group of settings, one row a group.

    The column `edge` says whether it is at the edge of those that were tried, so that a better one
    may be outside. Groups that were never evaluated on test are left out.
    """
    rows = []
    for key, runs in table.groupby(list(by), sort=False):
        if "test/accuracy" not in set(runs["quantity"]):
            continue
        lr, tried = chosen(runs), sorted(runs["lr"].unique())
        settings = dict(zip(by, key, strict=True))
        rows.append({**settings, "lr": lr, "edge": not tried[0] < lr < tried[-1]})
    return pd.DataFrame(rows)
