"""The learner's copies of the lessons: kept up to date, without losing what the learner made."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftkit.storage import set_aside, whole_file, write_json

RECORD = ".ftkit-lessons.json"  # next to the copies: the digests of each when it was copied

BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""The errors of JSON that is damaged, or is not what was written."""


@dataclass(frozen=True)
class Copies:
    """What happened to the learner's copies in `folder`, by file name.

    Args:
        added: copied for the first time.
        updated: replaced by the kit's newer text.
        edited: edited by the learner, and left alone.
        outdated: those of `edited` of which the kit has a newer text.
        kept: the name under which a copy was kept that had to make room.
    """

    folder: Path
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Your lessons are in {self.folder}"]
        by_event = {
            "new": self.added,
            "updated": self.updated,
            "left as you edited them": self.edited,
        }
        for event, names in by_event.items():
            if names:
                lines.append(f"  {event}: {', '.join(names)}")
        if self.outdated:
            lines.append(f"  the kit has a newer text of {', '.join(self.outdated)}")
        if self.edited:
            lines.append("  `ftkit lab --fresh` makes new copies and keeps yours next to them")
        for name, kept_as in self.kept.items():
            lines.append(f"  your version of {name} is now in {kept_as}")
        return "\n".join(lines)


def copy_lessons(lessons: Path, folder: Path, fresh: bool = False) -> Copies:
    """Bring the learner's copies in `folder` up to date with the kit's `lessons`.

    - A missing lesson is added.
    - An untouched copy is replaced by the kit's lesson.
    - An edited copy stays.
    - A copy that was run but not edited is replaced if the kit has a newer text.
    - With `fresh`, every copy is replaced.

    Nothing that the learner made is lost: a copy that is replaced, unless it is untouched, is first
    kept under another name.

    Raises:
        ValueError: the folder cannot be written, or is the kit's own.
    """
    shipped = {path.name: path.read_bytes() for path in sorted(lessons.glob("*.ipynb"))}
    if not shipped:
        raise ValueError(f"the kit must hold its lessons, got none in {lessons}; install it again")
    if os.path.realpath(folder) == os.path.realpath(lessons):
        raise ValueError(
            f"the folder must not be the kit's own, got {folder}; name another with --folder"
        )
    done = Copies(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digests = _remembered(folder / RECORD)
        for name, new in shipped.items():
            digests[name] = _bring(folder / name, new, digests.get(name), fresh, done)
        known = {name: of_copy for name, of_copy in digests.items() if of_copy}
        write_json(folder / RECORD, known)
    except OSError as error:
        place = f"{error.filename or folder} ({error.strerror})"
        raise ValueError(
            f"the lessons must have a folder that can be written, got {place}; "
            "name another with --folder or $FTKIT_LESSONS"
        ) from error
    return done


def _bring(
    path: Path, new: bytes, was: dict[str, str] | None, fresh: bool, done: Copies
) -> dict[str, str] | None:
    """Bring one copy up to date; return the digests to remember.

    `was` are the digests of the lesson when it was last copied; None if that is unknown, and then
    the copy counts as edited.
    """
    shipped = _digests(new)
    if not path.exists():
        done.added.append(path.name)
        _write(path, new)
        return shipped
    content = path.read_bytes()
    if content == new:
        return shipped
    have = _digests(content)
    untouched = was is not None and have["file"] == was["file"]
    edited = was is None or have["text"] != was["text"]
    newer = was is None or shipped["text"] != was["text"]
    if edited and not fresh:
        done.edited.append(path.name)
        if newer:
            done.outdated.append(path.name)
        return was
    if not (untouched or newer or fresh):
        return was  # it was run, and the kit's text is still the same
    if not untouched:
        done.kept[path.name] = _keep(path, content)
    done.updated.append(path.name)
    _write(path, new)
    return shipped


def _digests(notebook: bytes) -> dict[str, str]:
    """Return two digests of a notebook: of the file, and of its text.

    The text is what a person writes in it. To run the notebook does not change it.
    """
    try:
        cells = [
            [cell["cell_type"], "".join(cell["source"]), cell.get("attachments")]
            for cell in json.loads(notebook)["cells"]
        ]
        text = json.dumps(cells, sort_keys=True).encode()
    except BROKEN:
        text = notebook  # not a notebook any more: the learner wrote all of it
    return {"file": hashlib.sha256(notebook).hexdigest(), "text": hashlib.sha256(text).hexdigest()}


def _remembered(record: Path) -> dict[str, Any]:
    """Return the digests of what was copied, by file name.

    There are none if the record is missing or broken; then every copy counts as edited.
    """
    if record.is_dir():
        set_aside(record)  # a file cannot replace it
    try:
        entries = json.loads(record.read_bytes())
        return {
            name: digests
            for name, digests in entries.items()
            if digests["file"] and digests["text"]
        }
    except (FileNotFoundError, *BROKEN):
        return {}


def _keep(path: Path, content: bytes) -> str:
    """Store `content` next to `path` under a name that is free; return that name."""
    count = 1
    while True:
        kept = path.with_name(f"{path.stem}.yours-{count}{path.suffix}")
        try:
            with kept.open("xb") as file:
                file.write(content)
            return kept.name
        except FileExistsError:
            count += 1


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as new:
        new.write_bytes(content)
