"""Claims about distillation, judged by the recorded runs of lesson 06."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import BENCHMARKS
from ftkit.lessons.distillation.study import (
    DISTILLATION,
    MAIN,
    TRIED_TEMPERATURES,
    best_temperature,
)
from ftkit.lessons.distillation.trial import LABELS, MOST_TRANSFER, PSEUDO, TRUE
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.recorded_evidence import RecordedRuns, median_cost
from ftkit.teaching.verdicts import judge_differences

HINTON = "Hinton, Vinyals and Dean 2015, arXiv:1503.02531"
SANH = "Sanh et al. 2019, arXiv:1910.01108"
OFTEN = "often heard"
OTHER = "library by mini"
"""The library task with mini as the teacher; elsewhere it is minilm."""


class Evidence(RecordedRuns):
    """The recorded runs of lesson 06; the temperature was chosen on valid too.

    `about` says how they were made; its `teachers` has each teacher's accuracy.
    """

    def __init__(self, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
        super().__init__(table)
        self.teachers = about["teachers"]
        self.benches = [bench for bench in BENCHMARKS if bench in set(table["bench"])]

    def at(self, bench: str, among: Sequence[float] = TRIED_TEMPERATURES) -> dict[str, Any]:
        """Return the main settings of the study, at the temperature that is best on valid."""
        return {**MAIN, "temperature": best_temperature(self.table, bench, among)}

    def settings(self, bench: str, method: str = DISTILLATION, **moved: Any) -> dict[str, Any]:
        """Select distillation at `at(bench)`, some settings changed; or another method."""
        settings = {**self.at(bench), **moved} if method == DISTILLATION else {}
        return {"bench": bench, "method": method, **settings}

    def read(
        self, bench: str, method: str = DISTILLATION, quantity: str = "accuracy", **moved: Any
    ) -> np.ndarray:
        """Return a quantity on test, one value a seed.

        Args:
            moved: settings of distillation that differ from `at(bench)`.
        """
        return self.test(bench, method, quantity=f"test/{quantity}", **moved)

    def teacher(self, bench: str) -> float:
        """Return the teacher's accuracy on test."""
        return float(self.teachers[bench]["test"])

    def cost(self, name: str, bench: str, method: str = DISTILLATION) -> float:
        """Return one entry of the cost table, the median over all runs of a method."""
        return median_cost(self.table, name, bench=bench, method=method)

    def over(self, method: str) -> dict[str, np.ndarray]:
        """Return distillation minus another method, by benchmark."""
        return {bench: self.read(bench) - self.read(bench, method) for bench in self.benches}

    def against(self, **moved: Any) -> dict[str, np.ndarray]:
        """Return distillation minus distillation with one setting changed, by benchmark."""
        return {bench: self.read(bench) - self.read(bench, **moved) for bench in self.benches}


def beats_labels(runs: Evidence) -> Claim:
    """Judge whether a student does better with a teacher than with the labels alone."""
    return Claim(
        "A student learns more from a teacher than from the labels alone.",
        HINTON,
        "distillation with transfer rows minus the same student on the few labels: "
        "equal steps, but more rows; test, points",
        *judge_differences(runs.over(LABELS), {"beats"}),
    )


def same_rows(runs: Evidence) -> Claim:
    """Judge whether a teacher's probabilities teach more than the labels of the same few rows."""
    gaps = {
        bench: runs.read(bench, transfer=0) - runs.read(bench, LABELS) for bench in runs.benches
    }
    return Claim(
        "On the same few rows soft targets teach more than labels.",
        HINTON,
        "distillation without transfer rows minus the same student on the labels of the same few "
        "rows, equal steps; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def soft_beats_hard(runs: Evidence) -> Claim:
    """Judge whether a teacher's probabilities teach more than its decisions."""
    return Claim(
        "Soft targets teach more than the same teacher's hard decisions.",
        HINTON,
        "distillation minus training on the teacher's most probable classes: "
        "equal rows, equal steps; test, points",
        *judge_differences(runs.over(PSEUDO), {"beats"}),
    )


def soft_beats_true(runs: Evidence) -> Claim:
    """Judge whether a teacher's probabilities teach more than the true labels."""
    return Claim(
        "A teacher's soft targets teach more than true labels would.",
        OFTEN,
        "distillation minus training on the true labels of all the same rows, equal steps; "
        "test, points",
        *judge_differences(runs.over(TRUE), {"beats"}),
    )


def transfer_set(runs: Evidence) -> Claim:
    """Judge whether unlabelled rows make a better student."""
    return Claim(
        "Unlabelled rows that the teacher labels make a better student.",
        OFTEN,
        f"with all unlabelled rows, {MOST_TRANSFER:,} at most, minus with none, equal steps; "
        "test, points",
        *judge_differences(runs.against(transfer=0), {"beats"}),
    )


def temperature(runs: Evidence) -> Claim:
    """Judge whether a temperature above 1 is better."""
    gaps = {}
    for bench in runs.benches:
        above_1 = runs.at(bench, TRIED_TEMPERATURES[1:])["temperature"]
        gap = runs.read(bench, temperature=above_1) - runs.read(bench, temperature=1.0)
        gaps[f"{bench}, T = {above_1:g}"] = gap
    return Claim(
        "A temperature above 1 teaches better.",
        HINTON,
        "the best temperature above 1 minus temperature 1, each at its best learning rate; "
        "test, points",
        *judge_differences(gaps, {"beats"}),
    )


def inherited_layers(runs: Evidence) -> Claim:
    """Judge whether a student should start from pretrained layers."""
    return Claim(
        "A student should start from layers of a larger, pretrained network.",
        SANH,
        "a student of every second pretrained block minus the same one from random weights, "
        "80 steps each; test, points",
        *judge_differences(runs.against(body="two random blocks"), {"beats"}),
    )


def better_teacher(runs: Evidence) -> Claim:
    """Judge whether the better teacher makes the better student."""
    teachers = {"library": "minilm", OTHER: "mini"}
    worse, better = sorted(teachers, key=lambda bench: (runs.teacher(bench), bench))
    difference = runs.read(better) - runs.read(worse)
    return Claim(
        "The better teacher makes the better student.",
        OFTEN,
        f"library, {teachers[better]} is right on {runs.teacher(better):.1%} of test, "
        f"{teachers[worse]} on {runs.teacher(worse):.1%}; students' test, points",
        *judge_differences({f"{teachers[better]} minus {teachers[worse]}": difference}, {"beats"}),
    )


def most_of_the_teacher(runs: Evidence) -> Claim:
    """Judge whether a smaller student keeps 97 % of its teacher's accuracy."""
    left = {bench: runs.read(bench) - 0.97 * runs.teacher(bench) for bench in runs.benches}
    return Claim(
        "A distilled student keeps 97 % of its teacher's accuracy.",
        f"after {SANH}, who distil while pretraining",
        "the student's accuracy minus 97 % of its teacher's; test, points",
        *judge_differences(left, {"beats", "ties"}),
    )


def distill_claims(table: pd.DataFrame, about: Mapping[str, Any]) -> list[Claim]:
    """Judge every claim of lesson 06 by its recorded runs."""
    runs = Evidence(table, about)
    return [
        beats_labels(runs),
        same_rows(runs),
        soft_beats_hard(runs),
        soft_beats_true(runs),
        transfer_set(runs),
        temperature(runs),
        inherited_layers(runs),
        better_teacher(runs),
        most_of_the_teacher(runs),
    ]
