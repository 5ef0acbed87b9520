"""Make a base that comes with the kit, and record its checksums."""

from collections.abc import Callable
from pathlib import Path

from ftkit.checksums import MANIFEST, record
from ftkit.paths import kit_path
from ftkit.storage import check_writable


def make_base(name: str, build: Callable[[Path], None]) -> None:
    """Make the base `name` again with `build`, which writes it into the folder that it is given.

    Raises:
        ValueError: the folder cannot be written; nothing has run then.
    """
    data = kit_path("data")
    folder = data / "bases" / name
    for path in (folder / "model.safetensors", data / MANIFEST):
        check_writable(path)
    build(folder)
    record(data, f"bases/{name}")
