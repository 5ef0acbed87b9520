"""Tasks from the learner's own data: tables in files and folders, and datasets of the hub.

Reading is `table_files`' part. Here the columns are chosen, every row is checked, splits that are
missing are drawn, and the notes say what was done.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ftkit import hub
from ftkit.tasks import table_files
from ftkit.tasks.table_files import NO_LABEL, SUFFIXES, Columns, shown
from ftkit.tasks.task import STAGES, Task, table

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
IMBALANCE = 4
"""The notes speak of classes if the largest has this many times the rows of the smallest."""
NOT_LABELS = ("nan", "none", "null", "na", "n/a", "<na>", "?")
"""Texts that are often written for a missing label, in small letters."""

Texts = str | Sequence[str] | None
"""The name of a column, or of several whose texts are joined by a space; None for a guess."""


def load(
    path: Path,
    text: Texts,
    label: str | None,
    seed: int,
    sep: str | None = None,
    columns: Sequence[str] | None = None,
) -> Task:
    """Load a task from one file, or from a folder of files named train, validation and test.

    One file is split 80 / 10 / 10. A split that a folder lacks is a tenth of train. Both are
    stratified by label, equal texts stay in one split, and the task's notes say so.

    Raises:
        ValueError: the data cannot be used; the message names file and row.
    """
    if not exists(path):
        raise ValueError(f"the file must exist, got {shown(str(path))}; check the path")
    files = _folder(path) if path.is_dir() else {"train": path}
    tables = {stage: table_files.read(file, sep, columns) for stage, file in files.items()}
    name = re.sub(r"\W+", "_", path.resolve().stem) or "task"
    return _task(name, tables, text, label, seed)


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; a name that no file can have is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def load_hub(name: str, text: Texts, label: str | None, seed: int) -> Task:
    """Load a task from a dataset of the hub, with `datasets.load_dataset`.

    Raises:
        ValueError: the name is no id of the hub, there is no such dataset, or no way to reach it.
    """
    import datasets

    reason = hub.why_not(name, "dataset")
    if reason:
        raise _not_there(name, reason)
    try:
        splits = datasets.load_dataset(name)
    except Exception as error:
        text = (str(error).splitlines() or [""])[0][:200]
        raise _not_there(name, f"{type(error).__name__}: {text}") from error
    sources = _hub_splits(name, splits)
    tables = {}
    for stage, source in sources.items():
        split = splits[source]
        arrow = split.with_format("arrow")[:]
        tables[stage] = table_files.from_arrow(f"{name}/{source}", arrow, split.features)
    column = _column(tables["train"], "label", label, LABELS)
    if "test" in tables and all(value is NO_LABEL for value in tables["test"].values[column]):
        del tables["test"]  # a competition keeps these labels secret
    return _task(re.sub(r"\W+", "_", name.split("/")[-1]), tables, text, label, seed)


def _not_there(name: str, reason: str) -> ValueError:
    return ValueError(
        "the task must be docs, digits, a file, a folder or a dataset that can be reached, "
        f"got {name!r} ({reason}); without a network, download it elsewhere and give the path "
        "of its CSV, JSONL or Parquet file"
    )


def _hub_splits(name: str, splits: Sequence[str]) -> dict[str, str]:
    """The name of the dataset's split for each stage that it has."""
    sources: dict[str, str] = {}
    for stage, stems in STEMS.items():
        # The exact names come first, then names such as "train_full".
        candidates = (split for split in (*stems, *splits) if split in splits)
        source = next((split for split in candidates if split.startswith(stems)), None)
        if source is not None:
            sources[stage] = source
    if "train" not in sources:
        raise ValueError(
            f"a dataset must have a split named train, got {', '.join(splits)} in {name!r}; "
            "save the one you need as a file"
        )
    return sources


