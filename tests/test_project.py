"""The files around the package agree with each other, and with its layout."""

import json
import re
import subprocess
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

import ftkit

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


LESSONS = sorted(path.parent.name for path in (ROOT / "ftkit" / "lessons").glob("*/__init__.py"))


def requirements(extras: Iterable[str]) -> list[str]:
    """The requirements in pyproject.toml, with those of these extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return lines


def test_environment_yml_installs_what_pyproject_says() -> None:
    text = (ROOT / "environment.yml").read_text()
    lines = [line.strip().removeprefix("- ") for line in text.splitlines()]
    assert "-e .[lab,test]" in lines
    assert "-c constraints.txt" in lines
    assert {"lab", "test"} <= PROJECT["optional-dependencies"].keys()
    python = next(line.removeprefix("python=") for line in lines if line.startswith("python="))
    assert numbers(python) >= numbers(PROJECT["requires-python"])
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
    for line in requirements(extras):
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
    for line in requirements(PROJECT["optional-dependencies"]):
        name, bound = line.split(">=")
        if name in colab and name != "notebook":  # besides Colab's 6, the tests drive Notebook 7
            assert numbers(colab[name]) >= numbers(bound), line


def test_the_package_has_the_version_of_pyproject() -> None:
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


def test_no_file_has_a_path_of_the_machine_it_was_made_on() -> None:
    homes = [home for home in (str(ROOT.parent), str(Path.home())) if len(home) > 2]
    absolute = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, homes))})(?!\w)")
    for path in tracked():
        if path.suffix != ".safetensors":
            text = path.read_text(encoding="utf8", errors="ignore")
            # The letters of an encoded image may spell anything.
            text = re.sub(r'"image/png": "[^"]*"', "", text)
            assert not absolute.search(text), path.name


def test_every_command_of_the_readme_is_a_target() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    inline = re.findall(r"`make (\w+)", readme)
    in_blocks = re.findall(r"^ *make (\w+)", readme, re.MULTILINE)
    targets = {*inline, *in_blocks}
    assert {"lab", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("features", ["archives jobserver output-sync", "archives jobserver", ""])
def test_an_option_of_newer_makes_is_left_out_where_make_has_no_such_feature(features: str) -> None:
    """GNU make 3.81, which comes with macOS, lists its features but has no `--output-sync`."""
    done = subprocess.run(
        ["make", "--dry-run", "test", f".FEATURES={features}", "MAKE=make"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "--jobs=2" in done.stdout
    assert ("--output-sync" in done.stdout) == ("output-sync" in features)


@pytest.mark.parametrize("folder", LESSONS)
def test_a_lesson_has_one_name_in_all_places(folder: str) -> None:
    """A notebook, recorded runs, tests and a row of the README; nothing else registers a lesson."""
    notebooks = [path.stem for path in NOTEBOOKS if re.fullmatch(rf"\d\d_{folder}", path.stem)]
    assert len(notebooks) == 1, f"notebooks/NN_{folder}.ipynb"
    (name,) = notebooks
    assert (ROOT / "data" / "results" / f"{name}.parquet").is_file()
    assert list((ROOT / "tests" / "lessons" / folder).glob("test_*.py"))
    assert name[:2] in numbers_in_readme()


def test_every_notebook_and_every_row_of_the_readme_is_of_a_lesson() -> None:
    assert sorted(path.stem[3:] for path in NOTEBOOKS) == LESSONS
    assert numbers_in_readme() == [path.stem[:2] for path in NOTEBOOKS]


def numbers_in_readme() -> list[str]:
    """The numbers of the lessons in the README's table, from top to bottom."""
    return re.findall(r"^\| (\d\d) ", (ROOT / "README.md").read_text(), re.MULTILINE)
