"""Lesson 04: its groups, its study with fake trials, its picture, its recorded runs."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from ftkit.experiments import benchmark
from ftkit.experiments.tables import tuned, where
from ftkit.lessons.bitfit import study, trial
from ftkit.lessons.bitfit.picture import WEAKEST, movements
from ftkit.model.adapted import Adapted
from ftkit.panel.controls import Several
from ftkit.panel.recorded_runs import Recorded
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.techniques.bitfit import BitFit
from ftkit.training.events import Event

COSTS = {
    "trainable": 2.0,
    "flops": 60.0,
    "weights": 10.0,
    "gradients": 0.1,
    "optimizer": 0.2,
    "activations": 60.0,
    "disk": 1.0,
    "seconds": 1.0,
}
FULL_COSTS = {
    **COSTS,
    "trainable": 1000.0,
    "flops": 90.0,
    "gradients": 10.0,
    "optimizer": 20.0,
    "activations": 100.0,
}


def events(accuracy: float, costs: dict[str, float], test: bool) -> Iterator[Event]:
    for step in (5, 80):
        yield Event(step, "valid", {"valid/accuracy": accuracy * step / 80, "valid/loss": 1.0})
    if test:
        yield Event(80, "test", {"test/accuracy": accuracy})
    yield Event(80, "cost", {f"cost/{name}": value for name, value in costs.items()})


def lost(lr: float, best: float) -> float:
    """The accuracy that a learning rate loses: five points a decade away from the best."""
    return 0.05 * abs(math.log10(lr / best))


BEST = {"opening": 3e-2, "library": 3e-3, "digits": 1e-3}


def fake_trial(
    bench: str, groups: str, examples: int, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Best at a learning rate of the benchmark, for any number of examples.

    One group alone is five points worse; the key alone is fifteen points worse.
    """
    worse = (
        0.0 if groups in (trial.ALL_GROUPS, trial.TWO_GROUPS) else 0.15 if groups == "key" else 0.05
    )
    yield from events(0.8 - worse - lost(lr, BEST[bench]) + 0.001 * seed, COSTS, test)


def fake_reference(
    bench: str, method: str, examples: int, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Full fine-tuning: five points worse than BitFit with little data, five better with much."""
    if method in ("frozen body", trial.SAME_HEAD):
        yield from events(0.6 - lost(lr, 1e-1) + 0.001 * seed, COSTS, test)
    else:
        yield from events(
            (0.75 if examples < 500 else 0.85) - lost(lr, BEST[bench] / 10) + 0.001 * seed,
            FULL_COSTS,
            test,
        )


def made_up() -> pd.DataFrame:
    """The table of the study, made of fake runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "trial", fake_trial)
        patch.setattr(study, "reference", fake_reference)
        return study.record(None)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


@pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
def test_the_groups_have_no_bias_in_common_and_together_are_all_of_bitfit(bench: str) -> None:
    base, _ = benchmark.load_benchmark(bench)
    groups = [
        set(BitFit(trial.bias_pattern(bench, group)).changes(base))
        for group in trial.GROUPS[base.name]
    ]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert (
        set.union(*groups)
        == set(BitFit().changes(base))
        == set(BitFit(trial.bias_pattern(bench, trial.ALL_GROUPS)).changes(base))
    )
    assert list(trial.GROUPS[base.name]) == list(trial.GROUPS["mini"]), (
        "one row of buttons is for every benchmark"
    )


def test_the_panel_starts_with_all_groups() -> None:
    assert Several(trial.GROUPS["mini"]).all == trial.ALL_GROUPS
    assert trial.TWO_GROUPS in Several(trial.GROUPS["mini"])


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"groups must be some of query, key, .*, joined by \+, got 'values'"
    ):
        trial.bias_pattern("opening", "query+values")


def test_a_benchmark_with_fewer_rows_gives_all_of_them() -> None:
    assert (
        trial.available_examples("digits", 8000) == 1197
        and trial.available_examples("digits", 32) == 32
        and trial.available_examples("library", 8000) == 8000
    )


