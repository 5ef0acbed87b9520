"""Questions to the long table of a sweep, and a table that can be replayed as a trial."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ftkit import checks
from ftkit.stats.paired import interval
from ftkit.training.events import Event

MEASURED = ("step", "quantity", "value", "items", "error")
"""The columns of a table that are no settings."""
UNFINISHED = ("diverged", "failed")
"""The last quantity of a run that did not reach its end."""


def check_table(table: Any) -> None:
    """Refuse what is no table of a sweep.

    Raises:
        ValueError: as the summary says.
    """
    checks.instance("table", table, pd.DataFrame, "a table", "sweep(trial, jobs) makes one")
    if missing := [name for name in MEASURED[:3] if name not in table.columns]:
        raise ValueError(
            f"table must have the columns of a sweep, got none named {', '.join(missing)}; "
            "sweep(trial, jobs) makes such a table"
        )


def where(table: pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """The rows of `table` with these settings; names that are no columns are ignored.

    >>> where(pd.DataFrame({"rank": [1, 2], "value": [0.1, 0.2]}), rank=2)["value"].tolist()
    [0.2]
    """
    chosen = pd.Series(True, index=table.index)
    for name, value in settings.items():
        if name in table.columns:
            chosen &= table[name] == value
    return table[chosen]


def last(table: pd.DataFrame, quantity: str = "valid/accuracy") -> pd.DataFrame:
    """The last value of `quantity` of each run, one row a run; nan if it did not reach its end."""
    in_time = measured(table, quantity).sort_values("step", kind="stable")
    return in_time.drop_duplicates(_settings(table), keep="last").sort_index()


def measured(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The rows of `quantity`, and a row with nan for each run that diverged or failed.

    What such a run had reached before is no result. Every run is validated. Any other quantity,
    such as one on test, is expected only of runs with settings with which it was measured for some
    seed.
    """
    is_value, unfinished = table["quantity"] == quantity, table["quantity"].isin(UNFINISHED)
    if not unfinished.any():
        return table[is_value]
    if not quantity.startswith("valid/"):
        unfinished &= _without_seed(table).isin(_without_seed(table[is_value]))
    rows = table[is_value | unfinished]
    return rows.assign(value=rows["value"].where(rows["quantity"] == quantity), quantity=quantity)


def _settings(table: pd.DataFrame) -> list[str]:
    """The columns of a table that are settings."""
    return [name for name in table.columns if name not in MEASURED]


def _without_seed(table: pd.DataFrame) -> "pd.Series[str]":
    """The settings of each row but its seed, as one text."""
    others = [name for name in _settings(table) if name != "seed"]
    texts = [repr(row) for row in table[others].itertuples(index=False, name=None)]
    return pd.Series(texts, index=table.index, dtype=object)


def summary(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Summarise each group of `by`, one row a group.

    The columns are `by`, `mean`, `low` and `high` of the 95 % t-interval, and the number of `runs`.
    Where a run has no value, as one that diverged, the three are nan: a mean of the other runs
    would leave out the worst ones.
    """
    rows = []
    for key, part in table.groupby(list(by), sort=False):
        complete = part["value"].notna().all()
        mean, low, high = interval(part["value"].tolist()) if complete else (math.nan,) * 3
        group = dict(zip(by, key, strict=True))
        rows.append({**group, "mean": mean, "low": low, "high": high, "runs": len(part)})
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "runs"])


def comparable(runs: pd.DataFrame, by: Sequence[str], setting: str = "lr") -> pd.DataFrame:
    """The runs of those seeds that ran at the most values of `setting` in their group of `by`.

    As a rule these ran at every value. The chosen value runs again with more seeds, for test; a
    mean over these seeds must not be compared with a mean over fewer.

    Args:
        runs: one row a run.
        by: the settings that make a group.
        setting: the setting whose values are to be compared.
    """
    if "seed" not in runs.columns:
        return runs
    values = runs.groupby([*by, "seed"])[setting].transform("nunique")
    return runs[values == values.groupby([runs[name] for name in by]).transform("max")]


def tuned(
    table: pd.DataFrame,
    by: Sequence[str],
    setting: str = "lr",
    choose_by: str = "valid/accuracy",
) -> dict[tuple[Any, ...], Any]:
    """For each group of `by`, the value of `setting` with the best mean over the seeds.

    It is judged by the last values of `choose_by`, on valid and never on test, of the seeds that
    ran at every value, see `comparable`. A value with which a run diverged or failed is never
    chosen. If there is no other, the group has None.
    """
    means = summary(comparable(last(table, choose_by), by, setting), [*by, setting])
    usable = means[means["mean"].notna()]
    best = usable.loc[usable.groupby(list(by), sort=False)["mean"].idxmax()]
    choices = dict.fromkeys(_keys(means, by))
    return choices | dict(zip(_keys(best, by), best[setting], strict=True))


def _keys(table: pd.DataFrame, by: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values of some columns, one tuple a row."""
    return [tuple(row[name] for name in by) for _, row in table.iterrows()]


@dataclass(frozen=True, eq=False)
class Replay:
    """The trial that a table has the runs of: it yields what the run with these settings yielded.

    Nothing is trained.
    """

    table: pd.DataFrame

    def __call__(self, **settings: Any) -> Iterator[Event]:
        """Yield the events of the run with these settings.

        Raises:
            ValueError: the table has no such run.
        """
        rows = where(self.table, **settings)
        if rows.empty:
            names = ", ".join(name for name in self.table.columns if name not in MEASURED)
            raise ValueError(
                f"a replayed run must be one that was recorded ({names}), got {settings}; "
                "choose other settings"
            )
        stages = rows["quantity"].str.split("/").str[0]
        for key, part in rows.groupby(["step", stages], sort=False):
            step, stage = (str(value) for value in key)  # type: ignore[attr-defined]
            yield Event(int(step), stage, dict(zip(part["quantity"], part["value"], strict=True)))


def replay(table: pd.DataFrame) -> Replay:
    """Make a trial of a table: it yields what the recorded run with its settings yielded.

    Raises:
        ValueError: it is no table of a sweep; when the trial is called, for settings that the table
            does not have.
    """
    check_table(table)
    return Replay(table)
