"""The record of lesson 01: every frozen part, random weights, the recipes and the far task, each at its best rate."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

import pandas as pd

from ftkit.experiments.benchmark import BENCHMARKS
from ftkit.experiments.rate_search import chosen, few, settled
from ftkit.experiments.sweep import KEPT, grid, sweep
from ftkit.lessons.lora.study import REFERENCE_LRS
from ftkit.lessons.transfer_learning import recipes
from ftkit.lessons.transfer_learning import trial as freezing
from ftkit.lessons.transfer_learning.trial import ALL, POSITIONS

LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
RATES: Mapping[int, Sequence[float]] = {
    0: LRS,
    **dict.fromkeys(POSITIONS[1:-1], LRS[1:]),
    ALL: REFERENCE_LRS["frozen body"][1:],
}
"""The rates that were tried, by how many parts are frozen; with everything frozen it is the head's rate, which wants to be larger."""
RECIPE_RATES = {"LP-FT": LRS[:4], "gradual unfreezing": LRS[1:5], "discriminative rates": LRS[1:5]}
FAR_RATES = {
    "frozen body": RATES[ALL][1:-1],
    "full fine-tuning": LRS[1:],
    "random weights": LRS[1:],
}
SEEDS = tuple(range(8))
KEEP = (*KEPT, "shift", "blend")
FREEZING = "freezing"
"""The method of the panel's own rows."""


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study. Rates are chosen on valid with half of the seeds; what was chosen runs with all of them, and reads test once."""
    half, benches = few(seeds), list(BENCHMARKS)
    jobs = [
        job
        for k, lrs in RATES.items()
        for job in grid(bench=benches, frozen=[k], body=["pretrained"], lr=lrs, seed=half)
    ]
    jobs += grid(bench=benches, frozen=[0], body=["random"], lr=LRS[1:], seed=half)
    main = settled(freezing.trial, jobs, ["bench", "frozen", "body"], seeds, executor, KEEP).assign(
        method=FREEZING
    )
    probe = chosen(main, bench="library", frozen=ALL)
    recipe = partial(recipes.recipe, probe=probe)
    staged = [
        job
        for method, lrs in RECIPE_RATES.items()
        for job in grid(bench=["library"], method=[method], lr=lrs, seed=half)
    ]
    staged += grid(bench=["opening"], method=["first block"], lr=LRS[1:], seed=half)
    full = {
        "bench": "library",
        "method": "full fine-tuning",
        "lr": chosen(main, bench="library", frozen=0, body="pretrained"),
        "test": True,
    }
    distant = [
        job for method, lrs in FAR_RATES.items() for job in grid(method=[method], lr=lrs, seed=half)
    ]
    tables = [
        main,
        settled(recipe, staged, ["bench", "method"], seeds, executor, KEEP),
        sweep(recipe, [{**full, "seed": seed} for seed in seeds], executor, keep=("shift",)).drop(
            columns="test"
        ),
        settled(recipes.far, distant, ["method"], seeds, executor, KEEP).assign(
            bench="digits as text"
        ),
    ]
    whole = pd.concat(tables, ignore_index=True)
    return whole.fillna({"frozen": -1, "body": ""}).astype({"frozen": int})


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """Every rate that was chosen, one row each, and whether it lies at the edge of those that were tried, so that a better one may lie
    beyond."""
    rows, by = [], ["method", "bench", "frozen", "body"]
    for key, part in table.groupby(by, sort=False):
        tried, settings = sorted(part["lr"].unique()), dict(zip(by, key, strict=True))
        if "test/accuracy" in set(part["quantity"]):
            lr = chosen(part)
            rows.append({**settings, "lr": lr, "edge": not tried[0] < lr < tried[-1]})
    return pd.DataFrame(rows)


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that a panel shows, and beside them both ends of the dial and random weights as what they lie between."""
    own = table[table["method"] == FREEZING]
    pretrained = own[own["body"] == "pretrained"]
    beside = {
        "frozen body": pretrained[pretrained["frozen"] == ALL],
        "random weights": own[own["body"] != "pretrained"],
        "full fine-tuning": pretrained[pretrained["frozen"] == 0],
    }
    return pd.concat(
        [own, *(rows.assign(method=method) for method, rows in beside.items())], ignore_index=True
    )
