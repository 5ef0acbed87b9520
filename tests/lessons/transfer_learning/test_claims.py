"""The verdicts of lesson 01 follow made-up figures that turn each of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.verdicts import verdicts_by_name

from ftkit.lessons.transfer_learning.claims import Evidence, transfer_claims
from ftkit.lessons.transfer_learning.recipes import BLEND_SHARES
from ftkit.lessons.transfer_learning.study import FREEZING
from ftkit.lessons.transfer_learning.trial import ALL_FROZEN, FROZEN_COUNTS
from ftkit.teaching.claim_table import Finding
from ftkit.teaching.verdicts import judge_differences

BENCHES, SEEDS = ("opening", "library", "digits"), range(8)
CLAIMS = {
    "pretraining": "a pretrained start beats random",
    "one block": "the last quarter of the blocks",
    "last is best": "it should be the last",
    "gradual": "one part after another",
    "discriminative": "for lower blocks",
    "probe out": "the frozen body beats",
    "LP-FT": "LP-FT",
    "half-way": "WiSE-FT",
}


def rows_of(
    method: str,
    bench: str,
    value: float,
    quantity: str = "test/accuracy",
    frozen: int = -1,
    body: str = "",
) -> list[dict[str, Any]]:
    """Return a quantity on eight seeds, a tenth of a point apart: far less than the margin."""
    same = {
        "method": method,
        "bench": bench,
        "frozen": frozen,
        "body": body,
        "lr": 1e-3,
        "step": 80,
        "quantity": quantity,
    }
    return [{**same, "seed": seed, "value": value + 0.001 * (seed % 3)} for seed in SEEDS]


def figures(**changed: float) -> pd.DataFrame:
    """Return a table in which every claim holds; `changed` sets some of its levels."""
    level = {
        "full": 0.80,
        "random": 0.50,
        "one": 0.78,
        "first": 0.70,
        "gradual": 0.83,
        "discriminative": 0.83,
        "lp_ft": 0.84,
    }
    level |= {
        "out_full": 0.60,
        "out_probe": 0.63,
        "out_lp_ft": 0.65,
        "in_half": 0.84,
        "out_half": 0.68,
    } | changed
    rows = []
    for bench in BENCHES:
        for count in FROZEN_COUNTS:
            value = level["one"] if count == ALL_FROZEN - 1 else level["full"]
            rows += rows_of(FREEZING, bench, value, frozen=count, body="pretrained")
        rows += rows_of(FREEZING, bench, level["random"], frozen=0, body="random")
    rows += rows_of("first block", "opening", level["first"])
    rows += rows_of("gradual unfreezing", "library", level["gradual"])
    rows += rows_of("discriminative rates", "library", level["discriminative"])
    rows += rows_of("LP-FT", "library", level["lp_ft"])
    rows += rows_of("LP-FT", "library", level["out_lp_ft"], "shift/accuracy")
    rows += rows_of("full fine-tuning", "library", level["out_full"], "shift/accuracy")
    ends = {
        "in": (level["full"], level["in_half"], level["lp_ft"]),
        "out": (level["out_probe"], level["out_half"], level["out_lp_ft"]),
    }
    for side, heights in ends.items():
        for share, value in zip(
            BLEND_SHARES, np.interp(BLEND_SHARES, (0, 0.5, 1), heights), strict=True
        ):
            rows += rows_of("LP-FT", "library", float(value), f"blend/{share:g}/{side}")
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return verdicts_by_name(transfer_claims(table), CLAIMS)


def test_every_claim_holds_where_all_figures_support_it() -> None:
    assert set(verdicts(figures()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("changed", "turned"),
    [
        ({"random": 0.85}, "pretraining"),
        ({"one": 0.69, "first": 0.60}, "one block"),
        ({"first": 0.82}, "last is best"),
        ({"gradual": 0.80}, "gradual"),
        ({"discriminative": 0.75}, "discriminative"),
        ({"out_probe": 0.55}, "probe out"),
        ({"lp_ft": 0.80, "in_half": 0.80}, "LP-FT"),
        ({"out_lp_ft": 0.60}, "LP-FT"),
        ({"in_half": 0.80}, "half-way"),
        ({"out_half": 0.65}, "half-way"),
    ],
)
def test_a_verdict_turns_with_its_figures_and_no_other_does(
    changed: dict[str, float], turned: str
) -> None:
    found = verdicts(figures(**changed))
    assert found.pop(turned) == "does not hold"
    assert set(found.values()) == {"holds"}


def test_seven_seeds_are_inconclusive() -> None:
    table = figures()
    assert set(verdicts(table[table["seed"] < 7]).values()) == {"inconclusive"}


def test_noise_larger_than_the_difference_is_inconclusive() -> None:
    table = figures()
    noise = np.where(table["seed"] % 2, 0.2, -0.2)
    for method, name in (
        ("gradual unfreezing", "gradual"),
        ("discriminative rates", "discriminative"),
    ):
        loud = table.assign(value=table["value"] + noise * (table["method"] == method))
        assert verdicts(loud)[name] == "inconclusive"


def test_one_task_can_contradict_a_claim_or_make_it_inconclusive() -> None:
    good, bad, loud = np.full(8, 0.05), np.full(8, -0.05), np.tile([0.2, -0.2], 4)
    assert judge_differences({"a": good, "b": good}, {"beats"})[1] == "holds"
    assert judge_differences({"a": good, "b": loud}, {"beats"})[1] == "inconclusive"
    assert judge_differences({"a": loud, "b": bad}, {"beats"})[1] == "does not hold"
    between = np.array([0.002, 0.018] * 4)  # more than 0, and about the margin: it beats or ties
    assert judge_differences({"a": between}, {"beats", "ties"}) == (
        (Finding("a", "+1.0 [+0.3, +1.7]", "inconclusive"),),
        "holds",
    )
    assert judge_differences({"a": between[:6]}, {"beats", "ties"})[1] == "inconclusive", (
        "too few seeds"
    )
    assert (
        judge_differences({"a": between}, {"beats"})[1]
        == judge_differences({"a": -between}, {"beats", "ties"})[1]
        == "inconclusive"
    )
    results = judge_differences({"a": good, "b": bad}, {"beats"})[0]
    assert "; ".join(map(str, results)) == (
        "a +5.0 [+5.0, +5.0], beats; b -5.0 [-5.0, -5.0], loses"
    )


def test_accuracy_is_by_seed_at_the_chosen_learning_rate() -> None:
    table = figures()
    tuning = table[(table["method"] == FREEZING) & (table["quantity"] == "test/accuracy")].assign(
        lr=1.0, quantity="valid/accuracy"
    )
    found = Evidence(pd.concat([tuning, table]).sample(frac=1.0, random_state=0))
    assert found.frozen("digits", 0) == pytest.approx(0.80 + 0.001 * (np.arange(8) % 3))
    assert found.rate("digits", 0) == 1e-3 and sorted(found.benches) == sorted(BENCHES)
    assert found.outside("frozen body") == pytest.approx(found.blend(0.0, "out"))


def test_a_figure_that_was_not_recorded_is_an_error() -> None:
    with pytest.raises(AssertionError, match="gradual"):
        Evidence(figures()).test(method="gradual unfreezing", bench="digits")
