"""The search for learning rates, and how a study is run and written."""

import math
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.kept_trials import LOG, begun, counted

import ftkit
from ftkit.experiments.benchmark import FROZEN, load_benchmark, reference
from ftkit.experiments.code_version import trial_name, version
from ftkit.experiments.rate_search import WIDER, next_rate, tune_and_test, wider_jobs
from ftkit.experiments.recording import content, make
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import last, where
from ftkit.lessons import __main__ as studies
from ftkit.storage import read_table
from ftkit.training.events import Event, unpacked

SEEDS = (0, 1, 2, 3)


def trial(method: str, lr: float, seed: int, test: bool = False) -> Iterator[Event]:
    """The best lr is 0.1 for "high", 0.001 for "low", and far outside every grid for "endless"."""
    peak = {"high": -1.0, "low": -3.0, "endless": 9.0}[method]
    accuracy = 0.9 - 0.01 * abs(math.log10(lr) - peak) + 0.0001 * seed
    yield Event(1, "valid", {"valid/accuracy": accuracy})
    if test:
        yield Event(1, "test", {"test/accuracy": 0.5})


def jobs(*methods: str, lrs: tuple[float, ...] = (0.003, 0.01)) -> list[dict[str, object]]:
    return grid(method=methods, lr=lrs, seed=SEEDS[:2])


def test_the_grid_grows_until_the_best_learning_rate_is_inside() -> None:
    table = tune_and_test(trial, jobs("high", "low"), ["method"], SEEDS, None)
    assert sorted(where(table, method="high")["lr"].unique()) == [0.003, 0.01, 0.03, 0.1, 0.3]
    assert sorted(where(table, method="low")["lr"].unique()) == [0.0003, 0.001, 0.003, 0.01]


def test_only_the_best_learning_rate_is_evaluated_on_test_with_all_seeds() -> None:
    table = tune_and_test(trial, jobs("high", "low"), ["method"], SEEDS, None)
    on_test = table[table["quantity"] == "test/accuracy"]
    best = {(row["method"], row["lr"]) for _, row in on_test.iterrows()}
    assert best == {("high", 0.1), ("low", 0.001)}
    assert sorted(where(on_test, method="high")["seed"]) == list(SEEDS)


def test_no_value_is_kept_twice() -> None:
    table = tune_and_test(trial, jobs("high"), ["method"], SEEDS, None)
    assert len(last(table)) == len(last(table).drop_duplicates(["lr", "seed"])) == 5 * 2 + 2


def test_the_grid_is_widened_only_a_few_times() -> None:
    table = tune_and_test(trial, jobs("endless"), ["method"], SEEDS, None)
    assert table["lr"].nunique() == 2 + WIDER


def test_a_single_learning_rate_is_kept() -> None:
    tuning = tune_and_test(trial, jobs("high", lrs=(0.01,)), ["method"], SEEDS, None)
    assert set(tuning["lr"]) == {0.01}


def test_no_job_is_added_where_the_best_learning_rate_is_inside() -> None:
    inside = jobs("low", lrs=(0.0003, 0.001, 0.003))
    tuning = tune_and_test(trial, inside, ["method"], SEEDS, None)
    assert wider_jobs(tuning, inside, ["method"]) == []


@pytest.mark.parametrize("lr", [1e-4, 3e-4, 1e-3, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
def test_one_up_and_one_down_is_the_same_learning_rate(lr: float) -> None:
    assert next_rate(next_rate(lr, up=True), up=False) == lr
    assert next_rate(next_rate(lr, up=False), up=True) == lr


def three_runs(executor: Executor | None, seeds: tuple[int, ...]) -> pd.DataFrame:
    return sweep(counted, grid(rank=[1], lr=[0.1], seed=seeds), executor)


def test_a_study_is_written_and_only_missing_runs_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, path = tmp_path / "log", tmp_path / "results" / "99_none.parquet"
    monkeypatch.setenv(LOG, str(log))
    make(path, "99", three_runs, range(2))
    assert len(begun(log)) == 2
    make(path, "99", three_runs, range(3), more=lambda: {"measured": 7})
    assert len(begun(log)) == 3, "the first two runs come from the file"
    table, about = read_table(path)
    pd.testing.assert_frame_equal(table, three_runs(None, (0, 1, 2)))
    assert about["command"] == "make results LESSON=99"
    assert about["seeds"] == [0, 1, 2]
    assert about["measured"] == 7
    assert about["code"] == {trial_name(counted): version(counted)}
    assert about["ftkit"] == ftkit.__version__
    assert about["processor"]


def test_the_results_so_far_are_shown_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, waits = tmp_path / "results" / "99_none.parquet", iter([None, KeyboardInterrupt()])

    def waited(seconds: float) -> None:
        assert seconds == 5.0
        if stop := next(waits):
            raise stop
        make(path, "99", three_runs, range(3))

    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    make(path, "99", three_runs, range(2))
    capsys.readouterr()
    monkeypatch.setattr(studies, "sleep", waited)
    studies.show(path, "99", every=5.0)
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.split()[-1] == "2" and second.split()[-1] == "3", "the number of runs"


def test_the_files_that_runs_read_are_identified(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    file.write_text("one")
    before = content([file])
    assert content([file]) == before != content()
    file.write_text("two")
    assert content([file]) != before


def test_a_part_of_a_study_does_not_replace_the_recorded_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, tuple[int, ...]]] = []

    def fake_make(path: Path, number: str, record: Any, seeds: Any, **more: Any) -> None:
        made.append((path.name, tuple(seeds)))

    monkeypatch.setattr("ftkit.lessons.lesson.make", fake_make)
    studies.main(["02", "--seeds", "2"])
    studies.main(["02"])
    part, whole = "02_lora.first-2-seeds.parquet", "02_lora.parquet"
    assert made == [(part, (0, 1)), (whole, tuple(range(8)))]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["02", "--seeds", "1"], "SEEDS must be from 2 to 8, got 1"),
        (["08", "--seeds", "11"], "SEEDS must be from 2 to 10, got 11"),
        (["--seeds", "9"], "SEEDS must be from 2 to 8, got 9"),
        (["02", "--every", "5"], "--every must be above 0 and come with --standing, got 5"),
        (["99"], "LESSON must be one of 00, 01, 02, 03, 04, 05, 06, 07, 08, 09, got 99"),
    ],
)
def test_a_study_that_cannot_be_made_is_refused(
    asked: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        studies.main(asked)
    assert words in capsys.readouterr().err


def test_a_run_says_which_items_of_test_were_right() -> None:
    events = reference("digits", FROZEN, 3e-2, test=True)
    (on_test,) = [event for event in events if event.stage == "test"]
    right = unpacked(on_test.items["test/accuracy"])
    assert len(right) == len(load_benchmark("digits")[1].test)
    assert right.mean() == pytest.approx(on_test.values["test/accuracy"])
