"""The study of lesson 08: equal numbers, its design with fake trials, and what its claims say of figures that turn them."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from ftkit.experiments import benchmark
from ftkit.experiments.tables import where
from ftkit.lessons.the_lora_family import study as family
from ftkit.lessons.the_lora_family.claims import EARLY, OTHERS, Evidence, family_claims, gain
from ftkit.lessons.the_lora_family.picture import turns
from ftkit.lessons.the_lora_family.study import (
    BENCHES,
    HIGH_RANK,
    JUDGED_RANKS,
    LRS,
    RANKS,
    RELATIVE,
    RELATIVES,
    WITHOUT_RANK,
    relative_space,
)
from ftkit.model.adapted import Adapted
from ftkit.paths import kit_path
from ftkit.stats.tradeoff import share_of_gain
from ftkit.storage import read_table
from ftkit.techniques.freeze import Only
from ftkit.training.events import Event, packed, unpacked

COSTS = {"trainable": 100.0, "flops": 7.0}


def events(accuracy: float, seed: int, test: bool, early: float = 0.0) -> Iterator[Event]:
    yield Event(EARLY, "valid", {"valid/accuracy": accuracy / 2 + early, "valid/loss": 1.0})
    yield Event(80, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    if test:
        right = np.arange(1000) < round(1000 * accuracy)
        yield Event(80, "test", {"test/accuracy": accuracy}, {"test/accuracy": packed(right)})
    yield Event(80, "cost", {f"cost/{name}": value for name, value in COSTS.items()})


def noise(relative: str, seed: int) -> float:
    """Small, and another for each relative."""
    return 0.002 * math.sin(7 * seed + RELATIVES.index(relative))


BEST = {"LoRA+": 1e-3, "VeRA": 1e-1, "(IA)3": 1e-1}
LEADS = {"DoRA": 0.03, "VeRA": -0.05, "LoRA+": 0.02}


def fake_trial(
    bench: str, relative: str, rank: int, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """DoRA beats LoRA, and LoRA+ in one place; VeRA loses; PiSSA is ahead early; rsLoRA at the high rank."""
    lead = LEADS.get(relative, 0.0) * (relative != "LoRA+" or bench == "digits") + 0.03 * (
        relative == "rsLoRA" and rank == HIGH_RANK
    )
    accuracy = (
        0.7
        + lead
        - 0.05 * abs(math.log10(lr / BEST.get(relative, 1e-2)))
        + noise(relative, seed)
        + 0.001 * seed
    )
    yield from events(accuracy, seed, test, early=0.04 * (relative == "PiSSA"))


def fake_reference(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    accuracy = (
        0.8 - 0.05 * abs(math.log10(lr / 1e-3))
        if method == benchmark.FULL
        else 0.6 - 0.05 * abs(math.log10(lr / 1e-1))
    )
    yield from events(accuracy + 0.001 * seed, seed, test)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "trial", fake_trial)
        patch.setattr(family, "reference", fake_reference)
        return family.record(None)


@pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
@pytest.mark.parametrize("rank", RANKS)
def test_nobody_has_more_numbers_than_lora_but_at_its_smallest(bench: str, rank: int) -> None:
    base, _ = benchmark.load_benchmark(bench)
    counts = {
        name: sum(
            p.numel() for p in Adapted(base, relative_space(bench, name, rank, 0)).parameters()
        )
        for name in RELATIVES
    }
    for name, count in counts.items():
        if (name, rank) not in {("DoRA", 1), ("VeRA", 1)} and name != "AdaLoRA":
            assert count <= counts["LoRA"], name
    size = family.features(bench)
    assert counts["LoRA-FA"] > counts["LoRA"] - size.outputs
    assert rank == 1 or counts["DoRA"] > counts["LoRA"] - size.both
    assert counts["LoRA"] == counts["rsLoRA"] == counts["LoRA+"] == counts["PiSSA"]


def test_adalora_begins_with_half_as_many_directions_again_and_ends_with_lora_s(
    monkeypatch: Any,
) -> None:
    models: list[Adapted] = []
    prune = family.adalora_pruning
    monkeypatch.setattr(
        family,
        "adalora_pruning",
        lambda bench, rank: lambda model: (models.append(model), prune(bench, rank)(model))[1],
    )
    list(family.trial("digits", "AdaLoRA", 2, 3e-2))
    strengths = [change.l for name, change in models[0].changes.items() if name.startswith("body.")]
    assert {len(found) for found in strengths} == {3}
    assert sum(int((found != 0).sum()) for found in strengths) == 2 * len(strengths)


def test_a_seed_draws_what_is_frozen() -> None:
    for name in ("LoRA-FA", "VeRA"):
        assert relative_space("digits", name, 2, 3).seed == 3  # type: ignore[attr-defined]


def test_there_is_no_other_relative() -> None:
    with pytest.raises(ValueError, match="relative must be one of LoRA, rsLoRA, .*, got 'QLoRA'"):
        list(family.trial("digits", "QLoRA", 2, 1e-3))


def test_the_record_has_ten_seeds_of_all_at_an_interior_rate(table: pd.DataFrame) -> None:
    read = table[table["quantity"] == "test/accuracy"]
    for bench in BENCHES:
        for relative in RELATIVES:
            for rank in (
                (*JUDGED_RANKS, HIGH_RANK) if relative in ("LoRA", "rsLoRA") else JUDGED_RANKS
            ):
                rows = where(read, bench=bench, relative=relative, rank=rank)
                assert sorted(rows["seed"]) == list(range(10)), (bench, relative, rank)
                assert set(rows["lr"]) == {BEST.get(relative, 1e-2)}
    assert set(table["method"]) == {RELATIVE, benchmark.FULL, benchmark.FROZEN}


def test_what_has_no_rank_is_recorded_once_and_shown_at_both(table: pd.DataFrame) -> None:
    for relative in WITHOUT_RANK:
        few, many = (
            where(table, relative=relative, rank=rank).drop(columns="rank").reset_index(drop=True)
            for rank in JUDGED_RANKS
        )
        pd.testing.assert_frame_equal(few, many)


def test_every_relative_tries_four_rates_first() -> None:
    assert all(len(LRS[name]) == 4 for name in RELATIVES)


class TestClaims:
    def found(self, table: pd.DataFrame) -> dict[str, Any]:
        return {claim.claim: claim for claim in family_claims(table)}

    def test_the_verdicts_are_those_of_the_figures(self, table: pd.DataFrame) -> None:
        says = [claim.verdict for claim in family_claims(table)]
        dora, pissa, ada, plus, faster, high, fa, vera, ia3, none = says
        assert (dora, pissa, ada, plus) == (
            "holds",
            "does not hold",
            "does not hold",
            "does not hold",
        )
        assert (faster, high) == ("holds", "holds")
        assert (fa, vera, ia3) == ("holds", "does not hold", "holds")
        assert none == "does not hold"

    def test_a_family_of_eight_is_adjusted(self, table: pd.DataFrame) -> None:
        judged = Evidence(table).families["digits", 2]
        assert set(judged) == set(OTHERS) and len(OTHERS) == 8
        assert judged["DoRA"].p == pytest.approx(8 * 2 / 2**10)
        assert judged["DoRA"].verdict == "beats" and judged["VeRA"].verdict == "loses"

    def test_with_eight_seeds_nothing_could_be_told_apart(self, table: pd.DataFrame) -> None:
        judged = Evidence(table[table["seed"] < 8]).families["digits", 2]
        assert {each.verdict for each in judged.values()} == {"inconclusive", "ties"}

    def test_the_last_claim_counts_what_is_won(self, table: pd.DataFrame) -> None:
        last = family_claims(table)[-1]
        assert last.statistic.startswith("6 of 32 comparisons are won (DoRA on opening, rank 2; ")
        lost = table[~table["relative"].isin(["DoRA", "LoRA+"])]
        flat = pd.concat(
            [
                lost,
                *[where(lost, relative="LoRA").assign(relative=name) for name in ("DoRA", "LoRA+")],
            ]
        )
        assert family_claims(flat)[-1].verdict == "holds"

    def test_items_widen_or_keep_the_interval_and_its_mean(self, table: pd.DataFrame) -> None:
        found = Evidence(table)
        mean, low, high = found.with_items("digits", "DoRA", 2)
        assert mean == pytest.approx(found.minus_lora("digits", "DoRA", 2).mean(), abs=1e-3)
        assert low < mean < high

    def test_the_share_of_the_gain_lies_between_the_rails(self, table: pd.DataFrame) -> None:
        share, low, high = share_of_gain(*gain(Evidence(table), "digits", "LoRA", 2))
        assert share == pytest.approx(0.5, abs=0.03) and low < share < high


class TestTurns:
    def seen(self, relative: str, lr: float = 3e-2) -> dict[str, float]:
        (last,) = [
            e
            for e in family.trial("digits", relative, 2, lr, probe=family.row_changes)
            if e.stage == "probe" and e.step == benchmark.STEPS
        ]
        return dict(last.values)

    def test_rows_that_are_scaled_grow_and_do_not_turn(self) -> None:
        base, _ = benchmark.load_benchmark("digits")
        model = Adapted(base, relative_space("digits", "(IA)3", 2, 0))
        name = "body.layers.0.attention.v_proj.weight"
        model.changes[name].l.data.fill_(1.25)
        found = family.row_changes(model)
        assert found[f"probe/longer/{name}"] == pytest.approx(0.25, rel=1e-4)
        assert found[f"probe/turned/{name}"] < 0.05
        assert not [key for key in found if "q_proj" in key]

    def test_a_right_angle_is_ninety_degrees(self) -> None:
        base, _ = benchmark.load_benchmark("digits")
        model = Adapted(base, Only("body.layers.0.mlp.fc1.weight"))
        weight = model.changes["body.layers.0.mlp.fc1.weight"].value
        weight.data.copy_(_turned(weight.detach()))
        found = family.row_changes(model)
        assert found["probe/turned/body.layers.0.mlp.fc1.weight"] == pytest.approx(90, abs=0.01)
        assert found["probe/longer/body.layers.0.mlp.fc1.weight"] == pytest.approx(1.0, rel=1e-4)

    def test_the_picture_has_a_point_for_each_matrix_that_changed(self) -> None:
        figure = go.Figure(turns(self.seen("DoRA")))
        attention, forward = figure.data
        assert (len(attention.x), len(forward.x)) == (3 * 4, 3 * 2)
        assert min(*attention.x, *forward.x) > 0
        assert attention.hovertext[0].startswith("0 ")
        assert 2 <= sum(bool(text) for text in attention.text) <= 4, (
            "those at the edges of a cloud are named, the others when pointed at"
        )
        assert len(go.Figure(turns({})).data) == 2


def _turned(weight: torch.Tensor) -> torch.Tensor:
    """Each pair of neighbours (a, b) of a row as (-b, a), twice as long."""
    pairs = weight.view(len(weight), -1, 2)
    return 2 * torch.stack([-pairs[..., 1], pairs[..., 0]], -1).view_as(weight)


class TestRecord:
    """What the record says, computed from its runs."""

    @pytest.fixture(scope="class")
    def record(self) -> pd.DataFrame:
        return read_table(kit_path("data", "results", "08_the_lora_family.parquet"))[0]

    def test_every_best_rate_lies_inside_those_tried(self, record: pd.DataFrame) -> None:
        for key, cell in record[record["quantity"] == "valid/accuracy"].groupby(
            ["bench", "method", "relative", "rank"]
        ):
            settings = dict(zip(("bench", "method", "relative", "rank"), key, strict=True))
            (lr,) = where(record, **settings, quantity="test/accuracy")["lr"].unique()
            assert cell["lr"].min() < lr < cell["lr"].max(), key

    def test_which_items_were_right_stands_beside_every_accuracy_on_test(
        self, record: pd.DataFrame
    ) -> None:
        read = record[record["quantity"] == "test/accuracy"]
        assert all(
            unpacked(items).mean() == pytest.approx(value, abs=1e-6)
            for value, items in zip(read["value"], read["items"], strict=True)
        )
        mean, low, high = Evidence(record).with_items("digits", "DoRA", 8)
        assert low < mean < high
