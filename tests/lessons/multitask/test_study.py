"""The study of lesson 07: its pairs and trials, its design with fake trials, its pictures, and its recorded table."""

from collections.abc import Iterator
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
    """The target is best at 3e-4, the other at 3e-3. The more a task weighs the better; all ways alike; turns by size five points worse."""
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
    """Best at 1e-3, a frozen body at 3e-2; as good as beside a task that neither helps nor hurts."""
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
    """Best at 1e-2; the sum of both keeps what each had."""
    accuracy = 0.6 - off(lr, 1e-2) + 0.001 * seed
    yield Event(STEPS, "valid", {"valid/accuracy": accuracy, "valid/factor": 0.8})
    if test:
        yield Event(
            STEPS,
            "test",
            {f"test/{name}": accuracy for name in ("accuracy", "other", "mixed", "mixed other")},
        )


def fake_conflict(pair: str, lr: float, examples: int = EXAMPLES, seed: int = 0) -> Iterator[Event]:
    """Where tasks hurt each other, gradients oppose each other thirty in a hundred times more often."""
    assert lr == 3e-4, "the rate that was chosen for the target"
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
    """The study's table, as it would be if the runs were those."""
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
    read = table[(table["part"] == BALANCE) & (table["quantity"] == "test/accuracy")]
    cells = read.groupby(["pair", "way", "share"]).size()
    assert set(cells) == {len(SEEDS)}
    assert set(cells.index) == {
        (pair, FIXED_WEIGHTS, share) for pair in JUDGED_PAIRS for share in SHARES
    } | {(pair, way, 0.5) for pair in JUDGED_PAIRS for way in LEARNED}


def test_test_is_read_for_one_rate_of_each_cell_and_a_run_stands_once(table: pd.DataFrame) -> None:
    assert not table.drop(columns="value").duplicated().any()
    read = table[table["quantity"].str.startswith("test/")]
    assert set(read.groupby(["part", "method", "pair", "way", "share"])["lr"].nunique()) == {1}
    assert set(read.groupby(["part", "method", "pair", "way", "share", "quantity"]).size()) == {
        len(SEEDS)
    }


def test_a_rate_is_chosen_for_both_tasks_on_the_front_and_for_the_target_beside_it(
    table: pd.DataFrame,
) -> None:
    def rate(part: str, share: float) -> float:
        return study.chosen(where(table, part=part, pair=HURTS, way=FIXED_WEIGHTS, share=share))

    assert rate(BALANCE, 1.0) == rate(TRANSFER, 0.5) == 3e-4, "only the target counts"
    assert rate(BALANCE, 0.0) == 3e-3, "only the other trains"
    both = {lr: 2 * off(lr, 3e-4) + off(lr, 3e-3) for lr in LRS}
    assert rate(BALANCE, 0.5) == min(both, key=lambda lr: both[lr])


def test_the_front_s_rows_name_the_target_s_accuracy_as_every_other_row(
    table: pd.DataFrame,
) -> None:
    settings = {"pair": HELPS, "way": FIXED_WEIGHTS, "share": 0.5, "lr": 1e-3, "seed": 0}
    parts = [
        where(table, part=part, step=STEPS, **settings).set_index("quantity")["value"]
        for part in (BALANCE, TRANSFER)
    ]
    assert (
        parts[0]["valid/accuracy"]
        == parts[1]["valid/accuracy"]
        == pytest.approx(0.7 - 2 * off(1e-3, 3e-4))
    )
    assert parts[0]["valid/both"] == pytest.approx(
        (parts[0]["valid/accuracy"] + parts[0]["valid/other"]) / 2
    )


def test_in_proportion_to_size_the_target_hardly_comes() -> None:
    assert by_size(HELPS) == pytest.approx(
        EXAMPLES / (EXAMPLES + multitask.OTHER_EXAMPLES), abs=1e-4
    )


def test_the_controls_of_a_target_stand_under_all_its_pairs(table: pd.DataFrame) -> None:
    read = table[(table["quantity"] == "test/accuracy") & table["method"].isin([FULL, FROZEN])]
    assert set(read.groupby("pair").size()) == {2 * len(SEEDS)} and set(read["pair"]) == {
        HELPS,
        HURTS,
        IMAGES,
    }
    own = [where(read, pair=pair, method=FULL)["value"].tolist() for pair in (HELPS, HURTS)]
    assert own[0] == own[1]


