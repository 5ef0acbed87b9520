"""Tables of text from files: CSV, TSV, JSONL and Parquet, and from datasets of the hub.

A table is read as its file says, or refused with the number of the row. Nothing is guessed
silently: what was guessed or left out is in the notes.
"""

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
OTHER_SEPARATORS = ";\t|"
"""What separates the fields of files that are called CSV and have no commas."""
LONGEST_FIELD = 2**27
"""The most characters of a field; the csv module refuses 2**17 and more if it is not told."""


class _NoLabel:
    """The type of `NO_LABEL`."""

    def __repr__(self) -> str:
        return "no label"


NO_LABEL = _NoLabel()
"""The value of a cell that a dataset marks as unlabelled, with the class number -1."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table, equally long lists of any values, and what was done to read them."""

    name: str
    values: dict[str, list[Any]]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), []))


def shown(name: str) -> str:
    """Return a name as it may be printed: itself, or with escapes if it has control characters.

    >>> print(shown("train.csv"), shown(chr(27) + ".csv"))
    train.csv '\\x1b.csv'
    """
    return name if name.isprintable() else repr(name)


def read(path: Path, sep: str | None, columns: Sequence[str] | None) -> Columns:
    """Read all columns of a file.

    Args:
        path: its suffix says what the file is, unless `sep` says that it is a table of text.
        sep: the character between the fields of a table of text; a comma in CSV and a tab in TSV if
            it is None.
        columns: the names of all columns, for a table of text without a header line.

    Raises:
        ValueError: the file is not what its suffix says; the message names the file and the row.
    """
    kind, name = path.suffix.lower(), shown(path.name)
    if sep is None and kind not in SUFFIXES:
        raise ValueError(
            f"a file must end in {', '.join(SUFFIXES)}, got {name}; convert it to one of them, "
            "or give sep= if it is a table of text"
        )
    if kind in (".jsonl", ".parquet"):
        if sep is not None or columns is not None:
            raise ValueError(
                f"sep and columns must be left out for {name}, which says itself where its "
                "columns are; leave them out"
            )
        return _parquet(path) if kind == ".parquet" else _jsonl(_decoded(path), name)
    if sep is None:
        sep = "\t" if kind == ".tsv" else ","
    return _text_table(_decoded(path), name, _separator(sep), columns)


def from_arrow(name: str, table: Any, features: Any) -> Columns:
    """Take the columns of a `pyarrow.Table`.

    Args:
        name: what the table is called in messages.
        table: any columns.
        features: the `datasets.Features` of the table; a class number becomes the name of its
            class, and -1 becomes `NO_LABEL`.
    """
    from datasets import ClassLabel

    _check_header(table.column_names, name)
    values = {}
    for column in table.column_names:
        values[column] = table.column(column).to_pylist()
        feature = features.get(column)
        if isinstance(feature, ClassLabel):
            values[column] = [_class_name(value, feature.names) for value in values[column]]
    return Columns(name, values)


def _class_name(number: int | None, names: Sequence[str]) -> Any:
    if number is None:
        return None
    return names[number] if number >= 0 else NO_LABEL


def _parquet(path: Path) -> Columns:
    from datasets import Features
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        features = Features.from_arrow_schema(table.schema)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{shown(path.name)} must be a Parquet file, got {reason}; write it again"
        ) from error
    return from_arrow(shown(path.name), table, features)


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The position is counted from behind a byte order mark, which has three bytes.
        mark = 3 if content.startswith(b"\xef\xbb\xbf") else 0
        line = content[: error.start + mark].count(b"\n") + 1
        raise ValueError(
            f"line {line} of {shown(path.name)} must be UTF-8, got byte "
            f"{content[error.start + mark]:#04x}; save it as UTF-8"
        ) from None


