"""The search for a learning rate on valid, with half of the seeds; wider where the best lies at the edge."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.sweep import KEPT, Settings, Trial, sweep
from ftkit.experiments.tables import tuned, where

WIDER = 4
"""How often a grid of learning rates is widened, at most."""


def few(seeds: Sequence[int]) -> list[int]:
    """The half of the seeds with which rates are chosen."""
    return list(seeds[: max(1, len(seeds) // 2)])


def finals(tuning: pd.DataFrame, by: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The jobs that may read test: for each group of `by` the rate that was best on valid, once with each of `seeds`."""
    best = [{**dict(zip(by, key, strict=True)), "lr": lr} for key, lr in tuned(tuning, by).items()]
    return [{**settings, "seed": seed, "test": True} for settings in best for seed in seeds]


def settled(
    trial: Trial,
    jobs: Sequence[Settings],
    by: Sequence[str],
    seeds: Sequence[int],
    executor: Executor | None,
    keep: Sequence[str] = KEPT,
) -> pd.DataFrame:
    """The runs of `jobs`, and for each group of `by` its best learning rate on valid again, with all `seeds` and reading test.

    Where the best rate is the lowest or the highest that was tried, the next one beyond is tried too, with the same seeds, until the best
    lies inside: a rate at the edge says only that better ones may lie beyond. A group with a single rate keeps it.
    """
    tuning = sweep(trial, jobs, executor)
    for _ in range(WIDER):
        if not (more := beyond(tuning, jobs, by)):
            break
        tuning = pd.concat([tuning, sweep(trial, more, executor)], ignore_index=True)
    both = pd.concat(
        [sweep(trial, finals(tuning, by, seeds), executor, keep=keep).drop(columns="test"), tuning],
        ignore_index=True,
    )
    names = [name for name in both.columns if name != "value"]
    return both.drop_duplicates(names, ignore_index=True)


def beyond(
    tuning: pd.DataFrame, jobs: Sequence[Settings], by: Sequence[str]
) -> list[dict[str, Any]]:
    """For each group of `by` whose best rate lies at the edge of those tried: its jobs at that rate, moved to the next one outside."""
    more = []
    for key, lr in tuned(tuning, by).items():
        group = dict(zip(by, key, strict=True))
        tried = sorted(where(tuning, **group)["lr"].unique())
        if len(tried) == 1 or tried[0] < lr < tried[-1]:
            continue
        outside = next_rate(lr, up=lr == tried[-1])
        own = [job for job in jobs if all(job[name] == value for name, value in group.items())]
        some = own[0]["lr"]
        more += [{**job, "lr": outside} for job in own if job["lr"] == some]
    return more


def next_rate(lr: float, up: bool) -> float:
    """The neighbour of a rate on the ladder 1, 3, 10, 30, ...

    >>> next_rate(0.03, up=True), next_rate(0.01, up=False)
    (0.1, 0.003)
    """
    decade = math.floor(math.log10(lr) + 1e-9)
    is_one = lr / 10**decade < 2
    if up:
        return float(f"3e{decade}" if is_one else f"1e{decade + 1}")
    return float(f"3e{decade - 1}" if is_one else f"1e{decade}")


def chosen(table: pd.DataFrame, **settings: Any) -> float:
    """The rate that was chosen for these settings: the one for which test was read.

    Raises:
        ValueError: there is none for what is asked.
    """
    rows = where(table, **settings)
    rates = set(rows[rows["quantity"] == "test/accuracy"]["lr"])
    if len(rates) != 1:
        raise ValueError(
            f"what is asked must be one recorded setting, got {settings} with {len(rates)} chosen rates; see what was recorded"
        )
    return float(rates.pop())
