"""Many trials as one long table, and a table as a trial again.

A *trial* is any function from settings to an iterator of `Event`. The table has one row a reading: the settings, `step`, `quantity`
(such as "valid/accuracy"), `value` and, where the run told them, `items`: which test items were right, packed as in `ftkit.training.events`.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from itertools import product
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ftkit.experiments.tables import READING
from ftkit.training.events import Diverged, Event

Trial = Callable[..., Iterable[Event]]
Settings = Mapping[str, Any]
KEPT = ("valid", "test", "after", "cost")


def grid(**values: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the values, the last name fastest.

    >>> grid(rank=[1, 2], seed=[0])
    [{'rank': 1, 'seed': 0}, {'rank': 2, 'seed': 0}]
    """
    return [
        dict(zip(values, combination, strict=True)) for combination in product(*values.values())
    ]


def sweep(
    trial: Trial,
    jobs: Sequence[Settings],
    executor: Executor | None = None,
    keep: Sequence[str] = KEPT,
) -> pd.DataFrame:
    """Runs `trial` once for each of `jobs` and returns the readings of the stages in `keep`, in the order of the jobs.

    Args:
        trial: must be importable by name if the executor has processes of its own.
        executor: any `concurrent.futures.Executor`, such as `ftkit.experiments.recording.processes(2)`, of one thread each, which all
            recorded studies use; without one the runs come one after another in this process, where a trial may be a notebook's function.

    A run that diverges leaves the readings it had; its last quantity is "diverged". One that fails otherwise does too: its last quantity is
    "failed", its error stands in the column `error`, and the sweep goes on. A warning says how many failed.
    """
    with tqdm(total=len(jobs), unit="run") as bar:
        if executor is None:
            answers = [(run(trial, job, keep), bar.update())[0] for job in jobs]
        else:
            futures = [executor.submit(run, trial, job, keep) for job in jobs]
            try:
                for _ in as_completed(futures):
                    bar.update()
                answers = [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
    if failed := [answer["error"] for answer in answers if answer["error"]]:
        warnings.warn(
            f"{len(failed)} of {len(jobs)} runs failed; the first: {failed[0]}", stacklevel=2
        )
    return pd.DataFrame(
        [row for job, answer in zip(jobs, answers, strict=True) for row in _rows(job, answer)]
    )


def run(trial: Trial, job: Settings, keep: Sequence[str] = KEPT) -> dict[str, Any]:
    """One run: its `readings`, [step, quantity, value] or [step, quantity, value, items] each, its `error`, "" if there was none, and its
    `seconds`."""
    readings: list[list[Any]] = []
    step, error, start = 0, "", time.perf_counter()
    try:
        for event in trial(**job):
            step = event.step
            if event.stage in keep:
                told = event.items
                readings += [
                    [step, name, float(value), *([told[name]] if name in told else [])]
                    for name, value in event.values.items()
                ]
    except Diverged:
        readings.append([step, "diverged", 1.0])
    except Exception as wrong:
        readings.append([step, "failed", 1.0])
        error = f"{type(wrong).__name__}: {wrong}"
    return {"readings": readings, "error": error, "seconds": time.perf_counter() - start}


def _rows(job: Settings, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [{**job, **dict(zip(READING, reading, strict=False))} for reading in answer["readings"]]
    if answer["error"]:
        rows[-1]["error"] = answer["error"]
    return rows
