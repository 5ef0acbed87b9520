"""A lesson is found by its folder: one name in four places, and no list to add it to."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

import ftkit.lessons
from benchmarks import live
from ftkit.experiments.recording import made_by
from ftkit.lessons import Lesson, lessons
from ftkit.lessons.__main__ import main

ROOT = Path(__file__).parents[2]


def disagreements(lesson: Lesson, folder: str, root: Path = ROOT) -> list[str]:
    """Return which of the lesson's places do not have its name."""
    places = {
        "notebook": root / "notebooks" / f"{lesson.name}.ipynb",
        "package": root / "ftkit" / "lessons" / lesson.folder / "__init__.py",
        "recorded runs": root / "data" / "results" / f"{lesson.name}.parquet",
        "test folder": root / "tests" / "lessons" / lesson.folder,
    }
    missing = [place for place, path in places.items() if not path.exists()]
    return missing if lesson.folder == folder else [*missing, "folder"]


def folders() -> list[str]:
    """Return the names of the lessons' packages."""
    return sorted(path.parent.name for path in ROOT.glob("ftkit/lessons/*/__init__.py"))


@pytest.mark.parametrize("folder", folders())
def test_folder_notebook_record_and_tests_have_one_name(folder: str) -> None:
    lesson = import_module(f"ftkit.lessons.{folder}").LESSON
    assert lesson.name[:2].isdigit() and lesson.name[2] == "_"
    assert disagreements(lesson, folder) == []
    assert lessons()[lesson.number] is lesson


def test_every_folder_is_found_once() -> None:
    assert sorted(lesson.folder for lesson in lessons().values()) == folders() != []


def test_a_lesson_with_another_name_than_its_folder_is_noticed() -> None:
    lesson = lessons()["05"]
    other = Lesson("05_dense", record=lesson.record, seeds=lesson.seeds)
    assert disagreements(lesson, "sparse") == []
    assert disagreements(other, "sparse") == [
        "notebook",
        "package",
        "recorded runs",
        "test folder",
        "folder",
    ]


STUDY = '''
"""A coin that each seed throws anew."""

from collections.abc import Iterator
from concurrent.futures import Executor

import pandas as pd

from ftkit.experiments.sweep import grid, sweep
from ftkit.training.events import Event

SEEDS = tuple(range(8))


def trial(bias: float, lr: float = 0.1, seed: int = 0, probe: object = None) -> Iterator[Event]:
    for step in range(3):
        yield Event(step, "valid", {"valid/accuracy": 0.5 + bias + 0.001 * seed})
    yield Event(3, "test", {"test/accuracy": 0.5 + bias + 0.001 * seed})


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    return sweep(trial, grid(bias=[0.0, 0.1], seed=seeds), executor)
'''
CLAIMS = '''
"""A claim about coins."""

import pandas as pd

from ftkit.teaching.claim_table import Claim
from ftkit.teaching.recorded_evidence import RecordedRuns
from ftkit.teaching.verdicts import judge_differences


def coin_claims(table: pd.DataFrame) -> list[Claim]:
    runs = RecordedRuns(table)
    gap = {"coin": runs.test(bias=0.1) - runs.test(bias=0.0)}
    verdict = judge_differences(gap, {"beats"})
    return [Claim("A biased coin wins.", "everybody", "biased minus fair", *verdict)]
'''
INIT = '''
"""Lesson 99, a throw-away."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.throw_away import claims, study

LESSON = Lesson(
    "99_throw_away",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.coin_claims(table),
    trial=study.trial,
    opens_at={"bias": 0.1},
)
'''


@pytest.fixture
def throw_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Add a lesson: a package of three files, and a folder for its recorded runs. Nothing else."""
    package = tmp_path / "lessons" / "throw_away"
    package.mkdir(parents=True)
    for name, source in {"study": STUDY, "claims": CLAIMS, "__init__": INIT}.items():
        (package / f"{name}.py").write_text(dedent(source).lstrip())
    monkeypatch.setattr(ftkit.lessons, "__path__", [*ftkit.lessons.__path__, str(package.parent)])
    monkeypatch.setattr("ftkit.lessons.lesson.kit_path", tmp_path.joinpath)
    (tmp_path / "data" / "results").mkdir(parents=True)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("ftkit.lessons.throw_away")]:
        del sys.modules[name]
    vars(ftkit.lessons).pop("throw_away", None)


def test_a_new_folder_is_a_lesson(throw_away: Path) -> None:
    assert list(lessons())[-1] == "99"
    lesson = lessons()["99"]
    assert lesson.path == throw_away / "data" / "results" / "99_throw_away.parquet"
    with ThreadPoolExecutor(1) as executor, made_by(executor):
        main(["99"])
    table, about = lesson.read()
    assert about["command"] == "make results LESSON=99" and about["seeds"] == list(range(8))
    assert len(table) == 2 * 8 * (3 + 1) and set(table["bias"]) == {0.0, 0.1}
    (claim,) = lesson.claims()
    assert (claim.statistic, claim.verdict) == ("coin +10.0 [+10.0, +10.0], beats", "holds")


def test_the_results_of_a_new_lesson_so_far_can_be_shown(
    throw_away: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(1) as executor, made_by(executor):
        main(["99", "--seeds", "2"])
    capsys.readouterr()
    main(["99", "--standing"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 and lines[1].split()[-1] == "2"
    names = {path.name for path in (throw_away / "data" / "results").glob("*.parquet")}
    assert names == {"99_throw_away.first-2-seeds.parquet"}


def test_the_benchmark_of_panels_times_a_new_lesson(
    throw_away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [event.stage for event in lessons()["99"].opening_run()] == ["valid"] * 3 + ["test"]
    found = lessons()
    monkeypatch.setattr(live, "lessons", lambda: {"00": found["00"], "99": found["99"]})
    ((name, seconds, _, unit),) = live.rows(rounds=1)
    assert "lesson 99" in name and 0 < seconds < 1 and unit == "s"


def test_a_lesson_without_a_panel_has_no_opening_run() -> None:
    with pytest.raises(ValueError, match="a lesson must have a trial to run, got none in 00_the"):
        list(lessons()["00"].opening_run())
