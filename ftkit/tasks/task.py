"""The data slot: a `Task` is three splits of labelled texts or images; a `Batch` is some rows of one split."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Sequence as Nested
from torch import Tensor

from ftkit.paths import kit_path

STAGES = ("train", "valid", "test")
POOL = 32
"""Among how many batches' rows those of like length are sought: more would leave less padding, and less of the order to chance."""


@dataclass(frozen=True)
class Batch:
    """Rows of one split, as indices: the model that reads them turns each split into tokens or pixels once.

    `data` has a column `text` or `image`; `rows` (n,) and `labels` (n,) are int64; `task` names the head that answers; `features`
    (n, width), if given, are the body's answers, computed before.
    """

    data: Dataset
    rows: Tensor
    labels: Tensor
    task: str
    features: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task over three `datasets.Dataset`s with the columns `text` (or `image`) and `label`.

    `train` is trained on; learning rates and the like are chosen on `valid`; `test` is read once, at the end. `notes` say what was done
    to the data that its owner may not expect.
    """

    name: str
    classes: tuple[str, ...]
    train: Dataset
    valid: Dataset
    test: Dataset
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        sizes = ", ".join(f"{stage} {len(self.split(stage)):,}" for stage in STAGES)
        return f"Task({self.name!r}, {len(self.classes)} classes, {sizes})"

    @property
    def kind(self) -> str:
        """What is read: "text" or "image"."""
        return "image" if "image" in self.train.column_names else "text"

    def split(self, stage: str) -> Dataset:
        """The rows of "train", "valid" or "test".

        Raises:
            ValueError: another stage.
        """
        if stage not in STAGES:
            raise ValueError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}")
        return getattr(self, stage)

    @cached_property
    def _labels(self) -> dict[str, Tensor]:
        return {
            stage: torch.tensor(self.split(stage)["label"][:], dtype=torch.int64)
            for stage in STAGES
        }

    def labels(self, stage: str) -> Tensor:
        """The labels of a split, int64, shape (rows,)."""
        self.split(stage)
        return self._labels[stage]

    @cached_property
    def lengths(self) -> Tensor:
        """How long each training row is, int64, shape (rows,): a text in tokens of mini, near enough for any base; images are all alike."""
        if self.kind == "image":
            return torch.ones(len(self.train), dtype=torch.int64)
        return torch.tensor(
            [len(read) for read in _tokenizer().encode_batch(self.train["text"][:])]
        )

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Training batches of `size` rows without end: rows of like length together, in random order.

        Every row comes once an epoch, but for the few that fill no batch.
        """
        size = min(size, len(self.train))
        while True:
            order = torch.randperm(len(self.train), generator=generator)[
                : len(self.train) // size * size
            ]
            pools = order.split(POOL * size)
            batches = [
                part
                for pool in pools
                for part in pool[self.lengths[pool].argsort(stable=True)].split(size)
            ]
            for index in torch.randperm(len(batches), generator=generator).tolist():
                yield self.batch("train", batches[index])

    def batch(self, stage: str, rows: Tensor) -> Batch:
        """The named rows of a split, in that order."""
        return Batch(self.split(stage), rows, self.labels(stage)[rows], self.name)

    @lru_cache(maxsize=64)  # noqa: B019 - the same subset is the same object, so what a model computed for it is found again
    def take(self, count: int, seed: int = 0) -> "Task":
        """The task with `count` training rows, drawn with `seed`, the classes as balanced as the data allows.

        Raises:
            ValueError: count is below 1 or above the number of training rows.
        """
        if not 1 <= count <= len(self.train):
            raise ValueError(
                f"count must be from 1 to {len(self.train)}, the rows of train, got {count}"
            )
        order = np.random.default_rng(seed).permutation(len(self.train))
        labels = self.labels("train").numpy()[order]
        turn = np.empty(len(order), dtype=np.int64)
        for label in np.unique(labels):
            turn[labels == label] = np.arange((labels == label).sum())
        chosen = order[np.argsort(turn, kind="stable")][:count]
        return replace(self, train=self.train.select(chosen))

    @cached_property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that say which data this is: every text or image and label of every split."""
        digest = hashlib.blake2b(digest_size=4)
        for stage in STAGES:
            for row in self.split(stage).select_columns([self.kind, "label"]):
                digest.update(repr((row[self.kind], row["label"])).encode())
        return digest.hexdigest()


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(kit_path("data", "bases", "mini", "tokenizer.json")))


def table(
    inputs: Sequence[Any], labels: Sequence[int], classes: Sequence[str], **others: Sequence[Any]
) -> Dataset:
    """A split: texts or images (nested lists of numbers), labels as class numbers, and any other columns."""
    kind = "text" if not len(inputs) or isinstance(inputs[0], str) else "image"
    value = Value("string") if kind == "text" else Nested(Nested(Value("float32")))
    features = {kind: value, "label": ClassLabel(names=list(classes))}
    columns = {kind: list(inputs), "label": list(labels)}
    extra = Dataset.from_dict(dict(others)).features if others else {}
    return Dataset.from_dict({**columns, **others}, features=Features({**features, **extra}))