def _jsonl(decoded: str, name: str) -> Columns:
    rows: list[dict[str, Any]] = []
    # A line ends at "\n" and nowhere else: a text may hold any other character that ends a line.
    for number, line in enumerate(decoded.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _no_object(number, name, getattr(error, "msg", "too many brackets")) from None
        if not isinstance(row, dict):
            raise _no_object(number, name, repr(line[:40]))
        rows.append(row)
    keys = dict.fromkeys(key for row in rows for key in row)
    return Columns(name, {key: [row.get(key) for row in rows] for key in keys})


def _no_object(number: int, name: str, value: str) -> ValueError:
    return ValueError(
        f"line {number} of {name} must be a JSON object, got {value}; write one object a line"
    )


def _separator(sep: str) -> str:
    """The character that a learner names: itself, "tab" or "\\t"."""
    known = {"tab": "\t", "\\t": "\t"}.get(sep, sep)
    if len(known) != 1 or known in '"\r\n':
        raise ValueError(
            f"sep must be one character and no quote, got {sep!r}; write tab for a tab"
        )
    return known


def _text_table(decoded: str, name: str, sep: str, columns: Sequence[str] | None) -> Columns:
    """Read lines of fields; the first line has the names of the columns, unless they are given."""
    rows, notes = _tabbed_rows(decoded, name) if sep == "\t" else _quoted_rows(decoded, name, sep)
    if columns is not None:
        header, where = list(columns), "columns"
    elif not rows:
        raise ValueError(f"{name} has no rows; a task needs a header line and rows")
    else:
        header, where, rows = rows[0], "its header", rows[1:]
        _check_separator(header, name, sep)
    _check_header(header, name)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"row {number} of {name} must have {len(header)} fields like {where}, got "
                f"{len(row)}: {_short(sep.join(row))}; put quotes around a text that has {sep!r}"
            )
    values = {column: [row[place] for row in rows] for place, column in enumerate(header)}
    return Columns(name, values, notes)


def _quoted_rows(decoded: str, name: str, sep: str) -> tuple[list[list[str]], tuple[str, ...]]:
    """The rows of a table whose texts may stand in quotes, and notes on texts of several lines."""
    rows, several = [], []
    start = 1
    for row, end in _parsed(decoded, name, sep):
        if row:
            rows.append(row)
            if end > start:
                several.append((end - start + 1, start, end))
        start = end + 1
    if not several:
        return rows, ()
    most, first, last = max(several)
    count = "1 row" if len(several) == 1 else f"{len(several):,} rows"
    return rows, (
        f"{count} of {name} spread over several lines, because a quote opens there; "
        f"the longest has {most} lines, {first} to {last}",
    )


def _parsed(decoded: str, name: str, sep: str) -> Iterator[tuple[list[str], int]]:
    """Yield each row and the number of its last line.

    Raises:
        ValueError: a quote is not closed, or is closed inside a field.
    """
    reader = csv.reader(io.StringIO(decoded, newline=""), delimiter=sep, strict=True)
    before = csv.field_size_limit(LONGEST_FIELD)
    line = 0
    try:
        for row in reader:
            yield row, reader.line_num
            line = reader.line_num
    except csv.Error as error:
        first = next(itertools.islice(io.StringIO(decoded, newline=""), line, None), "")
        raise ValueError(
            f"a quote that opens a field must close it, in line {line + 1} of {name} too, got "
            f"{_short(first.rstrip())} ({error}); write a quote inside a text twice"
        ) from None
    finally:
        csv.field_size_limit(before)


def _tabbed_rows(decoded: str, name: str) -> tuple[list[list[str]], tuple[str, ...]]:
    """The rows of a table with tabs.

    Two kinds of file are in use. In one, quotes have no meaning, and a line is a row. The other
    puts quotes around texts as CSV does. A file is of the second kind if it can be read so and
    lines are then not joined to rows that had the right number of fields already.
    """
    lines = [line.removesuffix("\r") for line in decoded.split("\n")]
    plain = [line.split("\t") for line in lines if line.strip()]
    if '"' not in decoded:
        return plain, ()
    try:
        quoted, notes = _quoted_rows(decoded, name, "\t")
    except ValueError:
        quoted, notes = [], ()
    whole = len({len(row) for row in plain}) == 1
    if quoted and (len(quoted) == len(plain) or not whole):
        return quoted, notes
    return plain, (f"quotes in {name} were read as part of the texts, as usual with tabs",)


def _check_separator(header: Sequence[str], name: str, sep: str) -> None:
    """Refuse a header that another separator would cut."""
    if len(header) > 1:
        return
    other = next((each for each in OTHER_SEPARATORS if each in header[0] and each != sep), None)
    if other is not None:
        shown = "tab" if other == "\t" else other
        raise ValueError(
            f"the columns of {name} must be separated by {sep!r}, got the first line "
            f"{_short(header[0])}; give sep={shown!r} if that separates them"
        )


def _check_header(header: Sequence[str], name: str) -> None:
    seen = set()
    for column in header:
        if column in seen:
            raise ValueError(
                f"the columns of {name} must have different names, got {_short(column)} twice; "
                "rename one, or name all with columns= if the first line is a row"
            )
        # A column without a name, such as the row numbers that pandas writes, is never read.
        seen.update([column] if column else [])


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
