"""Questions to a long table of runs, and a table as a trial again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ftkit.stats.paired import interval
from ftkit.training.events import Event

READING = ("step", "quantity", "value", "items", "error")
"""The columns of a table that are no settings."""


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
