"""Multi-task learning, the data slot: at each step a batch of one task, or of every task.

`Mixture` draws one of several tasks per step, `Together` brings a batch of each. The body is shared
and every task has its own head, after Caruana 1997, "Multitask Learning", Machine Learning 28, and,
for fine-tuning, MT-DNN, Liu et al. 2019, arXiv:1901.11504. `cosines` compares the gradients of two
tasks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, islice
from numbers import Number

import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor

from ftkit import checks
from ftkit.model.adapted import Adapted
from ftkit.model.gradients import block_path, body_gradient, cosines_between
from ftkit.seeding import stream
from ftkit.tasks.task import Batch, Task

MOST_SHARE = 1e12
WINDOW = 16
"""`Together` pairs batches of similar length within this many batches of each task."""


@dataclass(frozen=True)
class _Several:
    """Several tasks. The first is the target: validation and test are on its splits."""

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        checks.each("tasks", self.tasks, Task, "tasks", "the first is the target")
        names = [task.name for task in self.tasks]
        if not names:
            raise ValueError("tasks must name at least one task, got none; the first is the target")
        if len(set(names)) < len(names):
            raise ValueError(
                f"task names must differ, got {', '.join(names)}; "
                "rename one with dataclasses.replace(task, name=...)"
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
        """The batches of each task.

        Those of the target are the ones that it has when it is alone; every other task has a random
        stream of its own.
        """
        seed = generator.initial_seed()
        others = [
            task.batches(size, stream(seed, f"the batches of {task.name}"))
            for task in self.tasks[1:]
        ]
        return [self.target.batches(size, generator), *others]


@dataclass(frozen=True)
class Mixture(_Several):
    """At each step a batch of one task, drawn with probabilities in proportion to `shares`.

    A mixture of one task is that task. The steps are divided: with shares (1, 1) each task gets
    half of the steps that it would have alone.

    Args:
        tasks: the first is the target, which is validated whatever its share; the names must
            differ.
        shares: one per task, at least 0 and not all 0; a task with share 0 is never drawn.

    Raises:
        ValueError: there is no task, two tasks have one name, or the shares are not as above.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.each("shares", self.shares, Number, "numbers", "give one share per task")
        if len(self.shares) != len(self.tasks):
            raise ValueError(
                f"there must be one share for each task, got {len(self.shares)} for "
                f"{len(self.tasks)}; give one share per task"
            )
        if not all(checks.is_number(share) and 0 <= share <= MOST_SHARE for share in self.shares):
            raise ValueError(
                f"every share must be at least 0 and finite, got {checks.shown(self.shares)}; "
                "a task with share 0 is never drawn"
            )
        if not any(self.shares):
            raise ValueError(
                f"the shares must not all be 0, got {self.shares}; give one task a share above 0"
            )

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield training batches of `size` rows of one task each, without end.

        The choice of the task and the order of its rows have separate random streams.
        """
        streams = self._streams(size, generator)
        which = stream(generator.initial_seed(), "which task comes")
        shares = torch.tensor(self.shares, dtype=torch.float64, device="cpu")
        while True:
            yield next(streams[int(torch.multinomial(shares, 1, generator=which))])


def proportional(tasks: Sequence[Task], exponent: float) -> tuple[float, ...]:
    """Compute shares in proportion to n^exponent for tasks with n training rows; they sum to 1.

    Args:
        exponent: from 0 (equal shares) to 1 (in proportion to size).

    Raises:
        ValueError: there is no task, or the exponent is below 0 or above 1.
    """
    checks.each("tasks", tasks, Task, "tasks", "load_task('docs') makes one", least=1)
    if not checks.is_number(exponent) or not 0 <= exponent <= 1:
        raise ValueError(
            f"exponent must be from 0 (equal shares) to 1 (by size), "
            f"got {checks.shown(exponent)}; "
            "give other shares as numbers"
        )
    powers = [len(task.train) ** exponent for task in tasks]
    return tuple(power / sum(powers) for power in powers)


@dataclass(frozen=True)
class Together(_Several):
    """At each step a `Joint` batch, with a batch of every task, for an objective like `Weighted`.

    A step reads `size` rows of each task, so it costs as much as one step of every task alone. The
    target's batches have the order that they have alone. Among the next `WINDOW` batches, each
    other task's are matched to them by length, so that one pass over all rows needs little padding.

    Args:
        tasks: the first is the target, which is validated; the names must differ.

    Raises:
        ValueError: there is no task, or two tasks have one name.
    """

    def batches(self, size: int, generator: torch.Generator) -> Iterator["Joint"]:
        """Yield joint batches of `size` rows of each task, without end."""
        streams = self._streams(size, generator)
        while True:
            windows = [list(islice(batches, WINDOW)) for batches in streams]
            for parts in zip(*self._matched_by_length(windows), strict=True):
                yield Joint(parts)

    def _matched_by_length(self, windows: list[list[Batch]]) -> list[list[Batch]]:
        """Reorder the other tasks' batches: the k-th longest meets the target's k-th longest.

        Args:
            windows: for each task its next batches, the same number for each.
        """
        longest = [
            torch.stack([task.lengths[batch.rows].max() for batch in window])
            for task, window in zip(self.tasks, windows, strict=True)
        ]
        # argsort lists positions from the shortest batch to the longest. The argsort of that gives
        # each position its rank: argsort([30, 10, 20]) is [1, 2, 0], and its argsort [2, 0, 1].
        ranks = longest[0].argsort(stable=True).argsort().tolist()
        matched = [windows[0]]
        for window, lengths in zip(windows[1:], longest[1:], strict=True):
            by_length = lengths.argsort(stable=True).tolist()
            matched.append([window[by_length[rank]] for rank in ranks])
        return matched


@dataclass(frozen=True)
class Joint:
    """A batch of each of several tasks. Iterate over it for the batches; `len` counts all rows.

    Attributes:
        parts: the batches as they were drawn.
        features: (n, width), the body's features of all rows in that order, if they are computed
            already; iterating gives each batch its own.
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
        """The inputs of all splits, concatenated; the same object for the same splits."""
        return _concatenated(tuple(part.data for part in self.parts))

    @property
    def rows(self) -> Tensor:
        """The rows of every part, as indices into `data`."""
        starts = accumulate((len(part.data) for part in self.parts[:-1]), initial=0)
        return torch.cat(
            [part.rows + start for part, start in zip(self.parts, starts, strict=True)]
        )

    @property
    def task(self) -> str:
        """Refuse to name one task.

        Raises:
            ValueError: always; a joint batch has no single head.
        """
        names = ", ".join(part.task for part in self.parts)
        raise ValueError(
            f"the objective must be one for {names} together, got one for a single head; "
            "use Weighted()"
        )


