"""The study of lesson 08: equal parameters, design and claims (with fake trials), recorded runs."""

import math
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from helpers.verdicts import verdicts_by_name
from torch import nn
from torch.nn import functional as F

from ftkit.experiments import benchmark
from ftkit.experiments.tables import where
from ftkit.lessons.the_lora_family import study as family
from ftkit.lessons.the_lora_family import trial as family_trial
from ftkit.lessons.the_lora_family.claims import EARLY, OTHERS, Evidence, family_claims, gain
from ftkit.lessons.the_lora_family.picture import turns
from ftkit.lessons.the_lora_family.study import BENCHES, HIGH_RANK, JUDGED_RANKS, LRS, RELATIVE
from ftkit.lessons.the_lora_family.trial import RANKS, RELATIVES, WITHOUT_RANK, relative_space
from ftkit.model.adapted import Adapted
from ftkit.paths import kit_path
from ftkit.stats.tradeoff import share_of_gain
from ftkit.storage import read_table
from ftkit.techniques.dora import DoRA
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.training.cost import flops
from ftkit.training.events import Event, packed, unpacked

CLAIMS = {
    "DoRA": "DoRA does better",
    "PiSSA": "PiSSA does better",
    "AdaLoRA": "which matrices get the rank",
    "LoRA+": "if B has a larger learning rate",
    "PiSSA faster": "PiSSA learns faster",
    "high rank": "At high ranks",
    "LoRA-FA": "A can stay frozen",
    "VeRA": "Two vectors a layer",
    "(IA)3": "Rescaling keys",
    "no relative": "no relative beats LoRA",
}
COSTS = {"trainable": 100.0, "flops": 7.0}


