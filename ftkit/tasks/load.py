"""`load_task`: a task by its name, from files, or from a hub data set."""

from pathlib import Path

from ftkit.tasks import digits, docs, user_files
from ftkit.tasks.task import Task


def load_task(
    name: str | Path,
    *,
    permute: float = 0.0,
    text: str | None = None,
    label: str | None = None,
    seed: int = 0,
) -> Task:
    """Load a task by its name, from files, or from the hub.

    Args:
        name: one of these.

            - `"docs"` (which library wrote this sentence?), or another label of the same
              sentences: `"docs-area"` (which part of its library), `"docs-kind"` (class, method
              or function), `"docs-opening"` (the first word);
            - `"digits"` (handwriting as images), `"digits-parity"` (the same, even or odd?) or
              `"digits-as-text"` (the same as words);
            - the path of a CSV, JSONL or Parquet file, or of a folder with files named train,
              validation and test;
            - the id of a hub dataset.
        permute: for the docs tasks, the share of the vocabulary that is permuted, from 0 (English)
            to 1 (gibberish).
        text, label: the columns of a file or hub dataset; guessed from usual names if not given.
        seed: decides the split of data that comes without one.

    Raises:
        ValueError: an unknown name, or data that cannot be used; the message names file and row.
    """
    if name in docs.LABELS:
        return docs.load(str(name), permute)
    if permute:
        raise ValueError(
            f"permute must be 0 for other tasks than {', '.join(docs.LABELS)}, "
            f"got {permute:g} for {name}; leave permute out"
        )
    if name in digits.NAMES:
        return digits.load(str(name))
    if Path(name).exists() or Path(name).suffix in user_files.SUFFIXES:
        return user_files.load(Path(name), text, label, seed)
    return user_files.load_hub(str(name), text, label, seed)
