"""What a public table with one run a row can show."""

import pytest

from ftkit.lessons.can_lora_be_beaten.peft_table import (
    ITEMS,
    REFERENCE,
    RERUN,
    RUNS,
    against,
    public_table,
)
from ftkit.stats.paired import two_proportions


def test_every_row_has_its_figures_in_the_order_of_its_place() -> None:
    table = public_table()
    assert (
        len(table) == 30 and not table.isna().any().any() and not table["method"].duplicated().any()
    )
    assert table["place"].is_monotonic_increasing and table["accuracy"].is_monotonic_decreasing
    assert ((table["low"] <= table["accuracy"] + 0.05) & (table["accuracy"] <= table["high"])).all()


def test_an_interval_is_as_wide_as_five_points() -> None:
    row = public_table().set_index("method").loc[REFERENCE]
    assert row["high"] - row["low"] == pytest.approx(5.4, abs=0.1)
    assert row["high"] - row["low"] > 3 * RERUN


def test_one_rival_beats_lora_alone_and_none_does_in_its_family() -> None:
    found = against(public_table())
    above = found[found["difference"] > 0]
    assert len(above) == 14
    assert above[above["p"] < 0.05]["method"].tolist() == ["Lily r140, MLP"]
    assert above["adjusted"].min() > 0.05


def test_the_family_is_as_large_as_the_table_was() -> None:
    table = public_table()
    few, many = against(table, compared=29), against(table)
    assert len(few) == len(many) == 29 and (few["adjusted"] <= many["adjusted"]).all()
    worst = many.iloc[-1]
    assert worst["adjusted"] == pytest.approx((RUNS - 1) * two_proportions(0, ITEMS, 631, ITEMS))


def test_a_reference_or_family_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="reference must be a row of the table, got 'QLoRA'"):
        against(public_table(), "QLoRA")
    with pytest.raises(ValueError, match="compared must count all 29 rivals, got 5"):
        against(public_table(), compared=5)
