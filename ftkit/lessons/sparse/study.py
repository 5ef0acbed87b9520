"""The record of lesson 05: every criterion at one hundredth of the entries, random masks from a ten-thousandth to a fifth, and rails."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL, reference
from ftkit.experiments.rate_search import chosen, few, settled
from ftkit.experiments.sweep import grid
from ftkit.experiments.tables import where
from ftkit.lessons.sparse.trial import BODY, CRITERIA, LINEAR, ROWS, SHARES, trial

AT = 0.01
"""The density at which the criteria are compared."""
COMPARED = {
    "opening": CRITERIA,
    "digits": ("random", "Fisher", "changed most", *SHARES, ROWS),
    "library": ("random",),
}
RATES = {
    "opening": (1e-2, 3e-2, 1e-1, 3e-1),
    "digits": (3e-3, 1e-2, 3e-2, 1e-1),
    "library": (1e-3, 3e-3, 1e-2),
}
"""The rates that every criterion is tried at; where the best of one lies at an edge, `settled` tries more."""
OVER = "opening"
"""Where the density is varied, and where the whole body may move as well as the linear layers alone."""
BY_DENSITY = {
    0.0001: (1e-1, 3e-1, 1.0),
    0.001: (1e-1, 3e-1, 1.0),
    0.003: (3e-2, 1e-1, 3e-1),
    0.03: (1e-2, 3e-2, 1e-1),
    0.1: (3e-3, 1e-2, 3e-2),
    0.2: (3e-3, 1e-2, 3e-2),
}
INFORMED, INFORMED_AT = "changed most", (0.003, 0.1)
BODY_RATES = (1e-2, 3e-2, 1e-1)
REFERENCE_LRS = {
    FULL: {
        "opening": (1e-3, 3e-3, 1e-2),
        "library": (1e-4, 3e-4, 1e-3),
        "digits": (3e-4, 1e-3, 3e-3),
    },
    FROZEN: {
        "opening": (1e-1, 3e-1, 1.0),
        "library": (1e-2, 3e-2, 1e-1),
        "digits": (3e-2, 1e-1, 3e-1),
    },
}
SPARSE = "sparse"
"""The method of the panel's own rows."""
SEEDS = tuple(range(8))
BY = ("bench", "criterion", "density", "scope")


def jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The runs from which the rates are chosen."""

    def some(
        bench: str, criterion: str, density: float, lrs: tuple[float, ...], scope: str = LINEAR
    ) -> list[dict[str, Any]]:
        return grid(
            bench=[bench],
            criterion=[criterion],
            density=[density],
            scope=[scope],
            lr=lrs,
            seed=seeds,
        )

    compared = [
        job
        for bench, criteria in COMPARED.items()
        for criterion in criteria
        for job in some(bench, criterion, AT, RATES[bench])
    ]
    thinner = [
        job for density, lrs in BY_DENSITY.items() for job in some(OVER, "random", density, lrs)
    ]
    informed = [
        job for density in INFORMED_AT for job in some(OVER, INFORMED, density, BY_DENSITY[density])
    ]
    everywhere = [
        job
        for criterion in ("random", "Fisher")
        for job in some(OVER, criterion, AT, BODY_RATES, BODY)
    ]
    return compared + thinner + informed + everywhere


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study. Rates are chosen on valid with half of the seeds; what was chosen runs with all of them, and reads test once."""
    half = few(seeds)
    references = [
        job
        for method, lrs in REFERENCE_LRS.items()
        for bench in lrs
        for job in grid(bench=[bench], method=[method], lr=lrs[bench], seed=half)
    ]
    ours = settled(trial, jobs(half), BY, seeds, executor)
    beside = settled(reference, references, ["bench", "method"], seeds, executor)
    whole = pd.concat([ours.assign(method=SPARSE), beside], ignore_index=True)
    return whole.fillna({"criterion": "", "scope": "", "density": 0.0})


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """Every rate that was chosen for a mask, one row each, and whether it lies at the edge of those that were tried, so that a better one
    may lie beyond."""
    rows = []
    for key, part in where(table, method=SPARSE).groupby(list(BY), sort=False):
        lr, tried = chosen(part), sorted(part["lr"].unique())
        rows.append(
            {**dict(zip(BY, key, strict=True)), "lr": lr, "edge": not tried[0] < lr < tried[-1]}
        )
    return pd.DataFrame(rows).sort_values(list(BY), ignore_index=True)
