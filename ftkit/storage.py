"""Files that are written as a whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; its file replaces the one at `path` when the block ends.

    A reader sees the old file or the new one, never a part of it. After an error the old file is
    unchanged and nothing else is left behind. Several processes may write the same file at once.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "note.txt") as new:
    ...         _ = new.write_text("whole")
    ...     print([(file.name, file.read_text()) for file in Path(folder).iterdir()])
    [('note.txt', 'whole')]
    """
    # In a folder next to the target, and so on the same disk: only there a rename is atomic.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        new = Path(folder) / path.name
        yield new
        os.replace(new, path)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with whole_file(path) as new:
        new.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")


def write_table(path: Path, table: Any, about: dict[str, Any]) -> None:
    """Write a `pandas.DataFrame` as Parquet, with `about` (how it was made) in the same file.

    The file is written whole or not at all.
    """
    import pyarrow
    from pyarrow import parquet

    columns = pyarrow.Table.from_pandas(table, preserve_index=False)
    columns = columns.replace_schema_metadata(
        {**columns.schema.metadata, b"about": json.dumps(about).encode()}
    )
    with whole_file(path) as new:
        parquet.write_table(columns, new, compression="zstd")


def read_table(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read the `pandas.DataFrame` that `write_table` wrote, and how it was made."""
    from pyarrow import parquet

    columns = parquet.read_table(path)
    return columns.to_pandas(), json.loads(columns.schema.metadata[b"about"])
