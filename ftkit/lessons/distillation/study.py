"""The record of lesson 06: students at their best rate and temperature, with one dial moved at a time, and what they are compared with."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import BENCHMARKS, FROZEN, FULL
from ftkit.experiments.rate_search import few, settled
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import last, where
from ftkit.lessons.distillation import teachers
from ftkit.lessons.distillation.students import BODIES, LABELLED, standing
from ftkit.lessons.distillation.trial import (
    LABELS,
    MOST,
    PSEUDO,
    TEMPERATURES,
    TRANSFER,
    TRUE,
    WEIGHTS,
    control,
    trial,
)

DISTILLATION = "distillation"
"""The method of the panel's own rows."""
MAIN: dict[str, Any] = {"weight": 0.9, "transfer": MOST, "body": "two blocks"}
"""Where the dials stand, but for the temperature, which is chosen on valid as the rate is."""
DIALS = ("temperature", *MAIN)
TRIED = (1.0, 2.0, 4.0)
MOVED: tuple[dict[str, Any], ...] = ({"transfer": 0}, {"body": "two random blocks"})
"""What is moved, one at a time, and judged: the best rate is sought for each, and test is read."""
LRS = (1e-3, 3e-3, 1e-2)
RATES = {LABELS: LRS, PSEUDO: LRS, TRUE: LRS, FULL: (3e-4, 1e-3, 3e-3), FROZEN: (1e-2, 3e-2, 1e-1)}
"""Where the search for the best rate begins; a grid is widened until the best lies inside."""
PANEL_LR = 3e-3
SEEDS = tuple(range(8))


def record(
    executor: Executor | None,
    seeds: tuple[int, ...] = SEEDS,
    benches: Sequence[str] = tuple(LABELLED),
) -> pd.DataFrame:
    """The whole study. Rates are chosen on valid with half of the seeds; what was chosen runs with all of them, and reads test once."""
    half, places = few(seeds), [bench for bench in benches if bench in BENCHMARKS]
    warm = [
        job
        for bench in benches
        for job in students(bench, [{**MAIN, "temperature": t} for t in TRIED], LRS, half)
    ]
    ours = settled(trial, warm, ["bench", *DIALS], seeds, executor)
    at = {bench: {**MAIN, "temperature": best_temperature(ours, bench)} for bench in benches}
    moved = [
        job
        for bench in places
        for job in students(bench, [{**at[bench], **move} for move in MOVED], LRS, half)
    ]
    shown = [
        job for bench in places for job in students(bench, only_shown(at[bench]), [PANEL_LR], half)
    ]
    beside = [
        job for m, lrs in RATES.items() for job in grid(bench=places, method=[m], lr=lrs, seed=half)
    ]
    tables = [
        ours.assign(method=DISTILLATION),
        settled(trial, moved, ["bench", *DIALS], seeds, executor).assign(method=DISTILLATION),
        sweep(trial, shown, executor).assign(method=DISTILLATION),
        settled(control, beside, ["bench", "method"], seeds, executor),
    ]
    whole = pd.concat(tables, ignore_index=True)
    return whole.fillna({"temperature": 0.0, "weight": 0.0, "transfer": -1, "body": ""}).astype(
        {"transfer": int}
    )


def students(
    bench: str, dials: Sequence[dict[str, Any]], lrs: Sequence[float], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """The jobs of the students of a teacher with these positions of the dials."""
    return [
        job
        for at in dials
        for job in grid(bench=[bench], **{name: [at[name]] for name in DIALS}, lr=lrs, seed=seeds)
    ]


def only_shown(at: dict[str, Any]) -> list[dict[str, Any]]:
    """The positions, one dial away from `at`, that the panel shows and nobody judges."""
    stops = {
        "temperature": TEMPERATURES,
        "weight": WEIGHTS,
        "transfer": TRANSFER,
        "body": tuple(BODIES),
    }
    judged = [{**at, **move} for move in ({}, *MOVED, *({"temperature": t} for t in TRIED))]
    every = [{**at, name: value} for name, values in stops.items() for value in values]
    return [position for position in every if position not in judged]


def best_temperature(table: pd.DataFrame, bench: str, among: Sequence[float] = TRIED) -> float:
    """The temperature that is best on valid, over all seeds, each at its best rate, with the other dials as in `MAIN`."""
    read = where(table, quantity="test/accuracy", bench=bench, **MAIN)
    chosen = {
        float(t): float(lr)
        for t, lr in zip(read["temperature"], read["lr"], strict=True)
        if t in among
    }
    means = {
        t: where(last(table), bench=bench, temperature=t, lr=lr, **MAIN)["value"].mean()
        for t, lr in chosen.items()
    }
    return max(means, key=means.__getitem__)


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a row of rails for every teacher: two teachers of one task have in common what needs none.

    Pseudo-labels of the second teacher were not recorded.
    """
    ours, beside = table[table["method"] == DISTILLATION], table[table["method"] != DISTILLATION]
    shared = beside[(beside["bench"] == "library") & (beside["method"] != PSEUDO)]
    return pd.concat([ours, beside, shared.assign(bench="library by mini")], ignore_index=True)


def about_teachers() -> dict[str, Any]:
    """How each teacher was made, and how often it is right."""
    _, made = teachers.read(teachers.shipped())
    return {"teachers": {name: {**how, **standing(name)} for name, how in made.items()}}