def test_a_panel_can_stand_on_the_table(table: pd.DataFrame) -> None:
    recorded = Recorded(
        for_the_panel(table), method=MULTITASK, over="share", scope=("pair", "examples")
    )
    settings = {"pair": HELPS, "way": FIXED_WEIGHTS, "share": 0.5, "lr": 1e-3, "examples": EXAMPLES}
    curve = recorded.curve(settings)
    assert (
        curve is not None and curve["step"] == [5, STEPS] and curve["runs"][-1] == len(SEEDS) // 2
    )
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
    assert (
        target.train.select_columns([target.kind])[:50]
        == other.train.select_columns([other.kind])[:50]
    )
    assert len(target.train) == len(other.train) and set(base.heads) == {target.name, other.name}
    few, many = multitask.draw_tasks(pair, EXAMPLES, seed=1)
    assert len(few.train) == EXAMPLES and len(many.train) == min(
        multitask.OTHER_EXAMPLES, len(other.train)
    )
    assert 0 < multitask.majority_baseline(pair) < 0.5


def test_an_unknown_pair_or_way_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pair must be one of library \+ area, .*, got 'docs'"):
        multitask.load_pair("docs")
    with pytest.raises(ValueError, match="way must be one of fixed weights, .*, got 'luck'"):
        multitask.objective("luck", 0.5, multitask.draw_tasks(IMAGES, EXAMPLES, 0))


@pytest.mark.parametrize("way", WAYS)
def test_a_step_reads_sixteen_rows_however_they_are_divided(way: str) -> None:
    data, size = multitask.training_data(way, 0.5, multitask.draw_tasks(IMAGES, EXAMPLES, 0))
    assert {
        len(batch) for batch in islice(data.batches(size, torch.Generator().manual_seed(0)), 6)
    } == {SIZE}


def test_fixed_weights_sum_to_two_and_follow_the_share() -> None:
    tasks = multitask.draw_tasks(IMAGES, EXAMPLES, 0)
    assert dict(multitask.objective(FIXED_WEIGHTS, 0.25, tasks).weights) == {
        "digits": 0.5,
        "digits-parity": 1.5,
    }
    assert multitask.objective("uncertainty", 0.5, tasks) is not multitask.objective(
        "uncertainty", 0.5, tasks
    ), "a new one for each run"


