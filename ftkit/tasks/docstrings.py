"""Docstrings of installed packages, found with `ast`: nothing is imported, nothing is run.

This is where the kit's English comes from: every machine that can run the kit has tens of
megabytes of technical prose, written by people, with labels that are facts (which library, what
kind of object). `python -m ftkit.tasks.docstrings` is the worker that `read` starts.
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
    """Split a paragraph into its sentences; white space is collapsed.

    >>> sentences("Return the mean.  Missing values\\n are skipped.")
    ['Return the mean.', 'Missing values are skipped.']
    """
    return _SENTENCE_END.split(" ".join(paragraph.split()))


def paragraphs(docstring: str) -> list[str]:
    """Split a docstring at its blank lines; white space is collapsed."""
    parts = re.split(r"\n\s*\n", docstring.strip())
    return [" ".join(part.split()) for part in parts if part.strip()]


def root_of(library: str) -> Path:
    """The folder of an installed library's source; `"stdlib"` is Python's own.

    Raises:
        ValueError: the library is not installed.
    """
    if library == "stdlib":
        return Path(sysconfig.get_paths()["stdlib"])
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"the library {library!r} must be installed to read its docstrings, got no package; "
            f"try pip install {library}"
        )
    return Path(spec.submodule_search_locations[0])


def source_files(root: Path, share: float = 1.0) -> list[Path]:
    """The Python files under `root` without tests, sorted.

    A `share` below 1 keeps the files whose path has a `unit_hash` below it.
    """
    files = (
        path
        for path in root.rglob("*.py")
        if not _SKIPPED.intersection(path.relative_to(root).parts[:-1])
    )
    return sorted(path for path in files if unit_hash(path.relative_to(root).as_posix()) < share)


def parse(path: Path) -> Iterator[Record]:
    """Yield one record for each docstring of a class, method or function in a file.

    A record has `name`, `kind` ("class", "method" or "function"), `arguments` (their number) and
    `doc`. A file that Python cannot parse has no records.
    """
    source = path.read_text(encoding="utf8", errors="ignore")
    if '"""' not in source and "'''" not in source:
        return
    unparsable = (SyntaxError, ValueError, RecursionError)
    with contextlib.suppress(*unparsable), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from _definitions(ast.parse(source).body, inside="module")


def _definitions(body: list[ast.stmt], inside: str) -> Iterator[Record]:
    for node in body:
        if isinstance(node, _DEFINITIONS):
            if isinstance(node, ast.ClassDef):
                kind, arguments = "class", 0
            else:
                kind = "method" if inside == "class" else "function"
                arguments = len(node.args.args) + len(node.args.kwonlyargs)
            doc = ast.get_docstring(node)
            if doc:
                yield {"name": node.name, "kind": kind, "arguments": arguments, "doc": doc}
            yield from _definitions(node.body, kind)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions(node.body, inside)


def read(files: Iterable[Path], workers: int = 2) -> Iterator[tuple[Path, list[Record]]]:
    """Parse files in `workers` processes and yield each file's records, in no fixed order.

    These are plain subprocesses, because a process pool would run a user's unguarded script again.
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
    """The answers of all workers, a line from each in turns.

    So the progress bar moves and no pipe fills up.
    """
    pending = [process.stdout for process in running if process.stdout is not None]
    answered = 0
    while pending:
        for pipe in list(pending):
            line = pipe.readline()
            if not line:
                pending.remove(pipe)
                continue
            name, records = json.loads(line)
            answered += 1
            yield Path(name), records
    if answered != expected:
        raise RuntimeError(
            f"the workers must read {expected} files, got {answered}; "
            "a worker process died, try again"
        )


def _work() -> None:
    # The nodes of a syntax tree die together; looking for single ones takes half of the time.
    gc.disable()
    for name in json.load(sys.stdin):
        print(json.dumps([name, list(parse(Path(name)))]), flush=True)


if __name__ == "__main__":
    _work()
