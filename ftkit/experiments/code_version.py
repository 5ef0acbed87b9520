"""Which code a trial stands on: what must be the same for an old run to stand for a new one."""

import ast
import hashlib
import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def version(trial: Callable[..., Any]) -> str:
    """Eight hexadecimal digits that say which code `trial` stands on: the source of its module, and of every module of this package that
    is imported there, directly or through others. Comments, docstrings and layout do not count.
    """
    while isinstance(trial, partial):
        trial = trial.func
    module = inspect.getmodule(trial)
    file = getattr(module, "__file__", None)
    first = (
        Path(file).read_text(encoding="utf8")
        if file and Path(file).is_file()
        else inspect.getsource(trial)
    )
    digest = hashlib.blake2b(digest_size=4)
    for text in (
        plain(first),
        *(plain(path.read_text(encoding="utf8")) for path in reached(first)),
    ):
        digest.update(text.encode())
    return digest.hexdigest()


def named(trial: Callable[..., Any]) -> str:
    """What a trial is called: its module, its name, and what a `partial` has fixed.

    >>> named(partial(version, trial=print)), named(partial(round, ndigits=2))
    ('ftkit.experiments.code_version.version(trial=builtins.print)', 'builtins.round(ndigits=2)')
    """
    if not isinstance(trial, partial):
        return f"{trial.__module__}.{trial.__qualname__}"
    fixed = [
        *map(_said, trial.args),
        *(f"{name}={_said(value)}" for name, value in sorted(trial.keywords.items())),
    ]
    return f"{named(trial.func)}({', '.join(fixed)})"


def _said(value: Any) -> str:
    return named(value) if callable(value) else repr(value)


def plain(source: str) -> str:
    """The source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return ast.unparse(tree)


def reached(source: str) -> list[Path]:
    """The files of this package that a source imports, directly or through others, sorted."""
    found, left = set[Path](), _imports(source)
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left |= _imports(path.read_text(encoding="utf8"))
    return sorted(found)


def _imports(source: str) -> set[Path]:
    found = set[Path]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {file for alias in node.names if (file := _file(alias.name))}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [_file(f"{node.module}.{alias.name}") for alias in node.names]
            found |= {file for file in modules if file}
            # A package's own file counts only for a name that it defines itself.
            if None in modules and (file := _file(node.module)):
                found.add(file)
    return found


@lru_cache(maxsize=1024)
def _file(name: str) -> Path | None:
    """The file of a module of this package by its name; None for what is no module, such as a class."""
    first, *path = name.split(".")
    if first != ROOT.name:
        return None
    stem = ROOT.joinpath(*path)
    return next(
        (
            path
            for path in (stem.with_suffix(".py"), stem / "__init__.py")
            if path.is_file() and path != ROOT / "__init__.py"
        ),
        None,
    )
