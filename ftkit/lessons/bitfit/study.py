"""The study of lesson 04: BitFit on three benchmarks, by examples and by group of biases.

Full fine-tuning and the frozen body are its references.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.experiments.rate_search import tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid
from ftkit.lessons.bitfit.trial import ALL_GROUPS, GROUPS, SAME_HEAD, TWO_GROUPS, reference, trial
from ftkit.training.loop import HEAD_LR

EXAMPLES = (32, 128, 512, 2000, 8000)
EXAMPLES_BY_BENCH = {"opening": EXAMPLES[:-1], "library": EXAMPLES, "digits": (32, 512)}
"""The numbers of examples that are recorded.

The classes of `opening` cannot be balanced in 8,000 examples, which would make it another task.
"""

LRS: dict[str, tuple[float, ...]] = {
    "opening": (1e-2, 3e-2, 1e-1, 3e-1),
    "library": (1e-3, 3e-3, 1e-2, 3e-2),
    "digits": (1e-3, 3e-3, 1e-2, 3e-2),
}
"""The learning rates that are tried first, for every number of examples.

If the best is at an edge, the search goes on beyond it.
"""
GROUP_LRS = (3e-2, 1e-1, 3e-1, 1.0)
GROUPS_BENCH, GROUPS_EXAMPLES = "opening", 2000
"""The benchmark and the number of examples on which single groups are compared."""
REFERENCE_LRS: dict[str, dict[str, tuple[float, ...]]] = {
    FULL: {
        "opening": (1e-3, 3e-3, 1e-2),
        "library": (1e-4, 3e-4, 1e-3, 3e-3),
        "digits": (3e-4, 1e-3, 3e-3),
    },
    FROZEN: {
        "opening": (3e-2, 1e-1, 3e-1, 1.0, 3.0),
        "library": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
        "digits": (1e-2, 3e-2, 1e-1, 3e-1),
    },
    SAME_HEAD: dict.fromkeys(EXAMPLES_BY_BENCH, (HEAD_LR,)),
}
SEEDS = tuple(range(8))


def jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of BitFit that choose the learning rates: all groups by examples, and single
    groups."""
    runs = []
    for bench, sizes in EXAMPLES_BY_BENCH.items():
        runs += grid(bench=[bench], groups=[ALL_GROUPS], examples=sizes, lr=LRS[bench], seed=seeds)
    return runs + grid(
        bench=[GROUPS_BENCH],
        groups=[*GROUPS["mini"], TWO_GROUPS],
        examples=[GROUPS_EXAMPLES],
        lr=GROUP_LRS,
        seed=seeds,
    )


def reference_jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of the reference methods that choose the learning rates."""
    runs = []
    for method, lrs in REFERENCE_LRS.items():
        for bench, sizes in EXAMPLES_BY_BENCH.items():
            runs += grid(bench=[bench], method=[method], examples=sizes, lr=lrs[bench], seed=seeds)
    return runs


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid with half of the seeds; the chosen settings run once with all
    seeds and are evaluated on test.
    """
    half, kept = tuning_seeds(seeds), ("test",)
    reference_by = ["bench", "method", "examples"]
    by = ["bench", "groups", "examples"]
    tables = [
        tune_and_test(reference, reference_jobs(half), reference_by, seeds, executor, keep=kept),
        tune_and_test(trial, jobs(half), by, seeds, executor, keep=kept),
    ]
    return pd.concat(tables, ignore_index=True).fillna({"method": "BitFit", "groups": ""})
