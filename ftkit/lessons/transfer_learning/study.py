"""The study of lesson 01: every number of frozen parts, random weights, recipes and a far task."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import BENCHMARKS, FROZEN, FULL
from ftkit.experiments.rate_search import chosen, chosen_rates, tune_and_test, tuning_seeds
from ftkit.experiments.sweep import KEPT, grid, sweep
from ftkit.lessons.lora.study import REFERENCE_LRS
from ftkit.lessons.transfer_learning import recipes, trial
from ftkit.lessons.transfer_learning.trial import ALL_FROZEN, FROZEN_COUNTS

LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
LRS_BY_FROZEN: Mapping[int, Sequence[float]] = {
    0: LRS,
    **dict.fromkeys(FROZEN_COUNTS[1:-1], LRS[1:]),
    ALL_FROZEN: REFERENCE_LRS[FROZEN][1:],
}
"""The learning rates that are tried, by the number of frozen parts.

With everything frozen it is the learning rate of the head, whose best value is larger.
"""
RECIPE_LRS = {"LP-FT": LRS[:4], "gradual unfreezing": LRS[1:5], "discriminative rates": LRS[1:5]}
FAR_LRS = {
    FROZEN: LRS_BY_FROZEN[ALL_FROZEN][1:-1],
    FULL: LRS[1:],
    "random weights": LRS[1:],
}
SEEDS = tuple(range(8))
KEPT_STAGES = (*KEPT, "shift", "blend")
FREEZING = "freezing"
"""The method of the runs of `trial.trial`."""
BY = ("method", "bench", "frozen", "body")
"""The settings for each of which a learning rate is chosen."""


def jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of `trial.trial` that choose the learning rates."""
    benches = list(BENCHMARKS)
    runs = []
    for frozen, lrs in LRS_BY_FROZEN.items():
        runs += grid(bench=benches, frozen=[frozen], body=["pretrained"], lr=lrs, seed=seeds)
    return runs + grid(bench=benches, frozen=[0], body=["random"], lr=LRS[1:], seed=seeds)


def recipe_jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of `recipes.recipe` that choose the learning rates."""
    runs = []
    for method, lrs in RECIPE_LRS.items():
        runs += grid(bench=["library"], method=[method], lr=lrs, seed=seeds)
    return runs + grid(bench=["opening"], method=["first block"], lr=LRS[1:], seed=seeds)


def far_jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs of `recipes.far_task` that choose the learning rates."""
    runs = []
    for method, lrs in FAR_LRS.items():
        runs += grid(method=[method], lr=lrs, seed=seeds)
    return runs


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid with half of the seeds; the chosen settings run once with all
    seeds and are evaluated on test.
    """
    half = tuning_seeds(seeds)
    by = ["bench", "frozen", "body"]
    freezing = tune_and_test(trial.trial, jobs(half), by, seeds, executor, KEPT_STAGES)
    freezing = freezing.assign(method=FREEZING)
    probe_lr = chosen(freezing, bench="library", frozen=ALL_FROZEN)
    recipe = partial(recipes.recipe, probe=probe_lr)
    staged = tune_and_test(
        recipe, recipe_jobs(half), ["bench", "method"], seeds, executor, KEPT_STAGES
    )
    # Full fine-tuning runs once more as a recipe: only recipes are evaluated out of distribution.
    full_lr = chosen(freezing, bench="library", frozen=0, body="pretrained")
    full_jobs = grid(bench=["library"], method=[FULL], lr=[full_lr], test=[True], seed=seeds)
    full = sweep(recipe, full_jobs, executor, keep=("shift",)).drop(columns="test")
    far = tune_and_test(recipes.far_task, far_jobs(half), ["method"], seeds, executor, KEPT_STAGES)
    far = far.assign(bench="digits as text")
    whole = pd.concat([freezing, staged, full, far], ignore_index=True)
    return whole.fillna({"frozen": -1, "body": ""}).astype({"frozen": int})


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """List every chosen learning rate, and whether it is at the `edge` of those that were tried."""
    return chosen_rates(table, BY)


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """Select the runs that the panel shows and add its references.

    The references are both ends of the dial, as "frozen body" and "full fine-tuning", and random
    weights.
    """
    freezing = table[table["method"] == FREEZING]
    pretrained = freezing[freezing["body"] == "pretrained"]
    references = {
        FROZEN: pretrained[pretrained["frozen"] == ALL_FROZEN],
        "random weights": freezing[freezing["body"] != "pretrained"],
        FULL: pretrained[pretrained["frozen"] == 0],
    }
    named = [rows.assign(method=method) for method, rows in references.items()]
    return pd.concat([freezing, *named], ignore_index=True)
