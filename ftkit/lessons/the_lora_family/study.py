"""The study of lesson 08: LoRA's relatives, with at most the trainable parameters of LoRA.

Each is compared at its own best learning rate.
"""

from concurrent.futures import Executor

import pandas as pd

from ftkit.experiments.benchmark import (
    reference,
)
from ftkit.experiments.rate_search import tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid
from ftkit.lessons.lora.study import REFERENCE_LRS
from ftkit.lessons.the_lora_family.trial import RELATIVES, WITHOUT_RANK, trial

BENCHES = ("opening", "digits")
"""Text and vision.

"library" is left out: there a new head on a frozen body does most of the work, so that two methods
could hardly differ.
"""
JUDGED_RANKS, HIGH_RANK = (2, 8), 32
"""The ranks that are recorded for all, and the one at which rsLoRA should have an advantage."""

_LOW = (1e-3, 3e-3, 1e-2, 3e-2)
LRS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(RELATIVES, _LOW),
    "LoRA+": (3e-4, 1e-3, 3e-3, 1e-2),
    "AdaLoRA": (3e-3, 1e-2, 3e-2, 1e-1),
    "VeRA": (1e-2, 3e-2, 1e-1, 3e-1),
    "(IA)3": (1e-2, 3e-2, 1e-1, 3e-1),
}
"""The learning rates that are tried first; `tune_and_test` adds more where the best is at an edge.

That of LoRA+ is the learning rate of A.
"""
SEEDS = tuple(range(10))
"""Ten: with eight seeds no sign-flip test could be significant in a family of eight comparisons."""
RELATIVE = "relative"
"""The method of all relatives in the recorded table, which the column `relative` tells apart."""


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid with half of the seeds; the chosen ones run with all seeds
    and are evaluated on test once.
    """
    half, benches = tuning_seeds(seeds), list(BENCHES)
    ranks: dict[str, tuple[int, ...]] = dict.fromkeys(RELATIVES, JUDGED_RANKS)
    ranks |= dict.fromkeys(WITHOUT_RANK, JUDGED_RANKS[:1])
    ranks |= dict.fromkeys(("LoRA", "rsLoRA"), (*JUDGED_RANKS, HIGH_RANK))
    jobs = []
    for relative in RELATIVES:
        jobs += grid(
            bench=benches,
            relative=[relative],
            rank=ranks[relative],
            lr=LRS[relative],
            seed=half,
        )
    reference_jobs = []
    for method, lrs in REFERENCE_LRS.items():
        reference_jobs += grid(bench=benches, method=[method], lr=lrs, seed=half)
    relatives = tune_and_test(trial, jobs, ["bench", "relative", "rank"], seeds, executor)
    references = tune_and_test(reference, reference_jobs, ["bench", "method"], seeds, executor)
    # Without a rank a run is the same at every rank: show it at the others too.
    copies = [
        relatives[relatives["relative"] == relative].assign(rank=rank)
        for relative in WITHOUT_RANK
        for rank in JUDGED_RANKS[1:]
    ]
    table = pd.concat([references, relatives, *copies], ignore_index=True)
    return table.fillna({"method": RELATIVE, "relative": "", "rank": 0}).astype({"rank": int})
