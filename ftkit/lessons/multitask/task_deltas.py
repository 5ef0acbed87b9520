"""Two further trials of lesson 07: the sum of two tasks' LoRAs, and how often gradients oppose."""

from collections.abc import Iterator

from ftkit.experiments.benchmark import SIZE, STEPS, VALID_ROWS, tested
from ftkit.lessons.multitask.gradient_conflicts import ITSELF, opposed_share
from ftkit.lessons.multitask.trial import (
    EXAMPLES,
    FIXED_WEIGHTS,
    draw_tasks,
    gradient_conflicts,
    load_pair,
    objective,
    training_data,
)
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.model.delta import Delta
from ftkit.tasks.task import Task
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event
from ftkit.training.loop import evaluate, train

RANK, ALPHA = 4, 16.0
FACTORS = (0.4, 0.6, 0.8, 1.0)
"""The factors by which both changes of the body may be scaled before they are added."""
PROBE_EVERY = 4
"""The number of steps from one probe of the gradients to the next."""


def learn_delta(net: Net, task: Task, lr: float, seed: int) -> Delta:
    """Train a LoRA on the body, and the task's own head, on one task for 80 steps of 16 rows."""
    model = Adapted(net, LoRA(RANK, alpha=ALPHA), Only(f"heads.{task.name}.*"), seed=seed)
    for _ in train(model, task, steps=STEPS, size=SIZE, lr=lr, seed=seed, validations=0):
        pass
    return model.delta()


def scale_body(delta: Delta, factor: float) -> Delta:
    """Scale the change of the body; the head stays, since no other task changes it."""
    return Delta(
        {
            name: factor * value if name.startswith("body.") else value
            for name, value in delta.items()
        }
    )


def mixing(
    pair: str, lr: float, examples: int = EXAMPLES, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Train a LoRA for each task, then apply both to one base.

    Yields:
        One event of stage "valid". Its `valid/accuracy` is the mean of the two tasks, each with its
        own LoRA, so that the learning rate is chosen before the two are added. Its `valid/factor`
        is the best of `FACTORS` for the sum.

        With `test` one of stage "test": `test/accuracy` and `test/other` of each task's own LoRA,
        `test/mixed` and `test/mixed other` of their sum.
    """
    tasks = draw_tasks(pair, examples, seed)
    net = load_pair(pair)[0].fresh_heads(seed)
    deltas = [learn_delta(net, task, lr, seed) for task in tasks]
    singles = [delta.on(net) for delta in deltas]
    on_valid = [_on_valid(single, task) for single, task in zip(singles, tasks, strict=True)]
    sums = {
        factor: (scale_body(deltas[0], factor) + scale_body(deltas[1], factor)).on(net)
        for factor in FACTORS
    }
    best = max(FACTORS, key=lambda factor: sum(_on_valid(sums[factor], task) for task in tasks))
    yield Event(STEPS, "valid", {"valid/accuracy": sum(on_valid) / 2, "valid/factor": best})
    if test:
        target, other = (
            evaluate(single, task) for single, task in zip(singles, tasks, strict=True)
        )
        mixed, mixed_other = (evaluate(sums[best], task) for task in tasks)
        evaluations = {
            "accuracy": target,
            "other": other,
            "mixed": mixed,
            "mixed other": mixed_other,
        }
        yield tested(**evaluations)


def _on_valid(net: Net, task: Task) -> float:
    return evaluate(net, task, "valid", VALID_ROWS).accuracy


def conflict(pair: str, lr: float, examples: int = EXAMPLES, seed: int = 0) -> Iterator[Event]:
    """Train on the plain sum of both losses, and probe the gradients at every fourth step.

    Yields:
        One event of stage "pull", for the whole body and in [0, 1]: `pull/pair`, how often the
        gradients of the two tasks were opposed; and `pull/itself`, how often those of the target
        and of more rows of it were.
    """
    tasks = draw_tasks(pair, examples, seed)
    model = Adapted(load_pair(pair)[0].fresh_heads(seed), seed=seed)
    conflicts = gradient_conflicts(pair, examples, seed)
    data, size = training_data(FIXED_WEIGHTS, 0.5, tasks)
    cosines: dict[str, list[float]] = {"pair": [], ITSELF: []}
    for event in train(
        model,
        data,
        steps=STEPS,
        size=size,
        lr=lr,
        objective=objective(FIXED_WEIGHTS, 0.5, tasks),
        seed=seed,
        validations=0,
    ):
        if event.step % PROBE_EVERY == 0:
            for side, by_group in conflicts.cosines(model, by_block=False).items():
                cosines[side] += by_group.values()
    shares = {f"pull/{side}": opposed_share(values) for side, values in cosines.items()}
    yield Event(STEPS, "pull", shares)