def _folder(path: Path) -> dict[str, Path]:
    """The file of each split in a folder, by stage."""
    files: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() in SUFFIXES:
            files.setdefault(file.stem.lower(), []).append(file)
    chosen: dict[str, Path] = {}
    for stage, stems in STEMS.items():
        fits = [file for stem in stems for file in files.get(stem, [])]
        if len(fits) > 1:
            names = ", ".join(shown(file.name) for file in fits)
            raise ValueError(
                f"a folder must hold one file for {stage}, got {names}; move the others away"
            )
        if fits:
            chosen[stage] = fits[0]
    if "train" not in chosen:
        names = ", ".join(shown(file.name) for file in sorted(path.iterdir())[:8]) or "nothing"
        raise ValueError(
            "a folder must hold train.csv, train.tsv, train.jsonl or train.parquet, got "
            f"{names} in {shown(str(path))}; rename the file to train on"
        )
    if len({file.suffix.lower() for file in chosen.values()}) > 1:
        names = ", ".join(shown(file.name) for file in chosen.values())
        raise ValueError(
            f"the files of a folder must be of one kind, got {names}; convert them to one"
        )
    return chosen


def _column(columns: Columns, use: str, asked: str | None, usual: Sequence[str]) -> str:
    """The column to use as "text" or "label": the one asked for, else the first usual name.

    Raises:
        ValueError: there is no such column; the message lists those that are there.
    """
    by_lower = {column.lower(): column for column in columns.values}
    for candidate in usual if asked is None else [asked]:
        if candidate in columns.values:
            return candidate
        if candidate.lower() in by_lower:
            return by_lower[candidate.lower()]
    if asked is not None:
        wanted = f"column {asked!r}"
    else:
        wanted = f"{use} column (one of {', '.join(usual[:4])}, ...)"
    there = ", ".join(_named(column) for column in list(columns.values)[:20])
    way_out = f"name it with {use}="
    if columns.name.lower().endswith((".csv", ".tsv")):
        way_out += ", or name all columns with columns= if the first line is a row"
    raise ValueError(f"{columns.name} must have a {wanted}, got the columns {there}; {way_out}")


def _named(text: str) -> str:
    """A name or a value in a message: short, and quoted unless it is one word."""
    short = text if len(text) <= 40 else text[:37] + "..."
    return short if short.isidentifier() else repr(short)


def _clean(columns: Columns, text: Sequence[str], label: str, notes: list[str]) -> pd.DataFrame:
    """The columns `text` and `label` as strings, with every row checked.

    Rows that a dataset marks as unlabelled are left out, and the notes say so.
    """
    labels = columns.values[label]
    labelled = [row for row, value in enumerate(labels) if value is not NO_LABEL]
    if len(labelled) < len(labels):
        notes.append(
            f"{len(labels) - len(labelled):,} of {len(labels):,} rows of {columns.name} are "
            "marked as unlabelled and were left out"
        )
    clean = pd.DataFrame(
        {
            "text": [_joined(columns, text, row) for row in labelled],
            "label": [_plain(columns, label, row) for row in labelled],
        },
        dtype=object,
    )
    if not len(clean):
        raise ValueError(f"{columns.name} has no rows; a task needs rows of text and label")
    for use in ("label", "text"):
        missing = np.flatnonzero((clean[use] == "").to_numpy())
        if len(missing):
            raise ValueError(
                f"row {labelled[missing[0]] + 1} of {columns.name} has no {use}; every row needs "
                "a text and a label"
            )
    return clean


def _joined(columns: Columns, names: Sequence[str], row: int) -> str:
    """The texts of some columns, joined by a space."""
    return " ".join(_plain(columns, name, row) for name in names).strip()


