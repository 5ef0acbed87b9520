"""The near task: real English that is on every machine. Which library wrote this sentence?

The sentences are the first sentences of docstrings.
"""

import hashlib
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from datasets import Dataset
from platformdirs import user_cache_path
from tqdm.auto import tqdm

from ftkit import checks
from ftkit.seeding import unit_hash
from ftkit.storage import set_aside, whole_file
from ftkit.tasks.docstrings import paragraphs, read, root_of, sentences, source_files
from ftkit.tasks.task import STAGES, Task, table

LIBRARIES = {
    "stdlib": 0.6,
    "numpy": 1.0,
    "torch": 0.25,
    "pandas": 1.0,
    "sklearn": 1.0,
    "transformers": 0.4,
    "scipy": 0.8,
    "sympy": 0.4,
}
"""The eight classes, and the share of each library's files that is read.

The shares are large enough to fill the splits and small enough for a short first build.
"""

SPLITS = {"test": (0.0, 0.15, 200), "valid": (0.15, 0.25, 125), "train": (0.25, 1.0, 1000)}
"""For each split: the range of its sentences' `unit_hash`, and the most sentences of a library."""

LABELS = {"docs": "library", "docs-area": "area", "docs-kind": "kind", "docs-opening": "opening"}
"""The tasks on these sentences, and the column that has their labels.

Lesson 07 has recorded runs of what these tasks do to each other.
"""

OPENINGS = ("return", "compute", "test", "the", "a", "get", "check", "create")
_COMMON_AREA = 40
_FORMAT = 4
_BAND = 64
_PACKAGES = {
    library: {"sklearn": "scikit-learn"}.get(library, library)
    for library in LIBRARIES
    if library != "stdlib"
}


@dataclass(frozen=True)
class Sentence:
    """The first sentence of a docstring: its `unit_hash`, its words, and a label for each task."""

    hash: float
    text: str
    library: str
    kind: str
    area: str
    opening: str


def cache_folder() -> Path:
    """The folder where built data is kept: `$FTKIT_CACHE`, else the user's cache folder.

    On Linux the latter is `ftkit` in `$XDG_CACHE_HOME` or in `~/.cache`.
    """
    return Path(os.environ.get("FTKIT_CACHE") or user_cache_path("ftkit", appauthor=False))


def load(name: str, permute: float = 0.0) -> Task:
    """Load the docs task, or the task on another label of the same sentences.

    Every split has the same number of sentences of each library. The split of a sentence depends
    on its words alone, so another version of a library moves few sentences.

    Args:
        name: one of `LABELS`.
        permute: the share of the vocabulary that is permuted, in [0, 1].

    Raises:
        ValueError: `permute` is outside [0, 1].
    """
    if not checks.is_number(permute) or not 0 <= permute <= 1:
        raise ValueError(
            f"permute must be from 0 (English) to 1 (gibberish), got {checks.shown(permute)}; "
            "choose a share of the vocabulary"
        )
    rows = _sentences(cache_folder())
    if permute:
        rows = rows.assign(text=permuted(rows["text"].tolist(), permute))
    column = LABELS[name]
    classes = list(LIBRARIES) if column == "library" else sorted(rows[column].unique())
    splits = {stage: _split(rows[rows["split"] == stage], column, classes) for stage in STAGES}
    return Task(name, tuple(classes), **splits)


def _split(rows: pd.DataFrame, column: str, classes: list[str]) -> Dataset:
    labels = [classes.index(value) for value in rows[column]]
    others = {other: rows[other].tolist() for other in LABELS.values()}
    return table(rows["text"].tolist(), labels, classes, **others)


def permuted(texts: list[str], share: float) -> list[str]:
    """Exchange a share of the distinct words of `texts`, one to one, for equally frequent ones.

    No word gets lost or merged with another, so counting words is as informative as before. What a
    pretrained base knows about the exchanged words no longer applies.
    """
    counts = Counter(word for text in texts for word in re.findall(r"[a-z]+", text.lower()))
    ranked = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    foreign: dict[str, str] = {}
    # A band holds words of similar frequency; its share of moved words rotates by one position.
    for start in range(0, len(ranked), _BAND):
        band = sorted(ranked[start : start + _BAND], key=unit_hash)
        random.Random(start).shuffle(band)
        moved = band[: round(share * len(band))]
        foreign.update(zip(moved, moved[1:] + moved[:1], strict=True))
    return [
        re.sub(r"[a-z]+", lambda match: foreign.get(match[0], match[0]), text.lower())
        for text in texts
    ]


@lru_cache(maxsize=2)
def _sentences(folder: Path) -> pd.DataFrame:
    """The sentences of the installed libraries, from a whole cache or else built and cached."""
    versions = {"python": sys.version}
    versions |= {library: version(package) for library, package in _PACKAGES.items()}
    made_from = repr((_FORMAT, LIBRARIES, SPLITS, versions)).encode()
    path = folder / f"docs-{hashlib.blake2b(made_from, digest_size=8).hexdigest()}.parquet"
    cached = _read_cache(path)
    if cached is not None:
        return cached
    rows = _build()
    _write_cache(rows, path)
    return rows


