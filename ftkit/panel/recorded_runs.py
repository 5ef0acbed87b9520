"""A recorded table as a panel needs it: the curve of every setting with its interval, what it cost, and what it lies between."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.tables import READING, last, summary, tuned, where
from ftkit.stats.paired import t_interval

ACCURACY = "valid/accuracy"


class Recorded:
    """Recorded runs of one method, and of others beside it ("rails"), each at its own best learning rate.

    Args:
        table: the long table of a sweep; its column `method`, if any, says which rows are rails.
        method: the rows that are the panel's own.
        over: the setting along the trade-off plot.
        scope: the settings that a rail shares with the panel, such as which task it is on.
        floors: for each value of the first setting of `scope` the share of its most frequent class, in [0, 1]: what one answer for all
            rows gets right.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        method: str,
        over: str,
        scope: Sequence[str] = ("bench",),
        floors: Mapping[Any, float] | None = None,
    ) -> None:
        own = table[table["method"] == method] if "method" in table else table
        self.method, self.over, self.scope, self.floors = (
            method,
            over,
            tuple(scope),
            dict(floors or {}),
        )
        self.names = [name for name in own.columns if name not in (*READING, "method", "seed")]
        self.curves = _curves(own, self.names)
        self.costs = _costs(own, self.names)
        self.references = (
            _rails(table[table["method"] != method], self.scope) if "method" in table else {}
        )

    def key(self, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """The settings in the table's order; None for one that the panel does not have."""
        return tuple(settings.get(name) for name in self.names)

    def curve(self, settings: Mapping[str, Any]) -> dict[str, list[float]] | None:
        """`step`, `mean`, `low`, `high` of accuracy on valid, and `runs`; None if these settings were not recorded."""
        return self.curves.get(self.key(settings))

    def cost(self, settings: Mapping[str, Any]) -> dict[str, float] | None:
        """The bill, the median over the runs; None if these settings were not recorded."""
        return self.costs.get(self.key(settings))

    def floor(self, settings: Mapping[str, Any]) -> float | None:
        """What always the same answer gets right on valid, in [0, 1]; None if that was not recorded."""
        return self.floors.get(settings.get(self.scope[0])) if self.scope else None

    def points(self, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The points of the trade-off plot: every recorded value of `over` with the other settings as they are, then the rails."""
        at, found = self.names.index(self.over), list[dict[str, Any]]()
        mine = self.key(settings)
        for key, curve in self.curves.items():
            if all(value == mine[i] for i, value in enumerate(key) if i != at):
                found.append(
                    {"name": self.method, "label": f"{key[at]:g}", **_end(curve), **self.costs[key]}
                )
        found.sort(key=lambda point: point["trainable"])
        return found + self.references.get(tuple(settings.get(name) for name in self.scope), [])


def _end(curve: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: curve[name][-1] for name in ("mean", "low", "high")}


def _curves(own: pd.DataFrame, names: list[str]) -> dict[tuple[Any, ...], dict[str, list[float]]]:
    rows = own[own["quantity"] == ACCURACY]
    groups = (
        rows.groupby([*names, "step"], sort=True)["value"]
        .agg(["mean", "std", "count"])
        .reset_index()
    )
    error = groups["std"] / np.sqrt(groups["count"])
    low, high = t_interval(groups["mean"], error, np.maximum(groups["count"] - 1, 1))
    groups = groups.assign(low=low, high=high)
    curves = {}
    for key, part in groups.groupby(names, sort=False):
        curves[key] = {name: part[name].tolist() for name in ("step", "mean", "low", "high")} | {
            "runs": part["count"].tolist()
        }
    return curves


def _costs(own: pd.DataFrame, names: list[str]) -> dict[tuple[Any, ...], dict[str, float]]:
    rows = own[own["quantity"].str.startswith("cost/")]
    medians = rows.groupby([*names, "quantity"], sort=False)["value"].median().unstack()
    columns = [name.removeprefix("cost/") for name in medians.columns]
    return {
        key: dict(zip(columns, map(float, row), strict=True))
        for key, row in zip(medians.index, medians.to_numpy(), strict=True)
    }


def _rails(
    table: pd.DataFrame, scope: tuple[str, ...]
) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    by = [*scope, "method"]
    references: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for key, lr in tuned(table, by).items():
        best = where(table, **dict(zip(by, key, strict=True)), lr=lr)
        row = summary(last(best), by).iloc[0]
        cost = next(iter(_costs(best, by).values()))
        point = {
            "name": key[-1],
            "label": "",
            "lr": lr,
            "mean": row["mean"],
            "low": row["low"],
            "high": row["high"],
            **cost,
        }
        references.setdefault(key[:-1], []).append(point)
    return references
