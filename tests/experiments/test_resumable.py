"""What is kept of runs: nothing is made twice, and nothing that was done is lost, whatever is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from textwrap import dedent

import pandas as pd
import pytest
from helpers.kept_trials import LOG, begun, counted

from ftkit.experiments import code_version as lineage
from ftkit.experiments.resumable import CachedExecutor, runs
from ftkit.experiments.sweep import grid, sweep

JOBS = grid(rank=[1, 4], lr=[0.01, 0.1, 0.3], seed=[0, 1])
HERE = Path(__file__).parent.parent


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "runs.sqlite"


def kept(
    path: Path, jobs: list = JOBS, trial: object = counted, data: str = "", **more: object
) -> pd.DataFrame:  # type: ignore[type-arg]
    with CachedExecutor(path, data=data) as executor:
        return sweep(trial, jobs, executor, **more)  # type: ignore[arg-type]


def test_what_is_kept_is_not_made_again_and_is_the_same_table(log: Path, path: Path) -> None:
    plain = sweep(counted, JOBS)
    made = len(begun(log))
    first, again = kept(path), kept(path)
    assert len(begun(log)) == made + len(JOBS), "the second sweep makes no run"
    pd.testing.assert_frame_equal(first, plain)
    pd.testing.assert_frame_equal(again, plain)


def test_only_what_is_new_is_made(log: Path, path: Path) -> None:
    kept(path, JOBS[:5])
    kept(path, JOBS)
    assert sorted(begun(log)) == sorted(f"{job['rank']} {job['lr']} {job['seed']}" for job in JOBS)


def test_other_data_another_trial_and_other_stages_are_other_runs(log: Path, path: Path) -> None:
    one = JOBS[:1]
    kept(path, one)
    kept(path, one, data="other")
    kept(path, one, keep=("test",))
    for seed in (0, 1):
        kept(path, grid(rank=[1], lr=[0.01]), trial=partial(counted, seed=seed))
    assert len(begun(log)) == 5


def test_other_code_is_another_run(log: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(path, JOBS[:1])
    monkeypatch.setattr("ftkit.experiments.resumable.version", lambda trial: "other")
    kept(path, JOBS[:1])
    assert len(begun(log)) == 2 and runs(path)["code"].nunique() == 2


def test_a_job_that_is_asked_for_twice_is_made_once(log: Path, path: Path) -> None:
    with ThreadPoolExecutor(4) as pool, CachedExecutor(path, pool) as executor:
        table = sweep(counted, [*JOBS[:2], *JOBS[:2]], executor)
    assert len(begun(log)) == 2 and len(table) == 8


def test_a_failed_run_is_a_row_with_its_error_and_the_sweep_goes_on(log: Path, path: Path) -> None:
    jobs = grid(rank=[1, 13, 4], lr=[0.1])
    for table in (sweep_that_warns(None, jobs), sweep_that_warns(path, jobs)):
        assert (
            table["quantity"].tolist()
            == ["valid/accuracy"] * 2 + ["failed"] + ["valid/accuracy"] * 2
        )
        assert table["error"].dropna().tolist() == ["OSError: no such disk"]
    assert runs(path)["error"].tolist() == ["", "OSError: no such disk", ""]


def sweep_that_warns(path: Path | None, jobs: list) -> pd.DataFrame:  # type: ignore[type-arg]
    with pytest.warns(UserWarning, match="1 of 3 runs failed; the first: OSError: no such disk"):
        return kept(path, jobs) if path else sweep(counted, jobs)


def test_a_file_has_one_writer_and_can_be_read_meanwhile(log: Path, path: Path) -> None:
    with CachedExecutor(path) as executor:
        sweep(counted, JOBS[:1], executor)
        assert runs(path)["rank"].tolist() == [1]
        with pytest.raises(
            ValueError,
            match=r"runs.sqlite must have one writer, got a second; wait for the other sweep",
        ):
            CachedExecutor(path)
    CachedExecutor(path).shutdown()


def test_a_file_without_a_table_yet_has_no_runs(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sqlite3.connect(path).execute("PRAGMA journal_mode=WAL")
    assert runs(path).empty


def test_what_cannot_be_kept_is_refused(path: Path) -> None:
    with (
        CachedExecutor(path) as executor,
        pytest.raises(ValueError, match="must be numbers and texts"),
    ):
        executor.submit(str, counted, {"rank": object()})


def test_an_executor_that_breaks_is_heard_of(log: Path, path: Path) -> None:
    with ThreadPoolExecutor(1) as broken, CachedExecutor(path, broken) as executor:
        with pytest.raises(ZeroDivisionError):
            executor.submit(lambda *_: 1 / 0, counted, {"rank": 1}).result(10)
        with pytest.raises(TypeError, match="not JSON serializable"):
            executor.submit(lambda *_: {"answer": object()}, counted, {"rank": 2}).result(10)
    assert len(runs(path)) == 0


def test_a_sweep_that_is_left_makes_no_more_runs_and_keeps_those_under_way(
    log: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(futures: object) -> Iterator[object]:
        while len(begun(log)) < 3:
            time.sleep(0.01)
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("ftkit.experiments.sweep.as_completed", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        ThreadPoolExecutor(2) as pool,
        CachedExecutor(path, pool) as executor,
    ):
        sweep(counted, JOBS, executor)
    assert 3 <= len(runs(path)) == len(begun(log)) < len(JOBS) - 4


SWEEP = dedent("""
    import sys
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from pathlib import Path
    from helpers.kept_trials import counted
    from ftkit.experiments.resumable import CachedExecutor
    from ftkit.experiments.sweep import grid, sweep

    if __name__ == "__main__":
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool, CachedExecutor(Path(sys.argv[1]), pool) as executor:
            sweep(counted, grid(rank=range(20), lr=[0.1], seed=[0, 1]), executor)
