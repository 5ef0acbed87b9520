"""Sweeps and their tables, with fake trials."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import last, replay, summary, tuned, where
from ftkit.panel.recorded_runs import Recorded
from ftkit.stats.paired import interval
from ftkit.storage import read_table, whole_file, write_json, write_table
from ftkit.teaching.recorded_evidence import items_by_seed, values_by_seed
from ftkit.training.events import Diverged, Event, packed, unpacked


def trial(rank: int, lr: float, seed: int = 0, bench: str = "here") -> Iterator[Event]:
    """The best lr is 0.1; accuracy grows with the rank, and differs a little between seeds."""
    for step in (1, 2):
        yield Event(step, "train", {"train/loss": 1.0})
        if lr > 1:
            raise Diverged("the loss is nan")
        accuracy = 0.1 * step + 0.01 * rank - abs(lr - 0.1) + 0.001 * seed
        yield Event(step, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    yield Event(2, "cost", {"cost/trainable": 10.0 * rank, "cost/flops": 7.0})


JOBS = grid(rank=[1, 4], lr=[0.01, 0.1, 0.3], seed=[0, 1, 2])


def test_a_replayed_run_yields_the_events_of_the_recorded_run() -> None:
    table = sweep(trial, JOBS)
    events = [event for event in trial(rank=4, lr=0.1, seed=2) if event.stage in ("valid", "cost")]
    assert list(replay(table)(rank=4, lr=0.1, seed=2)) == events


def test_a_run_that_was_not_recorded_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one that was recorded"):
        list(replay(sweep(trial, JOBS))(rank=5, lr=0.1, seed=2))


def test_an_executor_gives_the_same_table() -> None:
    with ThreadPoolExecutor(3) as pool:
        pd.testing.assert_frame_equal(sweep(trial, JOBS, pool), sweep(trial, JOBS))


def test_a_diverged_run_is_a_row() -> None:
    table = sweep(trial, grid(rank=[1], lr=[10.0], seed=[0]))
    assert table["quantity"].tolist() == ["diverged"] and table["step"].tolist() == [1]


def test_the_last_value_of_each_run() -> None:
    table = last(sweep(trial, JOBS))
    assert len(table) == len(JOBS) and set(table["step"]) == {2}


def test_tuning_takes_the_best_mean_on_valid() -> None:
    assert tuned(sweep(trial, JOBS), ["rank"]) == {(1,): 0.1, (4,): 0.1}


def test_seeds_that_ran_only_at_the_chosen_value_do_not_change_the_choice() -> None:
    table = sweep(trial, JOBS)
    unlucky = where(table, rank=4, lr=0.1, seed=2).assign(seed=3)
    unlucky.loc[unlucky["quantity"] == "valid/accuracy", "value"] = -0.5
    both = pd.concat([table, unlucky], ignore_index=True)
    means = where(summary(last(both), ["rank", "lr"]), rank=4).set_index("lr")["mean"]
    assert means[0.1] < means[0.01], "with the means of all seeds the choice would be another"
    assert tuned(both, ["rank"]) == {(1,): 0.1, (4,): 0.1}


def test_summary_is_the_interval_over_seeds() -> None:
    table = where(sweep(trial, JOBS), rank=4, lr=0.1)
    row = summary(last(table), ["rank"]).iloc[0]
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(interval([0.24, 0.241, 0.242]))


def test_a_table_is_stored_with_how_it_was_made(tmp_path: Path) -> None:
    table = sweep(trial, JOBS)
    write_table(tmp_path / "t.parquet", table, {"command": "make it"})
    again, about = read_table(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(again, table)
    assert about == {"command": "make it"}
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_a_file_that_was_not_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    write_json(path, {"old": 1})
    before = path.read_bytes()

    def interrupted() -> None:
        with whole_file(path) as new:
            new.write_text("half of a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(TypeError):
        write_json(path, object())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.json"]


@pytest.fixture
def recorded() -> Recorded:
    lora = sweep(trial, [{**job, "bench": "here"} for job in JOBS]).assign(method="LoRA")
    jobs = grid(rank=[100], lr=[0.01, 0.1], seed=[0, 1, 2], bench=["here"])
    full = sweep(trial, jobs).assign(method="full fine-tuning", rank=0)
    table = pd.concat([lora, full], ignore_index=True)
    return Recorded(table, "LoRA", "rank", baselines={"here": 0.7})


def test_the_majority_class_baseline_belongs_to_the_scope(recorded: Recorded) -> None:
    assert recorded.baseline({"bench": "here", "rank": 9}) == 0.7
    assert recorded.baseline({"bench": "elsewhere"}) is None


def test_a_recorded_curve_is_the_interval_at_each_validation(recorded: Recorded) -> None:
    curve = recorded.curve({"bench": "here", "rank": 4, "lr": 0.1})
    assert curve is not None and curve["step"] == [1, 2] and curve["runs"] == [3, 3]
    assert (curve["mean"][1], curve["low"][1], curve["high"][1]) == pytest.approx(
        interval([0.24, 0.241, 0.242])
    )
    assert recorded.curve({"bench": "here", "rank": 5, "lr": 0.1}) is None


def test_the_points_are_this_methods_ranks_and_the_tuned_references(recorded: Recorded) -> None:
    points = recorded.points({"bench": "here", "rank": 1, "lr": 0.01})
    assert [(point["name"], point["label"], point["trainable"]) for point in points] == [
        ("LoRA", "1", 10.0),
        ("LoRA", "4", 40.0),
        ("full fine-tuning", "", 1000.0),
    ]
    assert points[2]["lr"] == 0.1 and points[2]["mean"] == pytest.approx(1.201)
    assert recorded.points({"bench": "elsewhere", "rank": 1, "lr": 0.01}) == []


def exam(seed: int) -> Iterator[Event]:
    """Three of ten items are right, different ones for each seed."""
    right = [(i + seed) % 10 < 3 for i in range(10)]
    yield Event(1, "valid", {"valid/accuracy": 0.5})
    yield Event(
        1, "test", {"test/accuracy": 0.3, "test/other": 0.1}, {"test/accuracy": packed(right)}
    )


def test_which_items_were_right_comes_back_from_a_file(tmp_path: Path) -> None:
    write_table(tmp_path / "x.parquet", sweep(exam, grid(seed=[0, 1, 2])), {})
    table, _ = read_table(tmp_path / "x.parquet")
    right = items_by_seed(table)
    assert right.shape == (3, 10)
    assert right[1].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert right.mean(1).tolist() == values_by_seed(table).tolist()
    with pytest.raises(
        ValueError,
        match="the recorded runs must say which items were right for test/other, got none",
    ):
        items_by_seed(table, "test/other")
    with pytest.raises(
        ValueError,
        match="the recorded runs must say which items were right for test/accuracy, got none",
    ):
        items_by_seed(table.drop(columns="items"))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1319])
def test_packed_items_are_all_there(count: int) -> None:
    right = np.random.default_rng(0).integers(0, 2, count)
    assert unpacked(packed(right)).tolist() == right.tolist()
    assert len(packed(right)) <= count / 4 + 7
