"""The cache of runs: no run is made twice, and none that was done is lost, whatever is killed."""

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

from ftkit.experiments import code_version
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


def test_a_cached_run_is_not_made_again_and_the_table_is_the_same(log: Path, path: Path) -> None:
    plain = sweep(counted, JOBS)
    made = len(begun(log))
    first, again = kept(path), kept(path)
    assert len(begun(log)) == made + len(JOBS), "the second sweep makes no run"
    pd.testing.assert_frame_equal(first, plain)
    pd.testing.assert_frame_equal(again, plain)


def test_only_new_runs_are_made(log: Path, path: Path) -> None:
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


def test_a_job_that_is_submitted_twice_is_made_once(log: Path, path: Path) -> None:
    with ThreadPoolExecutor(4) as pool, CachedExecutor(path, pool) as executor:
        table = sweep(counted, [*JOBS[:2], *JOBS[:2]], executor)
    assert len(begun(log)) == 2 and len(table) == 8


def test_a_failed_run_is_a_row_with_its_error_and_the_sweep_goes_on(log: Path, path: Path) -> None:
    jobs = grid(rank=[1, 13, 4], lr=[0.1])
    for table in (sweep_that_warns(None, jobs), sweep_that_warns(path, jobs)):
        expected = ["valid/accuracy"] * 2 + ["failed"] + ["valid/accuracy"] * 2
        assert table["quantity"].tolist() == expected
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


def test_a_setting_that_json_cannot_hold_is_refused(path: Path) -> None:
    with (
        CachedExecutor(path) as executor,
        pytest.raises(ValueError, match="settings must be numbers and strings"),
    ):
        executor.submit(str, counted, {"rank": object()})


def test_the_error_of_a_broken_executor_reaches_the_caller(log: Path, path: Path) -> None:
    with ThreadPoolExecutor(1) as broken, CachedExecutor(path, broken) as executor:
        with pytest.raises(ZeroDivisionError):
            executor.submit(lambda *_: 1 / 0, counted, {"rank": 1}).result(10)
        with pytest.raises(TypeError, match="not JSON serializable"):
            executor.submit(lambda *_: {"answer": object()}, counted, {"rank": 2}).result(10)
    assert len(runs(path)) == 0


