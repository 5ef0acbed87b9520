"""The version of the code that a trial depends on.

An old run may be used in place of a new one only if this is the same.
"""

import ast
import hashlib
import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
"""The folder of the whole package, not only of this one."""


def version(trial: Callable[..., Any]) -> str:
    """Eight hexadecimal digits that identify the code that `trial` depends on.

    That is the source of its module, and of every module of this kit that is imported there,
    directly or through others. Comments, docstrings and layout do not count.
    """
    while isinstance(trial, partial):
        trial = trial.func
    source = _module_source(trial)
    imported = [path.read_text(encoding="utf8") for path in imported_files(source)]
    digest = hashlib.blake2b(digest_size=4)
    for text in (source, *imported):
        digest.update(plain(text).encode())
    return digest.hexdigest()


def _module_source(trial: Callable[..., Any]) -> str:
    """The source of a trial's module; of a function from a notebook its own source alone."""
    file = getattr(inspect.getmodule(trial), "__file__", None)
    if file and Path(file).is_file():
        return Path(file).read_text(encoding="utf8")
    return inspect.getsource(trial)


def trial_name(trial: Callable[..., Any]) -> str:
    """The name of a trial: its module, its own name, and what a `partial` has fixed.

    >>> trial_name(partial(version, trial=print)), trial_name(partial(round, ndigits=2))
    ('ftkit.experiments.code_version.version(trial=builtins.print)', 'builtins.round(ndigits=2)')
    """
    if not isinstance(trial, partial):
        return f"{trial.__module__}.{trial.__qualname__}"
    positional = [_text(value) for value in trial.args]
    by_name = [f"{name}={_text(value)}" for name, value in sorted(trial.keywords.items())]
    return f"{trial_name(trial.func)}({', '.join([*positional, *by_name])})"


def _text(value: Any) -> str:
    return trial_name(value) if callable(value) else repr(value)


def plain(source: str) -> str:
    """The source without comments, docstrings and layout."""
    tree = ast.parse(source)  # comments and layout are no part of a syntax tree
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first.value.value = ""
    return ast.unparse(tree)


def imported_files(source: str) -> list[Path]:
    """The files of this kit that a source imports, directly or through others, sorted."""
    seen, waiting = set[Path](), _direct_imports(source)
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting |= _direct_imports(path.read_text(encoding="utf8"))
    return sorted(seen)


def _direct_imports(source: str) -> set[Path]:
    """The files of this kit that a source imports itself.

    `from package import name` may import a module of the package or a name that the package's own
    file, its `__init__.py`, defines. In the first case only the module counts; the package's own
    file counts if at least one of the names is no module. So a change of another module that the
    package re-exports does not make old runs useless.
    """
    files = set[Path | None]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            files |= {_module_file(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = {_module_file(f"{node.module}.{alias.name}") for alias in node.names}
            files |= modules
            if None in modules:
                files.add(_module_file(node.module))
    return {file for file in files if file is not None}


@lru_cache(maxsize=1024)
def _module_file(name: str) -> Path | None:
    """The file of a module of this kit; None for what is no module of it, such as a class.

    The kit's own `__init__.py` is never returned: it only forwards names, and would make every
    trial depend on everything.
    """
    first, *path = name.split(".")
    if first != ROOT.name:
        return None
    stem = ROOT.joinpath(*path)
    for file in (stem.with_suffix(".py"), stem / "__init__.py"):
        if file.is_file() and file != ROOT / "__init__.py":
            return file
    return None
