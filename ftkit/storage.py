"""Files that are whole or not there."""

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Writes `value` beside `path` and renames, so that whoever reads sees the old file or the new one, never half of one."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")
    os.replace(beside, path)


def write_table(path: Path, table: Any, about: dict[str, Any]) -> None:
    """Writes a `pandas.DataFrame` as Parquet, with `about` (how it was made) in the file itself; whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    columns = pyarrow.Table.from_pandas(table, preserve_index=False)
    columns = columns.replace_schema_metadata(
        {**columns.schema.metadata, b"about": json.dumps(about).encode()}
    )
    beside = path.with_name(path.name + ".part")
    parquet.write_table(columns, beside, compression="zstd")
    os.replace(beside, path)


def read_table(path: Path) -> tuple[Any, dict[str, Any]]:
    """The `pandas.DataFrame` that `write_table` wrote, and how it was made."""
    from pyarrow import parquet

    columns = parquet.read_table(path)
    return columns.to_pandas(), json.loads(columns.schema.metadata[b"about"])
