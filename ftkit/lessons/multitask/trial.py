"""Lesson 07: two tasks on one body. The first, the target, has few examples; the other has many."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from ftkit.experiments.benchmark import FROZEN, FULL, HEAD, SIZE, STEPS, VALID_ROWS, tested
from ftkit.lessons.multitask.gradient_conflicts import Pulls
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.objective import supervised
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.techniques.task_balancing import GradNorm, PCGrad, Uncertainty, Weighted
from ftkit.techniques.task_mixing import Mixture, Together
from ftkit.training.cost import measure
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
"""Which library wrote this sentence, beside: from which part of its library is it? Or: which word opens it? Which digit is this, beside:
is it even? The names say what a search on valid led to expect; the record decides."""

FIXED, ALTERNATING = "fixed weights", "alternating"
LEARNED = ("uncertainty", "PCGrad", "GradNorm")
WAYS = (FIXED, *LEARNED, ALTERNATING)
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""The target's part: of the weights of two losses that sum to 2, or of the steps where the tasks take turns."""

EXAMPLES, MANY = 32, 4000
"""Training rows of the target and of the other task (all it has, if those are fewer); each seed draws them anew."""
HALF = SIZE // 2
"""The rows of each task in a joint step: a step reads 16 rows, however they are divided."""

OWN = "multi-task"
"""What the record calls a run on two tasks."""


@lru_cache(maxsize=len(PAIRS))
def load(pair: str) -> tuple[Net, Task, Task]:
    """The base with two heads, the target and the other task, whole; loaded once.

    Raises:
        ValueError: there is no such pair.
    """
    if pair not in PAIRS:
        raise ValueError(f"pair must be one of {', '.join(PAIRS)}, got {pair!r}")
    tasks = load_task(PAIRS[pair].target), load_task(PAIRS[pair].other)
    return load_base(PAIRS[pair].base, *tasks), *tasks


def drawn(pair: str, examples: int, seed: int) -> tuple[Task, Task]:
    """The target and the other task with the training rows that belong to a seed."""
    _, target, other = load(pair)
    return target.take(min(examples, len(target.train)), seed), other.take(
        min(MANY, len(other.train)), seed
    )


def looking(pair: str, examples: int, seed: int) -> Pulls:
    """What looks at the gradients of a run with these settings, in batches as large as its own."""
    (target, other), (more, _) = drawn(pair, examples, seed), drawn(pair, MANY, seed)
    return Pulls(target, more, other, HALF, seed)


def majority_baseline(pair: str) -> float:
    """The share of the target's most frequent class in the rows of valid that a run reads, in [0, 1]."""
    labels = load(pair)[1].labels("valid")[:VALID_ROWS]
    return float(labels.bincount().max()) / len(labels)


def objective(way: str, share: float, tasks: tuple[Task, Task]) -> Any:
    """A new objective for one run; with a share of a half, fixed weights are the plain sum.

    Raises:
        ValueError: there is no such way.
    """
    target, other = tasks
    if way == FIXED:
        return Weighted({target.name: 2 * share, other.name: 2 - 2 * share})
    made: dict[str, Callable[[], Any]] = {
        "uncertainty": lambda: Uncertainty(tasks),
        "PCGrad": PCGrad,
        "GradNorm": GradNorm,
        ALTERNATING: lambda: supervised,
    }
    if way not in made:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}")
    return made[way]()


def arriving(way: str, share: float, tasks: tuple[Task, Task]) -> tuple[Any, int]:
    """What arrives, and of how many rows of a task: eight of both at each step, or sixteen of one."""
    return (
        (Mixture(tasks, (share, 1 - share)), SIZE)
        if way == ALTERNATING
        else (Together(tasks), HALF)
    )


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
    """Full fine-tuning on both tasks: 80 steps of 16 rows. `way` is how they are balanced, `share` the target's part, which the ways that
    weigh for themselves ignore.

    `valid/accuracy` is the target's; the last reading has `valid/other` too. With `look`, events of stage "look" tell how the tasks'
    gradients lay to each other up to that step, `probe/<pair or itself>/<block>/<step>`; with `test`, both tasks' accuracies on test come
    once.
    """
    target, other = tasks = drawn(pair, examples, seed)
    model = Adapted(load(pair)[0].fresh_heads(seed), seed=seed)
    aim, (data, size) = objective(way, share, tasks), arriving(way, share, tasks)
    pulls, seen = looking(pair, examples, seed).probe if probe else None, {}
    for event in train(
        model,
        data,
        steps=STEPS,
        size=size,
        lr=lr,
        objective=aim,
        seed=seed,
        valid_rows=VALID_ROWS,
        probe=pulls,
    ):
        if event.stage == "probe":
            seen.update({f"{name}/{event.step}": value for name, value in event.values.items()})
            event = replace(event, values=dict(seen))
        if event.stage == "valid" and event.step == STEPS:
            event = replace(
                event,
                values={
                    **event.values,
                    "valid/other": evaluate(model, other, "valid", VALID_ROWS).accuracy,
                },
            )
        yield event
    if test:
        yield tested(accuracy=evaluate(model, target), other=evaluate(model, other))
    yield bill(pair, way)


def alone(
    pair: str, method: str, lr: float, examples: int = EXAMPLES, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """A control: the target alone, 80 steps of 16 of its rows; everything moves, or only the head of a frozen body, at the rate `lr`."""
    task, _ = drawn(pair, examples, seed)
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
    yield bill(pair, method)


@lru_cache(maxsize=64)
def bill(pair: str, of: str) -> Event:
    """What a step of a way or of a control costs, on a batch that is the same every time; measured once."""
    tasks, generator = drawn(pair, EXAMPLES, 0), torch.Generator().manual_seed(0)
    if of in (FULL, FROZEN):
        model = Adapted(load_base(PAIRS[pair].base, tasks[0]), *((HEAD,) if of == FROZEN else ()))
        cost = measure(model, next(tasks[0].batches(SIZE, generator)))
    else:
        data, size = arriving(of, 0.5, tasks)
        cost = measure(
            Adapted(load(pair)[0]), next(data.batches(size, generator)), objective(of, 0.5, tasks)
        )
    return Event(
        STEPS, "cost", {f"cost/{name}": float(value) for name, value in asdict(cost).items()}
    )
