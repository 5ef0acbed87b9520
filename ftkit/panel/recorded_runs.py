"""Recorded runs as a panel needs them: curves with intervals, costs, and reference methods."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ftkit import checks
from ftkit.experiments.tables import MEASURED, UNFINISHED, check_table, last, summary, tuned, where

ACCURACY = "valid/accuracy"

Key = tuple[Any, ...]
"""The values of some settings, in a fixed order."""
Curve = dict[str, list[float]]
"""`step`, `mean`, `low`, `high` and `runs`, equally long."""
Point = dict[str, Any]
"""A point of the trade-off plot: `name`, `label`, `mean`, `low`, `high`, and the cost."""


class Recorded:
    """Recorded runs of one method, and of reference methods, each at its best learning rate.

    Args:
        table: the long table of a sweep. Its column `method`, if there is one, tells the methods
            apart.
        method: the panel's own method; all others are references.
        over: the setting that varies along the trade-off plot.
        scope: the settings that a reference shares with the panel, such as the benchmark.
        baselines: the majority-class baseline for each value of the first setting of `scope`: the
            share of the most frequent class on the validation set, in [0, 1].

    Raises:
        ValueError: it is no table of a sweep, has no such columns, or a baseline is no share.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        method: str,
        over: str,
        scope: Sequence[str] = ("bench",),
        baselines: Mapping[Any, float] | None = None,
    ) -> None:
        check_table(table)
        checks.text("method", method)
        checks.each("scope", scope, str, "names of settings", "('bench',) is usual")
        for name in (over, *scope):
            if not isinstance(name, str) or name not in table.columns:
                raise ValueError(
                    f"over and scope must name columns of the table, got {checks.shown(name)}; "
                    f"its columns are {', '.join(map(str, table.columns))}"
                )
        for value in _baseline_values(baselines):
            checks.share("a baseline", value, "it is the share of the most frequent class")
        has_methods = "method" in table
        runs = table[table["method"] == method] if has_methods else table
        self.method, self.over, self.scope = method, over, tuple(scope)
        self.baselines = dict(baselines or {})
        self.names = [name for name in runs.columns if name not in (*MEASURED, "method", "seed")]
        self.curves = _curves(runs, self.names)
        self.costs = _costs(runs, self.names)
        self.references: dict[Key, list[Point]] = {}
        if has_methods:
            self.references = _references(table[table["method"] != method], self.scope)

    def key(self, settings: Mapping[str, Any]) -> Key:
        """Return the settings in the table's order; None for one that the panel does not have."""
        return tuple(settings.get(name) for name in self.names)

    def curve(self, settings: Mapping[str, Any]) -> Curve | None:
        """Return accuracy on the validation set by step; None if there are no recorded runs."""
        return self.curves.get(self.key(settings))

    def cost(self, settings: Mapping[str, Any]) -> dict[str, float] | None:
        """Return the cost, the median over the runs; None if there are no recorded runs."""
        return self.costs.get(self.key(settings))

    def baseline(self, settings: Mapping[str, Any]) -> float | None:
        """Return the majority-class baseline, in [0, 1]; None if it is not known."""
        return self.baselines.get(settings.get(self.scope[0])) if self.scope else None

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """Return the points of the trade-off plot.

        First every recorded value of `over`, with the other settings as they are; then the
        references. A method of which a run diverged has no point.
        """
        place = self.names.index(self.over)
        wanted = self.key(settings)
        points: list[Point] = []
        for key, curve in self.curves.items():
            same_others = key[:place] + key[place + 1 :] == wanted[:place] + wanted[place + 1 :]
            if same_others and not math.isnan(curve["mean"][-1]):
                points.append(
                    {
                        "name": self.method,
                        "label": f"{key[place]:g}",
                        **_end(curve),
                        **self.costs[key],
                    }
                )
        points.sort(key=lambda point: point["trainable"])
        scope = tuple(settings.get(name) for name in self.scope)
        return points + self.references.get(scope, [])


def _baseline_values(baselines: Any) -> list[Any]:
    if baselines is None:
        return []
    checks.instance(
        "baselines", baselines, Mapping, "{benchmark: share}", "{'digits': 0.1} is an example"
    )
    return list(baselines.values())


def _end(curve: Curve) -> dict[str, float]:
    return {name: curve[name][-1] for name in ("mean", "low", "high")}


def _curves(runs: pd.DataFrame, names: list[str]) -> dict[Key, Curve]:
    """Return the mean over the seeds at each step, and its 95 % t-interval, by settings.

    They are nan from the step on at which a run diverged, the last one that it reached.
    """
    rows = runs[runs["quantity"].isin([ACCURACY, *UNFINISHED])]
    rows = rows.assign(value=rows["value"].where(rows["quantity"] == ACCURACY))
    groups = (
        rows.groupby([*names, "step"], sort=True)["value"]
        .agg(["mean", "std", "count"])
        .reset_index()
    )
    groups = _without_diverged(groups, rows, names)
    t_value = stats.t.ppf(0.975, np.maximum(groups["count"] - 1, 1))
    half = t_value * groups["std"] / np.sqrt(groups["count"])
    groups = groups.assign(low=groups["mean"] - half, high=groups["mean"] + half)
    curves = {}
    for key, part in groups.groupby(names, sort=False):
        curve = {name: part[name].tolist() for name in ("step", "mean", "low", "high")}
        curves[key] = {**curve, "runs": part["count"].tolist()}
    return curves


def _without_diverged(groups: pd.DataFrame, rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Replace by nan the means from the step on at which a run diverged."""
    first = rows[rows["value"].isna()].groupby(names)["step"].min().rename("diverged")
    if first.empty:
        return groups
    joined = groups.merge(first.reset_index(), on=names, how="left")
    is_over = (joined["step"] >= joined["diverged"]).to_numpy()
    return groups.assign(mean=groups["mean"].mask(is_over), std=groups["std"].mask(is_over))


def _costs(runs: pd.DataFrame, names: list[str]) -> dict[Key, dict[str, float]]:
    """Return the median cost by settings."""
    rows = runs[runs["quantity"].str.startswith("cost/")]
    medians = rows.groupby([*names, "quantity"], sort=False)["value"].median().unstack()
    columns = [name.removeprefix("cost/") for name in medians.columns]
    costs = {}
    for key, row in zip(medians.index, medians.to_numpy(), strict=True):
        costs[key] = dict(zip(columns, map(float, row), strict=True))
    return costs


def _references(table: pd.DataFrame, scope: tuple[str, ...]) -> dict[Key, list[Point]]:
    """Return the end of every other method at its best learning rate, by the values of `scope`."""
    by = [*scope, "method"]
    references: dict[Key, list[Point]] = {}
    for key, lr in tuned(table, by).items():
        if lr is None:
            continue  # runs diverged at every learning rate, so there is no end to draw
        best = where(table, **dict(zip(by, key, strict=True)), lr=lr)
        row = summary(last(best), by).iloc[0]
        if math.isnan(row["mean"]):
            continue
        cost = next(iter(_costs(best, by).values()))
        ends = {name: row[name] for name in ("mean", "low", "high")}
        point = {"name": key[-1], "label": "", "lr": lr, **ends, **cost}
        references.setdefault(key[:-1], []).append(point)
    return references
