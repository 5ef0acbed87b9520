"""How the gradients of two tasks lie to each other while a run goes on, beside those of a task and itself."""

from collections.abc import Iterator

import torch

from ftkit.model.adapted import Adapted
from ftkit.model.gradients import block_path, body_gradient, cosines_between
from ftkit.seeding import stream
from ftkit.tasks.task import Batch, Task

CONTROL = "itself"
"""The control: the target beside more rows of itself, as many as the other task has, whose labels cannot contradict its own."""


class Pulls:
    """Batches of two tasks, drawn beside those of the run.

    Args:
        target: of few rows.
        more: the same task with many rows: beside the few alone, batches would agree because they share rows.
        other: the other task.
        size: rows of a batch; with few, most of what a cosine says is which rows were drawn.
    """

    def __init__(self, target: Task, more: Task, other: Task, size: int, seed: int) -> None:
        drawn = {"one": target, "another": more, "other": other}
        self._streams: dict[str, Iterator[Batch]] = {
            name: task.batches(size, stream(seed, f"{name} batch to look at"))
            for name, task in drawn.items()
        }

    def now(self, model: Adapted, by_block: bool = True) -> dict[str, dict[str, float]]:
        """`{"pair": cosines, "itself": cosines}` of new batches, by block of the body, or under "body" for all of it as one vector."""
        one, another, other = (
            body_gradient(model, next(self._streams[name])) for name in ("one", "another", "other")
        )
        group = short if by_block else _whole
        return {
            "pair": cosines_between(one, other, group),
            CONTROL: cosines_between(one, another, group),
        }

    def probe(self, model: Adapted) -> dict[str, float]:
        """The same by block, in one mapping: `probe/<pair or itself>/<block>`, in [-1, 1]."""
        return {
            f"probe/{name}/{where}": value
            for name, found in self.now(model).items()
            for where, value in found.items()
        }


def short(name: str) -> str:
    """The block of a weight in a word.

    >>> short("body.encoder.layer.2.output.dense.bias"), short("body.embeddings.LayerNorm.bias"), short("body.layernorm.bias")
    ('block 3', 'embeddings', 'last norm')
    """
    last = block_path(name).split(".")[-1]
    return (
        f"block {int(last) + 1}"
        if last.isdigit()
        else "last norm"
        if "norm" in last.lower()
        else last
    )


def _whole(name: str) -> str:
    return "body"


def opposed(found: list[float]) -> float:
    """The share of cosines below 0.

    >>> opposed([0.2, -0.1, 0.3, -0.4])
    0.5
    """
    return float((torch.tensor(found) < 0).double().mean())
