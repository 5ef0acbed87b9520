"""Two small tasks, models that share a body, and their gradients."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from helpers.laws import HEAD
from helpers.nets import SENTENCES, net, small_task

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.model.objective import supervised
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task, table
from ftkit.techniques.lora import LoRA
from ftkit.techniques.task_balancing import (
    GradNorm,
    Weighted,
)
from ftkit.techniques.task_mixing import Joint
from ftkit.training.loop import train

LORA = LoRA(rank=2, alpha=7.0)


@lru_cache
def tiny() -> Task:
    return small_task()


@lru_cache
def third(name: str = "third") -> Task:
    """18 rows, three classes."""
    rows = table(
        [f"{SENTENCES[i % 5]} at {i}" for i in range(18)],
        [i % 3 for i in range(18)],
        ["a", "b", "c"],
    )
    return Task(name, ("a", "b", "c"), rows, rows, rows)


@lru_cache
def parity() -> Task:
    """24 images, two classes."""
    rows = load_task("digits-parity").take(24).train
    return Task("parity", ("even", "odd"), rows, rows, rows)


@lru_cache
def contrary(of: Callable[[], Task] = tiny) -> Task:
    """The rows of a task with every label the other one."""
    task = of()
    rows = table(
        task.train[task.kind][:], [1 - label for label in task.train["label"]], task.classes
    )
    return Task("contrary", task.classes, rows, rows, rows)


def base_for(*tasks: Task) -> Net:
    return net("mini-vit" if tasks[0].kind == "image" else "bert", *tasks)


def model(*spaces: Any, tasks: tuple[Task, ...] | None = None) -> Adapted:
    return Adapted(base_for(*(tasks or (tiny(), third()))), *spaces)


def joint(*tasks: Task, size: int = 6, start: int = 0) -> Joint:
    tasks = tasks or (tiny(), third())
    return Joint(tuple(task.batch("train", torch.arange(start, start + size)) for task in tasks))


def alike(*spaces: Any, other: Task, task: Task | None = None) -> Adapted:
    """A model of `task`, `tiny` by default, and another whose heads start as one."""
    task = task or tiny()
    base = base_for(task, other)
    base.heads[other.name].load_state_dict(base.heads[task.name].state_dict())
    return Adapted(base, *spaces)


def run(adapted: Adapted, data: Any, objective: Any = supervised, **settings: Any) -> list[Any]:
    given = {"steps": 4, "lr": 1e-2, "size": 6, "validations": 2, "valid_rows": 12, **settings}
    return list(train(adapted, data, objective=objective, **given))


def gradients(
    adapted: Adapted, terms: dict[str, torch.Tensor], prefix: str = "body."
) -> torch.Tensor:
    """The gradient of the sum of `terms` at what trains of `prefix`, in one row."""
    weights = adapted.trainable(prefix)
    found = torch.autograd.grad(
        sum(terms.values()), weights, materialize_grads=True, retain_graph=True
    )
    return torch.cat([gradient.flatten() for gradient in found])


def each(adapted: Adapted, batch: Joint, prefix: str = "body.") -> list[torch.Tensor]:
    """Each task's own gradient."""
    return [
        gradients(adapted, {part.task: supervised(adapted, part)["labels"]}, prefix)
        for part in batch
    ]


def adam_s_end(first: float, second: float) -> torch.Tensor:
    """The change after six steps of plain Adam without clipping, in one row.

    With LoRA no key bias adds its noise.
    """
    adapted, batch, objective = (
        model(LORA, HEAD),
        joint(),
        Weighted({"tiny": first, "third": second}),
    )
    optimizer = torch.optim.Adam(adapted.parameters(), lr=1e-2, eps=1e-12)
    for _ in range(6):
        optimizer.zero_grad()
        sum(objective(adapted, batch).values()).backward()
        optimizer.step()
    return torch.cat([change.flatten() for change in adapted.delta().values()])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def started(objective: GradNorm, **weights: float) -> GradNorm:
    """`objective` as if it had come to these weights."""
    objective.weights = {name: weights[name] for name in ("tiny", "contrary")}
    return objective
