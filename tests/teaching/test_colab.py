"""The two cells with which every lesson starts: what they do in Colab, and nothing elsewhere."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ftkit.teaching.colab import BADGE, INSTALL, Source, main, read_source, stamp, write_source

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WHEEL = "ftkit-0.1.0-py3-none-any.whl"
UNPUBLISHED, PUBLISHED = Source("", "v0.1.0", "0.1.0"), Source("owner/name", "v1", "0.1.0")

# IPython runs the cell as a notebook does. `pip` only notes what it was asked for.
# The test says which versions are installed.
RUNNER = """
import importlib.metadata, json, sys, types
from IPython.core.interactiveshell import InteractiveShell
code, colab, had = json.load(sys.stdin)
if colab:
    sys.modules["google.colab"] = types.ModuleType("google.colab")

def distributions(name):
    return [types.SimpleNamespace(version=version) for version in had if name == "ftkit"]

importlib.metadata.distributions = distributions
shell, asked = InteractiveShell.instance(), []
shell.register_magic_function(asked.append, "line", "pip")
failed = shell.run_cell(code).error_in_exec
print(json.dumps([asked, repr(failed)]))
"""


def run(
    cell: str, folder: Path, colab: bool = True, had: tuple[str, ...] = ()
) -> tuple[list[str], str]:
    """Run the cell; return what it asked of pip, and what it printed."""
    environment = {**os.environ, "IPYTHONDIR": str(folder / ".ipython")}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([cell, colab, had]),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    *said, last = done.stdout.splitlines()
    asked, failed = json.loads(last)
    assert failed == "None", done.stdout
    return asked, "\n".join(said)


@pytest.mark.parametrize("source", [UNPUBLISHED, PUBLISHED], ids=["unpublished", "published"])
def test_elsewhere_the_cell_does_nothing(source: Source, tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"")
    for had in ((), ("0.0.9",), ("0.1.0",)):
        assert run(source.install(), tmp_path, colab=False, had=had) == ([], "")


@pytest.mark.parametrize("source", [UNPUBLISHED, PUBLISHED], ids=["unpublished", "published"])
def test_in_colab_an_installed_version_is_not_installed_again(
    source: Source, tmp_path: Path
) -> None:
    (tmp_path / WHEEL).write_bytes(b"")
    assert run(source.install(), tmp_path, had=("0.1.0",)) == ([], "")


def test_unpublished_without_a_wheel_the_cell_says_how_to_get_one(tmp_path: Path) -> None:
    another_version = tmp_path / "ftkit-0.2.0-py3-none-any.whl"
    another_version.write_bytes(b"")
    asked, said = run(UNPUBLISHED.install(), tmp_path)
    assert asked == []
    assert said == (
        f"Upload {WHEEL} (ftkit here: None) in the Files panel; "
        "`make wheel` in the kit makes it. Then run this again."
    )
    assert "(ftkit here: ['0.0.9'])" in run(UNPUBLISHED.install(), tmp_path, had=("0.0.9",))[1]


def test_unpublished_with_a_wheel_the_cell_installs_it(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"")
    assert run(UNPUBLISHED.install(), tmp_path) == ([f"install -q {WHEEL}"], "")
    asked, said = run(UNPUBLISHED.install(), tmp_path, had=("0.0.9",))
    assert asked == [f"install -q {WHEEL}"]
    assert (
        "ftkit 0.0.9 was here, this lesson is for 0.1.0: choose Runtime > Restart session" in said
    )


def test_published_the_cell_installs_the_tag(tmp_path: Path) -> None:
    wanted = 'install -q "ftkit @ git+https://github.com/owner/name@v1"'
    assert run(PUBLISHED.install(), tmp_path) == ([wanted], "")
    asked, said = run(PUBLISHED.install(), tmp_path, had=("0.2.0",))
    assert asked == [wanted]
    assert (
        "ftkit 0.2.0 was here, this lesson is for 0.1.0: choose Runtime > Restart session" in said
    )


def test_the_wheel_that_the_cell_names_is_the_one_that_is_built() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (
        f'"{project["name"]}-{project["version"]}-py3-none-any.whl"'
        in read_source(ROOT / "pyproject.toml").install()
    )


@pytest.mark.parametrize("source", [UNPUBLISHED, PUBLISHED], ids=["unpublished", "published"])
def test_the_cell_is_short_and_replaces_nothing_that_colab_has(source: Source) -> None:
    lines = source.install().splitlines()
    assert len(lines) <= 15 and max(map(len, lines)) <= 140
    asked = [line.split("%pip ")[1] for line in lines if "%pip" in line]
    assert len(asked) == 1 and not re.search(r"-U|--upgrade|--force|==|\[", asked[0])


def test_badge() -> None:
    assert "colab.research.google.com" not in UNPUBLISHED.badge("00_a.ipynb")
    assert "next cell" in UNPUBLISHED.badge("00_a.ipynb")
    address = "https://colab.research.google.com/github/owner/name/blob/v1/notebooks/00_a.ipynb"
    assert PUBLISHED.badge("00_a.ipynb").endswith(f"]({address})")


@pytest.mark.parametrize(
    "repo",
    [
        "name",
        "owner/name/more",
        'owner/na"me',
        "owner/name\n",
        "owner/name@v1",
        "../name",
        "https://x/y",
    ],
)
def test_a_repository_is_owner_and_name(repo: str) -> None:
    with pytest.raises(ValueError, match="repo must be owner/name, got "):
        Source(repo, "v1", "0.1.0")


@pytest.mark.parametrize("tag", ["", "-v1", "v 1", 'v1"', "v1/x", "v1\n"])
def test_a_tag_is_one_word(tag: str) -> None:
    with pytest.raises(ValueError, match="tag must be a tag of the repository, got "):
        Source("owner/name", tag, "0.1.0")


def write_lesson(path: Path) -> None:
    cells: list[Any] = [
        nbformat.v4.new_markdown_cell("# A lesson", id="title"),
        nbformat.v4.new_code_cell("1 + 1", id="sum"),
    ]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_stamping_puts_the_two_cells_first_and_is_idempotent(tmp_path: Path) -> None:
    path = tmp_path / "notebooks" / "00_a.ipynb"
    write_lesson(path)
    assert stamp(path, UNPUBLISHED)
    first = path.read_bytes()
    assert not stamp(path, UNPUBLISHED) and path.read_bytes() == first
    assert [cell.id for cell in nbformat.read(path, 4).cells] == [BADGE, INSTALL, "title", "sum"]


def test_stamping_again_replaces_the_cells_wherever_they_are_and_keeps_counts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "notebooks" / "00_a.ipynb"
    write_lesson(path)
    stamp(path, UNPUBLISHED)
    notebook = nbformat.read(path, 4)
    notebook.cells[1].execution_count = 1
    notebook.cells.reverse()
    nbformat.write(notebook, path)
    assert stamp(path, PUBLISHED)
    cells = nbformat.read(path, 4).cells
    assert [cell.id for cell in cells] == [BADGE, INSTALL, "sum", "title"]
    assert [cells[0].source, cells[1].source] == [
        PUBLISHED.badge("00_a.ipynb"),
        PUBLISHED.install(),
    ]
    assert cells[1].execution_count == 1


def test_the_command_stamps_pyproject_and_every_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(before)
    for name in ("00_a.ipynb", "02_b.ipynb"):
        write_lesson(tmp_path / "notebooks" / name)
    assert main(["--repo", "owner/name", "--tag", "v7"]) == 0
    assert capsys.readouterr().out == "00_a.ipynb: stamped\n02_b.ipynb: stamped\n"
    after = (tmp_path / "pyproject.toml").read_text()
    changed = [
        new for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new
    ]
    assert set(changed) <= {'repo = "owner/name"', 'tag = "v7"'}
    assert read_source(tmp_path / "pyproject.toml") == Source(
        "owner/name", "v7", tomllib.loads(before)["project"]["version"]
    )
    assert "github.com/owner/name@v7" in (tmp_path / "notebooks" / "02_b.ipynb").read_text()
    assert main([]) == 0 and (tmp_path / "pyproject.toml").read_text() == after
    assert capsys.readouterr().out == "00_a.ipynb: unchanged\n02_b.ipynb: unchanged\n"
    assert main(["--repo", "owner"]) == 2
    assert "colab: repo must be owner/name, got 'owner'" in capsys.readouterr().err
    assert (tmp_path / "pyproject.toml").read_text() == after


def test_a_project_without_a_table_for_colab_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nversion = "1"\n')
    with pytest.raises(ValueError, match=r"\[tool.ftkit.colab\] must hold repo and tag, got {}"):
        read_source(path)
    with pytest.raises(ValueError, match=r"must have the table \[tool.ftkit.colab\], got none"):
        write_source(path, PUBLISHED)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_lesson_carries_the_stamp_of_pyproject(path: Path) -> None:
    source = read_source(ROOT / "pyproject.toml")
    cells = nbformat.read(path, 4).cells
    assert [(cell.cell_type, cell.id) for cell in cells[:2]] == [
        ("markdown", BADGE),
        ("code", INSTALL),
    ], "run `make colab`"
    assert [cell.source for cell in cells[:2]] == [source.badge(path.name), source.install()], (
        "run `make colab`"
    )
    assert not [cell.id for cell in cells[2:] if cell.id in (BADGE, INSTALL)]
    assert cells[1].outputs == []


def test_the_cells_pass_ruff_as_every_notebook_does(tmp_path: Path) -> None:
    for name, source in (("00_a.ipynb", UNPUBLISHED), ("01_b.ipynb", PUBLISHED)):
        write_lesson(tmp_path / "notebooks" / name)
        stamp(tmp_path / "notebooks" / name, source)
    for action in (["check"], ["format", "--check"]):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *action,
                "--config",
                str(ROOT / "notebooks" / "ruff.toml"),
                str(tmp_path),
            ],
            check=True,
        )
