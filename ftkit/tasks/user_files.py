"""Tasks from the learner's own data: CSV, JSONL and Parquet files, folders, and hub datasets."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ftkit.tasks.task import STAGES, Task, table

SUFFIXES = (".csv", ".jsonl", ".parquet")
TEXTS = (
    "text",
    "sentence",
    "content",
    "review",
    "question",
    "document",
    "comment",
    "title",
    "body",
    "message",
    "tweet",
    "utterance",
)
LABELS = (
    "label",
    "labels",
    "class",
    "category",
    "target",
    "label_text",
    "coarse_label",
    "sentiment",
    "intent",
    "topic",
    "rating",
    "stars",
)
STEMS = {
    "train": ("train", "training"),
    "valid": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


def load(path: Path, text: str | None, label: str | None, seed: int) -> Task:
    """Load a task from one file, or from a folder of files named train, validation and test.

    One file is split 80 / 10 / 10. A split that a folder lacks is a tenth of train. Both are
    stratified by label, and the task's notes say so.

    Raises:
        ValueError: the data cannot be used; the message names file and row.
    """
    if not path.exists():
        raise ValueError(f"the file must exist, got {path}; check the path")
    files = _folder(path) if path.is_dir() else {"train": path}
    rows = {stage: _clean(_read(file), file.name, text, label) for stage, file in files.items()}
    name = re.sub(r"\W+", "_", path.resolve().stem) or "task"
    return _task(name, rows, {stage: file.name for stage, file in files.items()}, seed)


def load_hub(name: str, text: str | None, label: str | None, seed: int) -> Task:
    """Load a task from a dataset of the hub, with `datasets.load_dataset`.

    Raises:
        ValueError: there is no such dataset, or no way to reach it.
    """
    import datasets

    try:
        splits = datasets.load_dataset(name)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        raise ValueError(
            "the task must be docs, digits, a file, a folder or a dataset that can be reached, "
            f"got {name!r} ({reason}); without a network, download it elsewhere and give the path "
            "of its CSV, JSONL or Parquet file"
        ) from error
    sources: dict[str, str] = {}
    for stage, stems in STEMS.items():
        # The exact names come first, then names such as "train_full".
        candidates = (split for split in (*stems, *splits) if split in splits)
        source = next((split for split in candidates if split.startswith(stems)), None)
        if source is not None:
            sources[stage] = source
    if "train" not in sources:
        raise ValueError(
            f"a dataset must have a split named train, got {', '.join(splits)} in {name}; "
            "save the one you need as a file"
        )
    rows = {stage: _with_class_names(splits[split]) for stage, split in sources.items()}
    column = _column(rows["train"], name, "label", label, LABELS)
    if "test" in rows and rows["test"][column].isna().all():
        del rows["test"]  # a competition keeps these labels secret
    named = {stage: f"{name}/{split}" for stage, split in sources.items()}
    clean = {stage: _clean(frame, named[stage], text, label) for stage, frame in rows.items()}
    return _task(re.sub(r"\W+", "_", name.split("/")[-1]), clean, named, seed)


def _with_class_names(split: Any) -> pd.DataFrame:
    """A split as a table with class names instead of class numbers; -1 becomes None."""
    from datasets import ClassLabel

    frame: pd.DataFrame = split.to_pandas()
    for column, feature in split.features.items():
        if isinstance(feature, ClassLabel):
            frame[column] = [feature.names[i] if i >= 0 else None for i in frame[column]]
    return frame


def _folder(path: Path) -> dict[str, Path]:
    """The file of each split in a folder, by stage."""
    files = {file.stem.lower(): file for file in sorted(path.iterdir()) if file.suffix in SUFFIXES}
    chosen: dict[str, Path] = {}
    for stage, stems in STEMS.items():
        stem = next((stem for stem in stems if stem in files), None)
        if stem is not None:
            chosen[stage] = files[stem]
    if "train" not in chosen:
        names = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
        raise ValueError(
            f"a folder must hold train.csv, train.jsonl or train.parquet, got {names} in {path}; "
            "rename the file to train on"
        )
    if len({file.suffix for file in chosen.values()}) > 1:
        names = ", ".join(file.name for file in chosen.values())
        raise ValueError(
            f"the files of a folder must be of one kind, got {names}; convert them to one"
        )
    return chosen


def _read(path: Path) -> pd.DataFrame:
    """All columns of a file as they are; a text file must be UTF-8."""
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"a file must end in {', '.join(SUFFIXES)}, got {path.name}; convert it to one of them"
        )
    if path.suffix == ".parquet":
        try:
            return pd.read_parquet(path)
        except Exception as error:
            raise ValueError(
                f"{path.name} must be a Parquet file, got {str(error).splitlines()[0]}; "
                "write it again"
            ) from error
    content = path.read_bytes()
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"line {line} of {path.name} must be UTF-8, got byte {content[error.start]:#04x}; "
            "save it as UTF-8"
        ) from None
    return _csv(decoded, path.name) if path.suffix == ".csv" else _jsonl(decoded, path.name)


def _csv(decoded: str, name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(decoded), dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise ValueError(
            f"{name} has no rows; a task needs a header line and rows of text and label"
        ) from None
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{name} must be a table, got: {str(error).strip()}; "
            "put quotes around text that has commas"
        ) from None


def _jsonl(decoded: str, name: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(decoded.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise _no_object(number, name, error.msg) from None
        if not isinstance(row, dict):
            raise _no_object(number, name, repr(line[:40]))
        rows.append(row)
    return pd.DataFrame(rows)


def _no_object(number: int, name: str, value: str) -> ValueError:
    return ValueError(
        f"line {number} of {name} must be a JSON object, got {value}; write one object a line"
    )


def _clean(rows: pd.DataFrame, name: str, text: str | None, label: str | None) -> pd.DataFrame:
    """The columns `text` and `label` as strings, with every row checked."""
    if not len(rows):
        raise ValueError(f"{name} has no rows; a task needs rows of text and label")
    columns = {
        "text": _column(rows, name, "text", text, TEXTS),
        "label": _column(rows, name, "label", label, LABELS),
    }
    clean = pd.DataFrame(
        {use: [_plain(value) for value in rows[column]] for use, column in columns.items()}
    )
    for use in ("label", "text"):
        missing = np.flatnonzero((clean[use] == "").to_numpy())
        if len(missing):
            raise ValueError(
                f"row {missing[0] + 1} of {name} has no {use}; every row needs a text and a label"
            )
    return clean


def _column(
    rows: pd.DataFrame, name: str, use: str, asked: str | None, usual: Sequence[str]
) -> str:
    """The column to use as "text" or "label": the one asked for, else the first usual name."""
    by_lower = {str(column).lower(): str(column) for column in rows.columns}
    for candidate in [asked] if asked else usual:
        if candidate in rows.columns:
            return candidate
        if candidate.lower() in by_lower:
            return by_lower[candidate.lower()]
    wanted = f"column {asked!r}" if asked else f"{use} column (one of {', '.join(usual[:4])}, ...)"
    columns = ", ".join(map(str, rows.columns))
    raise ValueError(f"{name} must have a {wanted}, got the columns {columns}; name it with {use}=")


def _plain(value: Any) -> str:
    """A cell as text: "" where it is missing, and a whole float without its decimals."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _task(name: str, rows: dict[str, pd.DataFrame], sources: dict[str, str], seed: int) -> Task:
    """A task from the clean rows of its splits; splits that are missing are drawn from train."""
    classes = sorted(rows["train"]["label"].unique(), key=_numbers_first)
    if len(classes) < 2:
        raise ValueError(
            f"a task must have two classes or more, got only {classes[0]!r} in "
            f"{sources['train']}; check the label column"
        )
    for stage, part in rows.items():
        unseen = np.flatnonzero(~part["label"].isin(classes).to_numpy())
        if len(unseen):
            label = part["label"][unseen[0]]
            raise ValueError(
                f"row {unseen[0] + 1} of {sources[stage]} has the label {label!r}, which train "
                "does not have; it cannot be learned"
            )
    notes = []
    for stage in ("test", "valid"):
        if stage not in rows:
            rows["train"], rows[stage] = _hold_out(rows["train"], 0.1, seed)
            notes.append(
                f"{len(rows[stage])} rows of {sources['train']} were split off as {stage}, "
                f"stratified, with seed {seed}"
            )
    splits = {}
    for stage in STAGES:
        labels = [classes.index(label) for label in rows[stage]["label"]]
        splits[stage] = table(rows[stage]["text"].tolist(), labels, classes)
    return Task(name, tuple(classes), **splits, notes=tuple(notes))


def _numbers_first(label: str) -> tuple[int, float, str]:
    """The key that sorts labels: numbers by their value, then all others by their letters."""
    is_number = re.fullmatch(r"-?\d+(\.\d+)?", label) is not None
    return (0, float(label), label) if is_number else (1, 0.0, label)


def _hold_out(rows: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split off a share of every class; at least one row of each class that has two."""
    generator = np.random.default_rng(seed)
    taken = np.zeros(len(rows), dtype=bool)
    for label in sorted(rows["label"].unique()):
        members = np.flatnonzero((rows["label"] == label).to_numpy())
        count = min(max(1, round(share * len(members))), len(members) - 1)
        taken[generator.permutation(members)[:count]] = True
    return rows[~taken].reset_index(drop=True), rows[taken].reset_index(drop=True)