def short_run(
    monkeypatch: pytest.MonkeyPatch, way: str = FIXED_WEIGHTS, share: float = 0.5, **settings: Any
) -> list[Event]:
    monkeypatch.setattr(multitask, "STEPS", 10)
    given = {"lr": 1e-3, "seed": 1, **settings}
    return [
        event for event in multitask.trial(IMAGES, way, share, **given) if event.stage != "cost"
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_trial_is_its_settings_and_reads_both_tasks_at_its_end(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, again = short_run(monkeypatch, way, test=True), short_run(monkeypatch, way, test=True)
    assert once == again
    valid = [event for event in once if event.stage == "valid"]
    assert "valid/other" in valid[-1].values and all(
        "valid/other" not in event.values for event in valid[:-1]
    )
    assert set(once[-1].values) == {"test/accuracy", "test/other"} and once[-1].stage == "test"


@pytest.mark.parametrize(("way", "share"), [(FIXED_WEIGHTS, 1.0), (ALTERNATING, 1.0)])
def test_with_all_of_the_share_the_target_trains_as_it_does_alone(
    way: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def target_s(examples: int) -> list[float]:
        return [
            event.values["valid/accuracy"]
            for event in short_run(monkeypatch, way, share, examples=examples)
            if event.stage == "valid"
        ]

    monkeypatch.setattr(multitask, "SIZE", ROWS_PER_TASK if way == FIXED_WEIGHTS else SIZE)
    monkeypatch.setattr(
        multitask, "step_cost", lambda *_: Event(10, "cost", {})
    )  # it is kept, and would be one of eight rows
    monkeypatch.setattr(multitask, "STEPS", 10)
    alone = [
        event.values["valid/accuracy"]
        for event in multitask.single_task(IMAGES, FULL, 1e-3, seed=1)
        if event.stage == "valid"
    ]
    assert target_s(EXAMPLES) == pytest.approx(alone)
    assert target_s(200) != pytest.approx(alone)


def test_with_none_of_the_share_the_other_alone_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multitask, "STEPS", 40)
    last = [
        event
        for event in multitask.trial(IMAGES, FIXED_WEIGHTS, 0.0, 3e-3, test=True)
        if event.stage in ("valid", "test")
    ][-2:]
    for event in last:
        assert (
            event.values[f"{event.stage}/other"]
            > 0.65
            > 0.4
            > event.values[f"{event.stage}/accuracy"]
        )


def test_with_a_frozen_body_the_rate_is_the_head_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multitask, "STEPS", 10)
    still, moved = (
        {
            event.values["valid/loss"]
            for event in multitask.single_task(IMAGES, FROZEN, lr)
            if event.stage == "valid"
        }
        for lr in (0.0, 0.1)
    )
    assert len(still) == 1 < len(moved)


def test_the_bill_counts_a_second_head_and_two_passes() -> None:
    bills = {
        of: multitask.step_cost(IMAGES, of).values for of in (FULL, FROZEN, FIXED_WEIGHTS, "PCGrad")
    }
    second_head = sum(
        weight.numel()
        for weight in multitask.load_pair(IMAGES)[0].heads["digits-parity"].parameters()
    )
    assert bills[FIXED_WEIGHTS]["cost/trainable"] == bills[FULL]["cost/trainable"] + second_head
    assert bills[FIXED_WEIGHTS]["cost/flops"] == pytest.approx(
        bills[FULL]["cost/flops"], rel=0.02
    ), "eight rows and eight are sixteen"
    assert (
        bills["PCGrad"]["cost/flops"] == bills[FIXED_WEIGHTS]["cost/flops"]
        and bills[FROZEN]["cost/trainable"] < 2000
    )


def test_looking_changes_nothing_and_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, plain = short_run(monkeypatch, probe=True), short_run(monkeypatch)
    assert [event for event in seen if event.stage != "probe"] == plain
    probes = [event.values for event in seen if event.stage == "probe"]
    first, last = probes[0], probes[-1]
    assert last.items() >= first.items() and len(last) == len(probes) * len(first)
    assert {name.split("/")[1] for name in last} == {"pair", ITSELF} and all(
        -1 <= value <= 1 for value in last.values()
    )
    assert min(value for name, value in last.items() if name.startswith(f"probe/{ITSELF}")) < 0.9, (
        "two batches, not one twice"
    )
    assert {name.split("/")[2] for name in last} == {
        "embeddings",
        "block 1",
        "block 2",
        "block 3",
        "last norm",
    }


def test_the_control_of_a_task_with_one_row_agrees_with_itself() -> None:
    _, target, other = multitask.load_pair(IMAGES)
    pulls = GradientConflicts(target.take(1, 0), target.take(1, 0), other.take(64, 0), 8, seed=0)
    found = pulls.cosines(Adapted(multitask.load_pair(IMAGES)[0].fresh_heads(0)), by_block=False)
    assert (
        found[ITSELF] == {"body": pytest.approx(1.0, abs=1e-4)}
        and abs(found["pair"]["body"]) < 0.99
    )
    assert opposed_share([0.1, -0.1, -0.2, 0.4]) == 0.5


def test_the_control_has_many_rows_of_the_same_task(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(multitask, "GradientConflicts", lambda *given: made.append(given))
    multitask.gradient_conflicts(IMAGES, EXAMPLES, 3)
    ((target, more, other, size, seed),) = made
    assert (target.name, more.name, other.name) == ("digits", "digits", "digits-parity") and (
        size,
        seed,
    ) == (ROWS_PER_TASK, 3)
    assert len(target.train) == EXAMPLES and len(more.train) == len(
        multitask.load_pair(IMAGES)[1].train
    )


def test_a_lora_alone_is_scaled_in_the_body_and_kept_in_the_head() -> None:
    half = task_deltas.scale_body(
        Delta({"body.w": torch.ones(2), "heads.a.weight": torch.ones(2)}), 0.5
    )
    assert half["body.w"].tolist() == [0.5, 0.5] and half["heads.a.weight"].tolist() == [1.0, 1.0]


def test_a_lora_of_one_task_moves_the_body_and_no_head_but_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_deltas, "STEPS", 3)
    target, _ = multitask.draw_tasks(IMAGES, EXAMPLES, 0)
    delta = task_deltas.learn_delta(multitask.load_pair(IMAGES)[0].fresh_heads(0), target, 1e-2, 0)
    assert {name.split(".")[1] for name in delta if name.startswith("heads.")} == {"digits"}
    assert all(
        torch.linalg.matrix_rank(v) <= task_deltas.RANK
        for name, v in delta.items()
        if name.startswith("body.")
    )


def test_mixing_reads_both_tasks_before_and_after_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_deltas, "STEPS", 20)
    valid, test = list(task_deltas.mixing(IMAGES, 1e-2, test=True))
    assert valid.values["valid/factor"] in task_deltas.FACTORS
    assert set(test.values) == {"test/accuracy", "test/other", "test/mixed", "test/mixed other"}
    assert (
        test.values["test/other"] > 0.6
        and test.values["test/mixed"] != test.values["test/accuracy"]
    )


