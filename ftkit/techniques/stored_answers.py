"""Answers of a model that is not here: a teacher whose logits are shipped without it."""

import hashlib

import torch
from datasets import Dataset
from torch import Tensor

from ftkit.tasks.task import Batch


class Stored:
    """Answers of a model that is not here, `logits` (rows, classes), found by what was asked: each has its key in `keys` (rows,), int64.

    So any part of a split is known, in any order, and the same rows of a split that has grown since. For a file, safetensors' `save_file`
    takes `{"keys": input_keys(data), "logits": teacher.logits(data, task)}`, and `Teacher(Stored(**load_file(path)))` teaches.

    Raises:
        ValueError: keys and logits differ in number; when asked, an input without a stored answer.
    """

    def __init__(self, keys: Tensor, logits: Tensor) -> None:
        if len(keys) != len(logits):
            raise ValueError(
                f"each row of logits must have a key, got {len(keys)} keys for {len(logits)} rows; store both of one split"
            )
        self.logits = logits
        self._row = {key: row for row, key in enumerate(keys.tolist())}

    def knows(self, data: Dataset) -> Tensor:
        """Which rows of a split have a stored answer, bool (rows,)."""
        return torch.tensor([key in self._row for key in input_keys(data).tolist()])

    def __call__(self, batch: Batch) -> Tensor:
        """The stored logits of the rows of a batch, (n, classes)."""
        found = [
            self._row.get(key)
            for key in input_keys(batch.data.select(batch.rows.tolist())).tolist()
        ]
        if None in found:
            row = batch.rows[found.index(None)]
            raise ValueError(
                f"every row must have a stored answer, got none for row {row}; select the rows that knows(data) names"
            )
        return self.logits[found]


def input_keys(data: Dataset) -> Tensor:
    """A key for each row of a split, int64 (rows,): a hash of its text or image and of the names of the classes, but not of the label."""
    classes = getattr(data.features["label"], "names", None)
    inputs = data["image" if "image" in data.column_names else "text"][:]
    digests = (
        hashlib.blake2b(repr((classes, value)).encode(), digest_size=8).digest() for value in inputs
    )
    return torch.tensor(
        [int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=torch.int64
    )
