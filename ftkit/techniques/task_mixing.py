"""Multi-task learning, the data slot: a `Mixture` brings a batch of one of several tasks at each step, `Together` one of every task.

One body is shared and every task has its own head, after Caruana 1997, "Multitask Learning", Machine Learning 28, and, for fine-tuning,
MT-DNN, Liu et al. 2019, arXiv:1901.11504. `cosines` shows whether two tasks pull the same way.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, islice

import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor

from ftkit.model.adapted import Adapted
from ftkit.model.gradients import block_path, body_gradient, cosines_between
from ftkit.seeding import stream
from ftkit.tasks.task import Batch, Task

WINDOW = 16
"""Among how many batches of each task `Together` seeks those of like length."""


@dataclass(frozen=True)
class _Several:
    """Several tasks. The first is the target: what is read of a split, on the way and at the end, is read of its split."""

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if not names:
            raise ValueError("tasks must name at least one task, got none; the first is the target")
        if len(set(names)) < len(names):
            raise ValueError(
                f"task names must differ, got {', '.join(names)}; rename one with dataclasses.replace(task, name=...)"
            )

    @property
    def target(self) -> Task:
        """The first task."""
        return self.tasks[0]

    def split(self, stage: str) -> Dataset:
        """The rows of the target's split."""
        return self.target.split(stage)

    def labels(self, stage: str) -> Tensor:
        """The labels of the target's split, int64, shape (rows,)."""
        return self.target.labels(stage)

    def batch(self, stage: str, rows: Tensor) -> Batch:
        """The named rows of the target's split, in that order."""
        return self.target.batch(stage, rows)

    def _streams(self, size: int, generator: torch.Generator) -> list[Iterator[Batch]]:
        """The batches of each task: those of the target as they come when it is alone, each other task's in a random stream of its own."""
        seed = generator.initial_seed()
        others = [
            task.batches(size, stream(seed, f"the batches of {task.name}"))
            for task in self.tasks[1:]
        ]
        return [self.target.batches(size, generator), *others]


@dataclass(frozen=True)
class Mixture(_Several):
    """Several tasks, of which each step brings a batch of one, drawn anew with probabilities in proportion to `shares`.

    A mixture of one task is that task. The steps are divided: with shares (1, 1) a run sees each task half as often as alone.

    Args:
        tasks: the first is the target, which readings read, whatever its share; their names must differ.
        shares: one for each task, at least 0 and not all 0; a task with share 0 never comes.

    Raises:
        ValueError: no task, two tasks of one name, or shares that are no such shares.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shares) != len(self.tasks):
            raise ValueError(
                f"there must be one share for each task, got {len(self.shares)} for {len(self.tasks)}; name tasks and shares"
            )
        if not all(0 <= share < math.inf for share in self.shares):
            raise ValueError(
                f"every share must be at least 0 and finite, got {self.shares}; a task with share 0 never comes"
            )
        if not any(self.shares):
            raise ValueError(
                f"the shares must not all be 0, got {self.shares}; give one task a share above 0"
            )

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Training batches of `size` rows of one task each, without end; which task comes is drawn apart from the order of its rows."""
        streams, which = (
            self._streams(size, generator),
            stream(generator.initial_seed(), "which task comes"),
        )
        shares = torch.tensor(self.shares, dtype=torch.float64)
        while True:
            yield next(streams[int(torch.multinomial(shares, 1, generator=which))])


def proportional(tasks: Sequence[Task], exponent: float) -> tuple[float, ...]:
    """The shares n^exponent of tasks with n training rows, which sum to 1: 1 is in proportion to size, 0 is each task alike.

    Raises:
        ValueError: an exponent below 0 or above 1.
    """
    if not 0 <= exponent <= 1:
        raise ValueError(
            f"exponent must be from 0 (all alike) to 1 (by size), got {exponent:g}; write other shares out"
        )
    powers = [len(task.train) ** exponent for task in tasks]
    return tuple(power / sum(powers) for power in powers)


