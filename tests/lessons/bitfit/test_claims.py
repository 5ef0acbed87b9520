"""The verdicts of lesson 04 follow the figures, and turn when they do."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.verdicts import verdicts_by_name
from lessons.bitfit.test_study import made_up

from ftkit.lessons.bitfit.claims import Evidence, bitfit_claims
from ftkit.lessons.bitfit.trial import ALL_GROUPS, GROUPS, SAME_HEAD, TWO_GROUPS

CLAIMS = {
    "little data": "With little data",
    "much data": "With more data it falls behind",
    "gap grows": "More data help full fine-tuning",
    "beats frozen": "beats a head on the frozen body",
    "pair": "of the query and of the feed-forward",
    "hundred times": "a hundred times",
    "cost": "The cost of training",
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return verdicts_by_name(bitfit_claims(table), CLAIMS)


def turned(table: pd.DataFrame, by: Any, **settings: Any) -> pd.DataFrame:
    """Return the table with `by` added to the accuracies on test of runs with these settings."""
    new = table.copy()
    chosen = new["quantity"] == "test/accuracy"
    for name, value in settings.items():
        chosen &= new[name].isin(value if isinstance(value, list) else [value])
    new.loc[chosen, "value"] += by(new[chosen]["seed"]) if callable(by) else by
    return new


def test_verdicts_follow_the_figures(table: pd.DataFrame) -> None:
    assert verdicts(table) == {
        "little data": "holds",
        "much data": "holds",
        "gap grows": "holds",
        "beats frozen": "holds",
        "pair": "holds",
        "hundred times": "does not hold",
        "cost": "does not hold",
    }


@pytest.mark.parametrize(
    ("claim", "by", "settings", "says"),
    [
        (
            "little data",
            0.1,
            {"method": "full fine-tuning", "bench": "library", "examples": 32},
            "does not hold",
        ),
        ("little data", 0.05, {"method": "full fine-tuning", "examples": 32}, "holds"),
        (
            "little data",
            lambda seed: 0.04 + 0.08 * (seed % 2),
            {"method": "full fine-tuning", "bench": "digits", "examples": 32},
            "inconclusive",
        ),
        (
            "much data",
            0.1,
            {"method": "BitFit", "bench": "library", "examples": 8000},
            "does not hold",
        ),
        (
            "much data",
            0.05,
            {"method": "BitFit", "bench": "library", "examples": 8000},
            "does not hold",
        ),
        ("much data", 0.1, {"method": "BitFit", "bench": "library", "examples": 2000}, "holds"),
        ("gap grows", 0.1, {"method": "full fine-tuning", "examples": 32}, "does not hold"),
        (
            "beats frozen",
            0.3,
            {"method": SAME_HEAD, "bench": "digits", "examples": 512},
            "does not hold",
        ),
        ("beats frozen", 0.3, {"method": SAME_HEAD, "examples": 32}, "holds"),
        ("beats frozen", 0.3, {"method": "frozen body"}, "holds"),
        ("pair", -0.03, {"groups": TWO_GROUPS}, "does not hold"),
        (
            "pair",
            lambda seed: np.where(seed % 2, 0.1, -0.1),
            {"groups": TWO_GROUPS},
            "inconclusive",
        ),
    ],
)
def test_verdicts_turn_when_the_figures_do(
    table: pd.DataFrame, claim: str, by: Any, settings: dict[str, Any], says: str
) -> None:
    assert verdicts(turned(table, by, **settings))[claim] == says


def test_the_verdict_on_the_learning_rate_turns_with_the_chosen_ones(table: pd.DataFrame) -> None:
    other = table.copy()
    other.loc[other["method"] == "full fine-tuning", "lr"] /= 10
    assert verdicts(other)["hundred times"] == "holds"


def test_the_verdict_on_the_cost_turns_with_the_costs(table: pd.DataFrame) -> None:
    other = table.copy()
    other.loc[(other["quantity"] == "cost/trainable") & (other["method"] == "BitFit"), "value"] = (
        500.0
    )
    assert verdicts(other)["cost"] == "holds"


def test_four_seeds_are_inconclusive(table: pd.DataFrame) -> None:
    few = verdicts(table[table["seed"] < 4])
    assert {few[claim] for claim in CLAIMS if claim not in ("hundred times", "cost")} == {
        "inconclusive"
    }


def test_the_groups_alone_are_ranked_on_test(table: pd.DataFrame) -> None:
    alone = Evidence(table).alone()
    assert (
        set(alone) == set(GROUPS["mini"]) and list(alone)[-1] == "key" and ALL_GROUPS not in alone
    )
    assert next(iter(Evidence(turned(table, 0.01, groups="value")).alone())) == "value"


def test_the_learning_rate_is_the_chosen_one(table: pd.DataFrame) -> None:
    found = Evidence(table)
    assert (
        found.rate("library", 512) == 3e-3
        and found.rate("library", 512, "full fine-tuning") == 3e-4
    )
    assert found.sizes("digits") == [32, 512] and len(found.test("digits", 32)) == 8
