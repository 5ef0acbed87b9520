"""Imports go down the layers only, no packages import each other, and light ones stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ftkit

ROOT = Path(ftkit.__file__).parent
LAYERS = [
    {"checks", "checksums", "hub", "paths", "processes", "seeding", "stats", "storage"},
    {"tasks"},
    {"model"},
    {"techniques", "training"},
    {"experiments", "figures", "pretrain"},
    {"panel"},
    {"teaching"},
    {"lessons"},
    {"cli"},
    {"__main__"},
]
LIGHT = (
    "checks",
    "stats",
    "storage",
    "paths",
    "checksums",
    "processes",
    "seeding",
    "figures",
    "panel",
    "experiments/sweep",
    "experiments/tables",
    "experiments/resumable",
    "experiments/code_version",
    "tasks/docstrings",
    "training/events",
    "training/background_validation",
    *(f"lessons/{path.parent.name}/picture" for path in sorted(ROOT.glob("lessons/*/picture.py"))),
)
"""What a notebook imports before it has a model; this must not wait for torch."""
HEAVY = ("torch", "transformers", "datasets", "sklearn")


def modules() -> list[Path]:
    return sorted(
        path
        for path in ROOT.rglob("*.py")
        if path != ROOT / "__init__.py" and "_share" not in path.parts
    )


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def imported(path: Path, everywhere: bool = True) -> set[str]:
    """The modules that a file imports; with `everywhere` inside its functions too."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    names = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` is an import of the module, not of the package's names.
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                names.add(dotted if is_module(dotted) else node.module)
    return names


def is_module(dotted: str) -> bool:
    """Whether a dotted name below ftkit is a file or a package."""
    stem = ROOT.parent.joinpath(*dotted.split("."))
    return stem.with_suffix(".py").is_file() or (stem / "__init__.py").is_file()


def circle(imports: dict[str, set[str]]) -> list[str]:
    """The names that import each other, directly or through others, or are above such a circle."""
    left = dict(imports)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_down(path: Path) -> None:
    here = package(path)
    for name in imported(path):
        if not name.startswith("ftkit."):
            continue
        there = name.split(".")[1]
        message = f"{name_of(path)} imports {name}"
        if there == here:
            assert here != "techniques", f"{message}: no technique knows another"
        else:
            assert layer(there) <= layer(here), message


def test_no_two_packages_import_each_other() -> None:
    """A circle of packages would be one package under several names."""
    imports: dict[str, set[str]] = {}
    for path in modules():
        names = (name for name in imported(path) if name.startswith("ftkit."))
        imports.setdefault(package(path), set()).update(name.split(".")[1] for name in names)
    imports = {package: others - {package} for package, others in imports.items()}
    assert not circle(imports)


def test_no_two_modules_import_each_other() -> None:
    """The same for modules, with the imports outside of functions."""
    files = {}
    for path in modules():
        dotted = name_of(path).removesuffix(".py").replace("/", ".")
        files[f"ftkit.{dotted}".removesuffix(".__init__")] = path
    imports = {name: imported(path, False) & files.keys() - {name} for name, path in files.items()}
    assert not circle(imports)


@pytest.mark.parametrize("name", LIGHT)
def test_light_packages_import_no_torch(name: str) -> None:
    files = [path for path in modules() if name_of(path).startswith((f"{name}/", f"{name}.py"))]
    assert files
    heavy = {
        f"{name_of(path)}: {module}"
        for path in files
        for module in imported(path, everywhere=name != "seeding")
        if module.split(".")[0] in HEAVY
    }
    assert not heavy


def test_import_ftkit_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "datasets", "pandas")
    code = f"import sys, ftkit; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_fetched() -> None:
    for name in ftkit.__all__:
        assert getattr(ftkit, name).__doc__, name
    with pytest.raises(AttributeError, match="No ftkit attribute nothing"):
        ftkit.nothing  # noqa: B018


def test_the_public_names_are_listed_once() -> None:
    """`__init__.pyi` is what editors and mypy read; `lazy_loader` reads the same file."""
    listed = [
        alias.name
        for node in ast.parse((ROOT / "__init__.pyi").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(listed) == sorted(set(listed)) == sorted(ftkit.__all__)