@lru_cache(maxsize=8)
def _concatenated(splits: tuple[Dataset, ...]) -> Dataset:
    """Concatenate the inputs, without the labels, whose classes differ.

    It is cached, because features are kept for the data set object that they were computed for.
    """
    return concatenate_datasets(
        [
            split.select_columns("image" if "image" in split.column_names else "text")
            for split in splits
        ]
    )


def cosines(
    model: Adapted, joint: Joint, group: Callable[[str], str] = block_path
) -> dict[str, float]:
    """Compute the cosine between the gradients of two tasks, in [-1, 1], by group of weights.

    Args:
        group: the group of a weight by its name; its block by default, `str` for each weight by
            itself. Only trainable weights of the body count. A group in which one of the tasks has
            no gradient has no cosine and is left out.

    Raises:
        ValueError: the batch does not have two tasks, or an argument is of another kind.
    """
    checks.instance("model", model, Adapted, "an Adapted", "write Adapted(base, LoRA(4))")
    checks.instance("joint", joint, Joint, "a joint batch", "draw it from Together")
    if group is not str:
        checks.function("group", group, "str makes a group of each weight")
    if len(joint.parts) != 2:
        raise ValueError(
            f"a cosine must be of two tasks, got {len(joint.parts)}; "
            "draw the batch from Together with two"
        )
    one, other = (body_gradient(model, part) for part in joint)
    return cosines_between(one, other, group)