@dataclass(frozen=True)
class Together(_Several):
    """Several tasks, of which each step brings a batch of every one: a `Joint` batch, for an objective such as `Weighted`.

    A step reads `size` rows of each task, so that it costs as much as one step of every task alone. The target's batches come in the order
    in which they would come alone; of the next `WINDOW` of each other task the one that is as long among them as the target's among its
    own stands beside it, so that read in one pass they need little padding.

    Args:
        tasks: the first is the target, which readings read; their names must differ.

    Raises:
        ValueError: no task, or two tasks of one name.
    """

    def batches(self, size: int, generator: torch.Generator) -> Iterator["Joint"]:
        """Joint batches of `size` rows of each task, without end."""
        streams = self._streams(size, generator)
        while True:
            for parts in zip(
                *self._of_like_length([list(islice(each, WINDOW)) for each in streams]), strict=True
            ):
                yield Joint(parts)

    def _of_like_length(self, columns: list[list[Batch]]) -> list[list[Batch]]:
        """The batches of each task, those of the others in the order of the target's lengths."""
        longest = [
            torch.stack([task.lengths[batch.rows].max() for batch in own])
            for task, own in zip(self.tasks, columns, strict=True)
        ]
        places = longest[0].argsort(stable=True).argsort().tolist()
        orders = [length.argsort(stable=True).tolist() for length in longest[1:]]
        return [
            columns[0],
            *(
                [own[order[place]] for place in places]
                for own, order in zip(columns[1:], orders, strict=True)
            ),
        ]


@dataclass(frozen=True)
class Joint:
    """A batch of each of several tasks. Iterate over it for the batches; `len` counts the rows of all.

    `parts` are the batches as they were drawn. `features` (n, width), if given, are the body's answers to all their rows in that order,
    computed before; iterating hands each batch its own.
    """

    parts: tuple[Batch, ...]
    features: Tensor | None = None

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Batch]:
        if self.features is None:
            return iter(self.parts)
        features = self.features.split([len(part) for part in self.parts])
        return (replace(part, features=own) for part, own in zip(self.parts, features, strict=True))

    @property
    def data(self) -> Dataset:
        """What is read in all the splits, one split after the other: the same object for the same splits."""
        return _one_after_the_other(tuple(part.data for part in self.parts))

    @property
    def rows(self) -> Tensor:
        """The rows of every part, as indices into `data`."""
        starts = accumulate((len(part.data) for part in self.parts[:-1]), initial=0)
        return torch.cat(
            [part.rows + start for part, start in zip(self.parts, starts, strict=True)]
        )

    @property
    def task(self) -> str:
        """Raises ValueError: a joint batch has no single head."""
        names = ", ".join(part.task for part in self.parts)
        raise ValueError(
            f"an objective for {names} together must be given, got one that asks for a single head; use Weighted()"
        )


@lru_cache(maxsize=8)
def _one_after_the_other(splits: tuple[Dataset, ...]) -> Dataset:
    """Without the labels, whose classes differ. Kept, so that features computed for it are found again."""
    return concatenate_datasets(
        [
            split.select_columns("image" if "image" in split.column_names else "text")
            for split in splits
        ]
    )


def cosines(
    model: Adapted, joint: Joint, group: Callable[[str], str] = block_path
) -> dict[str, float]:
    """The cosine between the gradients of two tasks, in [-1, 1], for each group of weights of the body that train.

    Args:
        group: the group of a weight by its name; its block by default, `str` for each weight by itself. A group that one of the tasks would
            not move has no cosine and is left out.

    Raises:
        ValueError: the batch holds other than two tasks.
    """
    if len(joint.parts) != 2:
        raise ValueError(
            f"a cosine must be of two tasks, got {len(joint.parts)}; draw the batch from Together with two"
        )
    one, other = (body_gradient(model, part) for part in joint)
    return cosines_between(one, other, group)
