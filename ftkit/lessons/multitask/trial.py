"""Lesson 07: two tasks on one body. The first, the target, has few examples; the other has many."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from ftkit.experiments.benchmark import (
    FROZEN,
    FULL,
    HEAD,
    SIZE,
    STEPS,
    VALID_ROWS,
    cost_event,
    majority_share,
    tested,
)
from ftkit.lessons.multitask.gradient_conflicts import GradientConflicts
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.objective import supervised
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.techniques.task_balancing import GradNorm, PCGrad, Uncertainty, Weighted
from ftkit.techniques.task_mixing import Mixture, Together
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, evaluate, train


@dataclass(frozen=True)
class Pair:
    """A base, the target and the other task, by name."""

    base: str
    target: str
    other: str


HELPS, HURTS, IMAGES = "library + area", "library + opening", "digits + parity"
PAIRS = {
    HELPS: Pair("mini", "docs", "docs-area"),
    HURTS: Pair("mini", "docs", "docs-opening"),
    IMAGES: Pair("mini-vit", "digits", "digits-parity"),
}
"""The pairs of tasks by name.

- "library + area": which library wrote this sentence? And from which part of that library is it?
- "library + opening": which library wrote this sentence? And which word opens it?
- "digits + parity": which digit is this? And is it even?

The constants say what a search on valid suggested; whether a task helps or hurts, the recorded runs
decide.
"""

FIXED_WEIGHTS, ALTERNATING = "fixed weights", "alternating"
LEARNED = ("uncertainty", "PCGrad", "GradNorm")
WAYS = (FIXED_WEIGHTS, *LEARNED, ALTERNATING)
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""The target's share: of the weights of two losses, which sum to 2; or of the steps, in turns."""

EXAMPLES, OTHER_EXAMPLES = 32, 4000
"""The numbers of training rows of the target and of the other task; each seed draws its own.

A task with fewer rows has all of them.
"""
ROWS_PER_TASK = SIZE // 2
"""The rows of each task in a joint step: a step has 16 rows, however they are divided."""

MULTITASK = "multi-task"
"""The method of a run on two tasks in the recorded table."""


@lru_cache(maxsize=len(PAIRS))
def load_pair(pair: str) -> tuple[Net, Task, Task]:
    """Load the base with two heads, the target and the other task, with all their rows, once.

    Raises:
        ValueError: there is no such pair.
    """
    if pair not in PAIRS:
        raise ValueError(
            f"pair must be one of {', '.join(PAIRS)}, got {pair!r}; choose one of these"
        )
    tasks = load_task(PAIRS[pair].target), load_task(PAIRS[pair].other)
    return load_base(PAIRS[pair].base, *tasks), *tasks


def draw_tasks(pair: str, examples: int, seed: int) -> tuple[Task, Task]:
    """Draw the target, with this number of training rows, and the other task."""
    _, target, other = load_pair(pair)
    few = target.take(min(examples, len(target.train)), seed)
    many = other.take(min(OTHER_EXAMPLES, len(other.train)), seed)
    return few, many


def gradient_conflicts(pair: str, examples: int, seed: int) -> GradientConflicts:
    """The comparison of gradients for these settings; its batches are as large as the run's."""
    target, other = draw_tasks(pair, examples, seed)
    more, _ = draw_tasks(pair, OTHER_EXAMPLES, seed)
    return GradientConflicts(target, more, other, ROWS_PER_TASK, seed)


def majority_baseline(pair: str) -> float:
    """The target's accuracy of always predicting the most frequent class, in [0, 1].

    On the validation rows that a run is validated on.
    """
    return majority_share(load_pair(pair)[1])


def objective(way: str, share: float, tasks: tuple[Task, Task]) -> Any:
    """A new objective for one run.

    With a share of 0.5 the fixed weights give the plain sum of both losses.

    Raises:
        ValueError: there is no such way.
    """
    target, other = tasks
    if way == FIXED_WEIGHTS:
        return Weighted({target.name: 2 * share, other.name: 2 - 2 * share})
    factories: dict[str, Callable[[], Any]] = {
        "uncertainty": lambda: Uncertainty(tasks),
        "PCGrad": PCGrad,
        "GradNorm": GradNorm,
        ALTERNATING: lambda: supervised,
    }
    if way not in factories:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}; choose one of these")
    return factories[way]()


