"""Docstrings of installed packages, found with `ast`: nothing is imported, nothing is run.

This is where the kit's English comes from: every machine that can run the kit carries tens of megabytes of technical prose, written by
people, with labels that are facts (which library, what kind of object). `python -m ftkit.tasks.docstrings` is the worker that `read` starts.
"""

import ast
import contextlib
import gc
import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from ftkit.seeding import unit_hash

Record = dict[str, str | int]

_SKIPPED = {
    "tests",
    "test",
    "testing",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "idlelib",
    "lib2to3",
}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'(*:])")


def sentences(paragraph: str) -> list[str]:
    """The sentences of one paragraph, white space collapsed.

    >>> sentences("Return the mean.  Missing values\\n are skipped.")
    ['Return the mean.', 'Missing values are skipped.']
    """
    return _SENTENCE_END.split(" ".join(paragraph.split()))


def paragraphs(docstring: str) -> list[str]:
    """The paragraphs of a docstring, white space collapsed; what blank lines separate."""
    return [
        " ".join(part.split()) for part in re.split(r"\n\s*\n", docstring.strip()) if part.strip()
    ]


def root_of(library: str) -> Path:
    """The folder of an installed library's source; `"stdlib"` is Python's own.

    Raises:
        ValueError: the library is not installed.
    """
    if library == "stdlib":
        return Path(sysconfig.get_paths()["stdlib"])
    found = importlib.util.find_spec(library)
    if found is None or not found.submodule_search_locations:
        raise ValueError(
            f"the library {library!r} must be installed to read its docstrings; try pip install {library}"
        )
    return Path(found.submodule_search_locations[0])


def source_files(root: Path, share: float = 1.0) -> list[Path]:
    """The Python files under `root`, tests left out, sorted; a `share` below 1 keeps the files whose path hashes below it."""
    files = (
        path
        for path in root.rglob("*.py")
        if not _SKIPPED.intersection(path.relative_to(root).parts[:-1])
    )
    return sorted(path for path in files if unit_hash(path.relative_to(root).as_posix()) < share)


def parse(path: Path) -> Iterator[Record]:
    """One record for each docstring of a file: `name`, `kind` (class, method or function), `arguments` (how many) and `doc`.

    A file that Python cannot parse has no records.
    """
    source = path.read_text(encoding="utf8", errors="ignore")
    if '"""' in source or "'''" in source:
        with (
            contextlib.suppress(SyntaxError, ValueError, RecursionError),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield from _definitions(ast.parse(source).body, inside="module")


def _definitions(body: list[ast.stmt], inside: str) -> Iterator[Record]:
    for node in body:
        if isinstance(node, _DEFINITIONS):
            kind = (
                "class"
                if isinstance(node, ast.ClassDef)
                else "method"
                if inside == "class"
                else "function"
            )
            if doc := ast.get_docstring(node):
                count = (
                    0
                    if isinstance(node, ast.ClassDef)
                    else len(node.args.args) + len(node.args.kwonlyargs)
                )
                yield {"name": node.name, "kind": kind, "arguments": count, "doc": doc}
            yield from _definitions(node.body, kind)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions(node.body, inside)


def read(files: Iterable[Path], workers: int = 2) -> Iterator[tuple[Path, list[Record]]]:
    """The records of every file, parsed by `workers` processes of their own, in no fixed order.

    Plain subprocesses, because a process pool would run a user's unguarded script again.
    """
    names = [str(path) for path in files]
    command = [sys.executable, "-m", "ftkit.tasks.docstrings"]
    running = []
    for worker in range(workers):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf8"
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(names[worker::workers]))
        process.stdin.close()
        running.append(process)
    try:
        yield from _answers(running, len(names))
    finally:
        for process in running:
            process.kill()
            process.wait()


def _answers(
    running: list["subprocess.Popen[str]"], expected: int
) -> Iterator[tuple[Path, list[Record]]]:
    """The lines of all workers, a turn each, so that the progress bar moves and no pipe fills up."""
    pending = [process.stdout for process in running if process.stdout is not None]
    seen = 0
    while pending:
        for pipe in list(pending):
            if line := pipe.readline():
                name, records = json.loads(line)
                seen += 1
                yield Path(name), records
            else:
                pending.remove(pipe)
    if seen != expected:
        raise RuntimeError(
            f"reading docstrings must answer for {expected} files, got {seen}; a worker process died"
        )


def _work() -> None:
    gc.disable()  # thousands of small nodes that die together: collecting them one by one takes half the time
    for name in json.load(sys.stdin):
        print(json.dumps([name, list(parse(Path(name)))]), flush=True)


if __name__ == "__main__":
    _work()
