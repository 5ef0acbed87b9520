"""The verdicts of lesson 06 follow the figures, and turn when they do."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.verdicts import by_words, verdicts_by_name
from lessons.distillation.test_study import made_up

from ftkit.lessons.distillation.claims import Evidence, distill_claims
from ftkit.lessons.distillation.study import DISTILLATION
from ftkit.lessons.distillation.trial import LABELS, PSEUDO, TRUE

CLAIMS = {
    "labels": "than from the labels alone",
    "same rows": "On the same few rows",
    "soft": "hard decisions",
    "true": "than true labels",
    "transfer": "Unlabelled rows",
    "temperature": "A temperature above 1",
    "layers": "from layers of a larger",
    "better teacher": "The better teacher",
    "97 %": "97 %",
}
ABOUT = {
    "teachers": {bench: {"test": 0.75} for bench in ("opening", "digits")}
    | {"library": {"test": 0.75}, "library by mini": {"test": 0.7}}
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


def verdicts(table: pd.DataFrame, about: dict[str, Any] = ABOUT) -> dict[str, str]:
    return verdicts_by_name(distill_claims(table, about), CLAIMS)


def turned(
    table: pd.DataFrame, by: Any, quantity: str = "test/accuracy", **settings: Any
) -> pd.DataFrame:
    """Return the table with `by` added to a quantity of the runs with these settings."""
    new = table.copy()
    chosen = new["quantity"] == quantity
    for name, value in settings.items():
        chosen &= new[name] == value
    assert chosen.any(), settings
    new.loc[chosen, "value"] += by(new[chosen]["seed"]) if callable(by) else by
    return new


def test_verdicts_follow_the_figures(table: pd.DataFrame) -> None:
    holds = dict.fromkeys(CLAIMS, "holds")
    assert verdicts(table) == holds | {"true": "does not hold"}


def wavering(seed: Any) -> Any:
    return np.where(seed % 2, 0.2, -0.2)


@pytest.mark.parametrize(
    ("claim", "by", "settings", "says"),
    [
        ("labels", 0.2, {"method": LABELS, "bench": "digits"}, "does not hold"),
        ("labels", 0.2, {"method": TRUE, "bench": "digits"}, "holds"),
        ("labels", wavering, {"method": LABELS, "bench": "library"}, "inconclusive"),
        ("labels", 0.1, {"method": LABELS, "bench": "library"}, "does not hold"),
        ("same rows", 0.2, {"method": LABELS, "bench": "digits"}, "does not hold"),
        (
            "same rows",
            -0.2,
            {"method": DISTILLATION, "bench": "opening", "transfer": 0},
            "does not hold",
        ),
        ("same rows", wavering, {"method": DISTILLATION, "transfer": 0}, "inconclusive"),
        ("same rows", 0.2, {"method": TRUE}, "holds"),
        ("soft", 0.04, {"method": PSEUDO, "bench": "opening"}, "does not hold"),
        ("soft", 0.3, {"method": LABELS}, "holds"),
        ("soft", wavering, {"method": PSEUDO}, "inconclusive"),
        ("true", -0.1, {"method": TRUE}, "holds"),
        ("true", -0.1, {"method": TRUE, "bench": "opening"}, "does not hold"),
        (
            "transfer",
            0.1,
            {"method": DISTILLATION, "bench": "opening", "transfer": 0},
            "does not hold",
        ),
        ("transfer", wavering, {"method": DISTILLATION, "transfer": 0}, "inconclusive"),
        (
            "temperature",
            0.1,
            {"method": DISTILLATION, "bench": "digits", "temperature": 1.0},
            "does not hold",
        ),
        (
            "temperature",
            0.5,
            {"method": DISTILLATION, "bench": "digits", "temperature": 4.0},
            "holds",
        ),
        (
            "layers",
            0.4,
            {"method": DISTILLATION, "bench": "library", "body": "two random blocks"},
            "does not hold",
        ),
        (
            "better teacher",
            0.1,
            {"method": DISTILLATION, "bench": "library by mini"},
            "does not hold",
        ),
        ("97 %", -0.2, {"method": DISTILLATION, "bench": "opening"}, "does not hold"),
    ],
)
def test_verdicts_turn_when_the_figures_do(
    table: pd.DataFrame, claim: str, by: Any, settings: dict[str, Any], says: str
) -> None:
    assert verdicts(turned(table, by, **settings))[claim] == says


def test_the_better_teacher_is_the_more_accurate_one(table: pd.DataFrame) -> None:
    other = {"teachers": {**ABOUT["teachers"], "library": {"test": 0.6}}}
    assert verdicts(table, other)["better teacher"] == "does not hold", (
        "then mini is the better teacher, and its student the worse one"
    )
    claim = by_words(distill_claims(table, other), CLAIMS.values())[CLAIMS["better teacher"]]
    assert (
        "mini is right on 70.0% of test, minilm on 60.0%" in claim.experiment
        and "mini minus minilm -3.0" in claim.statistic
    )


def test_the_share_that_is_kept_is_of_the_task_s_own_teacher(table: pd.DataFrame) -> None:
    able = {"teachers": {**ABOUT["teachers"], "digits": {"test": 0.99}}}
    assert verdicts(table, able)["97 %"] == "does not hold"
    right = {"teachers": {**ABOUT["teachers"], "library by mini": {"test": 0.74}}}
    assert verdicts(table, right)["97 %"] == "holds"


def test_the_claims_are_judged_at_the_temperature_chosen_on_valid(
    table: pd.DataFrame,
) -> None:
    assert Evidence(table, ABOUT).at("digits")["temperature"] == 2.0
    hotter = turned(
        table, 0.5, "valid/accuracy", bench="digits", method=DISTILLATION, temperature=4.0
    )
    worse = turned(hotter, -0.5, bench="digits", method=DISTILLATION, temperature=4.0)
    with pytest.raises(AssertionError):
        distill_claims(worse, ABOUT)  # the other settings were not changed there
    found = Evidence(worse, ABOUT)
    assert found.over(LABELS)["digits"].mean() < -0.3 < 0.05 < found.over(LABELS)["opening"].mean()


def test_four_seeds_are_inconclusive(table: pd.DataFrame) -> None:
    assert set(verdicts(table[table["seed"] < 4]).values()) == {"inconclusive"}


def test_a_quantity_is_at_the_chosen_learning_rate(table: pd.DataFrame) -> None:
    found = Evidence(table, ABOUT)
    assert found.rate("library") == 0.1 and found.rate("library", LABELS) == 3e-3
    assert (
        len(found.read("digits")) == 8
        and found.read("digits", quantity="agreement").mean() > found.read("digits").mean()
    )
    assert found.cost("flops", "library") == 60.0