def test_an_interrupted_sweep_starts_no_more_runs_and_keeps_those_in_progress(
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
        processes = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
        with processes as pool, CachedExecutor(Path(sys.argv[1]), pool) as executor:
            sweep(counted, grid(rank=range(20), lr=[0.1], seed=[0, 1]), executor)
""")


@pytest.fixture
def killed(log: Path, path: Path, tmp_path: Path) -> int:
    """A sweep in two processes that is killed halfway; the number of runs that had begun."""
    script = tmp_path / "sweeping.py"
    script.write_text(SWEEP)
    path_of_both = os.pathsep.join([str(HERE), str(HERE.parent)])
    environment = {**os.environ, "PYTHONPATH": path_of_both, "PYTHONWARNINGS": "ignore"}
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
    stored = len(runs(path))
    assert 0 < stored <= killed < len(jobs) and killed - stored <= 4, (
        "only runs in progress are lost, or those that were about to be written"
    )
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        CachedExecutor(path, pool) as executor,
        pytest.warns(UserWarning, match="2 of 40 runs failed"),
    ):
        table = sweep(counted, jobs, executor)
    assert len(begun(log)) == killed + len(jobs) - stored, "what was stored is not made again"
    assert len(runs(path)) == len(jobs) and not runs(path).duplicated(["rank", "lr", "seed"]).any()
    with pytest.warns(UserWarning, match="2 of 40"):
        pd.testing.assert_frame_equal(table, sweep(counted, jobs))


class TestCodeVersion:
    def test_comments_docstrings_and_layout_do_not_count(self) -> None:
        one = code_version.plain('def f(x):\n    """Words."""\n    return x + 1  # more\n')
        assert one == code_version.plain(
            'def f(x):\n    """Other words."""\n\n    return (x\n      + 1)\n'
        )
        assert one != code_version.plain('def f(x):\n    """Words."""\n    return x + 2\n')

    def test_only_the_files_that_a_study_imports_are_found(self) -> None:
        from ftkit.lessons.lora import trial as lora

        names = {path.name for path in code_version.imported_files(Path(lora.__file__).read_text())}
        assert {"loop.py", "benchmark.py", "lora.py", "adapted.py", "inputs.py"} <= names
        assert not names & {"explorer.py", "layout.py", "claims.py", "run.py"}

    def test_the_version_changes_with_a_module_far_below(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ftkit.lessons.lora import trial as lora

        before, read = code_version.version(lora.trial), Path.read_text
        monkeypatch.setattr(
            Path, "read_text", lambda self, **how: read(self, **how).replace("0.06", "0.07")
        )
        assert code_version.version(lora.trial) != before, (
            "the warm-up of `train` is in another file"
        )
        monkeypatch.undo()
        assert code_version.version(partial(lora.trial, rank=4)) == before


def damage_file(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "folder":
        path.unlink()
        (path / "inside").mkdir(parents=True)
        return
    texts = {"no database": b"not a database, but a text", "no UTF-8": b"\xff\xfe" * 9000, "": b""}
    if how == "half":
        texts["half"] = bytes(content[: len(content) // 2])
    elif how == "zeros":
        texts["zeros"] = bytes(content[:-4096]) + bytes(4096)
    elif how == "header":
        content[19] ^= 16  # the version of the format
        texts["header"] = bytes(content)
    path.write_bytes(texts[how])


@pytest.mark.parametrize("how", ["no database", "no UTF-8", "half", "zeros", "header", "folder"])
@pytest.mark.filterwarnings("ignore:runs.sqlite was damaged")
def test_a_damaged_file_is_rebuilt_and_kept_aside(log: Path, path: Path, how: str) -> None:
    jobs = grid(rank=range(20, 60), lr=[0.1], seed=[0])
    with ThreadPoolExecutor(20) as pool, CachedExecutor(path, pool) as executor:
        expected = sweep(counted, jobs, executor)
    damage_file(path, how)
    with pytest.warns(UserWarning, match="was damaged and is kept as runs.sqlite.damaged-1"):
        CachedExecutor(path).shutdown()
    saved = len(runs(path))
    with ThreadPoolExecutor(20) as pool, CachedExecutor(path, pool) as executor:
        pd.testing.assert_frame_equal(sweep(counted, jobs, executor), expected)
    assert len(begun(log)) == 2 * len(jobs) - saved, "whole runs are not made again"
    assert path.with_name("runs.sqlite.damaged-1").exists()
    assert (saved > 0) == (how in ("half", "zeros"))


def test_an_empty_file_and_one_with_other_tables_are_no_damage(log: Path, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    kept(path, JOBS[:1])
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE runs (key TEXT)")  # the format of an older version
    kept(path, JOBS[:1])
    assert len(begun(log)) == 1 and not list(path.parent.glob("*damaged*"))


def test_a_table_with_other_columns_is_damage(log: Path, path: Path) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE checked_runs (key TEXT)")
    with pytest.warns(UserWarning, match="0 whole runs of it are used"):
        kept(path, JOBS[:1])


def test_a_run_with_a_changed_digit_is_made_again(log: Path, path: Path) -> None:
    expected = kept(path, JOBS[:3])
    with sqlite3.connect(path) as file:
        file.execute(
            "UPDATE checked_runs SET answer = replace(answer, '0.0', '0.9') WHERE rowid = 2"
        )
    assert len(runs(path)) == 2, "the results so far leave it out"
    pd.testing.assert_frame_equal(kept(path, JOBS[:3]), expected)
    assert len(begun(log)) == 4 and len(runs(path)) == 3


def test_results_so_far_in_a_damaged_file_are_said_to_be_damaged(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database, but a text")
    with pytest.raises(ValueError, match="the runs must be in a file that can be read, got"):
        runs(path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "runs.sqlite.lock").mkdir()
    for path in (tmp_path / "file" / "runs.sqlite", tmp_path / "runs.sqlite"):
        with pytest.raises(ValueError, match="the runs must be kept in a place that can be writt"):
            CachedExecutor(path)


def test_a_folder_with_characters_of_addresses_can_be_read(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "100% sure? #1 ä" / "runs.sqlite"
    kept(path, JOBS[:1])
    assert len(runs(path)) == 1