def events(accuracy: float, seed: int, test: bool, early: float = 0.0) -> Iterator[Event]:
    yield Event(EARLY, "valid", {"valid/accuracy": accuracy / 2 + early, "valid/loss": 1.0})
    yield Event(80, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    if test:
        right = np.arange(1000) < round(1000 * accuracy)
        yield Event(80, "test", {"test/accuracy": accuracy}, {"test/accuracy": packed(right)})
    yield Event(80, "cost", {f"cost/{name}": value for name, value in COSTS.items()})


def noise(relative: str, seed: int) -> float:
    """Return a small deviation, different for each relative."""
    return 0.002 * math.sin(7 * seed + RELATIVES.index(relative))


BEST = {"LoRA+": 1e-3, "VeRA": 1e-1, "(IA)3": 1e-1}
LEADS = {"DoRA": 0.03, "VeRA": -0.05, "LoRA+": 0.02}


def fake_trial(
    bench: str, relative: str, rank: int, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Run a fake in which DoRA beats LoRA, and VeRA loses.

    LoRA+ wins on one benchmark, PiSSA early in the run, rsLoRA at the high rank.
    """
    lead = LEADS.get(relative, 0.0)
    if relative == "LoRA+" and bench != "digits":
        lead = 0.0
    if relative == "rsLoRA" and rank == HIGH_RANK:
        lead = 0.03
    lr_penalty = 0.05 * abs(math.log10(lr / BEST.get(relative, 1e-2)))
    accuracy = 0.7 + lead - lr_penalty + noise(relative, seed) + 0.001 * seed
    yield from events(accuracy, seed, test, early=0.04 * (relative == "PiSSA"))


def fake_reference(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    best, best_lr = (0.8, 1e-3) if method == benchmark.FULL else (0.6, 1e-1)
    accuracy = best - 0.05 * abs(math.log10(lr / best_lr))
    yield from events(accuracy + 0.001 * seed, seed, test)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "trial", fake_trial)
        patch.setattr(family, "reference", fake_reference)
        return family.record(None)


@pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
@pytest.mark.parametrize("rank", RANKS)
def test_no_relative_has_more_parameters_than_lora_except_at_its_smallest(
    bench: str, rank: int
) -> None:
    base, _ = benchmark.load_benchmark(bench)
    counts = {}
    for name in RELATIVES:
        model = Adapted(base, relative_space(bench, name, rank, 0))
        counts[name] = sum(weight.numel() for weight in model.parameters())
    for name, count in counts.items():
        if (name, rank) not in {("DoRA", 1), ("VeRA", 1)} and name != "AdaLoRA":
            assert count <= counts["LoRA"], name
    size = family_trial.features(bench)
    assert counts["LoRA-FA"] > counts["LoRA"] - size.outputs
    assert rank == 1 or counts["DoRA"] > counts["LoRA"] - size.both
    assert counts["LoRA"] == counts["rsLoRA"] == counts["LoRA+"] == counts["PiSSA"]


def test_adalora_starts_with_half_as_many_directions_again_and_ends_with_lora_s(
    monkeypatch: Any,
) -> None:
    models: list[Adapted] = []
    adalora_pruning = family_trial.adalora_pruning

    def noting_the_model(bench: str, rank: int) -> Any:
        def between(model: Adapted) -> Any:
            models.append(model)
            return adalora_pruning(bench, rank)(model)

        return between

    monkeypatch.setattr(family_trial, "adalora_pruning", noting_the_model)
    list(family_trial.trial("digits", "AdaLoRA", 2, 3e-2))
    strengths = [change.l for name, change in models[0].changes.items() if name.startswith("body.")]
    assert {len(directions) for directions in strengths} == {3}
    remaining = sum(int((directions != 0).sum()) for directions in strengths)
    assert remaining == 2 * len(strengths)


def test_a_seed_draws_the_frozen_matrices() -> None:
    for name in ("LoRA-FA", "VeRA"):
        assert relative_space("digits", name, 2, 3).seed == 3  # type: ignore[attr-defined]


def test_an_unknown_relative_is_refused() -> None:
    with pytest.raises(ValueError, match="relative must be one of LoRA, rsLoRA, .*, got 'QLoRA'"):
        list(family_trial.trial("digits", "QLoRA", 2, 1e-3))


def test_every_relative_has_ten_seeds_at_its_best_learning_rate(table: pd.DataFrame) -> None:
    on_test = table[table["quantity"] == "test/accuracy"]
    cells = set(product(BENCHES, RELATIVES, JUDGED_RANKS))
    cells |= set(product(BENCHES, ("LoRA", "rsLoRA"), (HIGH_RANK,)))
    for bench, relative, rank in cells:
        rows = where(on_test, bench=bench, relative=relative, rank=rank)
        assert sorted(rows["seed"]) == list(range(10)), (bench, relative, rank)
        assert set(rows["lr"]) == {BEST.get(relative, 1e-2)}
    assert set(table["method"]) == {RELATIVE, benchmark.FULL, benchmark.FROZEN}


def test_a_relative_without_rank_has_the_same_runs_at_both_ranks(table: pd.DataFrame) -> None:
    for relative in WITHOUT_RANK:
        low, high = (
            where(table, relative=relative, rank=rank).drop(columns="rank").reset_index(drop=True)
            for rank in JUDGED_RANKS
        )
        pd.testing.assert_frame_equal(low, high)


def test_every_relative_is_tried_at_four_learning_rates_first() -> None:
    assert all(len(LRS[name]) == 4 for name in RELATIVES)


class TestClaims:
    def test_the_verdicts_follow_the_figures(self, table: pd.DataFrame) -> None:
        assert verdicts_by_name(family_claims(table), CLAIMS) == {
            "DoRA": "holds",
            "PiSSA": "does not hold",
            "AdaLoRA": "does not hold",
            "LoRA+": "does not hold",
            "PiSSA faster": "holds",
            "high rank": "holds",
            "LoRA-FA": "holds",
            "VeRA": "does not hold",
            "(IA)3": "holds",
            "no relative": "does not hold",
        }

    def test_a_family_of_eight_is_adjusted(self, table: pd.DataFrame) -> None:
        judged = Evidence(table).families["digits", 2]
        assert set(judged) == set(OTHERS) and len(OTHERS) == 8
        assert judged["DoRA"].p == pytest.approx(8 * 2 / 2**10)
        assert judged["DoRA"].verdict == "beats" and judged["VeRA"].verdict == "loses"

    def test_with_eight_seeds_every_difference_is_inconclusive_or_a_tie(
        self, table: pd.DataFrame
    ) -> None:
        judged = Evidence(table[table["seed"] < 8]).families["digits", 2]
        assert {each.verdict for each in judged.values()} == {"inconclusive", "ties"}

    def test_the_last_claim_counts_the_wins(self, table: pd.DataFrame) -> None:
        last = family_claims(table)[-1]
        assert last.statistic.startswith("6 of 32 comparisons are won (DoRA on opening, rank 2; ")
        winners = ["DoRA", "LoRA+"]
        others = table[~table["relative"].isin(winners)]
        copies = [where(others, relative="LoRA").assign(relative=name) for name in winners]
        assert family_claims(pd.concat([others, *copies]))[-1].verdict == "holds"

    def test_items_widen_or_keep_the_interval_and_its_mean(self, table: pd.DataFrame) -> None:
        evidence = Evidence(table)
        mean, low, high = evidence.with_items("digits", "DoRA", 2)
        assert mean == pytest.approx(evidence.minus_lora("digits", "DoRA", 2).mean(), abs=1e-3)
        assert low < mean < high

    def test_the_share_of_the_gain_is_between_the_references(self, table: pd.DataFrame) -> None:
        share, low, high = share_of_gain(*gain(Evidence(table), "digits", "LoRA", 2))
        assert share == pytest.approx(0.5, abs=0.03)
        assert low < share < high


class ByHand(nn.Module):
    """DoRA as the notebook writes it: a layer that computes on activations, not on the weight."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.linear, self.scale = linear, scale
        self.a = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features)
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.m = nn.Parameter(linear.weight.detach().norm(dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            lengths = (self.linear.weight + self.scale * self.b @ self.a).norm(dim=1)
        answer = F.linear(x, self.linear.weight) + self.scale * x @ self.a.T @ self.b.T
        return self.m / lengths * answer + self.linear.bias


class TestTheCostOfDoRA:
    """The notebook says whose cost it is: that of the kit's form, not of the method."""

    def test_on_activations_a_step_has_lora_s_operations_and_on_the_weight_those_of_full(
        self,
    ) -> None:
        base, batch = benchmark.load_benchmark("opening")[0], benchmark.cost_batch("opening")
        net = deepcopy(base).requires_grad_(False)
        for module in list(net.body.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, ByHand(child, 7, 16 / 7))

        def operations(model: nn.Module) -> int:
            return flops(lambda: F.cross_entropy(model(batch), batch.labels).backward())

        full = operations(Adapted(base))
        by_hand = operations(net) / full
        lora, kit = (operations(Adapted(base, space)) / full for space in (LoRA(7), DoRA(7)))
        assert abs(by_hand - lora) < 0.03 and by_hand < 0.8 < 0.99 < kit

    def test_the_lengths_need_no_whole_matrix(self) -> None:
        torch.manual_seed(0)
        w, a, b = (torch.randn(shape).double() for shape in ((20, 30), (3, 30), (20, 3)))
        crossed = ((w @ a.T) * b).sum(1)
        own = ((b @ (a @ a.T)) * b).sum(1)
        squares = w.square().sum(1) + 2 * 1.7 * crossed + 1.7**2 * own
        torch.testing.assert_close(squares.sqrt(), (w + 1.7 * b @ a).norm(dim=1))


class TestTurns:
    def test_rows_that_are_scaled_grow_and_do_not_turn(self) -> None:
        base, _ = benchmark.load_benchmark("digits")
        model = Adapted(base, relative_space("digits", "(IA)3", 2, 0))
        name = "body.layers.0.attention.v_proj.weight"
        model.changes[name].l.data.fill_(1.25)
        changes = family_trial.row_changes(model)
        assert changes[f"probe/longer/{name}"] == pytest.approx(0.25, rel=1e-4)
        assert changes[f"probe/turned/{name}"] < 0.05
        assert not [key for key in changes if "q_proj" in key]

    def test_a_right_angle_is_ninety_degrees(self) -> None:
        base, _ = benchmark.load_benchmark("digits")
        name = "body.layers.0.mlp.fc1.weight"
        model = Adapted(base, Only(name))
        weight = model.changes[name].value
        weight.data.copy_(_turned(weight.detach()))
        changes = family_trial.row_changes(model)
        assert changes[f"probe/turned/{name}"] == pytest.approx(90, abs=0.01)
        assert changes[f"probe/longer/{name}"] == pytest.approx(1.0, rel=1e-4)

    def test_the_picture_has_a_point_for_each_matrix_that_changed(self) -> None:
        run = family_trial.trial("digits", "DoRA", 2, 3e-2, probe=family_trial.row_changes)
        (last,) = [e for e in run if e.stage == "probe" and e.step == benchmark.STEPS]
        attention, forward = go.Figure(turns(last.values)).data
        assert (len(attention.x), len(forward.x)) == (3 * 4, 3 * 2)
        assert min(*attention.x, *forward.x) > 0
        assert attention.hovertext[0].startswith("0 ")
        assert 2 <= sum(bool(text) for text in attention.text) <= 4, (
            "the outermost points have labels, the others only when pointed at"
        )
        assert len(go.Figure(turns({})).data) == 2


def _turned(weight: torch.Tensor) -> torch.Tensor:
    """Turn each pair of neighbours (a, b) of a row to (-b, a), and double its length."""
    pairs = weight.view(len(weight), -1, 2)
    return 2 * torch.stack([-pairs[..., 1], pairs[..., 0]], -1).view_as(weight)


class TestRecord:
    """The recorded runs."""

    @pytest.fixture(scope="class")
    def record(self) -> pd.DataFrame:
        return read_table(kit_path("data", "results", "08_the_lora_family.parquet"))[0]

    def test_every_best_learning_rate_is_inside_its_grid(self, record: pd.DataFrame) -> None:
        names = ["bench", "method", "relative", "rank"]
        on_valid = record[record["quantity"] == "valid/accuracy"]
        for key, cell in on_valid.groupby(names):
            settings = dict(zip(names, key, strict=True))
            (lr,) = where(record, **settings, quantity="test/accuracy")["lr"].unique()
            assert cell["lr"].min() < lr < cell["lr"].max(), key

    def test_every_accuracy_on_test_has_the_items_that_were_right(
        self, record: pd.DataFrame
    ) -> None:
        on_test = record[record["quantity"] == "test/accuracy"]
        for accuracy, items in zip(on_test["value"], on_test["items"], strict=True):
            assert unpacked(items).mean() == pytest.approx(accuracy, abs=1e-6)
        mean, low, high = Evidence(record).with_items("digits", "DoRA", 8)
        assert low < mean < high
