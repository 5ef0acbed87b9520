"""The study of lesson 05: nine criteria at one density, random masks at seven, and references."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL, reference
from ftkit.experiments.rate_search import chosen_rates, tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid
from ftkit.experiments.tables import where
from ftkit.lessons.sparse.trial import BODY, CRITERIA, LINEAR, REGROWN_SHARES, WHOLE_ROWS, trial

MAIN_DENSITY = 0.01
"""The density at which the criteria are compared."""
MAIN_BENCH = "opening"
"""The benchmark on which density and scope are varied."""
CRITERIA_BY_BENCH = {
    "opening": CRITERIA,
    "digits": ("random", "Fisher", "changed most", *REGROWN_SHARES, WHOLE_ROWS),
    "library": ("random",),
}
CRITERIA_LRS = {
    "opening": (1e-2, 3e-2, 1e-1, 3e-1),
    "digits": (3e-3, 1e-2, 3e-2, 1e-1),
    "library": (1e-3, 3e-3, 1e-2),
}
"""The learning rates at which every criterion is tried first.

`tune_and_test` adds more where the best is at an edge.
"""
DENSITY_LRS = {
    0.0001: (1e-1, 3e-1, 1.0),
    0.001: (1e-1, 3e-1, 1.0),
    0.003: (3e-2, 1e-1, 3e-1),
    0.03: (1e-2, 3e-2, 1e-1),
    0.1: (3e-3, 1e-2, 3e-2),
    0.2: (3e-3, 1e-2, 3e-2),
}
"""The learning rates at which each other density is tried."""
BODY_LRS = (1e-2, 3e-2, 1e-1)
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
"""The method of runs with a mask, in the recorded table."""
SEEDS = tuple(range(8))
MASK_SETTINGS = ("bench", "criterion", "density", "scope")
"""The columns that tell one mask from another."""


def jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs by which the learning rates are chosen."""

    def mask_jobs(
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

    wanted: list[dict[str, Any]] = []
    for bench, criteria in CRITERIA_BY_BENCH.items():
        for criterion in criteria:
            wanted += mask_jobs(bench, criterion, MAIN_DENSITY, CRITERIA_LRS[bench])
    for density, lrs in DENSITY_LRS.items():
        wanted += mask_jobs(MAIN_BENCH, "random", density, lrs)
    for density in (0.003, 0.1):
        wanted += mask_jobs(MAIN_BENCH, "changed most", density, DENSITY_LRS[density])
    for criterion in ("random", "Fisher"):
        wanted += mask_jobs(MAIN_BENCH, criterion, MAIN_DENSITY, BODY_LRS, BODY)
    return wanted


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid with half of the seeds; the chosen ones run with all seeds
    and are evaluated on test once.
    """
    half = tuning_seeds(seeds)
    reference_jobs: list[dict[str, Any]] = []
    for method, lrs_by_bench in REFERENCE_LRS.items():
        for bench, lrs in lrs_by_bench.items():
            reference_jobs += grid(bench=[bench], method=[method], lr=lrs, seed=half)
    masks = tune_and_test(trial, jobs(half), MASK_SETTINGS, seeds, executor)
    references = tune_and_test(reference, reference_jobs, ["bench", "method"], seeds, executor)
    table = pd.concat([masks.assign(method=SPARSE), references], ignore_index=True)
    return table.fillna({"criterion": "", "scope": "", "density": 0.0})


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """List the learning rate that was chosen for each mask, one row a mask.

    The column `edge` says whether it is at the edge of those that were tried, so that a better one
    may be outside.
    """
    masks = where(table, method=SPARSE)
    rates = chosen_rates(masks, MASK_SETTINGS)
    return rates.sort_values(list(MASK_SETTINGS), ignore_index=True)
