"""The learner's copies of the lessons, and the server that shows them."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ftkit.__main__ import main
from ftkit.cli import lab
from ftkit.cli.lab import FIRST
from ftkit.cli.lesson_copies import RECORD, Copies, copy_lessons
from ftkit.model import base as bases

SECOND = "02_lora.ipynb"


def lesson(*cells: str) -> bytes:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text, id=f"cell-{i}") for i, text in enumerate(cells)]
    )
    return nbformat.writes(notebook).encode()


def run_in_place(path: Path) -> bytes:
    """Change a copy as a front end does that ran and saved it: outputs, counts and metadata."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.cells[0].update(
        execution_count=7, outputs=[nbformat.v4.new_output("stream", text="mine")]
    )
    nbformat.write(notebook, path)
    return path.read_bytes()


def edit_in_place(path: Path) -> bytes:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source += "\n# my own note"
    nbformat.write(notebook, path)
    return path.read_bytes()


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    folder = tmp_path / "kit"
    folder.mkdir()
    (folder / FIRST).write_bytes(lesson("1 + 1"))
    (folder / SECOND).write_bytes(lesson("rank = 4", "rank"))
    return folder


@pytest.fixture
def mine(kit: Path, tmp_path: Path) -> Path:
    """A learner's folder after the first `ftkit lab`."""
    copy_lessons(kit, tmp_path / "mine")
    return tmp_path / "mine"


def held(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir() if path.name != RECORD]


def test_the_first_time_every_lesson_is_copied(kit: Path, tmp_path: Path) -> None:
    done = copy_lessons(kit, tmp_path / "a" / "new folder")
    assert done.added == [FIRST, SECOND] and not (done.updated or done.edited or done.kept)
    assert sorted(path.name for path in done.folder.iterdir()) == sorted([RECORD, FIRST, SECOND])
    assert (done.folder / SECOND).read_bytes() == (kit / SECOND).read_bytes()


def test_the_second_time_nothing_changes(kit: Path, mine: Path) -> None:
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    assert copy_lessons(kit, mine) == Copies(mine)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def test_an_upgrade_brings_untouched_copies_up_to_date_and_adds_lessons(
    kit: Path, mine: Path
) -> None:
    (kit / SECOND).write_bytes(lesson("rank = 8", "rank"))
    (kit / "04_bitfit.ipynb").write_bytes(lesson("bias"))
    assert copy_lessons(kit, mine) == Copies(mine, added=["04_bitfit.ipynb"], updated=[SECOND])
    assert (mine / SECOND).read_bytes() == (kit / SECOND).read_bytes()


def test_an_edited_copy_survives_every_upgrade(kit: Path, mine: Path) -> None:
    edited = edit_in_place(mine / SECOND)
    done = copy_lessons(kit, mine)
    assert done.edited == [SECOND] and not done.outdated
    for rank in (8, 16):
        (kit / SECOND).write_bytes(lesson(f"rank = {rank}", "rank"))
        done = copy_lessons(kit, mine)
        assert (done.edited, done.outdated, done.updated) == ([SECOND], [SECOND], [])
        assert (mine / SECOND).read_bytes() == edited
    assert "left as you edited them: 02_lora.ipynb" in str(done)
    assert "newer text of 02_lora.ipynb" in str(done)
    assert "`ftkit lab --fresh`" in str(done)


def test_a_copy_that_was_only_run_stays_until_the_kit_has_a_newer_text(
    kit: Path, mine: Path
) -> None:
    was_run = run_in_place(mine / SECOND)
    assert copy_lessons(kit, mine) == Copies(mine)
    run_in_place(kit / SECOND)  # the kit's own outputs are no newer text
    (kit / SECOND).write_bytes((kit / SECOND).read_bytes().replace(b"mine", b"kit's"))
    assert copy_lessons(kit, mine) == Copies(mine)
    assert (mine / SECOND).read_bytes() == was_run
    (kit / SECOND).write_bytes(lesson("rank = 8", "rank"))
    done = copy_lessons(kit, mine)
    assert done == Copies(mine, updated=[SECOND], kept={SECOND: "02_lora.yours-1.ipynb"})
    assert (mine / "02_lora.yours-1.ipynb").read_bytes() == was_run
    assert (mine / SECOND).read_bytes() == (kit / SECOND).read_bytes()
    assert "your version of 02_lora.ipynb is now in 02_lora.yours-1.ipynb" in str(done)


