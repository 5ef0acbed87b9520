"""Run a study in worker processes, and write its table together with how it was made."""

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
from ftkit.experiments.tables import UNFINISHED, summary
from ftkit.processes import end_with_parent
from ftkit.storage import write_table

Record = Callable[[Executor | None, tuple[int, ...]], pd.DataFrame]
"""Runs a study with an executor and seeds, and returns its long table."""
More = Callable[[], dict[str, Any]]
"""Measures what is stored with a table besides how it was made."""
_executor: ContextVar[Executor | None] = ContextVar("executor", default=None)
_NO_SETTINGS = ("measurements", "error", "seconds", "code", "data", "test")


def make(
    path: Path,
    lesson: str,
    record: Record,
    seeds: Sequence[int],
    workers: int = 2,
    more: More = dict,
    reads: Sequence[Path] = (),
) -> None:
    """Run a study and write its table.

    Every run is kept in `.runs/<lesson>.sqlite` next to the table: called again after an
    interruption of any kind, this makes only the runs that are missing.

    Args:
        path: where the table is written, as Parquet.
        lesson: the two digits of the lesson.
        record: runs the study.
        seeds: the seeds of its runs.
        workers: the number of processes, of one thread each; within `made_by` these do not start.
        more: measures, after the runs, what is stored with the table.
        reads: files that runs read, in addition to the data and bases of the benchmarks. If one
            changes, all runs are made again.
    """
    given = _executor.get()
    with (
        nullcontext(given) if given else processes(workers) as makers,
        CachedExecutor(kept_in(path, lesson), makers, content(reads)) as executor,
    ):
        table = record(executor, tuple(seeds))
    write_table(path, table, {**about(lesson, seeds), "code": executor.code, **more()})


@contextmanager
def made_by(executor: Executor) -> Iterator[None]:
    """Within this context, `executor` makes the runs of studies.

    Such as Dask's `client.get_executor()`. It is not shut down; that is up to its owner.
    """
    token = _executor.set(executor)
    try:
        yield
    finally:
        _executor.reset(token)


def kept_in(path: Path, lesson: str) -> Path:
    """The file, next to a study's table, in which its runs are kept."""
    return path.parent / ".runs" / f"{lesson}.sqlite"


def processes(workers: int) -> Executor:
    """An executor with this number of processes, of one thread each, which end with this one."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Prepare a new worker process."""
    end_with_parent()
    one_thread()


def standing(kept: Path) -> pd.DataFrame:
    """The results of a study so far; it may be in progress.

    One row for each combination of all settings but the seed: `mean`, `low` and `high` of the last
    accuracy on valid, and the number of `runs` that are done. The best of each trial comes first,
    and last those with a run that diverged or failed, which have no mean.

    Args:
        kept: the file of the study's runs, see `kept_in`.

    Raises:
        ValueError: no run has been kept there.
    """
    done = runs(kept) if kept.is_file() else pd.DataFrame()
    if done.empty:
        raise ValueError(
            f"there must be runs to show, got none in {kept.name}; start make results first"
        )
    settings = [name for name in done.columns if name not in _NO_SETTINGS]
    table = done[settings].assign(value=done["measurements"].map(_last_accuracy))
    # A run without an accuracy that reached its end measures something else.
    is_unfinished = done["measurements"].map(_is_unfinished)
    table = table[table["value"].notna() | is_unfinished].drop_duplicates(settings)
    by = [name for name in settings if name != "seed"]
    table[by] = table[by].fillna("")
    return summary(table, by).sort_values(
        ["trial", "mean"], ascending=[True, False], ignore_index=True
    )


def _last_accuracy(measurements: Sequence[Sequence[Any]]) -> float:
    """The last accuracy on valid of a run, from rows of step, quantity, value.

    It is nan without one, and for a run that diverged or failed.
    """
    accuracies = [float(row[2]) for row in measurements if row[1] == "valid/accuracy"]
    return float("nan") if _is_unfinished(measurements) or not accuracies else accuracies[-1]


def _is_unfinished(measurements: Sequence[Sequence[Any]]) -> bool:
    return bool(measurements) and measurements[-1][1] in UNFINISHED


def content(files: Sequence[Path] = ()) -> str:
    """Sixteen hexadecimal digits that identify what the runs of a study read.

    That is the data and the base of every benchmark, and these files.
    """
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
    """How the table of a lesson is made: command, versions, processor, seeds and data."""
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
    """The name of the processor where the system knows it, else its kind, such as "x86_64"."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    name = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return name[1] if name else platform.processor() or platform.machine()


def one_thread() -> None:
    """Use one thread in this process.

    Two processes with two threads each would wait for each other.
    """
    torch.set_num_threads(1)