def test_the_number_of_examples_reaches_the_run() -> None:
    def losses(**settings: Any) -> list[float]:
        return [
            event.values["train/loss"]
            for event in benchmark.fine_tuning("digits", benchmark.HEAD, lr=1e-3, **settings)
            if event.stage == "train"
        ]

    few, usual = losses(examples=16), losses()
    assert few != usual and usual == losses(examples=benchmark.BENCHMARKS["digits"].examples)
    assert few[-1] < 0.5 * usual[-1], "the same sixteen rows eighty times"


def test_the_design_covers_every_number_of_examples_of_every_benchmark(table: pd.DataFrame) -> None:
    bitfit = table[table["method"] == "BitFit"]
    recorded = {
        tuple(row)
        for row in bitfit[["bench", "groups", "examples", "lr"]].drop_duplicates().to_numpy()
    }
    for bench, sizes in study.EXAMPLES_BY_BENCH.items():
        assert {
            (bench, trial.ALL_GROUPS, size, lr) for size in sizes for lr in study.LRS[bench]
        } <= recorded
    single = {
        (study.GROUPS_BENCH, group, study.GROUPS_EXAMPLES, lr)
        for group in trial.GROUPS["mini"]
        for lr in study.GROUP_LRS
    }
    assert single <= recorded


def test_the_study_is_affordable(table: pd.DataFrame) -> None:
    body = table[~table["method"].isin(["frozen body", trial.SAME_HEAD])]
    tuning, tested = (
        body[body["quantity"] == name] for name in ("cost/trainable", "test/accuracy")
    )
    assert len(tuning) + len(tested) <= 900, "runs that train a body, of 80 steps each"


def test_test_is_evaluated_once_with_every_seed_at_the_chosen_lr(table: pd.DataFrame) -> None:
    assert not table.drop(columns="value").duplicated().any(), "the table has each run once"
    tested = table[table["quantity"] == "test/accuracy"]
    assert set(tested.groupby(["bench", "method", "groups", "examples"]).size()) == {
        len(study.SEEDS)
    }
    assert set(tested.groupby(["bench", "method", "groups", "examples"])["lr"].nunique()) == {1}
    cells = sum(map(len, study.EXAMPLES_BY_BENCH.values()))
    assert len(tested) == (4 * cells + 1 + len(trial.GROUPS["mini"])) * len(study.SEEDS)
    assert {row["lr"] for _, row in where(tested, method="BitFit", bench="library").iterrows()} == {
        BEST["library"]
    }


def test_a_panel_can_show_the_table(table: pd.DataFrame) -> None:
    recorded = Recorded(table, method="BitFit", over="examples", scope=("bench", "examples"))
    settings = {"bench": "library", "groups": trial.ALL_GROUPS, "examples": 128, "lr": 3e-3}
    curve = recorded.curve(settings)
    assert curve is not None and curve["runs"][-1] == len(study.SEEDS) // 2
    names = [point["name"] for point in recorded.points(settings)]
    assert names == ["BitFit"] * len(study.EXAMPLES) + [
        "full fine-tuning",
        "frozen body",
        trial.SAME_HEAD,
    ]


@pytest.fixture(scope="module")
def probes() -> dict[str, float]:
    events = list(trial.trial("digits", trial.ALL_GROUPS, 64, 1e-3, probe=trial.movement_by_group))
    return dict([event for event in events if event.stage == "probe"][-1].values)


def test_the_probe_sees_every_group_move_and_the_key_without_a_gradient(
    probes: dict[str, float],
) -> None:
    groups = {name.split("/")[3] for name in probes}
    blocks = {name.split("/")[2] for name in probes}
    assert groups == set(trial.GROUPS["mini-vit"])
    assert blocks >= {"embedding", "block 0", "behind"}
    for number in range(3):
        assert (
            probes[f"probe/gradient/block {number}/key"]
            < 1e-3 * probes[f"probe/gradient/block {number}/query"]
        )
        assert probes[f"probe/change/block {number}/query"] > 1e-4


