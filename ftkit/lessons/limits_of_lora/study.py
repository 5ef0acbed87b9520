"""The study of lesson 03: every way to train at every distance, and forgetting at every learning
rate."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE
from ftkit.experiments.rate_search import tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import where
from ftkit.lessons.limits_of_lora import trial
from ftkit.lessons.limits_of_lora.trial import (
    LARGE_BATCH,
    LARGE_RANK,
    LORA,
    LRS,
    NEAR_TO_FAR,
    ONE_RANK,
    RANKS,
    REFERENCE_LRS,
    SEEDS,
    WAYS,
    WITH_HEAD,
)

NEAREST = NEAR_TO_FAR[0]
WITHOUT_RANK = [way for way, rank in ONE_RANK.items() if rank == 0]


def jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of `trial.trial` that choose the learning rates."""
    runs = []
    for way in WAYS:
        ranks = RANKS if way == LORA else (ONE_RANK[way],)
        runs += grid(bench=NEAR_TO_FAR, way=[way], rank=ranks, size=[SIZE], lr=LRS[way], seed=seeds)
    large: dict[str, Any] = {"rank": [LARGE_RANK], "size": [LARGE_BATCH]}
    return runs + grid(bench=[NEAREST], way=[LORA], **large, lr=LRS[LORA], seed=seeds)


def reference_jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of the reference methods that choose the learning rates."""
    runs = []
    for method, lrs in REFERENCE_LRS.items():
        runs += grid(bench=NEAR_TO_FAR, method=[method], size=[SIZE], lr=lrs, seed=seeds)
    large: dict[str, Any] = {"size": [LARGE_BATCH], "lr": REFERENCE_LRS[FULL]}
    return runs + grid(bench=[NEAREST], method=[FULL], **large, seed=seeds)


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study: the chosen runs, and forgetting at every learning rate on the nearest
    task.

    There LoRA and full fine-tuning run at every learning rate with all seeds, which gives a curve
    of accuracy and forgetting for each seed.
    """
    table = chosen_runs(executor, seeds)
    fixed: dict[str, Any] = {"bench": [NEAREST], "size": [SIZE], "seed": seeds}
    lora_lrs = where(table, bench=NEAREST, way=LORA, rank=LARGE_RANK, size=SIZE)["lr"].unique()
    lora_jobs = grid(way=[LORA], rank=[LARGE_RANK], lr=sorted(lora_lrs), **fixed)
    full_lrs = where(table, bench=NEAREST, method=FULL, size=SIZE)["lr"].unique()
    full_jobs = grid(method=[FULL], lr=sorted(full_lrs), **fixed)
    tables = [
        table,
        sweep(trial.trial, lora_jobs, executor),
        sweep(trial.reference, full_jobs, executor),
    ]
    whole = _filled(pd.concat(tables, ignore_index=True))
    settings = [name for name in whole.columns if name not in ("value", "items")]
    return whole.drop_duplicates(settings, ignore_index=True)


def chosen_runs(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Choose the learning rate of every way and reference, and evaluate it on test.

    Learning rates are chosen on valid with half of the seeds; the chosen settings run once with all
    seeds.
    """
    half = tuning_seeds(seeds)
    reference_by = ["bench", "method", "size"]
    by = ["bench", "way", "rank", "size"]
    tables = [
        tune_and_test(trial.reference, reference_jobs(half), reference_by, seeds, executor),
        tune_and_test(trial.trial, jobs(half), by, seeds, executor),
    ]
    return _filled(pd.concat(tables, ignore_index=True))


def _filled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a value for settings that a run does not have."""
    return table.fillna({"method": WITH_HEAD, "way": "", "rank": 0}).astype({"rank": int})


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """Select the runs of the usual batch size; repeat a way without a rank at every rank."""
    rows = table[table["size"] == SIZE].drop(columns="size")
    has_rank = ~rows["way"].isin(WITHOUT_RANK)
    repeated = [rows[~has_rank].assign(rank=rank) for rank in RANKS]
    return pd.concat([rows[has_rank], *repeated], ignore_index=True)
