"""Files that are written as a whole: what is replaced, what is refused, and when."""

import os
import stat
from pathlib import Path

import pytest

from ftkit.__main__ import main
from ftkit.experiments import recording
from ftkit.lessons import Lesson
from ftkit.lessons import __main__ as studies
from ftkit.storage import check_writable, set_aside, whole_file, write_json
from ftkit.teaching import colab


def write(path: Path, text: str = "new") -> None:
    with whole_file(path) as new:
        new.write_text(text)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(mode)
    write(path)
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    write(tmp_path / "new")
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes["new"] == modes["usual"]


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link", tmp_path / "folder" / "target"
    link.symlink_to("folder/target")
    for text in ("first", "second"):  # to a file that is not there yet, and to one that is
        check_writable(link)
        write(link, text)
        assert link.is_symlink() and target.read_text() == text
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["target"]


def special(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        return Path("/dev/full")
    elif kind == "link to a device":
        path.symlink_to("/dev/null")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "file as folder":
        path.write_text("")
        return path / "out.json"
    elif kind == "long name":
        return tmp_path / ("a" * 300)
    return path


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to a device"])
def test_only_a_regular_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = special(tmp_path, kind)
    before = os.lstat(path)
    with pytest.raises(ValueError, match="only a regular file can be replaced, got"):
        write(path)
    with pytest.raises(ValueError, match="only a regular file can be replaced, got"):
        check_writable(path)
    after = os.lstat(path)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert len(list(tmp_path.iterdir())) == (kind != "device")


@pytest.mark.parametrize("kind", ["loop", "file as folder", "long name"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ValueError, match=r"(--json must be in a place|the folder of --json must)"):
        check_writable(special(tmp_path, kind), "--json")


def refused(path: Path) -> str:
    with pytest.raises(ValueError) as raised:
        check_writable(path)
    return str(raised.value)


def test_a_protected_folder_and_a_protected_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "file").chmod(0o400)
    if os.access(tmp_path / "file", os.W_OK):
        pytest.skip("root may write everywhere")
    assert "write-protected" in refused(tmp_path / "file")
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused(tmp_path / "new")
    tmp_path.chmod(0o700)


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "a")
    assert not list(tmp_path.iterdir())
    write_json(tmp_path / "a", 1)
    check_writable(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_set_aside_gets_a_free_name(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / "a").mkdir() if number == 2 else (tmp_path / "a").write_text("")
        assert set_aside(tmp_path / "a").name == f"a.damaged-{number}"


@pytest.mark.parametrize("kind", ["folder", "device", "file as folder"])
def test_run_checks_its_json_file_before_it_loads_anything(
    tmp_path: Path,
    kind: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ftkit.cli.run.load_task", lambda *_, **__: pytest.fail("work has begun"))
    assert main(["run", "lora", "--json", str(special(tmp_path, kind))]) == 2
    assert capsys.readouterr().err.startswith("ftkit: ")


def test_a_study_checks_all_its_files_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ftkit.lessons.lesson.kit_path", tmp_path.joinpath)
    results = tmp_path / "data" / "results"
    results.mkdir(parents=True)
    ran: list[str] = []
    lesson = Lesson(
        "99_none",
        record=lambda *_: pytest.fail("the study ran"),
        seeds=range(4),
        before=lambda: ran.append("before"),
        writes=(results / "99_picture.svg",),
    )
    monkeypatch.setattr(studies, "lessons", lambda: {"99": lesson})
    for name in ("99_none.parquet", "99_picture.svg", "../SHA256SUMS"):
        (results / name).mkdir()
        with pytest.raises(SystemExit):
            studies.main(["99"])
        assert "only a regular file can be replaced" in capsys.readouterr().err
        (results / name).rmdir()
    (results / ".runs").write_text("")
    with pytest.raises(ValueError, match="the runs must be kept in a place that can be written"):
        recording.make(results / "99_none.parquet", "99", lesson.record, range(2))
    assert ran == []


def test_colab_stamps_all_notebooks_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    project = '[project]\nversion = "1"\n[tool.ftkit.colab]\nrepo = ""\ntag = "v1"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "notebooks" / "02_taken.ipynb").mkdir(parents=True)
    first = tmp_path / "notebooks" / "01_first.ipynb"
    first.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    before = first.read_bytes()
    assert colab.main(["--repo", "owner/name"]) == 2
    assert "02_taken.ipynb" in capsys.readouterr().err
    assert (tmp_path / "pyproject.toml").read_text() == project
    assert first.read_bytes() == before
