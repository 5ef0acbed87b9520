"""The study of lesson 06: students, one setting changed at a time, and their controls."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import BENCHMARKS, FROZEN, FULL
from ftkit.experiments.rate_search import tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import last, where
from ftkit.lessons.distillation import teachers
from ftkit.lessons.distillation.students import BODIES, LABELLED, teacher_accuracies
from ftkit.lessons.distillation.trial import (
    LABELS,
    MOST_TRANSFER,
    PSEUDO,
    TEMPERATURES,
    TRANSFER,
    TRUE,
    WEIGHTS,
    control,
    trial,
)

DISTILLATION = "distillation"
"""The method of a student's runs in the recorded table."""
MAIN: dict[str, Any] = {"weight": 0.9, "transfer": MOST_TRANSFER, "body": "two blocks"}
"""The main settings, but for the temperature, which is chosen on valid as the learning rate is."""
DIALS = ("temperature", *MAIN)
TRIED_TEMPERATURES = (1.0, 2.0, 4.0)
MOVED: tuple[dict[str, Any], ...] = ({"transfer": 0}, {"body": "two random blocks"})
"""The changes that are judged, one at a time.

Each has its own search for the learning rate, and is evaluated on test.
"""
LRS = (1e-3, 3e-3, 1e-2)
CONTROL_LRS = {
    LABELS: LRS,
    PSEUDO: LRS,
    TRUE: LRS,
    FULL: (3e-4, 1e-3, 3e-3),
    FROZEN: (1e-2, 3e-2, 1e-1),
}
"""The learning rates that are tried first; `tune_and_test` adds more until the best is inside."""
PANEL_LR = 3e-3
SEEDS = tuple(range(8))


def record(
    executor: Executor | None,
    seeds: tuple[int, ...] = SEEDS,
    benches: Sequence[str] = tuple(LABELLED),
) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid with half of the seeds; the chosen ones run with all seeds
    and are evaluated on test once. "library by mini" has the main settings alone.
    """
    half = tuning_seeds(seeds)
    by = ["bench", *DIALS]
    benchmarks = [bench for bench in benches if bench in BENCHMARKS]

    main_jobs = []
    for bench in benches:
        dials = [{**MAIN, "temperature": temperature} for temperature in TRIED_TEMPERATURES]
        main_jobs += student_jobs(bench, dials, LRS, half)
    main = tune_and_test(trial, main_jobs, by, seeds, executor)

    moved_jobs, panel_jobs = [], []
    for bench in benchmarks:
        at = {**MAIN, "temperature": best_temperature(main, bench)}
        moved_jobs += student_jobs(bench, [{**at, **move} for move in MOVED], LRS, half)
        panel_jobs += student_jobs(bench, panel_dials(at), [PANEL_LR], half)
    control_jobs = []
    for method, lrs in CONTROL_LRS.items():
        control_jobs += grid(bench=benchmarks, method=[method], lr=lrs, seed=half)

    moved = tune_and_test(trial, moved_jobs, by, seeds, executor)
    for_panel = sweep(trial, panel_jobs, executor)
    controls = tune_and_test(control, control_jobs, ["bench", "method"], seeds, executor)
    students = [table.assign(method=DISTILLATION) for table in (main, moved, for_panel)]
    table = pd.concat([*students, controls], ignore_index=True)
    without_dials = {"temperature": 0.0, "weight": 0.0, "transfer": -1, "body": ""}
    return table.fillna(without_dials).astype({"transfer": int})


def student_jobs(
    bench: str, dials: Sequence[dict[str, Any]], lrs: Sequence[float], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """List the jobs of a teacher's students at these positions of the dials."""
    jobs = []
    for position in dials:
        single_values = {name: [position[name]] for name in DIALS}
        jobs += grid(bench=[bench], **single_values, lr=lrs, seed=seeds)
    return jobs


def panel_dials(at: dict[str, Any]) -> list[dict[str, Any]]:
    """List the positions, one dial away from `at`, that the panel shows and no claim judges."""
    stops = {
        "temperature": TEMPERATURES,
        "weight": WEIGHTS,
        "transfer": TRANSFER,
        "body": tuple(BODIES),
    }
    judged = [at]
    judged += [{**at, **move} for move in MOVED]
    judged += [{**at, "temperature": temperature} for temperature in TRIED_TEMPERATURES]
    positions = [{**at, dial: value} for dial, values in stops.items() for value in values]
    return [position for position in positions if position not in judged]


def best_temperature(
    table: pd.DataFrame, bench: str, among: Sequence[float] = TRIED_TEMPERATURES
) -> float:
    """Choose the temperature with the highest mean accuracy on valid, over all seeds.

    Each temperature has its own best learning rate; the other dials are as in `MAIN`.
    """
    evaluated = where(table, quantity="test/accuracy", bench=bench, **MAIN)
    pairs = zip(evaluated["temperature"], evaluated["lr"], strict=True)
    best_lrs = {float(temperature): float(lr) for temperature, lr in pairs if temperature in among}
    on_valid = where(last(table), bench=bench, **MAIN)
    means = {
        temperature: where(on_valid, temperature=temperature, lr=lr)["value"].mean()
        for temperature, lr in best_lrs.items()
    }
    return max(means, key=means.__getitem__)


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """Prepare the recorded runs for the panel: controls for every teacher.

    The two teachers of one task share the controls that need no teacher. Pseudo-labels of the
    second teacher were not recorded.
    """
    is_student = table["method"] == DISTILLATION
    students, controls = table[is_student], table[~is_student]
    without_teacher = controls[(controls["bench"] == "library") & (controls["method"] != PSEUDO)]
    shared = without_teacher.assign(bench="library by mini")
    return pd.concat([students, controls, shared], ignore_index=True)


def about_teachers() -> dict[str, Any]:
    """How each teacher was made, and its accuracies on valid and test."""
    _, made = teachers.read_answers(teachers.answers_path())
    return {"teachers": {name: {**how, **teacher_accuracies(name)} for name, how in made.items()}}
