"""The study of lesson 02: LoRA on three benchmarks, over ranks, targets and alpha.

Full fine-tuning and the frozen body are its references.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import BENCHMARKS, FROZEN, FULL, reference
from ftkit.experiments.rate_search import tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid, sweep
from ftkit.lessons.lora.trial import trial

RANKS = (1, 2, 4, 8, 16, 32)
LRS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
REFERENCE_LRS = {
    FULL: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    FROZEN: (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
}
TARGETS = ("all linear", "attention", "feed-forward")
SEEDS = tuple(range(8))
EQUAL_RANKS = {"opening": 7, "library": 7, "digits": 9}
"""By benchmark, the rank at which LoRA on attention alone has exactly the number of parameters of
rank 4 on every linear layer."""


def jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of LoRA that choose the learning rates: every rank, and attention at equal
    parameters."""
    fixed: dict[str, Any] = {"alpha": ["16"], "lr": LRS, "seed": seeds}
    runs = grid(bench=list(BENCHMARKS), rank=RANKS, targets=["all linear"], **fixed)
    for bench, rank in EQUAL_RANKS.items():
        runs += grid(bench=[bench], rank=[rank], targets=["attention"], **fixed)
    return runs


def reference_jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of the reference methods that choose the learning rates."""
    runs = []
    for method, lrs in REFERENCE_LRS.items():
        runs += grid(bench=list(BENCHMARKS), method=[method], lr=lrs, seed=seeds)
    return runs


def panel_jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs that only the panel shows, all on one benchmark.

    They have other targets with the usual alpha, or the other alpha with the usual targets; both
    at once were not recorded.
    """
    runs = []
    for targets, alpha in ((TARGETS[1:], "16"), (TARGETS[:1], "2r")):
        runs += grid(
            bench=["opening"], rank=RANKS, targets=targets, alpha=[alpha], lr=LRS, seed=seeds
        )
    return runs


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid; only the chosen settings are evaluated on test. The runs
    that only the panel shows have half of the seeds, and no claim is judged by them.
    """
    by = ["bench", "rank", "targets", "alpha"]
    tables = [
        tune_and_test(reference, reference_jobs(seeds), ["bench", "method"], seeds, executor),
        tune_and_test(trial, jobs(seeds), by, seeds, executor),
        sweep(trial, panel_jobs(tuning_seeds(seeds)), executor),
    ]
    whole = pd.concat(tables, ignore_index=True)
    whole = whole.fillna({"method": "LoRA", "rank": 0, "targets": "", "alpha": ""})
    return whole.astype({"rank": int})
