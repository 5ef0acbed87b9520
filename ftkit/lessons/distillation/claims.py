"""What is said of distillation, and what the recorded runs of lesson 06 say to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import BENCHMARKS
from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import where
from ftkit.lessons.distillation.study import DISTILLATION, MAIN, TRIED, best_temperature
from ftkit.lessons.distillation.trial import LABELS, MOST, PSEUDO, TRUE
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import judged

HINTON = "Hinton, Vinyals and Dean 2015, arXiv:1503.02531"
SANH = "Sanh et al. 2019, arXiv:1910.01108"
OFTEN = "often heard"
OTHER = "library by mini"


class Evidence:
    """The recorded table of lesson 06, asked as its claims need it. Rates and temperatures were chosen on valid; what is read is
    read on test, one a seed.

    `about` says how the table was made; its `teachers` say of each how often it is right.
    """

    def __init__(self, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
        self.table, self.teachers = table, about["teachers"]
        self.benches = [bench for bench in BENCHMARKS if bench in set(table["bench"])]

    def at(self, bench: str, among: Sequence[float] = TRIED) -> dict[str, Any]:
        """Where the dials stand for a task: as in `MAIN`, and at the temperature that is best on valid."""
        return {**MAIN, "temperature": best_temperature(self.table, bench, among)}

    def read(
        self, bench: str, method: str = DISTILLATION, quantity: str = "accuracy", **moved: Any
    ) -> np.ndarray:
        """What was read on test, one a seed: of students with one dial moved away from `at(on)`, or of another method."""
        rows = self._rows(bench, method, f"test/{quantity}", moved).sort_values("seed")
        assert len(rows) and not rows["seed"].duplicated().any(), (bench, method, quantity, moved)
        return rows["value"].to_numpy()

    def rate(self, bench: str, method: str = DISTILLATION, **moved: Any) -> float:
        """The rate that was chosen on valid."""
        return chosen(self._rows(bench, method, "test/accuracy", moved))

    def teacher(self, bench: str) -> float:
        """How often the teacher is right on test."""
        return float(self.teachers[bench]["test"])

    def cost(self, name: str, bench: str, method: str = DISTILLATION) -> float:
        """One entry of the bill, the median over the runs."""
        return float(
            where(self.table, bench=bench, method=method, quantity=f"cost/{name}")["value"].median()
        )

    def over(self, method: str) -> dict[str, np.ndarray]:
        """Distillation minus another method, on each task."""
        return {bench: self.read(bench) - self.read(bench, method) for bench in self.benches}

    def against(self, **moved: Any) -> dict[str, np.ndarray]:
        """Distillation minus itself with one dial moved, on each task."""
        return {bench: self.read(bench) - self.read(bench, **moved) for bench in self.benches}

    def _rows(
        self, bench: str, method: str, quantity: str, moved: Mapping[str, Any]
    ) -> pd.DataFrame:
        dials = {**self.at(bench), **moved} if method == DISTILLATION else {}
        return where(self.table, bench=bench, method=method, quantity=quantity, **dials)


def beats_labels(found: Evidence) -> Claim:
    """With a teacher a student does better than with the labels alone."""
    figures, says = judged(found.over(LABELS), {"beats"})
    experiment = "distillation with transfer rows minus the same student on the few labels: equal steps, but more rows; test, points"
    return Claim(
        "A student learns more from a teacher than from the labels alone.",
        HINTON,
        experiment,
        figures,
        says,
    )


def same_rows(found: Evidence) -> Claim:
    """A teacher's probabilities teach more than the labels of the very same few rows."""
    figures, says = judged(
        {
            bench: found.read(bench, transfer=0) - found.read(bench, LABELS)
            for bench in found.benches
        },
        {"beats"},
    )
    experiment = "distillation without transfer rows minus the same student on the labels of the same few rows, equal steps; test, points"
    return Claim(
        "On the same few rows soft answers teach more than labels.",
        HINTON,
        experiment,
        figures,
        says,
    )


