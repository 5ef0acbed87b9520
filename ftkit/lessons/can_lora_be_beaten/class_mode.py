"""Class mode: everybody runs one seed and hands in a file; together they make one error bar."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ftkit.experiments.rate_search import chosen
from ftkit.experiments.recording import about
from ftkit.experiments.sweep import sweep
from ftkit.lessons.can_lora_be_beaten.study import EXAMPLES, MIDDLE, NUMBERS, trial
from ftkit.storage import read_table, write_table

SAME = ("torch", "transformers", "fingerprints", "methods", "bench", "examples")
"""What must be the same in all files, so that they differ by their seeds alone."""


def hand_in(
    folder: Path,
    seed: int,
    recorded: pd.DataFrame,
    bench: str,
    methods: Sequence[str],
    examples: int = EXAMPLES[1],
) -> Path:
    """Runs `methods` on one task with one seed, each at the rate that was chosen in `recorded`, and writes `seed-<seed>.parquet`.

    Raises:
        ValueError: a seed that is no whole number from 0 up, or is one of the record; a task, method or size that was not recorded.
    """
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(
            f"seed must be a whole number from 0 up, got {seed!r}; take a number of your own, such as your birthday"
        )
    if seed in set(recorded["seed"]):
        raise ValueError(
            f"seed must be one that the record does not have, got {seed}; take a number of your own, such as your birthday"
        )
    cell: dict[str, Any] = {"bench": bench, "rank": MIDDLE, "examples": examples, "budget": NUMBERS}
    own = {**cell, "seed": seed, "test": True}
    table = sweep(
        trial,
        [{**own, "method": name, "lr": chosen(recorded, method=name, **cell)} for name in methods],
    ).drop(columns="test")
    path = folder / f"seed-{seed}.parquet"
    write_table(
        path,
        table,
        {**about("09", [seed]), "methods": list(methods), "bench": bench, "examples": examples},
    )
    return path


def merged(paths: Sequence[Path]) -> pd.DataFrame:
    """The runs of many files as one table.

    Raises:
        ValueError: no file, two files of one seed, or files that were made with other versions, data, methods or tasks.
    """
    if not paths:
        raise ValueError(
            "there must be a file to merge, got none; everybody hands in one with hand_in"
        )
    read = [(path, *read_table(path)) for path in sorted(paths)]
    (first, _, like), seen = read[0], dict[int, Path]()
    for path, _, told in read:
        if other := [name for name in SAME if told.get(name) != like.get(name)]:
            raise ValueError(
                f"all files must agree on {other[0]}, got {told.get(other[0])} in {path.name} and {like.get(other[0])} in {first.name}"
            )
        for seed in told["seeds"]:
            if seed in seen:
                raise ValueError(
                    f"every seed must be handed in once, got {seed} in {seen[seed].name} and {path.name}; one of you runs another"
                )
            seen[seed] = path
    return pd.concat([table for _, table, _ in read], ignore_index=True)
