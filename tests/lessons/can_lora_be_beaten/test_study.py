"""The study of lesson 09: budgets, design (with fake trials), in a Dask cluster, and resumed."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

from ftkit.experiments.benchmark import FROZEN, FULL, STEPS, load_benchmark, step_cost
from ftkit.experiments.recording import kept_in, made_by, make, standing
from ftkit.experiments.resumable import runs
from ftkit.experiments.tables import where
from ftkit.lessons.can_lora_be_beaten import study as board
from ftkit.lessons.can_lora_be_beaten import trial as board_run
from ftkit.lessons.can_lora_be_beaten.study import BENCHES, SEEDS
from ftkit.lessons.can_lora_be_beaten.trial import (
    BUDGETS,
    CONTROL_BUDGET,
    EXAMPLES,
    LARGER_ALPHA,
    METHODS,
    MIDDLE,
    MOST_EXAMPLES,
    OPERATIONS,
    PARAMETERS,
    RANKS,
    REFERENCES,
    WITHOUT_RANK,
    ParameterBudget,
    spaces,
)
from ftkit.lessons.the_lora_family.trial import features
from ftkit.model.adapted import Adapted
from ftkit.storage import read_table
from ftkit.training.events import Event, packed

WITH_RANK = [method for method in METHODS if method not in WITHOUT_RANK]
CELL = ["bench", "method", "rank", "examples", "budget"]
"""The settings of which each combination has its own learning rate."""
BEST = {"LoRA+": 1e-3, FULL: 1e-3, FROZEN: 3e-2, "sparse, random": 3e-2}
SMALL = partial(board.record, benches=("digits",), examples=(64,), methods=("LoRA", "BitFit"))


def fake_trial(
    bench: str,
    method: str,
    rank: int,
    examples: int,
    lr: float,
    budget: str = PARAMETERS,
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    best = BEST.get(
        method, 1e-2 if method in ("BitFit", "sparse, gradient", "whole rows") else 3e-3
    )
    accuracy = 0.6 - 0.05 * abs(math.log10(lr / best)) + 0.001 * seed
    yield Event(80, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    if test:
        yield Event(
            80,
            "test",
            {"test/accuracy": accuracy},
            {"test/accuracy": packed(np.arange(100) < 100 * accuracy)},
        )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board, "trial", fake_trial)
        return board.record(None)


@pytest.mark.parametrize("bench", BENCHES)
@pytest.mark.parametrize("rank", RANKS)
def test_no_method_has_more_parameters_than_lora_or_far_fewer(bench: str, rank: int) -> None:
    base, _ = load_benchmark(bench)
    counts = {}
    for name in WITH_RANK:
        space, _ = spaces(bench, name, rank, 64, 0)
        counts[name] = sum(weight.numel() for weight in Adapted(base, space).parameters())
    of_one_rank = features(bench).both
    assert counts["LoRA"] == ParameterBudget(bench, rank).parameters == rank * of_one_rank
    for name, count in counts.items():
        if (name, rank) != ("DoRA", 1):
            assert counts["LoRA"] - of_one_rank < count <= counts["LoRA"], name
    assert counts["sparse, random"] == counts["sparse, gradient"] == counts["LoRA"]


def test_seeds_draw_other_entries_and_rows() -> None:
    for name in ("sparse, random", "whole rows", "sparse, gradient"):
        first, same, other = (spaces("digits", name, 1, 64, seed) for seed in (0, 0, 1))
        assert first == same
        assert first != other


@pytest.mark.parametrize("method", [*METHODS, *REFERENCES])
def test_with_equal_operations_a_run_costs_as_much_as_lora_s(method: str) -> None:
    of_method, of_lora = (
        step_cost("digits", *spaces("digits", name, MIDDLE, 64, 0)).values["cost/flops"]
        for name in (method, "LoRA")
    )
    steps = board_run.steps("digits", method, MIDDLE, 64, OPERATIONS)
    assert abs(steps * of_method - STEPS * of_lora) <= of_method / 2
    assert board_run.steps("digits", method, MIDDLE, 64, PARAMETERS) == STEPS
    assert (steps > STEPS) == (of_method < of_lora) or steps == STEPS


def test_a_run_has_the_steps_of_its_budget() -> None:
    steps = board_run.steps("digits", "last block", MIDDLE, 64, OPERATIONS)
    assert steps > STEPS
    events = list(board_run.trial("digits", "last block", MIDDLE, 64, 1e-3, OPERATIONS, test=True))
    assert sum(event.stage == "train" for event in events) == steps
    assert {event.step for event in events if event.stage in ("test", "cost")} == {steps}


def test_the_control_is_lora_with_16_times_the_alpha_and_in_no_family(
    table: pd.DataFrame,
) -> None:
    (control, _), (lora, _) = (
        spaces("digits", name, MIDDLE, MOST_EXAMPLES, 0) for name in (LARGER_ALPHA, "LoRA")
    )
    assert control == replace(lora, alpha=16 * lora.alpha)
    assert board_run.steps("digits", LARGER_ALPHA, MIDDLE, MOST_EXAMPLES, CONTROL_BUDGET) == STEPS
    on_test = where(table, method=LARGER_ALPHA, quantity="test/accuracy")
    assert set(on_test["budget"]) == {CONTROL_BUDGET}
    assert len(on_test) == len(BENCHES) * len(SEEDS)
    assert LARGER_ALPHA not in METHODS
    assert LARGER_ALPHA not in set(board.for_the_panel(table)["who"])


def test_the_seconds_of_a_step_are_measured_for_every_method() -> None:
    (seconds,) = board.seconds(("digits",), rounds=3).values()
    assert set(seconds) == {*METHODS, *REFERENCES}
    assert all(0 < value < 1 for value in seconds.values())
    assert seconds[FULL] > seconds["last block"]


def test_unknown_methods_and_budgets_are_refused() -> None:
    with pytest.raises(
        ValueError, match="method must be one of LoRA, DoRA, .*, full fine-tuning, got 'prompt'"
    ):
        list(board_run.trial("digits", "prompt", 4, 64, 1e-3))
    with pytest.raises(
        ValueError, match="budget must be one of equal parameters, 80 steps; .*, got 'time'"
    ):
        list(board_run.trial("digits", "LoRA", 4, 64, 1e-3, "time"))


def test_every_cell_has_nine_seeds_at_a_learning_rate_inside_its_grid(table: pd.DataFrame) -> None:
    on_test = table[table["quantity"] == "test/accuracy"]
    every_method = (*METHODS, *REFERENCES)
    cells = [
        *product(BENCHES, every_method, [MIDDLE], EXAMPLES, [PARAMETERS]),
        *product(BENCHES, WITH_RANK, RANKS, [MOST_EXAMPLES], [PARAMETERS]),
        *product(BENCHES, every_method[1:], [MIDDLE], [MOST_EXAMPLES], [OPERATIONS]),
    ]
    for cell in cells:
        rows = where(on_test, **dict(zip(CELL, cell, strict=True)))
        assert sorted(rows["seed"]) == list(SEEDS), cell
        assert rows["lr"].nunique() == 1, cell
    on_valid = table[table["quantity"] == "valid/accuracy"]
    for key, rows in on_valid.groupby(CELL):
        (chosen,) = where(on_test, **dict(zip(CELL, key, strict=True)))["lr"].unique()
        lrs = sorted(rows["lr"].unique())
        assert len(lrs) >= 3
        assert lrs[0] < chosen < lrs[-1], key


def test_every_method_is_tuned_with_the_same_number_of_runs_at_first() -> None:
    jobs = board.jobs(range(3), tuple(BENCHES), EXAMPLES, (*METHODS, *REFERENCES))
    assert set(pd.DataFrame(jobs).groupby(CELL).size()) == {9}


def test_seven_rivals_can_be_significant_with_nine_seeds_and_not_with_eight() -> None:
    rivals = len(METHODS) - 1
    assert 2 * rivals / 2 ** len(SEEDS) < 0.05 <= 2 * rivals / 2 ** (len(SEEDS) - 1)


def serial(folder: Path) -> pd.DataFrame:
    make(folder / "09.parquet", "09", SMALL, range(2), workers=2)
    return read_table(folder / "09.parquet")[0]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return serial(tmp_path_factory.mktemp("serial"))


def without_times(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table without the measured seconds."""
    return table[table["quantity"] != "cost/seconds"].reset_index(drop=True)


