"""Lesson 01: its parts, its recipes, its study with fake trials, its recorded runs."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from helpers.nets import net, small_task

from ftkit.experiments import benchmark
from ftkit.experiments.tables import replay, where
from ftkit.figures.plots import GREY
from ftkit.lessons.transfer_learning import recipes, study, trial
from ftkit.lessons.transfer_learning.picture import (
    FROZEN_COLOUR,
    MOVED_SHADES,
    interpolation,
    network,
)
from ftkit.lessons.transfer_learning.study import (
    FAR_LRS,
    FREEZING,
    LRS,
    LRS_BY_FROZEN,
    RECIPE_LRS,
    SEEDS,
    choices,
    for_the_panel,
)
from ftkit.lessons.transfer_learning.trial import ALL_FROZEN, BLOCKS, FROZEN_COUNTS, parts, spaces
from ftkit.model.adapted import Adapted
from ftkit.panel.recorded_runs import Recorded
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.techniques.freeze import LastBlocks
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR

COSTS = (
    "trainable",
    "flops",
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "disk",
    "seconds",
)
TESTED = {"test/accuracy", "shift/accuracy"}


@pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
def test_every_weight_is_in_one_part_and_every_stop_of_the_dial_is_valid(
    bench: str,
) -> None:
    base, _ = benchmark.load_benchmark(bench)
    by_part = parts(base)
    assert list(by_part) == ["embeddings", *(f"block {i}" for i in range(1, BLOCKS + 1)), "head"]
    assert sorted(name for names in by_part.values() for name in names) == sorted(
        name for name, _ in base.named_parameters()
    )
    assert len(LastBlocks.blocks(base)) == BLOCKS
    for frozen in FROZEN_COUNTS:
        still = {name for part in list(by_part)[:frozen] for name in by_part[part]}
        assert (
            set(Adapted(base, *spaces(frozen)).changes)
            == {name for name, _ in base.named_parameters()} - still
        )


@pytest.mark.parametrize("frozen", [-1, ALL_FROZEN + 1])
def test_a_number_of_frozen_parts_outside_the_dial_is_refused(frozen: int) -> None:
    with pytest.raises(
        ValueError,
        match=rf"frozen must be from 0 \(nothing\) to {ALL_FROZEN} \(all but the head\), "
        rf"got {frozen}",
    ):
        spaces(frozen)


def test_an_unknown_body_is_refused() -> None:
    with pytest.raises(ValueError, match="body must be one of pretrained, random, got 'borrowed'"):
        next(iter(trial.trial("digits", 0, 1e-3, body="borrowed")))


def test_a_trial_is_its_settings_and_a_random_body_is_another_run() -> None:
    def run(body: str) -> list[Event]:
        return [
            event
            for event in trial.trial("digits", ALL_FROZEN, 3e-2, body, seed=1)
            if event.stage != "cost"
        ]

    assert run("pretrained") == run("pretrained")
    assert run("random") == run("random") != run("pretrained")


def test_lr_is_the_heads_with_everything_frozen_and_otherwise_the_head_has_its_own() -> None:
    def head_moved(frozen: int, lr: float) -> float:
        probes = [
            event.values
            for event in trial.trial("digits", frozen, lr, probe=trial.movement_by_part)
            if event.stage == "probe"
        ]
        return probes[0]["probe/moved/head"]

    assert head_moved(ALL_FROZEN, 0.0) == 0 < head_moved(ALL_FROZEN, 1e-2)
    assert head_moved(ALL_FROZEN - 1, 0.0) == pytest.approx(
        head_moved(ALL_FROZEN, HEAD_LR), rel=1e-3
    )


@lru_cache
def last_movement() -> dict[str, float]:
    """The last probe of a run on digits with two parts frozen."""
    run = trial.trial("digits", 2, 3e-3, probe=trial.movement_by_part)
    return dict([event.values for event in run if event.stage == "probe"][-1])


def test_movement_is_the_norm_of_the_change_over_the_norm_of_the_weights() -> None:
    last = last_movement()
    assert list(last) == [
        "probe/frozen/embeddings",
        "probe/frozen/block 1",
        "probe/moved/block 2",
        "probe/moved/block 3",
        "probe/moved/head",
    ]
    assert (
        last["probe/frozen/embeddings"]
        == last["probe/frozen/block 1"]
        == 0
        < last["probe/moved/block 2"]
    )
    base, _ = benchmark.load_benchmark("digits")
    model = Adapted(base, *spaces(2))
    with torch.no_grad():
        for name, change in model.changes.items():
            if name in parts(base)["block 3"]:
                change.value.mul_(1.5)  # type: ignore[operator]
    assert trial.movement_by_part(model) == pytest.approx(
        dict.fromkeys(last, 0.0) | {"probe/moved/block 3": 0.5}, abs=1e-6
    )


def test_the_picture_is_grey_where_the_network_is_frozen() -> None:
    spec = network(last_movement())
    go.Figure(spec)
    boxes, bars = spec["data"]
    assert boxes["y"] == ["embeddings", "block 1", "block 2", "block 3", "head"]
    assert boxes["marker"]["color"][:2] == [FROZEN_COLOUR, FROZEN_COLOUR]
    assert set(boxes["marker"]["color"][2:]) <= set(MOVED_SHADES)
    assert boxes["text"][:2] == ["frozen", "frozen"] and boxes["text"][2].startswith("moved ")
    assert list(bars["x"]) == list(last_movement().values())
    assert boxes["marker"]["line"]["color"] == GREY


def test_the_slider_moves_a_mark_along_both_lines() -> None:
    inside = {
        "step": [0.0, 0.5, 1.0],
        "mean": [0.5, 0.6, 0.7],
        "low": [0.4, 0.5, 0.6],
        "high": [0.6, 0.7, 0.8],
    }
    outside = {**inside, "mean": [0.3, 0.4, 0.2]}
    spec = interpolation(inside, outside)
    go.Figure(spec)
    marks = spec["data"][-2:]
    assert [mark["y"] for mark in marks] == [[0.7], [0.2]] and [mark["text"] for mark in marks] == [
        ["70.0%"],
        ["20.0%"],
    ]
    moved, traces = spec["layout"]["sliders"][0]["steps"][1]["args"]
    assert moved == {"x": [[0.5], [0.5]], "y": [[0.6], [0.4]], "text": [["60.0%"], ["40.0%"]]}
    assert [spec["data"][i] for i in traces] == marks


def test_a_chain_numbers_its_steps_through_and_each_stage_starts_from_the_one_before() -> None:
    base, task = net("bert"), small_task()
    plan = [recipes.Stage((benchmark.HEAD,), 3, 1e-3), recipes.Stage((), 2, 1e-3)]
    events, model = drained(recipes.chain(base, task, plan, seed=0))
    assert [event.step for event in events if event.stage == "train"] == [1, 2, 3, 4, 5]
    probed = Adapted(base, benchmark.HEAD)
    drained(recipes.chain(base, task, plan[:1], seed=0))
    assert all(
        torch.equal(weight, base.body.get_parameter(name))
        for name, weight in model.base.body.named_parameters()
    )
    assert not torch.equal(model.base.heads["tiny"].weight, probed.base.heads["tiny"].weight)
    assert model.trains("body.")


def test_each_stage_of_a_chain_has_its_rows_in_another_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = []

    def watched(*args: Any, seed: int, **settings: Any) -> Iterator[Event]:
        seeds.append(seed)
        return iter(())

    monkeypatch.setattr(recipes, "train", watched)
    drained(
        recipes.chain(
            net("bert"), small_task(), [recipes.Stage((benchmark.HEAD,), 3, 1e-3)] * 3, seed=7
        )
    )
    assert seeds[0] == 7 and len(set(seeds)) == 3


def drained(events: Any) -> tuple[list[Event], Adapted]:
    """All events of a generator, and what it returns."""
    drawn = []
    while True:
        try:
            drawn.append(next(events))
        except StopIteration as end:
            return drawn, end.value


@pytest.mark.parametrize(
    "method", ["full fine-tuning", "frozen body", "LP-FT", *RECIPE_LRS, "first block"]
)
def test_every_recipe_but_the_frozen_body_trains_the_body_for_80_steps(method: str) -> None:
    plan = recipes.stages(benchmark.load_benchmark("opening")[0], method, 1e-3, 3e-2)
    through_the_body = [stage.steps for stage in plan if stage.spaces != (benchmark.HEAD,)]
    assert sum(through_the_body) == (0 if method == "frozen body" else benchmark.STEPS)


def test_gradual_unfreezing_unfreezes_one_more_part_at_each_stage() -> None:
    base, _ = benchmark.load_benchmark("opening")
    sizes = [
        len(Adapted(base, *stage.spaces).changes)
        for stage in recipes.stages(base, "gradual unfreezing", 1e-3, 3e-2)
    ]
    assert sizes == sorted(set(sizes)) and len(sizes) == BLOCKS + 1
    assert sizes[-1] == len(Adapted(base).changes)


def test_the_linear_probe_of_lp_ft_has_its_own_lr_and_fine_tuning_the_usual_head_lr() -> None:
    probe, after = recipes.stages(benchmark.load_benchmark("opening")[0], "LP-FT", 1e-4, 7e-2)
    assert (probe.head_lr, after.lr, after.head_lr) == (7e-2, 1e-4, HEAD_LR)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="method must be one of full fine-tuning, .*, got 'defrost'; "
        "for frozen parts use trial",
    ):
        recipes.stages(benchmark.load_benchmark("opening")[0], "defrost", 1e-3, 3e-2)


def test_a_blend_of_0_is_the_base_and_of_1_the_model() -> None:
    base, task = net("bert"), small_task()
    _, model = drained(recipes.chain(base, task, [recipes.Stage((), 30, 1e-2)], seed=0))
    accuracies = recipes.blend(model, task, task)
    assert (
        accuracies["blend/0/in"]
        == recipes.evaluate(base, task).accuracy
        < accuracies["blend/1/in"]
        == recipes.evaluate(model, task).accuracy
    )
    assert set(accuracies) == {
        f"blend/{share:g}/{side}" for share in recipes.BLEND_SHARES for side in ("in", "out")
    }


def test_the_shifted_task_has_other_words_and_the_same_labels() -> None:
    inside, outside = benchmark.load_benchmark("library")[1], recipes.shifted()
    assert inside.labels("test").equal(outside.labels("test"))
    texts = [[text.lower() for text in task.test["text"]] for task in (inside, outside)]
    assert np.mean([one != other for one, other in zip(*texts, strict=True)]) > 0.25


def events(accuracy: float, test: bool, bench: str = "", method: str = "") -> Iterator[Event]:
    for step in (5, 80):
        yield Event(step, "valid", {"valid/accuracy": accuracy * step / 80, "valid/loss": 1.0})
    if test:
        yield Event(80, "test", {"test/accuracy": accuracy})
    if test and bench == "library" and method:
        yield Event(80, "shift", {"shift/accuracy": accuracy - 0.1})
        if method == "LP-FT":
            yield Event(
                80,
                "blend",
                {
                    f"blend/{a:g}/{side}": accuracy
                    for a in recipes.BLEND_SHARES
                    for side in ("in", "out")
                },
            )


def fake_trial(
    bench: str, frozen: int, lr: float, body: str = "pretrained", seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Best at 1e-3, with everything frozen at 3e-2.

    A point worse for each frozen part; random weights are much worse.
    """
    best = 3e-2 if frozen == ALL_FROZEN else 1e-3
    accuracy = (
        0.8
        - 0.01 * frozen
        - 0.3 * (body == "random")
        - 0.05 * abs(np.log10(lr / best))
        + 0.001 * seed
    )
    yield from events(accuracy, test)
    yield Event(80, "cost", {f"cost/{name}": 100.0 - frozen for name in COSTS})


