"""Imports only go down the floors; the light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ftkit

ROOT = Path(ftkit.__file__).parent
FLOORS = [
    {
        "change",
        "docstrings",
        "shared",
        "delta",
        "events",
        "objective",
        "lineage",
        "readings",
        "record",
        "remembering",
        "stats",
        "worth",
    },
    {
        "data",
        "docs",
        "digits",
        "files",
        "reader",
        "bases",
        "masked",
        "adapted",
        "lowrank",
        "entries",
        "scores",
        "gradients",
    },
    {"techniques"},
    {"training", "cost", "pretrain"},
    {"sweeps", "recorded"},
    {"figures", "pictures", "comparisons", "session", "view", "explorer", "widgets"},
    {"studies"},
    {"lesson"},
    {"arms", "compared"},
    {"run", "lab", "copies"},
    {"__main__"},
]
LIGHT = {
    "events",
    "readings",
    "stats",
    "worth",
    "docstrings",
    "record",
    "sweeps",
    "recorded",
    "figures",
    "pictures",
    "comparisons",
    "session",
    "view",
    "explorer",
}


def modules() -> list[Path]:
    return sorted(
        path
        for path in ROOT.rglob("*.py")
        if path != ROOT / "__init__.py" and "_share" not in path.parts
    )


def floor(name: str) -> int:
    return next(i for i, names in enumerate(FLOORS) if name in names)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | (
                {f"ftkit.{alias.name}" for alias in node.names} if node.module == "ftkit" else set()
            )
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imported(path):
        if name.startswith("ftkit."):
            other = name.split(".")[1]
            assert floor(other) <= floor(own), f"{path.name} imports {name}"
            assert not (own == "techniques" and other == "techniques"), (
                "a technique knows no other technique"
            )


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_light_modules_import_no_torch(name: str) -> None:
    files = [path for path in modules() if path.relative_to(ROOT).parts[0] in (name, f"{name}.py")]
    assert files
    assert not [
        module
        for path in files
        for module in imported(path)
        if module.split(".")[0] in ("torch", "transformers", "datasets")
    ]


def test_import_ftkit_loads_nothing_heavy() -> None:
    code = "import sys, ftkit; print([m for m in ('torch', 'transformers', 'datasets', 'pandas') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_every_public_name_can_be_fetched() -> None:
    for name in ftkit.__all__:
        assert getattr(ftkit, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ftkit.nothing  # noqa: B018


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= 220
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert not body or body[-1].end_lineno - body[0].lineno < 40, node.name  # type: ignore[operator]
