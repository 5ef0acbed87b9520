"""Read the recorded runs of a lesson as its claims need them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import comparable, last, measured, summary, where
from ftkit.training.events import unpacked

MEMORY = ("weights", "gradients", "optimizer", "activations")
"""The entries of the cost that make up the memory of a training step, in bytes."""


def values_by_seed(
    table: pd.DataFrame, quantity: str = "test/accuracy", **settings: Any
) -> np.ndarray:
    """Return a quantity that is measured once a run, for the chosen learning rate.

    Returns:
        One value a seed, by rising seed; shape (seeds,). It is nan for a run that diverged.
    """
    rows = measured(where(table, **settings), quantity).sort_values("seed")
    assert len(rows) and not rows["seed"].duplicated().any(), (quantity, settings)
    return rows["value"].to_numpy()


def items_by_seed(
    table: pd.DataFrame, quantity: str = "test/accuracy", **settings: Any
) -> np.ndarray:
    """Return which test items were right, for the chosen learning rate.

    Returns:
        0 or 1, by rising seed; shape (seeds, items).

    Raises:
        ValueError: a run diverged, or the recorded runs do not say which items were right.
    """
    rows = measured(where(table, **settings), quantity).sort_values("seed")
    if rows["value"].isna().any():
        seeds = ", ".join(map(str, rows["seed"][rows["value"].isna()]))
        raise ValueError(
            f"every run must have ended to be compared on items, got diverged runs for seed "
            f"{seeds}; leave this comparison out"
        )
    is_known = "items" in rows.columns and rows["items"].map(bool).all()
    if not is_known or rows["items"].isna().any():
        raise ValueError(
            f"the recorded runs must say which items were right for {quantity}, got none; "
            "record them again with make results"
        )
    return np.stack([unpacked(text) for text in rows["items"]])


def median_cost(table: pd.DataFrame, name: str, **settings: Any) -> float:
    """Return one entry of the cost table of a training step, the median over the runs."""
    return float(where(table, **settings, quantity=f"cost/{name}")["value"].median())


def lr_curve(table: pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """Return the accuracy on valid at each learning rate that was tried.

    It is a mean over the seeds that ran at every learning rate: those that chose the best one.

    Returns:
        Columns `lr`, rising, `mean`, `low`, `high`, and `best`, true for the chosen learning rate.
    """
    rows = where(table, **settings)
    runs = comparable(last(rows), ["quantity"])
    curve = summary(runs, ["lr"]).sort_values("lr", ignore_index=True)
    return curve.assign(best=curve["lr"] == chosen(rows))


class RecordedRuns:
    """The recorded runs of a lesson; each lesson extends it with its own questions.

    Learning rates were chosen on valid. Accuracies are on test, in [0, 1], one value a seed.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def settings(self, *case: Any, **settings: Any) -> dict[str, Any]:
        """Return the settings that select one case in the table.

        A lesson overrides this to give its settings an order and default values; `test`, `rate`,
        `cost` and `memory` then take the same arguments.
        """
        assert not case, "without an order settings are named"
        return settings

    def test(self, *case: Any, quantity: str = "test/accuracy", **settings: Any) -> np.ndarray:
        """Return a quantity on test at the chosen learning rate, one value a seed."""
        return values_by_seed(self.table, quantity, **self.settings(*case, **settings))

    def rate(self, *case: Any, **settings: Any) -> float:
        """Return the learning rate that was chosen on valid."""
        return chosen(self.table, **self.settings(*case, **settings))

    def cost(self, name: str, *case: Any, **settings: Any) -> float:
        """Return one entry of the cost table of a training step, the median over the runs."""
        return median_cost(self.table, name, **self.settings(*case, **settings))

    def memory(self, *case: Any, **settings: Any) -> float:
        """Return the bytes of a training step: weights, gradients, optimizer and activations."""
        return sum(self.cost(name, *case, **settings) for name in MEMORY)

    def share_of(self, whole: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, float]:
        """Return the costs of `part` over those of `whole`, both settings of `cost`.

        Returns:
            "trainable", "flops", and "memory", the bytes of a training step.
        """
        shares = {
            name: self.cost(name, **part) / self.cost(name, **whole)
            for name in ("trainable", "flops")
        }
        return {**shares, "memory": self.memory(**part) / self.memory(**whole)}

    def reference(self, bench: str, method: str) -> np.ndarray:
        """Return the accuracy on test of full fine-tuning or the frozen body, one value a seed."""
        return values_by_seed(self.table, bench=bench, method=method)