def fake_recipe(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False, probe: float = 0.0
) -> Iterator[Event]:
    assert probe == 3e-2, (
        "the linear probe has the learning rate that was chosen for the frozen body"
    )
    assert method != "full fine-tuning" or (lr == 1e-3 and test)
    yield from events(0.8 - 0.05 * abs(np.log10(lr / 1e-3)) + 0.001 * seed, test, bench, method)


def fake_far(method: str, lr: float, seed: int = 0, test: bool = False) -> Iterator[Event]:
    best = 3e-2 if method == "frozen body" else 3e-3
    yield from events(0.5 - 0.05 * abs(np.log10(lr / best)) + 0.001 * seed, test)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "trial", fake_trial)
        patch.setattr(recipes, "recipe", fake_recipe)
        patch.setattr(recipes, "far_task", fake_far)
        return study.record(None)


def test_the_design_covers_every_number_of_frozen_parts_and_verdicts_have_all_seeds(
    table: pd.DataFrame,
) -> None:
    freezing = where(table, method=FREEZING, body="pretrained")
    recorded = {
        tuple(row) for row in freezing[["bench", "frozen", "lr"]].drop_duplicates().to_numpy()
    }
    assert recorded == {
        (bench, frozen, lr)
        for bench in benchmark.BENCHMARKS
        for frozen, lrs in LRS_BY_FROZEN.items()
        for lr in lrs
    }
    tested = table[table["quantity"].isin(TESTED)]
    counts = tested.groupby(["method", "bench", "frozen", "body", "quantity"]).size()
    assert set(counts) == {len(SEEDS)}
    assert len(counts) == len(benchmark.BENCHMARKS) * (len(FROZEN_COUNTS) + 1) + len(
        RECIPE_LRS
    ) * 2 + 1 + 1 + len(FAR_LRS)