def _plain(columns: Columns, column: str, row: int) -> str:
    """A cell as text: "" where it is missing, and a whole float without its decimals.

    Raises:
        ValueError: the cell holds several values, bytes, or characters that are none.
    """
    value = columns.values[column][row]
    if isinstance(value, list | dict | tuple | set | bytes):
        raise ValueError(
            f"row {row + 1} of {columns.name} must have one text or number in the column "
            f"{column!r}, got {repr(value)[:40]}; choose another column or write one value a row"
        )
    if pd.isna(value):
        return ""
    whole = isinstance(value, float) and value.is_integer()
    plain = str(int(value) if whole else value).strip()
    if not plain.isascii() and any("\ud800" <= character <= "\udfff" for character in plain):
        raise ValueError(
            f"row {row + 1} of {columns.name} must be valid Unicode, got {ascii(plain)[:40]}; "
            "it has half of a surrogate pair, write the character again"
        )
    return plain


def _task(name: str, tables: dict[str, Columns], text: Texts, label: str | None, seed: int) -> Task:
    """A task from the tables of its splits; splits that are missing are drawn from train."""
    notes = [note for each in tables.values() for note in each.notes]
    for each in tables.values():
        if not len(each):
            raise ValueError(f"{each.name} has no rows; a task needs rows of text and label")
    # The columns are chosen in train. The other splits must have the same.
    train = tables["train"]
    asked = [text] if isinstance(text, str) or text is None else list(text)
    texts = [_column(train, "text", each, TEXTS) for each in asked]
    labels = _column(train, "label", label, LABELS)
    notes += _what_was_read(train, texts, labels)
    rows = {}
    for stage, each in tables.items():
        of_stage = [_column(each, "text", column, TEXTS) for column in texts]
        label_of_stage = _column(each, "label", labels, LABELS)
        rows[stage] = _clean(each, of_stage, label_of_stage, notes)
    sources = {stage: each.name for stage, each in tables.items()}
    classes = _classes(rows, sources, labels)
    notes += _shared_texts(rows, sources)
    missing = [stage for stage in ("test", "valid") if stage not in rows]
    if missing:
        notes += _repeated_texts(rows["train"], sources["train"])
    for stage in missing:
        notes += _split_off(rows, stage, sources["train"], seed)
    _check_splits(rows, sources, labels)
    notes += _about_classes(rows, classes)
    number = {each: place for place, each in enumerate(classes)}
    splits = {}
    for stage in STAGES:
        numbers = [number[each] for each in rows[stage]["label"]]
        splits[stage] = table(rows[stage]["text"].tolist(), numbers, classes)
    return Task(name, classes, **splits, notes=tuple(notes))


def _what_was_read(columns: Columns, texts: Sequence[str], label: str) -> list[str]:
    """A note on the columns, unless there are only a text and a label and they are named so."""
    rest = [column for column in columns.values if column not in (*texts, label)]
    if not rest and (*texts, label) == ("text", "label"):
        return []
    read = " and ".join(_named(column) for column in texts)
    not_read = f"; not read: {', '.join(_named(column) for column in rest[:12])}" if rest else ""
    return [f"{columns.name}: {read} was read as the text, {_named(label)} as the label{not_read}"]


def _classes(rows: dict[str, pd.DataFrame], sources: dict[str, str], label: str) -> tuple[str, ...]:
    """The classes of train, in order; every label of the other splits must be one of them."""
    classes = sorted(rows["train"]["label"].unique(), key=_numbers_first)
    if len(classes) < 2:
        raise ValueError(
            f"a task must have two classes or more, got only {classes[0]!r} in "
            f"{sources['train']}; check the label column {label!r}"
        )
    for stage, part in rows.items():
        unseen = np.flatnonzero(~part["label"].isin(classes).to_numpy())
        if len(unseen):
            found = part["label"].iloc[unseen[0]]
            raise ValueError(
                f"row {unseen[0] + 1} of {sources[stage]} has the label {found!r}, which train "
                "does not have; it cannot be learned"
            )
    return tuple(classes)


def _check_splits(rows: dict[str, pd.DataFrame], sources: dict[str, str], label: str) -> None:
    """Refuse a split for choosing or testing that cannot tell classes apart."""
    for stage in ("valid", "test"):
        there = rows[stage]["label"].unique()
        if len(there) < 2:
            found = repr(there[0]) if len(there) else "no row"
            count, of = rows["train"]["label"].nunique(), len(rows["train"])
            raise ValueError(
                f"{stage} must have rows of two classes or more, got {found} in "
                f"{sources.get(stage, stage)}; train has {of:,} rows of {count:,} classes: check "
                f"that {label!r} is the label column, and give more rows a class"
            )


