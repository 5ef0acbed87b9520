"""The angle between the gradients of two tasks during a run; as a control, of a task and itself."""

from collections.abc import Iterator, Sequence

import torch

from ftkit.model.adapted import Adapted
from ftkit.model.gradients import block_path, body_gradient, cosines_between
from ftkit.seeding import stream
from ftkit.tasks.task import Batch, Task

ITSELF = "itself"
"""The control: a batch of the target and another batch of it, whose labels cannot contradict it.

The other batch comes from the same number of rows as the other task has.
"""


class GradientConflicts:
    """Compares gradients on batches of its own, which the run does not see.

    Args:
        target: the task with few rows.
        more: the target with many rows. With the few alone, two batches would agree because they
            share rows.
        other: the other task.
        size: the rows of a batch. The fewer they are, the more a cosine depends on which rows were
            drawn.
        seed: decides the batches.
    """

    def __init__(self, target: Task, more: Task, other: Task, size: int, seed: int) -> None:
        tasks = {"one": target, "another": more, "other": other}
        # The names of the random streams decide the batches: another name, other recorded runs.
        self._streams: dict[str, Iterator[Batch]] = {
            name: task.batches(size, stream(seed, f"{name} batch to look at"))
            for name, task in tasks.items()
        }

    def cosines(self, model: Adapted, by_block: bool = True) -> dict[str, dict[str, float]]:
        """Compare the gradients of new batches.

        Returns:
            Under "pair" the cosines between the two tasks, under "itself" those between the target
            and more rows of it, in [-1, 1]: by block of the body, or under "body" for the whole
            body as one vector.
        """
        one, another, other = (
            body_gradient(model, next(self._streams[name])) for name in ("one", "another", "other")
        )
        group = block_name if by_block else _whole_body
        return {
            "pair": cosines_between(one, other, group),
            ITSELF: cosines_between(one, another, group),
        }

    def probe(self, model: Adapted) -> dict[str, float]:
        """Return `cosines` by block as one mapping: `probe/<pair or itself>/<block>`."""
        return {
            f"probe/{side}/{block}": cosine
            for side, by_block in self.cosines(model).items()
            for block, cosine in by_block.items()
        }


def block_name(weight: str) -> str:
    """A short name of the block of a weight, counted from 1.

    >>> block_name("body.encoder.layer.2.output.dense.bias")
    'block 3'
    >>> block_name("body.embeddings.LayerNorm.bias"), block_name("body.layernorm.bias")
    ('embeddings', 'last norm')
    """
    last = block_path(weight).split(".")[-1]
    if last.isdigit():
        return f"block {int(last) + 1}"
    return "last norm" if "norm" in last.lower() else last


def _whole_body(weight: str) -> str:
    return "body"


def opposed_share(cosines: Sequence[float]) -> float:
    """The share of cosines below 0.

    >>> opposed_share([0.2, -0.1, 0.3, -0.4])
    0.5
    """
    return float((torch.tensor(cosines) < 0).double().mean())