def test_fresh_gives_new_copies_and_keeps_every_edited_one(kit: Path, mine: Path) -> None:
    first = edit_in_place(mine / SECOND)
    assert copy_lessons(kit, mine, fresh=True).kept == {SECOND: "02_lora.yours-1.ipynb"}
    second = edit_in_place(mine / SECOND)[:-1]
    (mine / SECOND).write_bytes(second)
    assert copy_lessons(kit, mine, fresh=True).kept == {SECOND: "02_lora.yours-2.ipynb"}
    assert (mine / SECOND).read_bytes() == (kit / SECOND).read_bytes()
    assert (mine / "02_lora.yours-1.ipynb").read_bytes() == first
    assert (mine / "02_lora.yours-2.ipynb").read_bytes() == second
    assert copy_lessons(kit, mine, fresh=True) == Copies(mine)


@pytest.mark.parametrize(
    "record",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"02_lora.ipynb": "x"}',
        b'{"02_lora.ipynb": {"file": 1}}',
        b'{"02_lora.ipynb": []}',
    ],
)
def test_without_a_whole_record_every_copy_that_differs_counts_as_edited(
    kit: Path, mine: Path, record: bytes | None
) -> None:
    was_run = run_in_place(mine / SECOND)
    (mine / RECORD).unlink() if record is None else (mine / RECORD).write_bytes(record)
    (kit / SECOND).write_bytes(lesson("rank = 8", "rank"))
    done = copy_lessons(kit, mine)
    assert done.edited == done.outdated == [SECOND]
    assert was_run in held(mine)
    known = json.loads((mine / RECORD).read_text()).keys()
    assert known == {FIRST}, "a copy that equals the kit's lesson is known again"


@pytest.mark.parametrize(
    "content",
    [b"", b"not a notebook", b"[1]", b'{"cells": 3}', b'{"cells": [{"source": "x"}]}', b"\xff\xfe"],
)
def test_whatever_a_copy_has_become_is_the_learners(kit: Path, mine: Path, content: bytes) -> None:
    (mine / SECOND).write_bytes(content)
    assert copy_lessons(kit, mine).edited == [SECOND]
    assert (mine / SECOND).read_bytes() == content
    copy_lessons(kit, mine, fresh=True)
    assert content in held(mine)


def test_a_file_of_the_learner_under_a_new_lessons_name_stays(kit: Path, mine: Path) -> None:
    written = lesson("my own bitfit")
    (mine / "04_bitfit.ipynb").write_bytes(written)
    (kit / "04_bitfit.ipynb").write_bytes(lesson("bias"))
    assert copy_lessons(kit, mine).edited == ["04_bitfit.ipynb"]
    assert (mine / "04_bitfit.ipynb").read_bytes() == written


