"""The learner's own copies of the lessons: brought up to date, and never at the cost of what the learner made."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftkit.storage import write_json

RECORD = ".ftkit-lessons.json"  # beside the copies: what each was when it was copied


@dataclass(frozen=True)
class Copies:
    """What was done to the learner's copies in `folder`, by file name.

    `edited` were left alone, and the kit has a newer text of those in `outdated`. `kept` says under which name a copy lies that had to
    make room.
    """

    folder: Path
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Your lessons are in {self.folder}"]
        for said, names in (
            ("new", self.added),
            ("up to date again", self.updated),
            ("left as you edited them", self.edited),
        ):
            lines += [f"  {said}: {', '.join(names)}"] * bool(names)
        if self.outdated:
            lines.append(f"  the kit has a newer text of {', '.join(self.outdated)}")
        if self.edited:
            lines.append("  `ftkit lab --fresh` gives new copies and keeps yours beside them")
        return "\n".join(
            [
                *lines,
                *(
                    f"  what you had in {name} is now in {other}"
                    for name, other in self.kept.items()
                ),
            ]
        )


def copy_lessons(lessons: Path, folder: Path, fresh: bool = False) -> Copies:
    """Brings the learner's copies in `folder` up to date with the kit's `lessons`, and loses nothing that the learner made.

    A lesson that is missing is added and one that is untouched is replaced by the kit's. One that was edited stays. One that was run but
    not edited is replaced when the kit has a newer text, and so is everything if `fresh`; what it held is first kept under another name.

    Raises:
        ValueError: the folder cannot be written, or is the kit's own.
    """
    shipped = {path.name: path.read_bytes() for path in sorted(lessons.glob("*.ipynb"))}
    if not shipped:
        raise ValueError(f"the kit must hold its lessons, got none in {lessons}; install it again")
    if folder.resolve() == lessons.resolve():
        raise ValueError(
            f"the folder must be another than the kit's own, got {folder}; name another with --folder"
        )
    done = Copies(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remembered = _remembered(folder / RECORD)
        for name, new in shipped.items():
            remembered[name] = _bring(folder / name, new, remembered.get(name), fresh, done)
        write_json(
            folder / RECORD, {name: digests for name, digests in remembered.items() if digests}
        )
    except OSError as error:
        got = f"{error.filename or folder} ({error.strerror})"
        raise ValueError(
            f"the lessons must have a folder that can be written, got {got}; name another with --folder or $FTKIT_LESSONS"
        ) from error
    return done


def _bring(
    path: Path, new: bytes, was: dict[str, str] | None, fresh: bool, done: Copies
) -> dict[str, str] | None:
    """Brings one copy up to date; answers with what is to be remembered of it."""
    digests = _digests(new)
    if not path.exists():
        done.added.append(path.name)
        _write(path, new)
        return digests
    own = path.read_bytes()
    if own == new:
        return digests
    have = _digests(own)
    untouched = was is not None and have["file"] == was["file"]
    edited = was is None or have["text"] != was["text"]
    newer = was is None or digests["text"] != was["text"]
    if edited and not fresh:
        done.edited.append(path.name)
        done.outdated.extend([path.name] * newer)
        return was
    if not (untouched or newer or fresh):
        return was  # it was run, and the kit's text is still the same
    if not untouched:
        done.kept[path.name] = _keep(path, own)
    done.updated.append(path.name)
    _write(path, new)
    return digests


def _digests(notebook: bytes) -> dict[str, str]:
    """Two digests of a notebook: of the file, and of what a person writes in it, which running it leaves as it is."""
    try:
        cells = [
            [cell["cell_type"], "".join(cell["source"]), cell.get("attachments")]
            for cell in json.loads(notebook)["cells"]
        ]
        text = json.dumps(cells, sort_keys=True).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        text = notebook  # no notebook any more: whatever it is, the learner wrote it
    return {"file": hashlib.sha256(notebook).hexdigest(), "text": hashlib.sha256(text).hexdigest()}


def _remembered(record: Path) -> dict[str, Any]:
    """The digests of what was copied, by file name; none if the record is missing or broken, and then every copy counts as edited."""
    try:
        entries = json.loads(record.read_bytes())
        return {
            name: digests
            for name, digests in entries.items()
            if digests["file"] and digests["text"]
        }
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep(path: Path, content: bytes) -> str:
    """Stores `content` beside `path` under a name that nothing has yet; answers with that name."""
    number = 1
    while True:
        beside = path.with_name(f"{path.stem}.yours-{number}{path.suffix}")
        try:
            with beside.open("xb") as file:
                file.write(content)
            return beside.name
        except FileExistsError:
            number += 1


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)