def _read_cache(path: Path) -> pd.DataFrame | None:
    """The cached table; None if the file is missing or its bytes are not those written."""
    digest = path.with_suffix(".sha256")
    with suppress(OSError):
        are_files = digest.is_file() and path.is_file()
        if are_files and digest.read_bytes() == _digest_line(path.name, path.read_bytes()):
            return pd.read_parquet(path)
    return None


def _write_cache(rows: pd.DataFrame, path: Path) -> None:
    """Write the table and its digest, each whole; a folder that cannot be written is no error."""
    digest = path.with_suffix(".sha256")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for each in (digest, path):
            if os.path.lexists(each) and not (each.is_file() and os.access(each, os.R_OK)):
                set_aside(each)  # such as a folder, which a file cannot replace
        with whole_file(digest) as new_digest, whole_file(path) as new:
            rows.to_parquet(new)
            new_digest.write_bytes(_digest_line(path.name, new.read_bytes()))
    except OSError as error:
        tqdm.write(f"the sentences were built but not cached: {error}")


def _digest_line(name: str, content: bytes) -> bytes:
    """A line of `sha256sum`: with the name, so the cache of other versions does not fit."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def _build() -> pd.DataFrame:
    """Build the table: one row a sentence, with its labels and its split."""
    rows = pd.DataFrame([vars(sentence) for sentence in _first_sentences()])
    # A library may write the same words more than once: keep one sentence, whatever the order in
    # which the files were read.
    rows = rows.sort_values(["hash", "text", "area", "kind"], ignore_index=True)
    rows = rows.drop_duplicates(["hash", "library"])
    # Where two libraries wrote the same words, the question has no right answer.
    rows = rows.drop_duplicates("hash", keep=False)
    return _with_common_areas(_balanced(rows))


def _first_sentences() -> Iterator[Sentence]:
    """The first sentence of every docstring in the libraries, in no fixed order."""
    roots = {library: root_of(library) for library in LIBRARIES}
    files = {
        path: library
        for library, share in LIBRARIES.items()
        for path in source_files(roots[library], share)
    }
    areas = {path: area(path.relative_to(roots[library])) for path, library in files.items()}
    bar = tqdm(read(files), total=len(files), desc="reading docstrings", unit="file")
    for path, records in bar:
        for record in records:
            text = first_sentence(str(record["doc"]))
            if text is not None:
                yield Sentence(
                    hash=round(unit_hash(text), 17),  # the precision of all tables so far
                    text=text,
                    library=files[path],
                    kind=str(record["kind"]),
                    area=areas[path],
                    opening=opening(text),
                )


def _balanced(rows: pd.DataFrame) -> pd.DataFrame:
    """The first sentences of each library in each split, the same number of each.

    Their order is that of the hash, which says nothing about the library.
    """
    parts = []
    for stage, (low, high, most) in SPLITS.items():
        part = rows[(rows["hash"] >= low) & (rows["hash"] < high)]
        counts = part["library"].value_counts().reindex(list(LIBRARIES), fill_value=0)
        each = min(most, int(counts.min()))
        parts.append(part.groupby("library").head(each).assign(split=stage))
    return pd.concat(parts, ignore_index=True)


def _with_common_areas(rows: pd.DataFrame) -> pd.DataFrame:
    """Rename areas with fewer than `_COMMON_AREA` training sentences to "other"."""
    sizes = rows.loc[rows["split"] == "train", "area"].value_counts()
    common = sizes.index[sizes >= _COMMON_AREA]
    return rows.assign(area=rows["area"].where(rows["area"].isin(common), "other"))


def first_sentence(docstring: str) -> str | None:
    """The first sentence of a docstring, or None if that is no sentence.

    A sentence has 20 to 140 ASCII characters, at least three words, and at least three quarters
    of letters.

    >>> first_sentence("Return the sum of all entries.  Missing ones are skipped.")
    'Return the sum of all entries.'
    >>> first_sentence("x -> y")
    """
    text = sentences(next(iter(paragraphs(docstring)), ""))[0]
    letters = sum(c.isalpha() or c == " " for c in text)
    fits = (
        20 <= len(text) <= 140
        and text.isascii()
        and len(text.split()) >= 3
        and letters >= 0.75 * len(text)
    )
    return text if fits and ">>>" not in text else None


def area(path: Path) -> str:
    """The part of a library that a source file is in: its first folder, or the file itself.

    Such as `linalg`, `io` or `models`; it does not name the library.

    >>> area(Path("_core/numeric.py")), area(Path("turtle.py"))
    ('core', 'turtle')
    """
    return path.with_suffix("").parts[0].strip("_")


def opening(text: str) -> str:
    """The one of `OPENINGS` that the first word begins with, else "other".

    >>> opening("Returns the sum."), opening("Sum of all entries.")
    ('return', 'other')
    """
    return next((word for word in OPENINGS if re.match(rf"{word}s?\b", text.lower())), "other")