def test_test_is_evaluated_once_at_the_lr_chosen_on_valid(table: pd.DataFrame) -> None:
    assert not table.drop(columns="value").duplicated().any(), "the table has each run once"
    tested = table[table["quantity"].isin(TESTED)]
    assert tested.groupby(["method", "bench", "frozen", "body"])["lr"].nunique().max() == 1
    assert set(where(tested, method=FREEZING, frozen=0)["lr"]) == {1e-3}
    assert set(where(tested, method=FREEZING, frozen=ALL_FROZEN)["lr"]) == {3e-2}


def test_a_chosen_lr_at_the_edge_of_its_grid_is_marked(table: pd.DataFrame) -> None:
    rates = choices(table)
    assert len(rates) == len(benchmark.BENCHMARKS) * (len(FROZEN_COUNTS) + 1) + len(
        RECIPE_LRS
    ) + 1 + len(FAR_LRS)
    assert not rates["edge"].any() and set(rates[rates["frozen"] == ALL_FROZEN]["lr"]) == {3e-2}
    narrow = table[(table["method"] != "LP-FT") | (table["lr"] >= 1e-3)]
    assert list(choices(narrow).query("edge")["method"]) == ["LP-FT"]


def test_the_study_keeps_to_its_budget_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for module, name, fake in (
        (trial, "trial", fake_trial),
        (recipes, "recipe", fake_recipe),
        (recipes, "far_task", fake_far),
    ):
        monkeypatch.setattr(
            module,
            name,
            lambda *args, fake=fake, **settings: runs.append(settings) or fake(*args, **settings),
        )
    study.record(None)
    print(f"{len(runs)} runs")
    assert len(runs) <= 720