def soft_beats_hard(found: Evidence) -> Claim:
    """A teacher's probabilities teach more than its decisions."""
    figures, says = judged(found.over(PSEUDO), {"beats"})
    experiment = "distillation minus training on the teacher's most probable classes: equal rows, equal steps; test, points"
    return Claim(
        "Soft answers teach more than the same teacher's hard ones.",
        HINTON,
        experiment,
        figures,
        says,
    )


def soft_beats_true(found: Evidence) -> Claim:
    """A teacher's probabilities teach more than the true labels."""
    figures, says = judged(found.over(TRUE), {"beats"})
    experiment = "distillation minus training on the true labels of all the same rows, equal steps; test, points"
    return Claim(
        "A teacher's answers teach more than true labels would.", OFTEN, experiment, figures, says
    )


def transfer_set(found: Evidence) -> Claim:
    """Unlabelled rows bring much."""
    figures, says = judged(found.against(transfer=0), {"beats"})
    experiment = f"with all unlabelled rows there are, {MOST:,} at most, minus with none, equal steps; test, points"
    return Claim(
        "Unlabelled rows for the teacher to answer make the better student.",
        OFTEN,
        experiment,
        figures,
        says,
    )


def temperature(found: Evidence) -> Claim:
    """A temperature above 1 is worth it."""
    hot = {bench: found.at(bench, TRIED[1:])["temperature"] for bench in found.benches}
    gains = {
        f"{bench}, T = {t:g}": found.read(bench, temperature=t) - found.read(bench, temperature=1.0)
        for bench, t in hot.items()
    }
    figures, says = judged(gains, {"beats"})
    experiment = (
        "the best temperature above 1 minus temperature 1, each at its best rate; test, points"
    )
    return Claim("A temperature above 1 teaches better.", HINTON, experiment, figures, says)


def inherited_layers(found: Evidence) -> Claim:
    """A student should start from pretrained layers."""
    figures, says = judged(found.against(body="two random blocks"), {"beats"})
    experiment = "a student of every second pretrained block minus the same one from random weights, 80 steps each; test, points"
    return Claim(
        "A student should start from layers of a larger, pretrained network.",
        SANH,
        experiment,
        figures,
        says,
    )


def better_teacher(found: Evidence) -> Claim:
    """The better teacher makes the better student."""
    (one, two), names = (
        sorted((found.teacher(bench), bench) for bench in ("library", OTHER)),
        {"library": "minilm", OTHER: "mini"},
    )
    difference = found.read(two[1]) - found.read(one[1])
    figures, says = judged({f"{names[two[1]]} minus {names[one[1]]}": difference}, {"beats"})
    rights = f"{names[two[1]]} is right on {two[0]:.1%} of test, {names[one[1]]} on {one[0]:.1%}"
    return Claim(
        "The better teacher makes the better student.",
        OFTEN,
        f"library, {rights}; students' test, points",
        figures,
        says,
    )


def most_of_the_teacher(found: Evidence) -> Claim:
    """A smaller student keeps 97 % of its teacher's accuracy."""
    left = {bench: found.read(bench) - 0.97 * found.teacher(bench) for bench in found.benches}
    figures, says = judged(left, {"beats", "ties"})
    experiment = "the student's accuracy minus 97 % of its teacher's; test, points"
    return Claim(
        "A distilled student keeps 97 % of what its teacher can.", SANH, experiment, figures, says
    )


def distill_claims(table: pd.DataFrame, about: Mapping[str, Any]) -> list[Claim]:
    """Every claim of lesson 06, judged by the recorded runs."""
    found = Evidence(table, about)
    answers = (beats_labels, same_rows, soft_beats_hard, soft_beats_true)
    dials = (transfer_set, temperature, inherited_layers, better_teacher, most_of_the_teacher)
    return [judge(found) for judge in (*answers, *dials)]
