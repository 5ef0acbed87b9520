"""The verdicts of lesson 07 follow the figures, and turn when they do."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.verdicts import verdicts_by_name
from lessons.multitask.test_study import made_up

from ftkit.experiments.benchmark import FULL
from ftkit.lessons.multitask.claims import Evidence, multitask_claims
from ftkit.lessons.multitask.study import BALANCE, CONFLICT, DELTAS, TRANSFER, by_size
from ftkit.lessons.multitask.trial import ALTERNATING, FIXED_WEIGHTS, HELPS, HURTS

CLAIMS = {
    "helps": "A related task helps",
    "more is better": "More tasks are more data",
    "PCGrad": "PCGrad",
    "GradNorm": "GradNorm",
    "uncertainty": "uncertainty",
    "cosines": "Gradients are opposed",
    "by size": "in proportion to its number of rows",
    "deltas": "learned separately can be added",
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return verdicts_by_name(multitask_claims(table), CLAIMS)


def turned(table: pd.DataFrame, by: Any, quantity: str = "test/", **settings: Any) -> pd.DataFrame:
    """Return the table with `by` added to the quantities on test of runs with these settings."""
    new = table.copy()
    chosen = new["quantity"].str.startswith(quantity)
    for name, value in settings.items():
        chosen &= new[name] == value
    assert chosen.any(), settings
    new.loc[chosen, "value"] += by(new[chosen]["seed"]) if callable(by) else by
    return new


def noise(seed: Any) -> Any:
    return np.where(seed % 2, 0.1, -0.1)


def test_verdicts_follow_the_figures(table: pd.DataFrame) -> None:
    assert verdicts(table) == {
        "helps": "holds",
        "more is better": "does not hold",
        "PCGrad": "holds",
        "GradNorm": "holds",
        "uncertainty": "holds",
        "cosines": "holds",
        "by size": "does not hold",
        "deltas": "holds",
    }


@pytest.mark.parametrize(
    ("claim", "by", "settings", "says"),
    [
        ("helps", 0.1, {"part": TRANSFER, "method": FULL, "pair": HELPS}, "does not hold"),
        ("helps", 0.2, {"part": BALANCE, "pair": HELPS, "share": 1.0}, "does not hold"),
        ("helps", noise, {"part": TRANSFER, "method": FULL, "pair": HELPS}, "inconclusive"),
        ("helps", -0.2, {"part": TRANSFER, "way": FIXED_WEIGHTS, "pair": HURTS}, "holds"),
        ("more is better", 0.12, {"part": TRANSFER, "way": FIXED_WEIGHTS, "pair": HURTS}, "holds"),
        (
            "more is better",
            lambda seed: 0.05 + noise(seed),
            {"part": TRANSFER, "way": FIXED_WEIGHTS, "pair": HURTS},
            "inconclusive",
        ),
        ("more is better", -0.12, {"part": TRANSFER, "method": FULL}, "holds"),
        ("PCGrad", 0.05, {"way": "PCGrad", "pair": HURTS}, "does not hold"),
        ("PCGrad", 0.05, {"way": "PCGrad", "quantity": "test/other"}, "does not hold"),
        ("PCGrad", noise, {"way": "PCGrad"}, "inconclusive"),
        ("PCGrad", -0.05, {"way": "PCGrad"}, "holds"),
        ("GradNorm", 0.05, {"way": "GradNorm", "pair": HELPS}, "does not hold"),
        ("uncertainty", 0.05, {"way": "uncertainty", "pair": HELPS}, "does not hold"),
        ("GradNorm", 0.05, {"way": "PCGrad"}, "holds"),
        ("by size", 0.1, {"way": ALTERNATING, "share": by_size(HELPS)}, "holds"),
        (
            "by size",
            lambda seed: 0.05 + noise(seed),
            {"way": ALTERNATING, "share": by_size(HELPS)},
            "inconclusive",
        ),
        ("deltas", -0.1, {"part": DELTAS, "quantity": "test/mixed"}, "does not hold"),
        ("deltas", -0.1, {"part": DELTAS, "quantity": "test/mixed other"}, "does not hold"),
        ("deltas", noise, {"part": DELTAS, "quantity": "test/mixed"}, "inconclusive"),
    ],
)
def test_verdicts_turn_when_the_figures_do(
    table: pd.DataFrame, claim: str, by: Any, settings: dict[str, Any], says: str
) -> None:
    exact = settings.pop("quantity", None)
    new = turned(table[table["quantity"] == exact] if exact else table, by, **settings)
    if exact:
        new = pd.concat([table[table["quantity"] != exact], new])
    assert verdicts(new)[claim] == says


@pytest.mark.parametrize(
    ("by", "which", "says"),
    [
        (0.5, {"pull/pair": HELPS}, "does not hold"),
        (0.5, {"pull/itself": HURTS}, "does not hold"),
        (noise, {"pull/itself": HURTS}, "holds"),
        (lambda seed: 0.3 + 3 * noise(seed), {"pull/itself": HURTS}, "inconclusive"),
        (0.5, {"pull/itself": HELPS}, "holds"),
    ],
)
def test_the_verdict_on_cosines_turns_with_either_comparison(
    table: pd.DataFrame, by: Any, which: dict[str, str], says: str
) -> None:
    ((quantity, pair),) = which.items()
    assert verdicts(turned(table, by, quantity, part=CONFLICT, pair=pair))["cosines"] == says


def test_gradients_are_compared_at_each_learning_rate(table: pd.DataFrame) -> None:
    other = table[table["part"] == CONFLICT].assign(lr=1e-4)
    both = pd.concat([table, other], ignore_index=True)
    assert Evidence(both).looked_at() == [1e-4, 3e-4] and verdicts(both)["cosines"] == "holds"
    assert (
        verdicts(turned(both, 0.5, "pull/pair", part=CONFLICT, pair=HELPS, lr=1e-4))["cosines"]
        == "does not hold"
    )
    assert (
        verdicts(turned(both, 0.5, "pull/itself", part=CONFLICT, pair=HURTS, lr=3e-4))["cosines"]
        == "does not hold"
    )
    assert Evidence(turned(both, 0.1, "pull/pair", lr=1e-4)).opposed(HURTS) == pytest.approx(
        Evidence(table).opposed(HURTS)
    ), "at its own learning rate"


def test_fixed_weights_are_chosen_on_valid_among_those_that_leave_no_task_out(
    table: pd.DataFrame,
) -> None:
    found = Evidence(table)
    assert found.weight(HURTS) not in (0.0, 1.0)
    for share in (0.25, 0.75):
        better = turned(
            table, 0.3, "valid/both", part=BALANCE, pair=HURTS, way=FIXED_WEIGHTS, share=share
        )
        assert Evidence(better).weight(HURTS) == share
    outside = turned(
        table, 0.3, "valid/both", part=BALANCE, pair=HURTS, way=FIXED_WEIGHTS, share=1.0
    )
    assert Evidence(outside).weight(HURTS) == found.weight(HURTS)
    on_test = turned(table, 0.3, "test/", part=BALANCE, pair=HURTS, way=FIXED_WEIGHTS, share=0.25)
    assert Evidence(on_test).weight(HURTS) == found.weight(HURTS), "test chooses nothing"


def test_fewer_than_eight_seeds_are_inconclusive(table: pd.DataFrame) -> None:
    few = table[table["seed"] < 7]
    assert set(verdicts(few).values()) == {"inconclusive"}


def test_a_seed_that_is_there_twice_is_an_error(table: pd.DataFrame) -> None:
    with pytest.raises(AssertionError):
        Evidence(pd.concat([table, table])).alone(HELPS, 16)