def test_a_run_that_is_looked_at_says_how_often_gradients_opposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_deltas, "STEPS", 20)
    (event,) = task_deltas.conflict(IMAGES, 1e-3)
    assert event.stage == "pull" and set(event.values) == {"pull/pair", f"pull/{ITSELF}"}
    assert all(value * 5 == pytest.approx(round(value * 5)) for value in event.values.values()), (
        "five looks in twenty steps"
    )


def test_the_picture_says_what_was_seen_in_the_order_of_the_steps() -> None:
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
    assert (
        pair["x"] == ["3", "10"]
        and pair["z"][0] == pytest.approx([-0.3, -1.0])
        and control["z"][1] == pytest.approx([0.3, 1.0])
    )
    assert pair["text"][0] == ["-0.30", "-1.00"]
    assert go.Figure(conflicts({})).data[0].z == ()


def test_the_front_is_a_line_of_weights_and_a_point_a_method_with_names_escaped() -> None:
    spans = [(0.4, 0.3, 0.5), (0.6, 0.5, 0.8)]
    spec = front(
        [0.0, 1.0], spans, spans[::-1], {"<b>PCGrad": (spans[:1], spans[1:])}, ("docs", "<i>area")
    )
    go.Figure(spec)
    line, point = spec["data"]
    assert line["x"] == [0.4, 0.6] and line["y"] == [0.6, 0.4] and line["text"] == ["0", "1"]
    assert line["error_x"]["array"] == pytest.approx([0.1, 0.2]) and line["error_x"][
        "arrayminus"
    ] == pytest.approx([0.1, 0.1])
    assert (point["x"], point["y"], point["name"]) == ([0.4], [0.6], "&lt;b&gt;PCGrad")
    assert spec["layout"]["yaxis"]["title"]["text"].startswith("&lt;i&gt;area")


def test_a_front_opens_where_no_task_is_left_out() -> None:
    target, other = (
        [(0.05, 0.0, 0.1), (0.5, 0.4, 0.6), (0.7, 0.7, 0.7)],
        [(0.9, 0.9, 0.9), (0.6, 0.5, 0.7), (0.0, 0.0, 0.0)],
    )
    seen = front(
        [0.0, 0.5, 1.0],
        target,
        other,
        {"PCGrad": ([(0.65, 0.6, 0.68)], [(0.5, 0.5, 0.5)])},
        ("docs", "area"),
    )["layout"]
    (left, right), (bottom, top) = seen["xaxis"]["range"], seen["yaxis"]["range"]
    assert 0.1 < left < 0.4 and 0.68 < right < 0.75 and 0.4 < bottom < 0.5 and 0.7 < top < 0.8


@pytest.fixture(scope="module")
def recorded() -> tuple[pd.DataFrame, dict[str, Any]]:
    return read_table(kit_path("data", "results", "07_multitask.parquet"))


def test_the_recorded_table_is_that_of_the_design(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    found, about = recorded
    assert about["command"] == "make results LESSON=07" and set(found["part"]) == {
        BALANCE,
        TRANSFER,
        DELTAS,
        CONFLICT,
    }
    read = found[found["quantity"].str.startswith("test/")]
    groups = read.groupby(["part", "method", "pair", "way", "share", "quantity"])
    assert set(groups["lr"].nunique()) == {1} and set(groups.size()) == {len(about["seeds"])}


def test_what_was_recorded_is_what_a_run_gives(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    own = where(
        recorded[0],
        part=TRANSFER,
        pair=IMAGES,
        way=FIXED_WEIGHTS,
        quantity="valid/accuracy",
        seed=0,
    )
    lr = float(own["lr"].iloc[0])
    then = where(own, lr=lr)["value"].tolist()
    now = [
        e.values["valid/accuracy"]
        for e in multitask.trial(IMAGES, FIXED_WEIGHTS, 0.5, lr)
        if e.stage == "valid"
    ]
    assert now == pytest.approx(then, abs=0.03), (
        "other processors round otherwise; a change of the code moves more"
    )
