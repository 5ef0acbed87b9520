"""`load_task`: a task by its name, from files, or from a hub data set."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftkit import checks
from ftkit.tasks import digits, docs, user_files
from ftkit.tasks.table_files import SUFFIXES
from ftkit.tasks.task import Task

KNOWN = (*docs.LABELS, *digits.NAMES)
"""The names of the kit's own tasks."""


def load_task(
    name: str | Path,
    *,
    permute: float = 0.0,
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    seed: int = 0,
    sep: str | None = None,
    columns: Sequence[str] | None = None,
) -> Task:
    """Load a task by its name, from files, or from the hub.

    Args:
        name: one of these.

            - `"docs"` (which library wrote this sentence?), or another label of the same
              sentences: `"docs-area"` (which part of its library), `"docs-kind"` (class, method
              or function), `"docs-opening"` (the first word);
            - `"digits"` (handwriting as images), `"digits-parity"` (the same, even or odd?) or
              `"digits-as-text"` (the same as words);
            - the path of a CSV, TSV, JSONL or Parquet file, or of a folder with files named train,
              validation and test;
            - the id of a hub dataset.
        permute: for the docs tasks, the share of the vocabulary that is permuted, from 0 (English)
            to 1 (gibberish).
        text: the column of a file or hub dataset that holds the text, or several columns whose
            texts are joined by a space; guessed from usual names if not given.
        label: the column that holds the label; guessed from usual names if not given.
        seed: decides the split of data that comes without one, at least 0.
        sep: the character between the fields of a file, such as ";" or "tab"; if not given, a comma
            in CSV files and a tab in TSV files.
        columns: the names of all columns of a file that has no header line.

    Raises:
        ValueError: an unknown name, or data that cannot be used; the message names file and row.
    """
    if not isinstance(name, str | Path) or not str(name).strip():
        raise ValueError(
            f"the task must be a name or a path, got {checks.shown(name)}; the kit's are "
            f"{', '.join(KNOWN)}"
        )
    checks.number("permute", permute, advice="0 leaves the texts as they are")
    checks.seed(seed)
    _check_columns(text, label, sep, columns)
    if name in docs.LABELS:
        return docs.load(str(name), permute)
    if permute:
        raise ValueError(
            f"permute must be 0 for other tasks than {', '.join(docs.LABELS)}, "
            f"got {permute!r} for {name!r}; leave permute out"
        )
    if name in digits.NAMES:
        return digits.load(str(name))
    if _is_file(name) or sep is not None or columns is not None:
        return user_files.load(Path(name), text, label, seed, sep, columns)
    near = near_name(str(name), KNOWN)
    if near:
        raise ValueError(
            f"the task must be one of the kit's, a file, a folder or a dataset of the hub, got "
            f"{name!r}; did you mean {near!r}?"
        )
    return user_files.load_hub(str(name), text, label, seed)


def _check_columns(text: Any, label: Any, sep: Any, columns: Any) -> None:
    """Refuse what names no columns, and no separator."""
    advice = "write the name of a column"
    for name, value in (("text", text), ("columns", columns)):
        if value is not None and not (name == "text" and isinstance(value, str)):
            checks.each(name, value, str, "names of columns", advice, least=1)
    for name, value in (("label", label), ("sep", sep)):
        if value is not None:
            checks.text(name, value, advice)


def _is_file(name: str | Path) -> bool:
    """Whether a name is that of a file or folder, or looks like one."""
    path = Path(name)
    return user_files.exists(path) or isinstance(name, Path) or path.suffix.lower() in SUFFIXES


def near_name(name: str, known: Sequence[str]) -> str:
    """Return the known name that is nearest to a misspelt one; "" if none is near.

    >>> near_name("dosc", ["docs", "digits"]), near_name("imdb", ["docs", "digits"])
    ('docs', '')
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return near[0] if near else ""
