"""From paired differences to a line of figures and a verdict on a claim."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import comparable, last, summary, where
from ftkit.stats.paired import FEWEST, interval, verdict
from ftkit.training.events import unpacked

MARGIN = 0.01
"""Within one point, in [0, 1], two methods tie; agreed on before the runs."""


def by_seed(table: pd.DataFrame, quantity: str = "test/accuracy", **settings: Any) -> np.ndarray:
    """A quantity that is read once a run, for the rate that was chosen: a value a seed, the seeds rising."""
    rows = where(table, **settings)
    found = rows[rows["quantity"] == quantity].sort_values("seed")
    assert len(found) and not found["seed"].duplicated().any(), (quantity, settings)
    return found["value"].to_numpy()


def by_seed_and_item(
    table: pd.DataFrame, quantity: str = "test/accuracy", **settings: Any
) -> np.ndarray:
    """Which test items were right, for the rate that was chosen: 0 or 1, (seeds, items), the seeds rising.

    Raises:
        ValueError: the record does not say.
    """
    rows = where(table, **settings)
    found = rows[rows["quantity"] == quantity].sort_values("seed")
    if (
        "items" not in found.columns
        or not found["items"].map(bool).all()
        or found["items"].isna().any()
    ):
        raise ValueError(
            f"the record must say which items were right for {quantity}, got none; make it anew with make results"
        )
    return np.stack([unpacked(text) for text in found["items"]])


def over_rates(table: pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """Accuracy on valid over the rates that were tried: `lr`, rising, `mean`, `low`, `high`, and `best`, true for the one that was chosen.

    By the seeds that ran at every rate, which are those that chose.
    """
    rows = where(table, **settings)
    curve = summary(comparable(last(rows), ["quantity"]), ["lr"]).sort_values(
        "lr", ignore_index=True
    )
    return curve.assign(best=curve["lr"] == chosen(rows))


def points(values: Sequence[float] | np.ndarray) -> str:
    """A mean difference in points with its interval."""
    mean, low, high = (100 * value for value in interval(list(values)))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def judged(differences: Mapping[str, np.ndarray], holds: Iterable[str]) -> tuple[str, str]:
    """A line of figures, and what they say: "holds" if every difference has a verdict in `holds`, "does not hold" if one speaks against.

    Where both "beats" and "ties" would do, the claim is that something is no worse: then a difference also supports it whose whole interval
    lies above minus the margin, though nobody can tell whether it beats or ties.
    """
    holds = set(holds)
    verdicts = {name: verdict(list(values), MARGIN) for name, values in differences.items()}
    lines = "; ".join(
        f"{name} {points(values)}, {verdicts[name]}" for name, values in differences.items()
    )
    supported = {
        name
        for name, values in differences.items()
        if {"beats", "ties"} <= holds and _no_worse(list(values))
    }
    return lines, decided(
        ("ties" if name in supported else says for name, says in verdicts.items()), holds
    )


def _no_worse(differences: Sequence[float]) -> bool:
    return len(differences) >= FEWEST and interval(differences)[1] > -MARGIN


def decided(verdicts: Iterable[str], holds: Iterable[str]) -> str:
    """What verdicts say to a claim: "holds" if every one is in `holds`, "does not hold" if one speaks against it, else "inconclusive"."""
    others = set(verdicts) - set(holds)
    return "does not hold" if others - {"inconclusive"} else "inconclusive" if others else "holds"