def test_after_a_dask_worker_is_killed_the_table_is_complete_and_the_same(
    expected: pd.DataFrame, tmp_path: Path
) -> None:
    kept = kept_in(tmp_path / "09.parquet", "09")
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())

        def kill() -> None:
            while not (kept.is_file() and len(runs(kept)) >= 3):
                time.sleep(0.05)
            os.kill(pids[0], signal.SIGKILL)

        killer = Thread(target=kill)
        killer.start()
        with made_by(client.get_executor()):
            table = serial(tmp_path)
        killer.join()
        assert os.getpid() not in pids
        assert set(client.run(os.getpid).values()) != set(pids), "another worker replaced it"
    pd.testing.assert_frame_equal(without_times(table), without_times(expected))


def test_a_study_that_is_killed_and_started_again_repeats_no_run(
    expected: pd.DataFrame, tmp_path: Path
) -> None:
    kept = kept_in(tmp_path / "09.parquet", "09")
    tests = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {tests!r})\nfrom pathlib import Path\n"
    code += "from lessons.can_lora_be_beaten import test_study as me\n"
    script = tmp_path / "all.py"
    script.write_text(f"{code}if __name__ == '__main__':\n    me.serial(Path({str(tmp_path)!r}))\n")
    process = subprocess.Popen(
        [sys.executable, str(script)], start_new_session=True, stderr=subprocess.DEVNULL
    )
    while not (kept.is_file() and len(runs(kept)) >= 4):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = runs(kept)
    table, after = serial(tmp_path), runs(kept)
    settings = [name for name in after.columns if name not in ("measurements", "error", "seconds")]
    assert len(before) < len(after)
    assert not after[settings].duplicated().any()
    seconds = after["seconds"].tolist()
    assert seconds[: len(before)] == before["seconds"].tolist(), "stored runs are not repeated"
    pd.testing.assert_frame_equal(without_times(table), without_times(expected))
    progress = standing(kept)
    assert progress["mean"].is_monotonic_decreasing
    assert progress["runs"].max() == 2
    assert set(progress["method"]) == {"LoRA", "BitFit"}


def test_there_is_no_progress_to_show_before_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match="there must be runs to show, got none in 09.sqlite; start make results first",
    ):
        standing(kept_in(tmp_path / "09.parquet", "09"))


def test_the_budgets_have_names() -> None:
    assert BUDGETS == (PARAMETERS, OPERATIONS)
