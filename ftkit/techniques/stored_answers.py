"""Stored answers: a teacher whose logits are shipped without the model."""

import hashlib

import torch
from datasets import Dataset
from torch import Tensor

from ftkit import checks
from ftkit.tasks.task import Batch


class Stored:
    """The stored answers of a model, found by the input.

    Any part of a split can be asked for, in any order, and the same rows of a split that has grown
    since. To write a file, pass `{"keys": input_keys(data), "logits": teacher.logits(data, task)}`
    to `save_file` of safetensors; `Teacher(Stored(**load_file(path)))` reads it.

    Args:
        keys: one for each row, (rows,), int64, as `input_keys` makes them.
        logits: the answers, (rows, classes).

    Raises:
        ValueError: the numbers of keys and logits differ; from the call, if an input has no stored
            answer.
    """

    def __init__(self, keys: Tensor, logits: Tensor) -> None:
        for name, value, dimensions in (("keys", keys, 1), ("logits", logits, 2)):
            if not isinstance(value, Tensor) or value.ndim != dimensions:
                raise ValueError(
                    f"{name} must be a tensor of {dimensions} dimension{'s' * (dimensions > 1)}, "
                    f"got {checks.shown(value)}; load_file of safetensors reads both"
                )
        if len(keys) != len(logits):
            raise ValueError(
                f"each row of logits must have a key, got {len(keys)} keys for {len(logits)} rows; "
                "store both of one split"
            )
        self.logits = logits
        self._row = {key: row for row, key in enumerate(keys.tolist())}

    def knows(self, data: Dataset) -> Tensor:
        """Mark the rows of a split that have a stored answer, bool (rows,)."""
        return torch.tensor([key in self._row for key in input_keys(data).tolist()])

    def __call__(self, batch: Batch) -> Tensor:
        """Return the stored logits of the rows of a batch, (n, classes)."""
        keys = input_keys(batch.data.select(batch.rows.tolist())).tolist()
        stored_rows = [self._row.get(key) for key in keys]
        if None in stored_rows:
            row = batch.rows[stored_rows.index(None)]
            raise ValueError(
                f"every row must have a stored answer, got none for row {row}; "
                "select the rows that knows(data) marks"
            )
        return self.logits[stored_rows]


def input_keys(data: Dataset) -> Tensor:
    """Compute a key for each row of a split, int64 (rows,).

    It is a hash of the text or image and of the names of the classes, not of the label.
    """
    classes = getattr(data.features["label"], "names", None)
    inputs = data["image" if "image" in data.column_names else "text"][:]
    digests = (
        hashlib.blake2b(repr((classes, value)).encode(), digest_size=8).digest() for value in inputs
    )
    return torch.tensor(
        [int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=torch.int64
    )
