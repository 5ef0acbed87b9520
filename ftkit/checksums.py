"""The checksums of the files that come with the kit: recorded when made, checked when read.

`data/SHA256SUMS` lists them in the format of `sha256sum -c`. The commands that make the files keep
it true. `make checksums` writes it anew for all files: use it after a change by hand, and never on
files that may be damaged.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from ftkit.paths import kit_path
from ftkit.storage import whole_file

MANIFEST = "SHA256SUMS"
FOLDERS = ("bases", "public", "results")
"""The folders of `data` whose files are listed."""
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_PART = "*-seeds.*"  # the first seeds of a study: the learner's own, not the kit's
_GET = "get the kit's files again (`git checkout data` in a clone, or install the kit again)"


def checked(data: Path, name: str) -> Path:
    """Return the path of a file or a folder after a check that it is as the kit wrote it.

    A file is hashed once in a process, and again if it changes.

    Args:
        data: the folder with `SHA256SUMS`.
        name: a file in `data`, or a folder for all its files, with "/" between its parts.

    Raises:
        ValueError: a file is damaged, missing or not listed, or the list is damaged.
    """
    sums = read_manifest(data)
    listed = {each for each in sums if each == name or each.startswith(f"{name}/")}
    for each in sorted(listed | _files(data, name)) or [name]:
        _check(data / each, each, sums.get(each))
    return data / name


def record(data: Path, *names: str) -> None:
    """Write the checksums of these files and folders, as they are now, into the list.

    The lines of all other files stay. A name that does not exist any more loses its line.

    Raises:
        ValueError: the list is damaged.
    """
    # Two studies may end at the same time; each must find the lines of the other.
    with FileLock(data / f".{MANIFEST}.lock"):
        old = read_manifest(data) if (data / MANIFEST).exists() else {}
        sums = {
            each: digest
            for each, digest in old.items()
            if not any(each == name or each.startswith(f"{name}/") for name in names)
        }
        for name in names:
            sums |= {each: sha256(data / each) for each in _files(data, name)}
        if sums != old:
            lines = [f"{sums[each]}  {each}\n" for each in sorted(sums)]
            with whole_file(data / MANIFEST) as new:
                new.write_text("".join(lines), encoding="utf8", newline="\n")


def read_manifest(data: Path) -> dict[str, str]:
    """Read the list of checksums: by the name of a file, its SHA-256 in hexadecimal digits.

    Raises:
        ValueError: there is no list, or it is damaged.
    """
    try:
        lines = (data / MANIFEST).read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the list of checksums must be readable, got {data / MANIFEST} ({error}); {_GET}"
        ) from error
    sums = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"a line of {MANIFEST} must be a SHA-256 and a name, got {line!r} in line "
                f"{number}; {_GET}"
            )
        sums[match[2]] = match[1]
    return sums


def _files(data: Path, name: str) -> set[str]:
    """The names of the files at `name`, in a folder at any depth, without hidden ones and parts."""
    path = data / name
    paths = [path] if path.is_file() else path.rglob("*")
    return {
        each.relative_to(data).as_posix()
        for each in paths
        if each.is_file()
        and not each.match(_PART)
        and not any(part.startswith(".") for part in each.relative_to(data).parts)
    }


def _check(path: Path, name: str, expected: str | None) -> None:
    """Raise ValueError if the file at `path` does not have the `expected` SHA-256."""
    if expected is None:
        raise ValueError(
            f"a file of the kit must be listed in {MANIFEST}, got {name}, which is not; {_GET}"
        )
    try:
        digest = sha256(path)
        found = digest[:12]
    except OSError as error:
        digest, found = "", f"no readable file ({error.strerror})"
    if digest != expected:
        lesson = re.match(r"results/(\d\d)_", name)
        again = f", or make this one again with `make results LESSON={lesson[1]}`" if lesson else ""
        raise ValueError(
            f"{path} must be as the kit wrote it, with the SHA-256 {expected[:12]}, got {found}; "
            f"{_GET}{again}"
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, computed once for each state of the file."""
    state = path.stat()
    return _hashed(path, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@lru_cache(maxsize=256)
def _hashed(path: Path, _state: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    record(kit_path("data"), *FOLDERS)
    print(f"{len(read_manifest(kit_path('data')))} checksums are in {kit_path('data', MANIFEST)}")
