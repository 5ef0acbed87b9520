"""The record of lesson 03: the study of distance, every rate with all seeds where what is forgotten is judged, and what steps cost."""

from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import where
from ftkit.lessons.limits_of_lora import trial as distance
from ftkit.lessons.limits_of_lora.trial import LARGE_RANK, LORA, OWN, PLACES, SEEDS

NEAR = PLACES[0]
WITHOUT_RANK = [way for way, rank in distance.ONE_RANK.items() if rank == 0]


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The study, and on the nearest place LoRA and full fine-tuning with all seeds at every rate that was tried: their whole curve of
    accuracy and forgetting, one a seed."""
    table = distance.record(executor, seeds)
    own: dict[str, Any] = {"bench": [NEAR], "size": [SIZE], "seed": seeds}
    tried = where(table, bench=NEAR, way=LORA, rank=LARGE_RANK, size=SIZE)["lr"].unique()
    more = [
        sweep(
            distance.trial, grid(way=[LORA], rank=[LARGE_RANK], lr=sorted(tried), **own), executor
        )
    ]
    tried = where(table, bench=NEAR, method=FULL, size=SIZE)["lr"].unique()
    more.append(sweep(distance.reference, grid(method=[FULL], lr=sorted(tried), **own), executor))
    every = (
        pd.concat([table, *more], ignore_index=True)
        .fillna({"method": OWN, "way": "", "rank": 0})
        .astype({"rank": int})
    )
    return every.drop_duplicates(
        [name for name in every.columns if name not in ("value", "items")], ignore_index=True
    )


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """Runs of the usual size; ways without a rank stand at every rank."""
    rows = table[table["size"] == SIZE].drop(columns="size")
    fixed = rows["way"].isin(WITHOUT_RANK)
    return pd.concat(
        [rows[~fixed], *(rows[fixed].assign(rank=rank) for rank in distance.RANKS)],
        ignore_index=True,
    )