def test_the_probe_measures_the_change_and_not_the_bias() -> None:
    model = Adapted(benchmark.load_benchmark("digits")[0], BitFit())
    assert set(trial.movement_by_group(model).values()) == {0.0}
    with torch.no_grad():
        model.changes["body.layers.1.attention.v_proj.bias"].value += 2.0  # type: ignore[operator]
        model.changes["body.layers.2.layernorm_before.bias"].value += 2.0  # type: ignore[operator]
    far = {name: value for name, value in trial.movement_by_group(model).items() if value}
    root = math.sqrt(2.0**2 / 2)  # one of the block's two norms has moved
    assert far == {
        "probe/change/block 1/value": pytest.approx(2.0),
        "probe/change/block 2/norms and embedding": pytest.approx(root),
    }


def test_a_frozen_group_is_not_in_the_probe() -> None:
    events = list(trial.trial("digits", "query", 64, 1e-3, probe=trial.movement_by_group))
    assert {
        name.split("/")[3]
        for name in [event for event in events if event.stage == "probe"][-1].values
    } == {"query"}


def test_the_picture_shows_the_values_of_the_probe(probes: dict[str, float]) -> None:
    figure = go.Figure(movements(probes))
    change, gradient = figure.data
    row, column = list(change.y).index("block 1"), list(change.x).index("value")
    assert change.z[row][column] == probes["probe/change/block 1/value"]
    assert change.z[list(change.y).index("embedding")][column] is None
    assert gradient.z[row][column] == pytest.approx(
        math.log10(probes["probe/gradient/block 1/value"])
    )
    assert gradient.z[row][list(gradient.x).index("key")] < -6
    assert gradient.zmax == 0


def test_the_picture_of_a_run_that_has_not_started_is_empty() -> None:
    assert go.Figure(movements({})).data[0].z == ()
    still = movements({"probe/change/block 0/query": 0.0, "probe/gradient/block 0/query": 0.0})
    assert still["data"][0]["z"] == [[0.0]] and still["data"][1]["z"] == [[WEAKEST]]
    with_gradient = movements(
        {
            "probe/gradient/block 0/query": 2.0,
            "probe/gradient/block 0/value": 0.02,
            "probe/gradient/block 0/key": 0.0,
        }
    )
    assert with_gradient["data"][1]["z"] == [
        [pytest.approx(math.log10(2.0)), pytest.approx(math.log10(0.02)), WEAKEST]
    ]


def test_with_only_the_key_trainable_the_picture_shows_no_gradient() -> None:
    events = [
        event
        for event in trial.trial("opening", "key", 64, 3e-2, probe=trial.movement_by_group)
        if event.stage == "probe"
    ]
    (_, gradient) = movements(events[-1].values)["data"]
    assert max(value for cells in gradient["z"] for value in cells) < -6


@pytest.fixture(scope="module")
def recorded() -> tuple[pd.DataFrame, dict[str, Any]]:
    return read_table(kit_path("data", "results", "04_bitfit.parquet"))


def test_every_recorded_best_lr_is_inside_its_grid(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    table, about = recorded
    assert about["seeds"] == list(study.SEEDS) and about["command"] == "make results LESSON=04"
    by = ["bench", "method", "groups", "examples"]
    tested, valid = (table[table["quantity"] == f"{stage}/accuracy"] for stage in ("test", "valid"))
    for key, lr in tuned(valid, by).items():
        tried = sorted(where(valid, **dict(zip(by, key, strict=True)))["lr"].unique())
        # The key alone learns nothing at any learning rate; SAME_HEAD has one that is given.
        matters = not {"key", trial.SAME_HEAD} & set(key)
        assert not matters or tried[0] < lr < tried[-1], key
        assert set(where(tested, **dict(zip(by, key, strict=True)))["lr"]) == {lr}, (
            "only the learning rate that was chosen on valid is evaluated on test"
        )
    assert about["fingerprints"]["digits"] == benchmark.load_benchmark("digits")[1].fingerprint
