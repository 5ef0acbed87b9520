"""Class mode: everybody runs one seed and hands in a file; together they make one error bar."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ftkit.experiments.rate_search import chosen
from ftkit.experiments.recording import about
from ftkit.experiments.sweep import sweep
from ftkit.lessons.can_lora_be_beaten.trial import EXAMPLES, MIDDLE, PARAMETERS, trial
from ftkit.storage import check_writable, read_table, write_table

SAME = ("torch", "transformers", "fingerprints", "methods", "bench", "examples")
"""What must be the same in all files, so that they differ only by their seeds."""


def hand_in(
    folder: Path,
    seed: int,
    recorded: pd.DataFrame,
    bench: str,
    methods: Sequence[str],
    examples: int = EXAMPLES[1],
) -> Path:
    """Run methods on one benchmark with one seed, and write `seed-<seed>.parquet`.

    Args:
        folder: where the file goes.
        seed: at least 0, and none of the recorded ones.
        recorded: the recorded runs; each method runs at the learning rate that was chosen there.
        bench: the benchmark.
        methods: that are recorded on it.
        examples: the number of training rows.

    Raises:
        ValueError: a seed that is not a whole number from 0 up, or was recorded; or a benchmark,
            method or size that was not recorded; or a folder that cannot be written.
    """
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(
            f"seed must be a whole number from 0 up, got {seed!r}; "
            "take a number of your own, such as your birthday"
        )
    if seed in set(recorded["seed"]):
        raise ValueError(
            f"seed must not be one of the recorded seeds, got {seed}; "
            "take a number of your own, such as your birthday"
        )
    cell: dict[str, Any] = {
        "bench": bench,
        "rank": MIDDLE,
        "examples": examples,
        "budget": PARAMETERS,
    }
    jobs = [
        {
            **cell,
            "seed": seed,
            "test": True,
            "method": method,
            "lr": chosen(recorded, method=method, **cell),
        }
        for method in methods
    ]
    path = folder / f"seed-{seed}.parquet"
    check_writable(path, "your results")
    table = sweep(trial, jobs).drop(columns="test")
    made = about("09", [seed])
    write_table(
        path, table, made | {"methods": list(methods), "bench": bench, "examples": examples}
    )
    return path


def merged(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the runs of several files as one table.

    Raises:
        ValueError: no file; two files with the same seed; or files that were made with other
            versions, data, methods or benchmarks.
    """
    if not paths:
        raise ValueError(
            "there must be a file to merge, got none; everybody hands in one with hand_in"
        )
    files = [(path, *read_table(path)) for path in sorted(paths)]
    first, _, expected = files[0]
    handed_in: dict[int, Path] = {}
    for path, _, made in files:
        differs = [name for name in SAME if made.get(name) != expected.get(name)]
        if differs:
            name = differs[0]
            raise ValueError(
                f"all files must agree on {name}, got {made.get(name)} in {path.name} "
                f"and {expected.get(name)} in {first.name}; make them the same way"
            )
        for seed in made["seeds"]:
            if seed in handed_in:
                raise ValueError(
                    f"every seed must be handed in once, got {seed} in {handed_in[seed].name} "
                    f"and {path.name}; one of you runs another"
                )
            handed_in[seed] = path
    return pd.concat([table for _, table, _ in files], ignore_index=True)