def training_data(way: str, share: float, tasks: tuple[Task, Task]) -> tuple[Any, int]:
    """The data of a run, and how many rows of a task a batch has.

    A step has eight rows of both tasks; or, when they take turns, sixteen of one.
    """
    if way == ALTERNATING:
        return Mixture(tasks, (share, 1 - share)), SIZE
    return Together(tasks), ROWS_PER_TASK


def trial(
    pair: str,
    way: str,
    share: float,
    lr: float,
    examples: int = EXAMPLES,
    seed: int = 0,
    test: bool = False,
    probe: bool = False,
) -> Iterator[Event]:
    """Run full fine-tuning on both tasks: 80 steps of 16 rows.

    Args:
        pair: one of `PAIRS`.
        way: how the tasks are balanced, one of `WAYS`.
        share: the target's share, see `SHARES`; the methods in `LEARNED` ignore it.
        lr: the learning rate of all weights but the heads.
        examples: the number of the target's training rows.
        seed: decides the rows, their order and the heads.
        test: whether to evaluate both tasks on test at the end.
        probe: whether to compare the gradients of the two tasks.

    Yields:
        `valid/accuracy` is the target's; the last validation has `valid/other` too. With `probe`
        events of stage "probe" with the cosines between gradients up to that step:
        `probe/<pair or itself>/<block>/<step>`.
    """
    target, other = tasks = draw_tasks(pair, examples, seed)
    model = Adapted(load_pair(pair)[0].fresh_heads(seed), seed=seed)
    balanced = objective(way, share, tasks)
    data, size = training_data(way, share, tasks)
    probe_gradients = gradient_conflicts(pair, examples, seed).probe if probe else None
    cosines: dict[str, float] = {}
    for event in train(
        model,
        data,
        steps=STEPS,
        size=size,
        lr=lr,
        objective=balanced,
        seed=seed,
        valid_rows=VALID_ROWS,
        probe=probe_gradients,
    ):
        if event.stage == "probe":
            cosines |= {f"{name}/{event.step}": cosine for name, cosine in event.values.items()}
            event = replace(event, values=dict(cosines))
        elif event.stage == "valid" and event.step == STEPS:
            on_other = evaluate(model, other, "valid", VALID_ROWS)
            event = replace(event, values={**event.values, "valid/other": on_other.accuracy})
        yield event
    if test:
        yield tested(accuracy=evaluate(model, target), other=evaluate(model, other))
    yield step_cost(pair, way)


def single_task(
    pair: str, method: str, lr: float, examples: int = EXAMPLES, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Run a control: the target alone, 80 steps of 16 of its rows.

    `method` is "full fine-tuning" or "frozen body", where `lr` is the learning rate of the head.
    """
    task, _ = draw_tasks(pair, examples, seed)
    spaces, head_lr = ((HEAD,), lr) if method == FROZEN else ((), HEAD_LR)
    model = Adapted(load_base(PAIRS[pair].base, task, seed=seed), *spaces, seed=seed)
    yield from train(
        model,
        task,
        steps=STEPS,
        size=SIZE,
        lr=lr,
        head_lr=head_lr,
        seed=seed,
        valid_rows=VALID_ROWS,
    )
    if test:
        yield tested(accuracy=evaluate(model, task))
    yield step_cost(pair, method)


@lru_cache(maxsize=64)
def step_cost(pair: str, method: str) -> Event:
    """The event of stage "cost": what a step of a way, or of a control, costs; measured once.

    The batch is the same every time.
    """
    tasks, generator = draw_tasks(pair, EXAMPLES, 0), torch.Generator().manual_seed(0)
    if method in (FULL, FROZEN):
        target = tasks[0]
        spaces = (HEAD,) if method == FROZEN else ()
        model = Adapted(load_base(PAIRS[pair].base, target), *spaces)
        return cost_event(model, next(target.batches(SIZE, generator)))
    data, size = training_data(method, 0.5, tasks)
    batch = next(data.batches(size, generator))
    return cost_event(Adapted(load_pair(pair)[0]), batch, objective(method, 0.5, tasks))
