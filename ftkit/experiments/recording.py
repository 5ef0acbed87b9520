"""A study made into a file: run in processes, and written with how it was made."""

import hashlib
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers

from ftkit.experiments.benchmark import BENCHMARKS, load_benchmark
from ftkit.experiments.resumable import CachedExecutor, runs
from ftkit.experiments.tables import summary
from ftkit.storage import write_table

Record = Callable[[Executor | None, tuple[int, ...]], pd.DataFrame]
More = Callable[[], dict[str, Any]]
_makers: ContextVar[Executor | None] = ContextVar("makers", default=None)


def make(
    path: Path,
    lesson: str,
    record: Record,
    seeds: Sequence[int],
    workers: int = 2,
    more: More = dict,
    reads: Sequence[Path] = (),
) -> None:
    """Runs `record` in `workers` processes of one thread each, or where `made_by` says, and writes its table to `path`, with what `more`
    measures afterwards.

    Every run is kept in `.runs/<lesson>.sqlite` beside it: called again, after whatever ended it, it makes those that are missing.

    Args:
        reads: files that runs read, beside the data and bases of the benches: if they change, runs are made anew.
    """
    with (
        nullcontext(other) if (other := _makers.get()) else processes(workers) as makers,
        CachedExecutor(kept_in(path, lesson), makers, content(reads)) as executor,
    ):
        table = record(executor, tuple(seeds))
    write_table(path, table, {**about(lesson, seeds), "code": executor.code, **more()})


@contextmanager
def made_by(executor: Executor) -> Iterator[None]:
    """Within it the runs of studies are made by `executor`, such as Dask's `client.get_executor()`; its owner ends it."""
    token = _makers.set(executor)
    try:
        yield
    finally:
        _makers.reset(token)


def kept_in(path: Path, lesson: str) -> Path:
    """The file beside a record in which the runs of its study are kept."""
    return path.parent / ".runs" / f"{lesson}.sqlite"


def processes(workers: int) -> Executor:
    """So many processes of one thread each."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread)


def standing(kept: Path) -> pd.DataFrame:
    """What a study has found so far, which may be going on: for all settings but the seed the last accuracy on valid, `mean` with its
    interval, and the `runs` that are done; the best of each trial first.

    Raises:
        ValueError: no run has been kept there.
    """
    if not kept.is_file() or (found := runs(kept)).empty:
        raise ValueError(
            f"there must be runs to show, got none in {kept.name}; start make results first"
        )
    told = [
        name
        for name in found.columns
        if name not in ("readings", "error", "seconds", "code", "data", "test")
    ]
    rows = [
        {**{name: row[name] for name in told}, **end}
        for _, row in found.iterrows()
        if (end := _end(row["readings"]))
    ]
    by = [name for name in told if name != "seed"]
    table = pd.DataFrame(rows).drop_duplicates(told)
    table[by] = table[by].fillna("")
    return summary(table, by).sort_values(
        ["trial", "mean"], ascending=[True, False], ignore_index=True
    )


def _end(readings: Sequence[Sequence[Any]]) -> dict[str, float]:
    accuracies = [float(reading[2]) for reading in readings if reading[1] == "valid/accuracy"]
    return {"value": accuracies[-1]} if accuracies else {}


def content(files: Sequence[Path] = ()) -> str:
    """Sixteen hexadecimal digits that say what the runs of a study read: the data and the base of every bench, and these files."""
    digest = hashlib.blake2b(digest_size=8)
    for bench in BENCHMARKS:
        net, task = load_benchmark(bench)
        digest.update(task.fingerprint.encode())
        for name, value in net.body.state_dict().items():
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def about(lesson: str, seeds: Sequence[int]) -> dict[str, Any]:
    """How the table of a lesson was made."""
    return {
        "command": f"make results LESSON={lesson}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "ftkit": metadata.version("ftkit"),
        "numpy": np.__version__,
        "processor": processor(),
        "cores": os.cpu_count(),
        "seeds": list(seeds),
        "fingerprints": {bench: load_benchmark(bench)[1].fingerprint for bench in BENCHMARKS},
    }


def processor() -> str:
    """The name of the processor where the system tells it, else its kind, such as "x86_64"."""
    told = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", told.read_text(), re.M) if told.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def one_thread() -> None:
    """One thread a process: two processes with two threads each would wait for each other."""
    torch.set_num_threads(1)
