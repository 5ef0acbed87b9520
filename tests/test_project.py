"""The files around the package agree with one another."""

import json
import re
import subprocess
import tomllib
from collections.abc import Collection
from pathlib import Path

import pytest

import ftkit

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def requirements() -> list[str]:
    return [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]


def test_environment_yml_installs_what_pyproject_says() -> None:
    lines = [
        line.strip().removeprefix("- ")
        for line in (ROOT / "environment.yml").read_text().splitlines()
    ]
    assert "-e .[lab,test]" in lines
    assert "-c constraints.txt" in lines
    assert {"lab", "test"} <= PROJECT["optional-dependencies"].keys()
    python = next(line.removeprefix("python=") for line in lines if line.startswith("python="))
    assert tuple(map(int, python.split("."))) >= tuple(
        map(int, PROJECT["requires-python"].removeprefix(">=").split("."))
    )
    listed = {
        "name: ftkit",
        "channels:",
        "conda-forge",
        "dependencies:",
        f"python={python}",
        "pip",
        "pip:",
        "-c constraints.txt",
        "-e .[lab,test]",
    }
    assert set(lines) == listed  # a package named here would be a second source of truth


def pins(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    assert len(pinned) == len(lines), "a package is pinned twice"
    return {package.lower().replace("_", "-"): version for package, version in pinned.items()}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("constraints.txt", PROJECT["optional-dependencies"].keys()),
        ("constraints-colab.txt", ("lab",)),
    ],
)
def test_constraints_satisfy_every_lower_bound(name: str, extras: Collection[str]) -> None:
    pinned = pins(name)
    assert pinned["torch"] == "2.13.0"
    for line in [
        *PROJECT["dependencies"],
        *(line for extra in extras for line in PROJECT["optional-dependencies"][extra]),
    ]:
        package, bound = re.fullmatch(r"([\w.-]+)>=([\d.]+)", line).groups()  # type: ignore[union-attr]
        assert numbers(pinned[package.lower()]) >= numbers(bound), line


def test_lower_bounds_leave_colab_as_it_is() -> None:
    colab = pins("constraints-colab.txt") | {"torch": "2.11.0"}
    known = {
        "ipywidgets": "7.7.1",
        "plotly": "5.24.1",
        "anywidget": "0.9.21",
        "ipykernel": "6.17.1",
        "ipython": "7.34.0",
        "traitlets": "5.7.1",
    }
    known |= {
        "transformers": "5.15.0",
        "datasets": "4.0.0",
        "numpy": "2.1.3",
        "pandas": "2.2.3",
        "scikit-learn": "1.6.1",
        "peft": "0.20.0",
    }
    assert colab.items() >= known.items()
    for line in requirements():
        name, bound = line.split(">=")
        if name in colab and name != "notebook":  # the tests drive Notebook 7 beside Colab's 6
            assert numbers(colab[name]) >= numbers(bound), line


def test_the_version_is_said_once() -> None:
    assert PROJECT["version"] == ftkit.__version__


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_stored_notebook_is_executed_small_and_without_widgets(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert "widgets" not in notebook["metadata"]
    assert path.stat().st_size < 200_000
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [out for cell in code for out in cell["outputs"] if out["output_type"] == "error"]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_names_a_place_on_the_machine_it_was_made_on() -> None:
    homes = [str(ROOT.parent), str(Path.home()) + "/"]
    texts = {
        path: path.read_text(encoding="utf8", errors="ignore")
        for path in tracked()
        if path.suffix != ".safetensors"
    }
    texts = {
        path: re.sub(r'"image/png": "[^"]*"', "", text) for path, text in texts.items()
    }  # the letters of a picture may spell anything
    assert not [
        path.name
        for path, text in texts.items()
        if any(home in text for home in homes if len(home) > 3)
    ]


def test_every_command_of_the_readme_is_a_target() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make (\w+)", readme)) | set(
        re.findall(r"^ *make (\w+)", readme, re.MULTILINE)
    )
    assert {"lab", "test"} <= named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)
