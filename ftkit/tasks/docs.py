"""The near task: real English that is on every machine. Which library wrote this sentence, the first of a docstring?"""

import hashlib
import os
import random
import re
import sys
import tempfile
from collections import Counter, defaultdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from ftkit.seeding import unit_hash
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
"""The eight classes, and the share of each library's files that is read: enough for the splits, and the first build is short."""

SPLITS = {"test": (0.0, 0.15, 200), "valid": (0.15, 0.25, 125), "train": (0.25, 1.0, 1000)}
"""For each split, the range of `unit_hash` its sentences lie in, and how many sentences of each library it takes at most."""

LABELS = {"docs": "library", "docs-area": "area", "docs-kind": "kind", "docs-opening": "opening"}
"""The tasks on these sentences and the column that holds their label. What they do to each other is
recorded in lesson 07."""

OPENINGS = ("return", "compute", "test", "the", "a", "get", "check", "create")
_COMMON_AREA = 40
_FORMAT = 4
_BAND = 64


def cache_folder() -> Path:
    """Where built data is kept: `$FTKIT_CACHE`, else `ftkit` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    return Path(
        os.environ.get("FTKIT_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftkit"
    )


def load(name: str, permute: float = 0.0) -> Task:
    """The docs task, or another label of its sentences, with a share of the vocabulary permuted.

    Every split has equally many sentences of each library; a sentence's split depends on its words alone, so that another version of a
    library moves few sentences.

    Raises:
        ValueError: `permute` lies outside [0, 1].
    """
    if not 0 <= permute <= 1:
        raise ValueError(f"permute must be from 0 (English) to 1 (gibberish), got {permute:g}")
    rows = _sentences(cache_folder())
    if permute:
        rows = rows.assign(text=permuted(rows["text"].tolist(), permute))
    column = LABELS[name]
    classes = list(LIBRARIES) if column == "library" else sorted(rows[column].unique())
    splits = {stage: _split(rows[rows["split"] == stage], column, classes) for stage in STAGES}
    return Task(name, tuple(classes), **splits)


def _split(rows: pd.DataFrame, column: str, classes: list[str]):  # type: ignore[no-untyped-def]
    others = {other: rows[other].tolist() for other in LABELS.values()}
    return table(
        rows["text"].tolist(), [classes.index(value) for value in rows[column]], classes, **others
    )


def permuted(texts: list[str], share: float) -> list[str]:
    """`texts` with that share of their distinct words exchanged, one to one, among words about as frequent.

    No word gets lost or merged with another, so counting words tells as much as before; what a pretrained base knew of them is gone.
    """
    counts = Counter(word for text in texts for word in re.findall(r"[a-z]+", text.lower()))
    ranked = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    foreign: dict[str, str] = {}
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
    """The sentences of the installed libraries, from the cache if it is whole, else built and cached."""
    packages = {
        library: {"sklearn": "scikit-learn"}.get(library, library)
        for library in LIBRARIES
        if library != "stdlib"
    }
    versions = {
        "python": sys.version,
        **{library: version(package) for library, package in packages.items()},
    }
    key = hashlib.blake2b(
        repr((_FORMAT, LIBRARIES, SPLITS, versions)).encode(), digest_size=8
    ).hexdigest()
    path = folder / f"docs-{key}.parquet"
    if (cached := _read_cache(path)) is not None:
        return cached
    rows = _build()
    _write_cache(rows, path)
    return rows


def _read_cache(path: Path) -> pd.DataFrame | None:
    """The cached table, or None if the file is missing or its bytes are not those that were written."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == path.with_suffix(".sha256").read_text().strip():
            return pd.read_parquet(path)
    except OSError:
        pass
    return None


def _write_cache(rows: pd.DataFrame, path: Path) -> None:
    """Writes beside and renames, so that a reader, or another builder, sees the whole file or none; an unwritable folder is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            whole = Path(beside) / "table"
            rows.to_parquet(whole)
            digest = Path(beside) / "digest"
            digest.write_text(hashlib.sha256(whole.read_bytes()).hexdigest())
            os.replace(whole, path)
            os.replace(digest, path.with_suffix(".sha256"))
    except OSError as error:
        tqdm.write(f"the sentences were built but not cached: {error}")


def _build() -> pd.DataFrame:
    roots = {library: root_of(library) for library in LIBRARIES}
    files = {
        path: library
        for library, share in LIBRARIES.items()
        for path in source_files(roots[library], share)
    }
    areas = {path: area(path.relative_to(roots[library])) for path, library in files.items()}
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for path, records in tqdm(
        read(files), total=len(files), desc="reading docstrings", unit="file"
    ):
        for record in records:
            text = first_sentence(str(record["doc"]))
            if text is not None:
                row = {
                    "text": text,
                    "library": files[path],
                    "kind": str(record["kind"]),
                    "area": areas[path],
                    "opening": opening(text),
                }
                key = f"{unit_hash(text):.17f}"
                known = found[key].get(files[path])
                found[key][files[path]] = min(
                    row, known or row, key=lambda r: (r["text"], sorted(r.items()))
                )
    return _with_common_areas(_balanced(_alone(found)))


def _alone(found: dict[str, dict[str, dict[str, str]]]) -> pd.DataFrame:
    """The sentences that one library alone wrote, in the order of their hash: with two authors there is no right answer."""
    rows = [
        {"hash": float(key), **next(iter(by.values()))} for key, by in found.items() if len(by) == 1
    ]
    return pd.DataFrame(rows).sort_values("hash", ignore_index=True)


def _balanced(rows: pd.DataFrame) -> pd.DataFrame:
    """The first sentences of each library in each split, equally many, in an order that says nothing of the library."""
    parts = []
    for stage, (low, high, most) in SPLITS.items():
        part = rows[(rows["hash"] >= low) & (rows["hash"] < high)]
        each = min(
            most, int(part["library"].value_counts().reindex(list(LIBRARIES), fill_value=0).min())
        )
        parts.append(part.groupby("library").head(each).assign(split=stage))
    return pd.concat(parts, ignore_index=True)


def first_sentence(docstring: str) -> str | None:
    """The first sentence, if it is one: 20 to 140 ASCII characters, three words or more, at least three quarters of it letters.

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
    """The first folder of a source file inside its library, or the file itself: `linalg`, `io`, `models`; no word of which library.

    >>> area(Path("_core/numeric.py")), area(Path("turtle.py"))
    ('core', 'turtle')
    """
    return path.with_suffix("").parts[0].strip("_")


def opening(text: str) -> str:
    """Which of `OPENINGS` the first word begins with, else "other".

    >>> opening("Returns the sum."), opening("Sum of all entries.")
    ('return', 'other')
    """
    return next((word for word in OPENINGS if re.match(rf"{word}s?\b", text.lower())), "other")


def _with_common_areas(rows: pd.DataFrame) -> pd.DataFrame:
    """Areas with fewer than `_COMMON_AREA` training sentences become "other"."""
    sizes = rows.loc[rows["split"] == "train", "area"].value_counts()
    common = sizes.index[sizes >= _COMMON_AREA]
    return rows.assign(area=rows["area"].where(rows["area"].isin(common), "other"))
