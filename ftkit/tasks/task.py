"""The data slot: a `Task` is three splits of texts or images, a `Batch` some rows of a split."""

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

from ftkit import checks
from ftkit.checksums import checked
from ftkit.paths import kit_path

STAGES = ("train", "valid", "test")
POOL = 32
"""Rows are sorted by length within pools of this many batches.

A larger pool leaves less padding, but also a less random order.
"""


@dataclass(frozen=True)
class Batch:
    """Rows of one split, as indices; a model turns each split into tokens or pixels once.

    Args:
        data: the split, with a column `text` or `image`.
        rows: the indices of the rows, int64, (n,).
        labels: their labels, int64, (n,).
        task: the name of the head that answers.
        features: the body's outputs for these rows, (n, width), where they are computed already.
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
    """A classification task: three `datasets.Dataset`s with `text` (or `image`) and `label`.

    `train` is for training, `valid` for choosing learning rates and other hyperparameters, and
    `test` for one evaluation at the end. `notes` say what was done to the data that its owner may
    not expect.
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
        """The kind of the inputs: "text" or "image"."""
        return "image" if "image" in self.train.column_names else "text"

    def split(self, stage: str) -> Dataset:
        """The rows of "train", "valid" or "test".

        Raises:
            ValueError: another stage.
        """
        checks.one_of("stage", stage, STAGES)
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
        """The length of each training row, int64, shape (rows,).

        For a text the number of its tokens for mini, which is near enough for any base; 1 for
        every image.
        """
        if self.kind == "image":
            return torch.ones(len(self.train), dtype=torch.int64)
        encodings = _tokenizer().encode_batch(self.train["text"][:])
        return torch.tensor([len(tokens) for tokens in encodings])

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield training batches of `size` rows without end, each of rows of similar length.

        An epoch has every row once, except for the few that fill no batch.

        Raises:
            ValueError: at the first batch, if size is below 1 or the generator is of another kind.
        """
        checks.whole("size", size, 1, advice="it counts the rows of a batch")
        checks.instance(
            "generator",
            generator,
            torch.Generator,
            "a torch.Generator",
            "torch.Generator().manual_seed(0) is one",
        )
        size = min(int(size), len(self.train))
        whole_batches = len(self.train) // size
        while True:
            # 1. Shuffle the rows, and leave out those that fill no batch.
            order = torch.randperm(len(self.train), generator=generator)[: whole_batches * size]
            # 2. Sort each pool of rows by length, and cut it into batches.
            batches: list[Tensor] = []
            for pool in order.split(POOL * size):
                by_length = pool[self.lengths[pool].argsort(stable=True)]
                batches.extend(by_length.split(size))
            # 3. Shuffle the batches, or short texts would always come before long ones.
            for index in torch.randperm(len(batches), generator=generator).tolist():
                yield self.batch("train", batches[index])

    def batch(self, stage: str, rows: Tensor) -> Batch:
        """The named rows of a split, in that order.

        Raises:
            ValueError: another stage, or rows that are no int64 tensor (n,) of rows of the split.
        """
        count = len(self.split(stage))
        if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1:
            raise ValueError(
                f"rows must be whole numbers in a tensor (n,), got {checks.shown(rows)}; "
                "torch.arange(16) is the first 16 rows"
            )
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count:
            raise ValueError(
                f"rows must be from 0 to {count - 1}, got from {int(rows.min())} to "
                f"{int(rows.max())}; {stage} has {count} rows"
            )
        return Batch(self.split(stage), rows, self.labels(stage)[rows], self.name)

    def take(self, count: int, seed: int = 0) -> "Task":
        """The task with `count` training rows drawn with `seed`, as balanced as the data allows.

        Raises:
            ValueError: count is below 1 or above the number of training rows, or one of both is no
                whole number.
        """
        if not checks.is_whole(count) or not 1 <= count <= len(self.train):
            raise ValueError(
                f"count must be from 1 to {len(self.train)}, the rows of train, "
                f"got {checks.shown(count)}; take fewer or more"
            )
        checks.seed(seed)
        return self._take(int(count), int(seed))

    # The same subset is the same object, so that a model finds what it has computed for it.
    @lru_cache(maxsize=64)  # noqa: B019
    def _take(self, count: int, seed: int) -> "Task":
        order = np.random.default_rng(seed).permutation(len(self.train))
        labels = self.labels("train").numpy()[order]
        # Number the shuffled rows of each class 0, 1, 2, ... and take those with low numbers
        # first: the classes take turns until one has no more rows.
        turn = np.empty(len(order), dtype=np.int64)
        for label in np.unique(labels):
            turn[labels == label] = np.arange((labels == label).sum())
        chosen = order[np.argsort(turn, kind="stable")][:count]
        return replace(self, train=self.train.select(chosen))

    @cached_property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that identify the data: all inputs and labels of all splits."""
        digest = hashlib.blake2b(digest_size=4)
        for stage in STAGES:
            for row in self.split(stage).select_columns([self.kind, "label"]):
                digest.update(repr((row[self.kind], row["label"])).encode())
        return digest.hexdigest()


def stratified(labels: Tensor, count: int) -> Tensor:
    """Draw rows in which each class has about the share that it has in all rows.

    The draw depends on the labels alone: every run, method and process gets the same rows. Fewer
    rows are a part of more rows.

    Args:
        labels: the label of each row, int64 (rows,).
        count: how many rows are drawn, at least 1; all rows if there are no more.

    Returns:
        The numbers of the rows, ascending, int64 (min(count, rows),).

    >>> labels = torch.tensor([0] * 30 + [1] * 10)
    >>> labels[stratified(labels, 8)].tolist()
    [0, 0, 0, 0, 0, 0, 1, 1]
    """
    # 1. Shuffle all rows, then put the rows of a class next to each other.
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    by_class = order[labels[order].argsort(stable=True)]
    sizes = labels.bincount()
    size = sizes[labels[by_class]]
    turn = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[labels[by_class]]
    # 2. The k-th of the n rows of a class stands at (k + 1/2) / n of a line from 0 to 1, so that
    #    each class is spread evenly over the whole line.
    position = torch.empty(len(labels), dtype=torch.float64)
    position[by_class] = (turn + 0.5).double() / size
    # 3. Any first part of the line holds every class in proportion. Rows at the same place follow
    #    each other as they were shuffled.
    along_the_line = order[position[order].argsort(stable=True)]
    return along_the_line[:count].sort().values


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(checked(kit_path("data"), "bases/mini/tokenizer.json")))


def table(
    inputs: Sequence[Any], labels: Sequence[int], classes: Sequence[str], **others: Sequence[Any]
) -> Dataset:
    """Make a split from texts or images (nested lists), class numbers, and any other columns."""
    kind = "text" if not len(inputs) or isinstance(inputs[0], str) else "image"
    value = Value("string") if kind == "text" else Nested(Nested(Value("float32")))
    features = {kind: value, "label": ClassLabel(names=list(classes))}
    columns = {kind: list(inputs), "label": list(labels)}
    extra = Dataset.from_dict(dict(others)).features if others else {}
    return Dataset.from_dict({**columns, **others}, features=Features({**features, **extra}))
