"""The study of lesson 09: equal numbers and equal operations, its design with fake trials; in a Dask cluster, and killed and resumed."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
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
from ftkit.lessons.can_lora_be_beaten.study import (
    BENCHES,
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
    SEEDS,
    WITHOUT_RANK,
    spaces,
)
from ftkit.lessons.the_lora_family.study import features
from ftkit.model.adapted import Adapted
from ftkit.storage import read_table
from ftkit.training.events import Event, packed

FREE = [method for method in METHODS if method not in WITHOUT_RANK]
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
def test_nobody_has_more_numbers_than_lora_and_nobody_much_fewer(bench: str, rank: int) -> None:
    base, _ = load_benchmark(bench)
    counts = {
        name: sum(
            p.numel() for p in Adapted(base, *spaces(bench, name, rank, 64, 0)[:-1]).parameters()
        )
        for name in FREE
    }
    for name, count in counts.items():
        if (name, rank) != ("DoRA", 1):
            assert counts["LoRA"] - features(bench).both < count <= counts["LoRA"], name
    assert (
        counts["sparse, random"]
        == counts["sparse, gradient"]
        == counts["LoRA"]
        == rank * features(bench).both
    )


def test_seeds_draw_other_entries_and_rows() -> None:
    for name in ("sparse, random", "whole rows", "sparse, gradient"):
        first, same, other = (spaces("digits", name, 1, 64, seed) for seed in (0, 0, 1))
        assert first == same and first != other


@pytest.mark.parametrize("method", [*METHODS, *REFERENCES])
def test_with_equal_operations_a_run_costs_what_lora_s_does(method: str) -> None:
    own = step_cost("digits", *spaces("digits", method, MIDDLE, 64, 0)).values["cost/flops"]
    lora = step_cost("digits", *spaces("digits", "LoRA", MIDDLE, 64, 0)).values["cost/flops"]
    many = board.steps("digits", method, MIDDLE, 64, OPERATIONS)
    assert abs(many * own - STEPS * lora) <= own / 2
    assert board.steps("digits", method, MIDDLE, 64, PARAMETERS) == STEPS
    assert (many > STEPS) == (own < lora) or many == STEPS


def test_a_run_has_as_many_steps_as_its_budget_pays_for() -> None:
    many = board.steps("digits", "last block", MIDDLE, 64, OPERATIONS)
    events = list(board.trial("digits", "last block", MIDDLE, 64, 1e-3, OPERATIONS, test=True))
    assert many > STEPS and sum(event.stage == "train" for event in events) == many
    assert {event.step for event in events if event.stage in ("test", "cost")} == {many}


def test_the_control_is_lora_with_16_times_the_alpha_and_stands_in_no_family(
    table: pd.DataFrame,
) -> None:
    (own, _), (usual, _) = (
        spaces("digits", name, MIDDLE, MOST_EXAMPLES, 0) for name in (LARGER_ALPHA, "LoRA")
    )
    assert own == replace(usual, alpha=16 * usual.alpha)
    assert board.steps("digits", LARGER_ALPHA, MIDDLE, MOST_EXAMPLES, CONTROL_BUDGET) == STEPS
    read = where(table, method=LARGER_ALPHA, quantity="test/accuracy")
    assert set(read["budget"]) == {CONTROL_BUDGET} and len(read) == len(BENCHES) * len(SEEDS)
    assert LARGER_ALPHA not in METHODS and LARGER_ALPHA not in set(
        board.for_the_panel(table)["who"]
    )


def test_the_seconds_of_a_step_are_those_of_every_method() -> None:
    (taken,) = board.seconds(("digits",), rounds=3).values()
    assert set(taken) == {*METHODS, *REFERENCES} and all(0 < value < 1 for value in taken.values())
    assert taken[FULL] > taken["last block"]


def test_bad_names_are_refused() -> None:
    with pytest.raises(
        ValueError, match="method must be one of LoRA, DoRA, .*, full fine-tuning, got 'prompt'"
    ):
        list(board.trial("digits", "prompt", 4, 64, 1e-3))
    with pytest.raises(
        ValueError, match="budget must be one of equal parameters, 80 steps; .*, got 'time'"
    ):
        list(board.trial("digits", "LoRA", 4, 64, 1e-3, "time"))


def test_every_cell_has_nine_seeds_at_an_interior_rate(table: pd.DataFrame) -> None:
    read = table[table["quantity"] == "test/accuracy"]
    for bench in BENCHES:
        for method in (*METHODS, *REFERENCES):
            for examples in EXAMPLES:
                rows = where(
                    read,
                    bench=bench,
                    method=method,
                    rank=MIDDLE,
                    examples=examples,
                    budget=PARAMETERS,
                )
                assert sorted(rows["seed"]) == list(SEEDS) and rows["lr"].nunique() == 1
            if method != "LoRA":
                assert len(
                    where(
                        read, bench=bench, method=method, budget=OPERATIONS, examples=MOST_EXAMPLES
                    )
                ) == len(SEEDS)
        for method in FREE:
            for rank in RANKS:
                assert len(
                    where(
                        read,
                        bench=bench,
                        method=method,
                        rank=rank,
                        examples=MOST_EXAMPLES,
                        budget=PARAMETERS,
                    )
                ) == len(SEEDS)
    for _, cell in table[table["quantity"] == "valid/accuracy"].groupby(
        ["bench", "method", "rank", "examples", "budget"]
    ):
        lrs = sorted(cell["lr"].unique())
        (chosen,) = where(
            read,
            **{
                name: cell[name].iloc[0]
                for name in ("bench", "method", "rank", "examples", "budget")
            },
        )["lr"].unique()
        assert lrs[0] < chosen < lrs[-1] and len(lrs) >= 3


def test_every_method_is_tuned_with_as_many_runs_unless_its_best_rate_lay_at_an_edge() -> None:
    asked = pd.DataFrame(board.jobs(range(3), tuple(BENCHES), EXAMPLES, (*METHODS, *REFERENCES)))
    per_cell = asked.groupby(["bench", "method", "rank", "examples", "budget"]).size()
    assert set(per_cell) == {9}


def test_seven_rivals_can_be_told_from_lora_with_nine_seeds_and_not_with_eight() -> None:
    rivals = len(METHODS) - 1
    assert 2 * rivals / 2 ** len(SEEDS) < 0.05 <= 2 * rivals / 2 ** (len(SEEDS) - 1)


def serial(folder: Path) -> pd.DataFrame:
    make(folder / "09.parquet", "09", SMALL, range(2), workers=2)
    return read_table(folder / "09.parquet")[0]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return serial(tmp_path_factory.mktemp("serial"))


def without_times(table: pd.DataFrame) -> pd.DataFrame:
    """Everything but what a clock measured."""
    return table[table["quantity"] != "cost/seconds"].reset_index(drop=True)


def test_a_dask_worker_is_killed_and_the_table_is_complete_and_that_of_processes(
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
            found = serial(tmp_path)
        killer.join()
        assert os.getpid() not in pids and set(client.run(os.getpid).values()) != set(pids), (
            "another took its place"
        )
    pd.testing.assert_frame_equal(without_times(found), without_times(expected))


def test_the_whole_is_killed_and_started_again_and_no_run_is_made_twice(
    expected: pd.DataFrame, tmp_path: Path
) -> None:
    kept = kept_in(tmp_path / "09.parquet", "09")
    tests = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {tests!r})\nfrom pathlib import Path\n"
    code += "from lessons.can_lora_be_beaten import test_study as me\n"
    script = tmp_path / "all.py"
    script.write_text(f"{code}if __name__ == '__main__':\n    me.serial(Path({str(tmp_path)!r}))\n")
    whole = subprocess.Popen(
        [sys.executable, str(script)], start_new_session=True, stderr=subprocess.DEVNULL
    )
    while not (kept.is_file() and len(runs(kept)) >= 4):
        assert whole.poll() is None
        time.sleep(0.05)
    os.killpg(whole.pid, signal.SIGKILL)
    whole.wait()
    before = runs(kept)
    found, after = serial(tmp_path), runs(kept)
    settings = [name for name in after.columns if name not in ("readings", "error", "seconds")]
    assert len(before) < len(after) and not after[settings].duplicated().any()
    assert after["seconds"].tolist()[: len(before)] == before["seconds"].tolist(), (
        "what was kept is not made again"
    )
    pd.testing.assert_frame_equal(without_times(found), without_times(expected))
    best = standing(kept)
    assert (
        best["mean"].is_monotonic_decreasing
        and best["runs"].max() == 2
        and set(best["method"]) == {"LoRA", "BitFit"}
    )


def test_nothing_stands_where_nothing_was_run(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match="there must be runs to show, got none in 09.sqlite; start make results first",
    ):
        standing(kept_in(tmp_path / "09.parquet", "09"))


def test_the_budgets_have_names() -> None:
    assert BUDGETS == (PARAMETERS, OPERATIONS)
