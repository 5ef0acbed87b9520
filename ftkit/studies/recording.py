"""A study made into a file: run in processes, and written with how it was made."""

import platform
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ftkit.record import write_table
from ftkit.studies.bench import BENCHES, load
from ftkit.sweeps import tuned

Record = Callable[[Executor | None], pd.DataFrame]
More = Callable[[], dict[str, Any]]


def make(path: Path, lesson: str, record: Record, seeds: Sequence[int], workers: int = 2, more: More = dict) -> None:
    """Runs `record` in `workers` processes of one thread each and writes its table to `path`, with what `more` measures afterwards."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        table = record(pool)
    write_table(path, table, {**about(lesson, seeds), **more()})


def finals(tuning: pd.DataFrame, by: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The jobs that may read test: for each group of `by` the rate that was best on valid, once with each of `seeds`."""
    best = [{**dict(zip(by, key, strict=True)), "lr": lr} for key, lr in tuned(tuning, by).items()]
    return [{**settings, "seed": seed, "test": True} for settings in best for seed in seeds]


def about(lesson: str, seeds: Sequence[int]) -> dict[str, Any]:
    """How the table of a lesson was made."""
    return {
        "command": f"make results LESSON={lesson}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "seeds": list(seeds),
        "fingerprints": {on: load(on)[1].fingerprint for on in BENCHES},
    }


def one_thread() -> None:
    """One thread a process: two processes with two threads each would wait for each other."""
    torch.set_num_threads(1)
