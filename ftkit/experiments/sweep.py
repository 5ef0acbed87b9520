"""Many trials as one long table, and a table as a trial again.

A *trial* is any function from settings to an iterator of `Event`. The table has one row a reading: the settings, `step`, `quantity`
(such as "valid/accuracy"), `value` and, where the run told them, `items`: which test items were right, packed as in `ftkit.training.events`.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ftkit.stats.paired import interval
from ftkit.training.events import Diverged, Event

Trial = Callable[..., Iterable[Event]]
Settings = Mapping[str, Any]
KEPT = ("valid", "test", "after", "cost")
READING = ("step", "quantity", "value", "items", "error")


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


@dataclass(frozen=True, eq=False)
class Replay:
    """The trial that a table recorded: called with the settings of a run, it yields the readings that the run had. Nothing is trained."""

    table: pd.DataFrame

    def __call__(self, **settings: Any) -> Iterator[Event]:
        """Raises ValueError: no such run was recorded."""
        rows = where(self.table, **settings)
        if rows.empty:
            names = ", ".join(name for name in self.table.columns if name not in READING)
            raise ValueError(
                f"a replayed run must be one that was recorded ({names}), got {settings}; choose other settings"
            )
        stages = rows["quantity"].str.split("/").str[0]
        for key, part in rows.groupby(["step", stages], sort=False):
            step, stage = (str(value) for value in key)  # type: ignore[attr-defined]
            yield Event(int(step), stage, dict(zip(part["quantity"], part["value"], strict=True)))


def replay(table: pd.DataFrame) -> Replay:
    """The trial that a table recorded: it yields the readings of the run with the settings it is given.

    Raises:
        ValueError: from the trial, if no such run was recorded.
    """
    return Replay(table)


def where(table: pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """The rows of `table` with these settings; settings that the table does not have are not asked.

    >>> where(pd.DataFrame({"rank": [1, 2], "value": [0.1, 0.2]}), rank=2)["value"].tolist()
    [0.2]
    """
    chosen = pd.Series(True, index=table.index)
    for name, value in settings.items():
        if name in table.columns:
            chosen &= table[name] == value
    return table[chosen]


def last(table: pd.DataFrame, quantity: str = "valid/accuracy") -> pd.DataFrame:
    """The last reading of `quantity` of each run."""
    rows = table[table["quantity"] == quantity]
    names = [name for name in table.columns if name not in READING]
    return rows.sort_values("step", kind="stable").drop_duplicates(names, keep="last").sort_index()


def summary(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Over the seeds of each group: `mean`, `low` and `high` of the 95 % t-interval, and `runs`, one row a group."""
    rows = []
    for key, part in table.groupby(list(by), sort=False):
        mean, low, high = interval(part["value"].tolist())
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "mean": mean,
                "low": low,
                "high": high,
                "runs": len(part),
            }
        )
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "runs"])


def comparable(runs: pd.DataFrame, by: Sequence[str], setting: str = "lr") -> pd.DataFrame:
    """The runs, one row each, of the seeds that ran at the most values of `setting` in their group of `by`: at every value, as a rule.

    The value that was chosen runs again with more seeds, for test; beside these the others would be compared by other luck.
    """
    if "seed" not in runs.columns:
        return runs
    values = runs.groupby([*by, "seed"])[setting].transform("nunique")
    return runs[values == values.groupby([runs[name] for name in by]).transform("max")]


def tuned(
    table: pd.DataFrame, by: Sequence[str], setting: str = "lr"
) -> dict[tuple[Any, ...], Any]:
    """For each group of `by`, the value of `setting` whose mean over the seeds is best: last accuracies on valid, never on test.

    By the seeds that ran at every value, see `comparable`.
    """
    means = summary(comparable(last(table), by, setting), [*by, setting])
    best = means.loc[means.groupby(list(by), sort=False)["mean"].idxmax()]
    return {tuple(row[name] for name in by): row[setting] for _, row in best.iterrows()}
