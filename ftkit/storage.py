"""Files that are written as a whole or not at all."""

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; its file replaces the one at `path` when the block ends.

    A reader sees the old file or the new one, never a part of it. After an error the old file is
    unchanged and nothing else is left behind. Several processes may write the same file at once.

    The new file gets the mode of the old one. A symbolic link stays, and the file behind it is
    replaced.

    Raises:
        ValueError: there is something at `path` that is no regular file, such as a device.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "note.txt") as new:
    ...         _ = new.write_text("whole")
    ...     print([(file.name, file.read_text()) for file in Path(folder).iterdir()])
    [('note.txt', 'whole')]
    """
    target = _target(path)
    # In a folder next to the target, and so on the same disk: only there a rename is atomic.
    with _folder_beside(target) as folder:
        new = Path(folder) / target.name
        yield new
        with suppress(FileNotFoundError):  # there is no old file
            shutil.copymode(target, new)
        os.replace(new, target)


def check_writable(path: Path, what: str = "the file") -> None:
    """Check that `whole_file` can write `path`, before the work whose result goes there begins.

    Args:
        path: the file to write; it need not exist.
        what: the file in words, for the error.

    Raises:
        ValueError: the folder does not exist or cannot be written, or there is something at `path`
            that is no regular file or is write-protected.
    """
    try:
        if not path.parent.is_dir():
            raise ValueError(f"the folder of {what} must exist, got {path.parent}; make it first")
        target = _target(path)
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "write-protected")
        # The same steps as in `whole_file`: they find a full disk and a name that is too long too.
        with _folder_beside(target) as folder:
            (Path(folder) / target.name).touch()
    except OSError as error:
        raise ValueError(
            f"{what} must be in a place that can be written, got {path} ({error.strerror}); "
            "name another place or change its permissions"
        ) from error


def _target(path: Path) -> Path:
    """The file that a write to `path` replaces or makes: the one behind symbolic links."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG  # what a new file will be
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise ValueError(
            f"only a regular file can be replaced, got {path}, which is {kind}; name another file"
        )
    return Path(os.path.realpath(path))


def _folder_beside(target: Path) -> "tempfile.TemporaryDirectory[str]":
    """A temporary folder beside `target`, whose files can be renamed to it."""
    return tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-")


def set_aside(path: Path) -> Path:
    """Rename `path`, a file or a folder, so that its place is free; return the new path.

    Nothing is lost: the new name is free, such as `runs.sqlite.damaged-1`.
    """
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    return path.rename(aside)


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
        parquet.write_table(columns, new, compression="zstd", write_page_checksum=True)


def read_table(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read the `pandas.DataFrame` that `write_table` wrote, and how it was made.

    Raises:
        ValueError: there is no such file, or `write_table` did not write its content.
    """
    from pyarrow import parquet

    try:
        columns = parquet.read_table(path, page_checksum_verification=True)
        return columns.to_pandas(), json.loads(columns.schema.metadata[b"about"])
    except Exception as error:  # damaged bytes lead to errors of many classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"a table must be a whole file that the kit wrote, got {path} ({reason[:200]}); "
            "get it again or make it again"
        ) from error