""")


@pytest.fixture
def killed(log: Path, path: Path, tmp_path: Path) -> int:
    """A sweep in two processes that is killed in its midst; how many runs had begun."""
    script = tmp_path / "sweeping.py"
    script.write_text(SWEEP)
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, str(script), str(path)],
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while len(begun(log)) < 12 and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return len(begun(log))


def test_a_killed_sweep_goes_on_where_it_was(log: Path, path: Path, killed: int) -> None:
    jobs = grid(rank=range(20), lr=[0.1], seed=[0, 1])
    there = len(runs(path))
    assert 0 < there <= killed < len(jobs) and killed - there <= 4, (
        "what is lost was under way, or on its way to the file"
    )
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        CachedExecutor(path, pool) as executor,
        pytest.warns(UserWarning, match="2 of 40 runs failed"),
    ):
        table = sweep(counted, jobs, executor)
    assert len(begun(log)) == killed + len(jobs) - there, "what was there is not made again"
    assert len(runs(path)) == len(jobs) and not runs(path).duplicated(["rank", "lr", "seed"]).any()
    with pytest.warns(UserWarning, match="2 of 40"):
        pd.testing.assert_frame_equal(table, sweep(counted, jobs))


class TestLineage:
    def test_comments_docstrings_and_layout_do_not_count(self) -> None:
        one = lineage.plain('def f(x):\n    """Words."""\n    return x + 1  # more\n')
        assert one == lineage.plain(
            'def f(x):\n    """Other words."""\n\n    return (x\n      + 1)\n'
        )
        assert one != lineage.plain('def f(x):\n    """Words."""\n    return x + 2\n')

    def test_what_a_study_stands_on_is_reached_and_no_more(self) -> None:
        from ftkit.lessons.lora import study as lora

        names = {path.name for path in lineage.reached(Path(lora.__file__).read_text())}
        assert {"loop.py", "benchmark.py", "lora.py", "adapted.py", "inputs.py"} <= names
        assert not names & {"explorer.py", "layout.py", "claims.py", "run.py"}

    def test_the_version_turns_with_a_module_far_below(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ftkit.lessons.lora import study as lora

        before, read = lineage.version(lora.trial), Path.read_text
        monkeypatch.setattr(
            Path, "read_text", lambda self, **how: read(self, **how).replace("0.06", "0.07")
        )
        assert lineage.version(lora.trial) != before, (
            "the warm-up of `train` stands in another file"
        )
        monkeypatch.undo()
        assert lineage.version(partial(lora.trial, rank=4)) == before