def test_the_panel_shows_both_ends_of_the_dial_and_random_weights_as_references(
    table: pd.DataFrame,
) -> None:
    rows = for_the_panel(table)
    recorded = Recorded(
        rows.drop(columns=[name for name in rows if name.startswith("Unnamed")]),
        method=FREEZING,
        over="frozen",
    )
    settings = {"bench": "digits", "frozen": 2, "body": "pretrained", "lr": 1e-3}
    points = recorded.points(settings)
    assert [point["label"] for point in points if point["name"] == FREEZING] == ["3", "2", "1", "0"]
    assert {point["name"] for point in points} == {
        FREEZING,
        "full fine-tuning",
        "frozen body",
        "random weights",
    }
    by_name = {point["name"]: point for point in points if point["name"] != FREEZING}
    assert by_name["full fine-tuning"]["mean"] == pytest.approx(0.8 + 0.001 * np.mean(SEEDS)), (
        "pretrained alone, at its best learning rate"
    )
    assert by_name["frozen body"]["lr"] == 3e-2
    assert by_name["random weights"]["mean"] < by_name["full fine-tuning"]["mean"]
    curve = recorded.curve(settings)
    assert curve is not None and len(curve["step"]) == 2


@pytest.fixture(scope="module")
def recorded() -> tuple[pd.DataFrame, dict[str, Any]]:
    return read_table(kit_path("data", "results", "01_transfer_learning.parquet"))


def test_every_recorded_best_lr_is_inside_its_grid(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    table, about = recorded
    freezing = where(table, method=FREEZING)
    for (bench, frozen, body), rows in freezing.groupby(["bench", "frozen", "body"]):
        lrs = LRS_BY_FROZEN[frozen] if body == "pretrained" else LRS[1:]
        assert set(rows["lr"]) >= set(lrs), (bench, frozen, body)
        tested = rows[rows["quantity"] == "test/accuracy"]
        (lr,) = tested["lr"].unique()
        assert rows["lr"].min() < lr < rows["lr"].max(), (bench, frozen, body)
        assert set(tested["seed"]) == set(about["seeds"])
    assert about["fingerprints"]["digits"] == benchmark.load_benchmark("digits")[1].fingerprint


def test_a_run_repeats_its_recorded_run(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    settings: dict[str, Any] = {
        "bench": "digits",
        "frozen": 3,
        "lr": 3e-3,
        "body": "pretrained",
        "seed": 1,
    }
    freezing = recorded[0][recorded[0]["method"] == FREEZING]
    then = [
        event.values["valid/accuracy"]
        for event in replay(freezing)(**settings)
        if event.stage == "valid"
    ]
    now = [
        event.values["valid/accuracy"]
        for event in trial.trial(**settings)
        if event.stage == "valid"
    ]
    assert now == pytest.approx(then, abs=0.03), (
        "processors round differently; a change of the code moves more"
    )
