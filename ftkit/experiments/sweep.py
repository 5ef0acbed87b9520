"""Run a trial with many settings, and collect the results in one long table.

A *trial* is any function from settings to an iterator of `Event`. The table has one row for each
value that a run yields: the settings, `step`, `quantity` (such as "valid/accuracy"), `value` and,
for accuracies on test, `items`: which test items were right, packed as in `ftkit.training.events`.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from itertools import product
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ftkit import checks
from ftkit.experiments.tables import MEASURED
from ftkit.training.events import Diverged, Event

Trial = Callable[..., Iterable[Event]]
Settings = Mapping[str, Any]
KEPT = ("valid", "test", "after", "cost")
"""The stages of events that a table keeps, unless a sweep says otherwise."""


def grid(**values: Iterable[Any]) -> list[dict[str, Any]]:
    """List every combination of the values; the last name varies fastest.

    Raises:
        ValueError: the values of a name are no list, or a text, which would be taken apart.

    >>> grid(rank=[1, 2], seed=[0])
    [{'rank': 1, 'seed': 0}, {'rank': 2, 'seed': 0}]
    """
    lists = [
        checks.iterated(name, of_name, "a list of values", f"{name}=[...] is a list of one")
        for name, of_name in values.items()
    ]
    combinations = product(*lists)
    return [dict(zip(values, combination, strict=True)) for combination in combinations]


def sweep(
    trial: Trial,
    jobs: Sequence[Settings],
    executor: Executor | None = None,
    keep: Sequence[str] = KEPT,
) -> pd.DataFrame:
    """Run `trial` once for each of `jobs`, and return one table in the order of the jobs.

    A run that diverges keeps the rows it has so far; its last quantity is "diverged". So does a
    run with any other error: its last quantity is "failed", the column `error` has the message,
    and the sweep goes on. A warning says how many runs failed.

    Args:
        trial: must be importable by name if the executor has processes of its own.
        jobs: the settings of each run.
        executor: any `concurrent.futures.Executor`, such as
            `ftkit.experiments.recording.processes(2)`, which all recorded studies use. Without one
            the runs come one after another in this process; then a trial may be a notebook's
            function.
        keep: the stages of the events that the table keeps.

    Raises:
        ValueError: an argument is of another kind.
    """
    checks.function("trial", trial, "pass a function from settings to events")
    checks.each("jobs", jobs, Mapping, "settings", "grid(lr=[0.1], seed=[0, 1]) lists some")
    checks.each("keep", keep, str, "stages", f"{list(KEPT)} is usual")
    if executor is not None and (isinstance(executor, type) or not hasattr(executor, "submit")):
        raise ValueError(
            f"executor must have a method submit, got {checks.shown(executor)}; "
            "leave it out to run here, one after another"
        )
    with tqdm(total=len(jobs), unit="run") as bar:
        if executor is None:
            answers = []
            for job in jobs:
                answers.append(run(trial, job, keep))
                bar.update()
        else:
            answers = _run_in(executor, trial, jobs, keep, bar)
    errors = [answer["error"] for answer in answers if answer["error"]]
    if errors:
        warnings.warn(
            f"{len(errors)} of {len(jobs)} runs failed; the first: {errors[0]}", stacklevel=2
        )
    return pd.DataFrame(
        [row for job, answer in zip(jobs, answers, strict=True) for row in _rows(job, answer)]
    )


def _run_in(
    executor: Executor, trial: Trial, jobs: Sequence[Settings], keep: Sequence[str], bar: tqdm
) -> list[dict[str, Any]]:
    """The answers of all jobs from an executor; after an interruption no further job starts."""
    futures = [executor.submit(run, trial, job, keep) for job in jobs]
    try:
        for _ in as_completed(futures):
            bar.update()
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def run(trial: Trial, job: Settings, keep: Sequence[str] = KEPT) -> dict[str, Any]:
    """Run a trial once.

    Returns:
        `measurements`, a list of [step, quantity, value] or [step, quantity, value, items];
        `error`, "" if there was none; and `seconds`.
    """
    measurements: list[list[Any]] = []
    step, error, start = 0, "", time.perf_counter()
    try:
        for event in trial(**job):
            step = event.step
            if event.stage in keep:
                measurements += _measurements(event)
    except Diverged:
        measurements.append([step, "diverged", 1.0])
    except Exception as raised:
        measurements.append([step, "failed", 1.0])
        error = f"{type(raised).__name__}: {raised}"
    return {"measurements": measurements, "error": error, "seconds": time.perf_counter() - start}


def _measurements(event: Event) -> list[list[Any]]:
    """The values of an event as lists, with the packed items of those that have some."""
    measurements = []
    for quantity, value in event.values.items():
        items = [event.items[quantity]] if quantity in event.items else []
        measurements.append([event.step, quantity, float(value), *items])
    return measurements


def _rows(job: Settings, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table rows of one run; an error belongs to its last row."""
    rows = [
        {**job, **dict(zip(MEASURED, measurement, strict=False))}
        for measurement in answer["measurements"]
    ]
    if answer["error"]:
        rows[-1]["error"] = answer["error"]
    return rows