def _shared_texts(rows: dict[str, pd.DataFrame], sources: dict[str, str]) -> list[str]:
    """Notes on texts that several of the given splits have."""
    notes = []
    for stage, other in (("valid", "train"), ("test", "train"), ("test", "valid")):
        if stage in rows and other in rows:
            both = int(rows[stage]["text"].isin(rows[other]["text"]).sum())
            if both:
                notes.append(
                    f"{both:,} of {len(rows[stage]):,} rows of {sources[stage]} have a text that "
                    f"{sources[other]} has too; they say little about new texts"
                )
    return notes


def _repeated_texts(rows: pd.DataFrame, source: str) -> list[str]:
    """A note on rows with equal texts, which a split must not separate."""
    repeated = int(rows["text"].duplicated().sum())
    if not repeated:
        return []
    labels = rows.groupby("text")["label"].nunique()
    several = int((labels > 1).sum())
    with_several = (
        f"; {several:,} texts have more than one label and stay in train" if several else ""
    )
    return [
        f"{repeated:,} of {len(rows):,} rows of {source} repeat the text of another row; equal "
        f"texts stay in one split{with_several}"
    ]


def _split_off(rows: dict[str, pd.DataFrame], stage: str, source: str, seed: int) -> list[str]:
    """Move a tenth of train to a new split; return what the notes say of it."""
    rows["train"], rows[stage] = _hold_out(rows["train"], 0.1, seed)
    return [
        f"{len(rows[stage]):,} rows of {source} were split off as {stage}, stratified, "
        f"with seed {seed}"
    ]


def _about_classes(rows: dict[str, pd.DataFrame], classes: Sequence[str]) -> list[str]:
    """Notes on classes of very different sizes, and on labels that look like none."""
    notes = []
    sizes = rows["train"]["label"].value_counts()
    if sizes.iloc[0] >= IMBALANCE * sizes.iloc[-1]:
        largest = sizes.index[0]
        always = float((rows["test"]["label"] == largest).mean())
        notes.append(
            f"the largest class, {largest!r}, has {sizes.iloc[0] / sizes.iloc[-1]:.1f} times the "
            f"rows of the smallest, {sizes.index[-1]!r}; always {largest!r} is right on "
            f"{always:.1%} of test"
        )
    odd = (each for each in classes if each.lower() in NOT_LABELS)
    notes += (
        f"{sizes[each]:,} rows of train have the label {each!r}: a class here" for each in odd
    )
    return notes


def _numbers_first(label: str) -> tuple[int, float, str]:
    """The key that sorts labels: numbers by their value, then all others by their letters."""
    is_number = re.fullmatch(r"-?\d+(\.\d+)?", label) is not None
    return (0, float(label), label) if is_number else (1, 0.0, label)


def _hold_out(rows: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split off a share of the texts of every class; at least one of each class that has two.

    All rows with an equal text go together. A text with several labels stays.
    """
    generator = np.random.default_rng(seed)
    labels_of_text = rows.groupby("text", sort=False)["label"].transform("nunique")
    first = ~rows["text"].duplicated() & (labels_of_text == 1)
    places = pd.Series(np.flatnonzero(first.to_numpy()))
    by_label = places.groupby(rows["label"].to_numpy()[places], sort=True)
    taken: list[int] = []
    for _, members in by_label:
        count = min(max(1, round(share * len(members))), len(members) - 1)
        taken.extend(generator.permutation(members.to_numpy())[:count])
    moved = rows["text"].isin(rows["text"].iloc[taken]).to_numpy()
    return rows[~moved].reset_index(drop=True), rows[moved].reset_index(drop=True)
