"""Tasks from the learner's own data: CSV, JSONL and Parquet files, folders of them, and datasets of the hub."""

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
    """A task from one file, which is split 80 / 10 / 10, or from a folder of files named train, validation and test.

    A split that is missing is drawn from train, a tenth of it, stratified by label, and the task's notes say so.

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
    """A task from a dataset of the hub, read with `datasets.load_dataset`.

    Raises:
        ValueError: there is no such dataset, or no way to reach it.
    """
    import datasets

    try:
        found = datasets.load_dataset(name)
    except Exception as error:
        raise ValueError(
            f"the task must be docs, digits, a file, a folder or a dataset that can be reached, got {name!r} ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:200]}); without a network, download it elsewhere and give the path of its CSV, JSONL or "
            "Parquet file"
        ) from error
    named = {
        stage: [n for n in (*stems, *found) if n in found and n.startswith(stems)]
        for stage, stems in STEMS.items()
    }
    sources = {stage: names[0] for stage, names in named.items() if names}
    if "train" not in sources:
        raise ValueError(
            f"a dataset must have a split named train, got {', '.join(found)} in {name}; save the one you need as a file"
        )
    rows = {stage: _named_labels(found[split]) for stage, split in sources.items()}
    column = _column(rows["train"], name, "label", label, LABELS)
    if "test" in rows and rows["test"][column].isna().all():
        del rows["test"]  # a competition that keeps its answers
    clean = {
        stage: _clean(frame, f"{name}/{sources[stage]}", text, label)
        for stage, frame in rows.items()
    }
    return _task(
        re.sub(r"\W+", "_", name.split("/")[-1]),
        clean,
        {s: f"{name}/{split}" for s, split in sources.items()},
        seed,
    )


def _named_labels(split: Any) -> pd.DataFrame:
    """A split as a table, class numbers replaced by the names of the classes, -1 by nothing."""
    from datasets import ClassLabel

    frame: pd.DataFrame = split.to_pandas()
    for column, feature in split.features.items():
        if isinstance(feature, ClassLabel):
            frame[column] = [feature.names[i] if i >= 0 else None for i in frame[column]]
    return frame


def _folder(path: Path) -> dict[str, Path]:
    files = {f.stem.lower(): f for f in sorted(path.iterdir()) if f.suffix in SUFFIXES}
    chosen = {
        stage: files[stem]
        for stage, stems in STEMS.items()
        for stem in stems[::-1]
        if stem in files
    }
    if "train" not in chosen:
        names = ", ".join(sorted(f.name for f in path.iterdir())[:8]) or "nothing"
        raise ValueError(
            f"a folder must hold train.csv, train.jsonl or train.parquet, got {names} in {path}; rename the file to train on"
        )
    if len({f.suffix for f in chosen.values()}) > 1:
        kinds = ", ".join(f.name for f in chosen.values())
        raise ValueError(
            f"the files of a folder must be of one kind, got {kinds}; convert them to one"
        )
    return chosen


def _read(path: Path) -> pd.DataFrame:
    """All columns of a file as they stand; a text file must be UTF-8."""
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"a file must end in {', '.join(SUFFIXES)}, got {path.name}; convert it to one of them"
        )
    if path.suffix == ".parquet":
        try:
            return pd.read_parquet(path)
        except Exception as error:
            raise ValueError(
                f"{path.name} must be a Parquet file, got {str(error).splitlines()[0]}; write it again"
            ) from error
    content = path.read_bytes()
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"line {line} of {path.name} must be UTF-8, got byte {content[error.start]:#04x}; save it as UTF-8"
        ) from None
    return _csv(decoded, path.name) if path.suffix == ".csv" else _jsonl(decoded, path.name)


def _csv(decoded: str, name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(decoded), dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise ValueError(
            f"{name} has no rows; every task needs a header line and rows of text and label"
        ) from None
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{name} must be a table, got: {str(error).strip()}; put quotes around text that holds commas"
        ) from None


def _jsonl(decoded: str, name: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(decoded.splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"line {number} of {name} must be a JSON object, got {error.msg}; write one object a line"
                ) from None
            if not isinstance(row, dict):
                raise ValueError(
                    f"line {number} of {name} must be a JSON object, got {line[:40]!r}; write one object a line"
                )
            rows.append(row)
    return pd.DataFrame(rows)


def _clean(rows: pd.DataFrame, name: str, text: str | None, label: str | None) -> pd.DataFrame:
    """The two columns as strings, every row checked."""
    if not len(rows):
        raise ValueError(f"{name} has no rows; every task needs rows of text and label")
    columns = {
        "text": _column(rows, name, "text", text, TEXTS),
        "label": _column(rows, name, "label", label, LABELS),
    }
    out = pd.DataFrame(
        {use: [_plain(value) for value in rows[column]] for use, column in columns.items()}
    )
    for use, what in (("label", "no label"), ("text", "no text")):
        missing = np.flatnonzero((out[use] == "").to_numpy())
        if len(missing):
            raise ValueError(
                f"row {missing[0] + 1} of {name} has {what}; every row needs a text and a label"
            )
    return out


def _column(
    rows: pd.DataFrame, name: str, use: str, asked: str | None, usual: Sequence[str]
) -> str:
    there = {str(column).lower(): str(column) for column in rows.columns}
    for candidate in [asked] if asked else usual:
        if candidate in rows.columns or candidate.lower() in there:
            return candidate if candidate in rows.columns else there[candidate.lower()]
    wanted = (
        f"a column {asked!r}" if asked else f"a {use} column (one of {', '.join(usual[:4])}, ...)"
    )
    raise ValueError(
        f"{name} must have {wanted}, got the columns {', '.join(map(str, rows.columns))}; name it with {use}="
    )


def _plain(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _task(name: str, rows: dict[str, pd.DataFrame], sources: dict[str, str], seed: int) -> Task:
    classes = sorted(
        rows["train"]["label"].unique(),
        key=lambda c: (0, float(c), c) if re.fullmatch(r"-?\d+(\.\d+)?", c) else (1, 0.0, c),
    )
    if len(classes) < 2:
        raise ValueError(
            f"a task must have two classes or more, got only {classes[0]!r} in {sources['train']}; check the label column"
        )
    for stage, part in rows.items():
        unseen = np.flatnonzero(~part["label"].isin(classes).to_numpy())
        if len(unseen):
            bad = part["label"][unseen[0]]
            raise ValueError(
                f"row {unseen[0] + 1} of {sources[stage]} has the label {bad!r}, which train does not have; it cannot be learned"
            )
    notes = []
    for stage in ("test", "valid"):
        if stage not in rows:
            rows["train"], rows[stage] = _hold_out(rows["train"], 0.1, seed)
            notes.append(
                f"{len(rows[stage])} rows of {sources['train']} were split off as {stage}, stratified, with seed {seed}"
            )
    splits = {
        stage: table(part["text"].tolist(), [classes.index(c) for c in part["label"]], classes)
        for stage, part in rows.items()
    }
    return Task(
        name, tuple(classes), **{stage: splits[stage] for stage in STAGES}, notes=tuple(notes)
    )


def _hold_out(rows: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits off a share of every class, one row at least of each class that has two."""
    generator = np.random.default_rng(seed)
    taken = np.zeros(len(rows), dtype=bool)
    for label in sorted(rows["label"].unique()):
        places = np.flatnonzero((rows["label"] == label).to_numpy())
        count = min(max(1, round(share * len(places))), len(places) - 1)
        taken[generator.permutation(places)[:count]] = True
    return rows[~taken].reset_index(drop=True), rows[taken].reset_index(drop=True)