def test_nothing_is_lost_when_the_disk_fails_half_way(
    kit: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = edit_in_place(mine / SECOND)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(ValueError, match="No space left on device"):
            copy_lessons(kit, mine, fresh=True)
    assert edited in held(mine)
    assert (mine / SECOND).read_bytes() == edited


def test_a_folder_that_cannot_be_written_is_named(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError,
        match=r"folder that can be written, got .*file.* \(.+\); "
        r"name another with --folder or \$FTKIT_LESSONS",
    ):
        copy_lessons(kit, tmp_path / "file" / "lessons")
    with pytest.raises(ValueError, match="folder that can be written, got .*file "):
        copy_lessons(kit, tmp_path / "file")
    (tmp_path / "taken" / SECOND).mkdir(parents=True)
    with pytest.raises(ValueError, match="02_lora.ipynb"):
        copy_lessons(kit, tmp_path / "taken")


def test_the_kits_own_lessons_are_nobodys_copies(kit: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must not be the kit's own"):
        copy_lessons(kit, kit)
    with pytest.raises(ValueError, match="must hold its lessons, got none"):
        copy_lessons(tmp_path, tmp_path / "mine")
    assert FIRST in {path.name for path in bases.kit_path("notebooks").iterdir()}


def test_the_server_listens_here_alone_and_no_secret_is_in_its_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = lab.command(Path("/lessons"))
    assert "--ip=127.0.0.1" in command and "--no-browser" not in command
    secret = re.compile("token|password", re.IGNORECASE)
    assert not [argument for argument in command if secret.search(argument)]
    assert "--no-browser" in lab.command(Path("/lessons"), browser=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    assert (
        lab.environment().items()
        >= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}.items()
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert lab.environment()["OMP_NUM_THREADS"] == "3", "a value of the learner's own stays"
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/theirs")
    assert lab.environment()["JUPYTER_CONFIG_PATH"] == os.pathsep.join(
        [str(lab.DEFAULTS), "/theirs"]
    )


def test_a_missing_jupyterlab_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None)
    assert main(["lab", "--folder", str(tmp_path / "mine")]) == 2
    assert capsys.readouterr().err == (
        "ftkit: JupyterLab must be installed, got no package of that name; "
        "install it with: pip install 'ftkit[lab]'\n"
    )
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("folder", ["", "  ", "~nosuchuser/x"])
def test_a_folder_that_cannot_be_meant_is_refused(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "--folder", folder]) == 2
    assert re.search(r"^ftkit: the .*must .*, got .*; name .* --folder", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_without_a_home_folder_the_usual_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "")
    with pytest.raises(ValueError, match="the home folder .* must be known, got '~/ftkit-lessons'"):
        lab.lessons_folder("~/ftkit-lessons")
    assert lab.lessons_folder(str(tmp_path)) == tmp_path
    assert len(lab.places(tmp_path)) == 6
    monkeypatch.setenv("HOME", str(tmp_path / "my home ä"))
    assert lab.lessons_folder("~/x") == tmp_path / "my home ä" / "x"


def test_what_the_home_folder_cannot_keep_goes_beside_the_lessons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    for name in (*(f"JUPYTER_{name}" for name in names), "IPYTHONDIR", "HF_HOME", "FTKIT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "new home"))
    assert lab.places(tmp_path) == {}, "it can be made"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    places = lab.places(tmp_path / "lessons")
    assert set(places) == {f"JUPYTER_{name}" for name in names} | {
        "IPYTHONDIR",
        "HF_HOME",
        "FTKIT_CACHE",
    }
    assert all(
        place.startswith(str(tmp_path / "lessons" / ".jupyter")) for place in places.values()
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "theirs"))
    assert "IPYTHONDIR" not in lab.places(tmp_path), "a value of the learner's own stays"


def test_a_folder_in_place_of_the_record_is_set_aside(kit: Path, mine: Path) -> None:
    (mine / RECORD).unlink()
    (mine / RECORD).mkdir()
    copy_lessons(kit, mine)
    assert (mine / RECORD).is_file() and (mine / f"{RECORD}.damaged-1").is_dir()


LINK = re.compile(r"(http://127\.0\.0\.1:\d+)(/lab/tree/00_the_picture\.ipynb)\?token=(\w{20,})")


def until_link(server: "subprocess.Popen[str]") -> tuple[str, re.Match[str]]:
    """What a started server prints up to the link to its page, and the link."""
    assert server.stdout is not None
    printed, link = "", None
    while link is None:
        line = server.stdout.readline()
        assert line, f"the server ended: {printed}"
        printed += line
        link = LINK.search(printed)
    return printed, link


def status(url: str) -> int:
    """The status of the answer; the server says its address a moment before it listens there."""
    end = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_lab_shows_the_first_lesson_to_a_browser_with_the_token(tmp_path: Path) -> None:
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("JUPYTER_")},
        **{name: str(tmp_path / name) for name in folders},
        "FTKIT_LESSONS": str(tmp_path / "my lessons"),
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "ftkit", "lab", "--no-open"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            printed, link = until_link(server)
            lessons = f"Your lessons are in {tmp_path / 'my lessons'}\n  new: {FIRST}"
            assert printed.startswith(lessons)
            address, page, token = link.groups()
            assert status(f"{address}{page}?token={token}") == 200
            assert status(f"{address}/api/contents/{FIRST}?token={token}") == 200
            assert status(f"{address}/api/contents/{FIRST}") == 403
            assert status(f"{address}/api/contents/{FIRST}?token={'0' * 48}") == 403
            extension = "@jupyterlab/apputils-extension:notification"
            settings = f"{address}/lab/api/settings/{extension}?token={token}"
            properties = json.loads(urllib.request.urlopen(settings).read())["schema"]["properties"]
            assert properties["fetchNews"]["default"] == "false"
            assert properties["checkForUpdates"]["default"] is False
        finally:
            server.terminate()
            try:
                rest = server.communicate(timeout=20)[0]
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGKILL)
    assert "received signal 15" in rest, "the server itself stops, not only the command"


def test_a_killed_lab_leaves_no_server_and_needs_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("JUPYTER_")},
        "HOME": str(tmp_path / "file"),  # nothing can be written there, not even by root
        "OMP_NUM_THREADS": "1",
    }
    folder = tmp_path / "my läsons"
    with subprocess.Popen(
        [sys.executable, "-m", "ftkit", "lab", "--no-open", "--folder", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            _, link = until_link(started)
            assert status(f"{link[1]}{link[2]}?token={link[3]}") == 200
            assert {"jupyter_runtime_dir"} <= {
                each.name for each in (folder / ".jupyter").iterdir()
            }
            started.kill()
            # The server has the other end of the pipe until it ends.
            printed = started.communicate(timeout=10)[0]
            assert "Traceback" not in printed
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
