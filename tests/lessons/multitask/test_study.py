"""The study of lesson 07: pairs, trials, design (with fake trials), pictures, recorded runs."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from ftkit.experiments.benchmark import FROZEN, FULL, SIZE, STEPS
from ftkit.experiments.tables import where
from ftkit.lessons.multitask import study, task_deltas
from ftkit.lessons.multitask import trial as multitask
from ftkit.lessons.multitask.gradient_conflicts import ITSELF, GradientConflicts, opposed_share
from ftkit.lessons.multitask.picture import conflicts, front
from ftkit.lessons.multitask.study import (
    BALANCE,
    CONFLICT,
    DELTAS,
    JUDGED_PAIRS,
    LRS,
    SEEDS,
    TRANSFER,
    by_size,
    for_the_panel,
)
from ftkit.lessons.multitask.trial import (
    ALTERNATING,
    EXAMPLES,
    FIXED_WEIGHTS,
    HELPS,
    HURTS,
    IMAGES,
    LEARNED,
    MULTITASK,
    ROWS_PER_TASK,
    SHARES,
    WAYS,
)
from ftkit.model.adapted import Adapted
from ftkit.model.delta import Delta
from ftkit.panel.recorded_runs import Recorded
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.training.events import Event

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
GAIN = {HELPS: 0.05, HURTS: -0.05, IMAGES: 0.0}


def off(lr: float, best: float) -> float:
    return 0.05 * abs(float(np.log10(lr / best)))


def fake_trial(
    pair: str,
    way: str,
    share: float,
    lr: float,
    examples: int = EXAMPLES,
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    """Run a fake: the target is best at 3e-4, the other task at 3e-3.

    The more a task weighs, the better it is; the way makes no difference, but turns in proportion
    to size are five points worse.
    """
    worse = 0.05 if way == ALTERNATING and share < 0.1 else 0.0
    target = (
        0.62 + 0.06 * share + GAIN[pair] * (share < 1) - 2 * off(lr, 3e-4) + 0.001 * seed - worse
    )
    other = 0.6 - 0.1 * share - 0.3 * (share == 1) - off(lr, 3e-3) + 0.001 * seed
    yield Event(5, "valid", {"valid/accuracy": target / 2, "valid/loss": 1.0})
    yield Event(STEPS, "valid", {"valid/accuracy": target, "valid/loss": 1.0, "valid/other": other})
    if test:
        yield Event(STEPS, "test", {"test/accuracy": target, "test/other": other})
    yield Event(STEPS, "cost", {f"cost/{name}": 100.0 for name in COSTS})


def fake_single_task(
    pair: str, method: str, lr: float, examples: int = EXAMPLES, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Run a fake that is best at 1e-3, with a frozen body at 3e-2.

    It is as good as with another task that neither helps nor hurts.
    """
    accuracy = (
        0.65 - off(lr, 3e-2 if method == FROZEN else 1e-3) - 0.2 * (method == FROZEN) + 0.001 * seed
    )
    yield Event(STEPS, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    if test:
        yield Event(STEPS, "test", {"test/accuracy": accuracy})
    yield Event(STEPS, "cost", {f"cost/{name}": 90.0 for name in COSTS})


def fake_mixing(
    pair: str, lr: float, examples: int = EXAMPLES, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Run a fake that is best at 1e-2; the sum of both is as good as each alone."""
    accuracy = 0.6 - off(lr, 1e-2) + 0.001 * seed
    yield Event(STEPS, "valid", {"valid/accuracy": accuracy, "valid/factor": 0.8})
    if test:
        yield Event(
            STEPS,
            "test",
            {f"test/{name}": accuracy for name in ("accuracy", "other", "mixed", "mixed other")},
        )


def fake_conflict(pair: str, lr: float, examples: int = EXAMPLES, seed: int = 0) -> Iterator[Event]:
    """Run a fake: where tasks hurt each other, gradients are opposed 30 points more often."""
    assert lr == 3e-4, "the learning rate that was chosen for the target"
    yield Event(
        STEPS,
        "pull",
        {
            "pull/pair": 0.2 + 0.3 * (pair == HURTS) + 0.001 * seed,
            f"pull/{ITSELF}": 0.2 + 0.001 * seed,
        },
    )


FAKES: list[tuple[Any, str, Any]] = [
    (multitask, "trial", fake_trial),
    (multitask, "single_task", fake_single_task),
    (task_deltas, "mixing", fake_mixing),
    (task_deltas, "conflict", fake_conflict),
]


def made_up() -> pd.DataFrame:
    """Return the table of the study, made of fake runs."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, fake in FAKES:
            patch.setattr(module, name, fake)
        return study.record(None)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


def test_the_record_is_affordable(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: dict[str, int] = {}

    def counted(name: str, fake: Any) -> Any:
        def run(*args: Any, **settings: Any) -> Any:
            frozen = settings.get("method") == FROZEN
            runs[name] = runs.get(name, 0) + (not frozen)
            return fake(*args, **settings)

        return run

    for module, name, fake in FAKES:
        monkeypatch.setattr(module, name, counted(name, fake))
    study.record(None)
    weight = {"mixing": 2, "conflict": 2}
    in_all = sum(count * weight.get(name, 1) for name, count in runs.items())
    print(f"{runs}: as long as {in_all} runs")
    assert in_all <= 720


def test_the_front_has_every_weight_and_every_method_with_all_seeds(table: pd.DataFrame) -> None:
    on_test = where(table, part=BALANCE, quantity="test/accuracy")
    seeds = on_test.groupby(["pair", "way", "share"]).size()
    assert set(seeds) == {len(SEEDS)}
    weights = {(pair, FIXED_WEIGHTS, share) for pair in JUDGED_PAIRS for share in SHARES}
    methods = {(pair, way, 0.5) for pair in JUDGED_PAIRS for way in LEARNED}
    assert set(seeds.index) == weights | methods


def test_each_cell_has_one_rate_on_test_and_each_run_is_in_the_table_once(
    table: pd.DataFrame,
) -> None:
    assert not table.drop(columns="value").duplicated().any()
    on_test = table[table["quantity"].str.startswith("test/")]
    cell = ["part", "method", "pair", "way", "share"]
    assert set(on_test.groupby(cell)["lr"].nunique()) == {1}
    assert set(on_test.groupby([*cell, "quantity"]).size()) == {len(SEEDS)}


def test_rates_are_chosen_for_both_tasks_on_the_front_and_else_for_the_target(
    table: pd.DataFrame,
) -> None:
    def rate(part: str, share: float) -> float:
        return study.chosen(where(table, part=part, pair=HURTS, way=FIXED_WEIGHTS, share=share))

    assert rate(BALANCE, 1.0) == rate(TRANSFER, 0.5) == 3e-4, "only the target counts"
    assert rate(BALANCE, 0.0) == 3e-3, "only the other task is trained"
    both = {lr: 2 * off(lr, 3e-4) + off(lr, 3e-3) for lr in LRS}
    assert rate(BALANCE, 0.5) == min(both, key=lambda lr: both[lr])


def test_the_target_s_accuracy_has_the_same_name_on_the_front_and_elsewhere(
    table: pd.DataFrame,
) -> None:
    settings = {"pair": HELPS, "way": FIXED_WEIGHTS, "share": 0.5, "lr": 1e-3, "seed": 0}
    balance, transfer = (
        where(table, part=part, step=STEPS, **settings).set_index("quantity")["value"]
        for part in (BALANCE, TRANSFER)
    )
    target, other = balance["valid/accuracy"], balance["valid/other"]
    assert target == transfer["valid/accuracy"] == pytest.approx(0.7 - 2 * off(1e-3, 3e-4))
    assert balance["valid/both"] == pytest.approx((target + other) / 2)


def test_in_proportion_to_size_the_target_gets_few_steps() -> None:
    share = EXAMPLES / (EXAMPLES + multitask.OTHER_EXAMPLES)
    assert by_size(HELPS) == pytest.approx(share, abs=1e-4)


def test_the_controls_of_a_target_are_in_the_table_for_all_its_pairs(table: pd.DataFrame) -> None:
    on_test = table[table["quantity"] == "test/accuracy"]
    controls = on_test[on_test["method"].isin([FULL, FROZEN])]
    assert set(controls["pair"]) == {HELPS, HURTS, IMAGES}
    assert set(controls.groupby("pair").size()) == {2 * len(SEEDS)}
    helps, hurts = (
        where(controls, pair=pair, method=FULL)["value"].tolist() for pair in (HELPS, HURTS)
    )
    assert helps == hurts


def test_the_panel_can_use_the_table(table: pd.DataFrame) -> None:
    recorded = Recorded(
        for_the_panel(table), method=MULTITASK, over="share", scope=("pair", "examples")
    )
    settings = {"pair": HELPS, "way": FIXED_WEIGHTS, "share": 0.5, "lr": 1e-3, "examples": EXAMPLES}
    curve = recorded.curve(settings)
    assert curve is not None
    assert curve["step"] == [5, STEPS]
    assert curve["runs"][-1] == len(SEEDS) // 2
    for share in SHARES:
        assert recorded.curve({**settings, "way": "PCGrad", "share": share}) is not None
    assert recorded.curve({**settings, "way": ALTERNATING, "share": 0.75}) is None
    assert recorded.curve({**settings, "pair": IMAGES, "way": "GradNorm"}) is not None
    assert recorded.curve({**settings, "examples": 1024}) is None
    names = [point["name"] for point in recorded.points(settings)]
    assert sorted(names) == sorted([MULTITASK] * len(SHARES) + [FULL, FROZEN])


@pytest.mark.parametrize("pair", [HELPS, HURTS, IMAGES])
def test_a_pair_is_two_labels_of_the_same_rows(pair: str) -> None:
    base, target, other = multitask.load_pair(pair)
    first, second = (task.train.select_columns([task.kind])[:50] for task in (target, other))
    assert first == second
    assert len(target.train) == len(other.train)
    assert set(base.heads) == {target.name, other.name}
    few, many = multitask.draw_tasks(pair, EXAMPLES, seed=1)
    assert len(few.train) == EXAMPLES
    assert len(many.train) == min(multitask.OTHER_EXAMPLES, len(other.train))
    assert 0 < multitask.majority_baseline(pair) < 0.5


def test_an_unknown_pair_or_way_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pair must be one of library \+ area, .*, got 'docs'"):
        multitask.load_pair("docs")
    with pytest.raises(ValueError, match="way must be one of fixed weights, .*, got 'luck'"):
        multitask.objective("luck", 0.5, multitask.draw_tasks(IMAGES, EXAMPLES, 0))


@pytest.mark.parametrize("way", WAYS)
def test_a_step_has_sixteen_rows_however_they_are_divided(way: str) -> None:
    data, size = multitask.training_data(way, 0.5, multitask.draw_tasks(IMAGES, EXAMPLES, 0))
    batches = data.batches(size, torch.Generator().manual_seed(0))
    assert {len(batch) for batch in islice(batches, 6)} == {SIZE}


def test_fixed_weights_sum_to_two_and_follow_the_share() -> None:
    tasks = multitask.draw_tasks(IMAGES, EXAMPLES, 0)
    weighted = multitask.objective(FIXED_WEIGHTS, 0.25, tasks)
    assert dict(weighted.weights) == {"digits": 0.5, "digits-parity": 1.5}
    one, another = (multitask.objective("uncertainty", 0.5, tasks) for _ in range(2))
    assert one is not another, "a new one for each run"


def short_run(
    monkeypatch: pytest.MonkeyPatch, way: str = FIXED_WEIGHTS, share: float = 0.5, **settings: Any
) -> list[Event]:
    monkeypatch.setattr(multitask, "STEPS", 10)
    run = multitask.trial(IMAGES, way, share, **{"lr": 1e-3, "seed": 1, **settings})
    return [event for event in run if event.stage != "cost"]


@pytest.mark.parametrize("way", WAYS)
def test_a_trial_is_reproducible_and_evaluates_both_tasks_at_its_end(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, again = short_run(monkeypatch, way, test=True), short_run(monkeypatch, way, test=True)
    assert once == again
    valid = [event for event in once if event.stage == "valid"]
    has_other = ["valid/other" in event.values for event in valid]
    assert has_other == [False] * (len(valid) - 1) + [True]
    assert once[-1].stage == "test"
    assert set(once[-1].values) == {"test/accuracy", "test/other"}


@pytest.mark.parametrize(("way", "share"), [(FIXED_WEIGHTS, 1.0), (ALTERNATING, 1.0)])
def test_with_a_share_of_1_the_target_is_trained_as_it_is_alone(
    way: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def target_accuracies(run: Iterable[Event]) -> list[float]:
        return [event.values["valid/accuracy"] for event in run if event.stage == "valid"]

    monkeypatch.setattr(multitask, "SIZE", ROWS_PER_TASK if way == FIXED_WEIGHTS else SIZE)
    # The cost is cached: measured here, it would be that of eight rows in the other tests.
    monkeypatch.setattr(multitask, "step_cost", lambda *_: Event(10, "cost", {}))
    monkeypatch.setattr(multitask, "STEPS", 10)
    alone = target_accuracies(multitask.single_task(IMAGES, FULL, 1e-3, seed=1))
    together, with_more_rows = (
        target_accuracies(short_run(monkeypatch, way, share, examples=examples))
        for examples in (EXAMPLES, 200)
    )
    assert together == pytest.approx(alone)
    assert with_more_rows != pytest.approx(alone)


def test_with_a_share_of_0_only_the_other_task_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multitask, "STEPS", 40)
    run = multitask.trial(IMAGES, FIXED_WEIGHTS, 0.0, 3e-3, test=True)
    evaluations = [event for event in run if event.stage in ("valid", "test")]
    for event in evaluations[-2:]:
        assert event.values[f"{event.stage}/other"] > 0.65
        assert event.values[f"{event.stage}/accuracy"] < 0.4


def test_with_a_frozen_body_the_learning_rate_is_the_head_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(multitask, "STEPS", 10)
    without_lr, with_lr = (
        {
            event.values["valid/loss"]
            for event in multitask.single_task(IMAGES, FROZEN, lr)
            if event.stage == "valid"
        }
        for lr in (0.0, 0.1)
    )
    assert len(without_lr) == 1 < len(with_lr)


def test_the_cost_counts_a_second_head_and_two_passes() -> None:
    full, frozen, fixed, pcgrad = (
        multitask.step_cost(IMAGES, method).values
        for method in (FULL, FROZEN, FIXED_WEIGHTS, "PCGrad")
    )
    head = multitask.load_pair(IMAGES)[0].heads["digits-parity"]
    second_head = sum(weight.numel() for weight in head.parameters())
    assert fixed["cost/trainable"] == full["cost/trainable"] + second_head
    assert fixed["cost/flops"] == pytest.approx(full["cost/flops"], rel=0.02), (
        "eight rows and eight are sixteen"
    )
    assert pcgrad["cost/flops"] == fixed["cost/flops"]
    assert frozen["cost/trainable"] < 2000


def test_a_probe_changes_nothing_and_keeps_earlier_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    probed, plain = short_run(monkeypatch, probe=True), short_run(monkeypatch)
    assert [event for event in probed if event.stage != "probe"] == plain
    probes = [event.values for event in probed if event.stage == "probe"]
    first, last = probes[0], probes[-1]
    assert last.items() >= first.items()
    assert len(last) == len(probes) * len(first)
    assert all(-1 <= cosine <= 1 for cosine in last.values())
    with_itself = [cosine for name, cosine in last.items() if name.startswith(f"probe/{ITSELF}")]
    assert min(with_itself) < 0.9, "two batches, not one twice"
    parts = [name.split("/") for name in last]
    assert {side for _, side, _, _ in parts} == {"pair", ITSELF}
    blocks = {block for _, _, block, _ in parts}
    assert blocks == {"embeddings", "block 1", "block 2", "block 3", "last norm"}


def test_the_control_of_a_task_with_one_row_agrees_with_itself() -> None:
    base, target, other = multitask.load_pair(IMAGES)
    one_row = target.take(1, 0)
    gradients = GradientConflicts(one_row, one_row, other.take(64, 0), 8, seed=0)
    cosines = gradients.cosines(Adapted(base.fresh_heads(0)), by_block=False)
    assert cosines[ITSELF] == {"body": pytest.approx(1.0, abs=1e-4)}
    assert abs(cosines["pair"]["body"]) < 0.99
    assert opposed_share([0.1, -0.1, -0.2, 0.4]) == 0.5


def test_the_control_has_many_rows_of_the_same_task(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(multitask, "GradientConflicts", lambda *args: calls.append(args))
    multitask.gradient_conflicts(IMAGES, EXAMPLES, 3)
    ((target, more, other, size, seed),) = calls
    assert (target.name, more.name, other.name) == ("digits", "digits", "digits-parity")
    assert (size, seed) == (ROWS_PER_TASK, 3)
    assert len(target.train) == EXAMPLES
    assert len(more.train) == len(multitask.load_pair(IMAGES)[1].train)


def test_a_lora_alone_is_scaled_in_the_body_and_kept_in_the_head() -> None:
    delta = Delta({"body.w": torch.ones(2), "heads.a.weight": torch.ones(2)})
    half = task_deltas.scale_body(delta, 0.5)
    assert half["body.w"].tolist() == [0.5, 0.5]
    assert half["heads.a.weight"].tolist() == [1.0, 1.0]


def test_a_lora_of_one_task_changes_the_body_and_its_own_head_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_deltas, "STEPS", 3)
    target, _ = multitask.draw_tasks(IMAGES, EXAMPLES, 0)
    net = multitask.load_pair(IMAGES)[0].fresh_heads(0)
    delta = task_deltas.learn_delta(net, target, 1e-2, 0)
    assert {name.split(".")[1] for name in delta if name.startswith("heads.")} == {"digits"}
    of_body = [value for name, value in delta.items() if name.startswith("body.")]
    assert all(torch.linalg.matrix_rank(value) <= task_deltas.RANK for value in of_body)


def test_mixing_evaluates_both_tasks_before_and_after_the_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_deltas, "STEPS", 20)
    valid, test = list(task_deltas.mixing(IMAGES, 1e-2, test=True))
    assert valid.values["valid/factor"] in task_deltas.FACTORS
    assert set(test.values) == {"test/accuracy", "test/other", "test/mixed", "test/mixed other"}
    assert test.values["test/other"] > 0.6
    assert test.values["test/mixed"] != test.values["test/accuracy"]


def test_a_probed_run_says_how_often_gradients_were_opposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_deltas, "STEPS", 20)
    (event,) = task_deltas.conflict(IMAGES, 1e-3)
    assert event.stage == "pull"
    assert set(event.values) == {"pull/pair", f"pull/{ITSELF}"}
    assert all(value * 5 == pytest.approx(round(value * 5)) for value in event.values.values()), (
        "five probes in twenty steps"
    )


def test_the_picture_shows_the_cosines_in_the_order_of_the_steps() -> None:
    signs = {"pair": -1, ITSELF: 1}
    values = {
        f"probe/{side}/{block}/{step}": 0.1 * step * sign
        for side, sign in signs.items()
        for block in "ab"
        for step in (3, 10)
    }
    spec = conflicts(values)
    go.Figure(spec)
    pair, control = spec["data"]
    assert pair["x"] == ["3", "10"]
    assert pair["z"][0] == pytest.approx([-0.3, -1.0])
    assert control["z"][1] == pytest.approx([0.3, 1.0])
    assert pair["text"][0] == ["-0.30", "-1.00"]
    assert go.Figure(conflicts({})).data[0].z == ()


def test_the_front_is_a_line_of_weights_and_a_point_a_method_with_names_escaped() -> None:
    spans = [(0.4, 0.3, 0.5), (0.6, 0.5, 0.8)]
    methods = {"<b>PCGrad": (spans[:1], spans[1:])}
    spec = front([0.0, 1.0], spans, spans[::-1], methods, ("docs", "<i>area"))
    go.Figure(spec)
    line, point = spec["data"]
    assert (line["x"], line["y"], line["text"]) == ([0.4, 0.6], [0.6, 0.4], ["0", "1"])
    assert line["error_x"]["array"] == pytest.approx([0.1, 0.2])
    assert line["error_x"]["arrayminus"] == pytest.approx([0.1, 0.1])
    assert (point["x"], point["y"], point["name"]) == ([0.4], [0.6], "&lt;b&gt;PCGrad")
    assert spec["layout"]["yaxis"]["title"]["text"].startswith("&lt;i&gt;area")


def test_a_front_opens_where_no_task_is_left_out() -> None:
    target = [(0.05, 0.0, 0.1), (0.5, 0.4, 0.6), (0.7, 0.7, 0.7)]
    other = [(0.9, 0.9, 0.9), (0.6, 0.5, 0.7), (0.0, 0.0, 0.0)]
    methods = {"PCGrad": ([(0.65, 0.6, 0.68)], [(0.5, 0.5, 0.5)])}
    spec = front([0.0, 0.5, 1.0], target, other, methods, ("docs", "area"))
    left, right = spec["layout"]["xaxis"]["range"]
    bottom, top = spec["layout"]["yaxis"]["range"]
    assert 0.1 < left < 0.4
    assert 0.68 < right < 0.75
    assert 0.4 < bottom < 0.5
    assert 0.7 < top < 0.8


@pytest.fixture(scope="module")
def recorded() -> tuple[pd.DataFrame, dict[str, Any]]:
    return read_table(kit_path("data", "results", "07_multitask.parquet"))


def test_the_recorded_table_is_that_of_the_design(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    table, about = recorded
    assert about["command"] == "make results LESSON=07"
    assert set(table["part"]) == {BALANCE, TRANSFER, DELTAS, CONFLICT}
    on_test = table[table["quantity"].str.startswith("test/")]
    cells = on_test.groupby(["part", "method", "pair", "way", "share", "quantity"])
    assert set(cells["lr"].nunique()) == {1}
    assert set(cells.size()) == {len(about["seeds"])}


def test_a_run_repeats_the_recorded_one(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    table, _ = recorded
    runs = where(table, part=TRANSFER, pair=IMAGES, way=FIXED_WEIGHTS, seed=0)
    on_valid = where(runs, quantity="valid/accuracy")
    lr = float(on_valid["lr"].iloc[0])
    then = where(on_valid, lr=lr)["value"].tolist()
    run = multitask.trial(IMAGES, FIXED_WEIGHTS, 0.5, lr)
    now = [event.values["valid/accuracy"] for event in run if event.stage == "valid"]
    assert now == pytest.approx(then, abs=0.03), (
        "other processors round differently; a change of the code makes a larger difference"
    )
