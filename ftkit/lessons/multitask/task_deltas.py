"""A LoRA for each task, learned alone on one base; then both changes at once. And how often two tasks' gradients oppose each other."""

from collections.abc import Iterator

from ftkit.experiments.benchmark import SIZE, STEPS, VALID_ROWS, tested
from ftkit.lessons.multitask.gradient_conflicts import CONTROL, opposed
from ftkit.lessons.multitask.trial import EXAMPLES, FIXED, arriving, drawn, load, looking, objective
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
"""By how much both changes of the body are scaled before they are added; the best is chosen on valid."""
EVERY = 4
"""Steps between two looks at the gradients."""


def learned(net: Net, task: Task, lr: float, seed: int) -> Delta:
    """What a LoRA on the body and the task's own head learn alone in 80 steps of 16 rows."""
    model = Adapted(net, LoRA(RANK, alpha=ALPHA), Only(f"heads.{task.name}.*"), seed=seed)
    for _ in train(model, task, steps=STEPS, size=SIZE, lr=lr, seed=seed, validations=0):
        pass
    return model.delta()


def scaled(delta: Delta, factor: float) -> Delta:
    """The change with its part in the body scaled; the head stays, since no other task has it."""
    return Delta(
        {
            name: factor * value if name.startswith("body.") else value
            for name, value in delta.items()
        }
    )


def mixing(
    pair: str, lr: float, examples: int = EXAMPLES, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Each task's LoRA alone, then both on one base.

    `valid/accuracy` is the mean of the two alone, so that the rate is chosen before anything is added; `valid/factor` is the best of
    `FACTORS` for the sum. With `test`: `test/accuracy` and `test/other` of each task's LoRA alone, `test/mixed` and `test/mixed other` of
    their sum.
    """
    tasks, net = drawn(pair, examples, seed), load(pair)[0].fresh_heads(seed)
    deltas = [learned(net, task, lr, seed) for task in tasks]
    singles = [delta.on(net) for delta in deltas]
    mean = sum(_on_valid(single, task) for single, task in zip(singles, tasks, strict=True)) / 2
    both = {
        factor: (scaled(deltas[0], factor) + scaled(deltas[1], factor)).on(net)
        for factor in FACTORS
    }
    best = max(FACTORS, key=lambda factor: sum(_on_valid(both[factor], task) for task in tasks))
    yield Event(STEPS, "valid", {"valid/accuracy": mean, "valid/factor": best})
    if test:
        alone = [evaluate(single, task) for single, task in zip(singles, tasks, strict=True)]
        mixed = [evaluate(both[best], task) for task in tasks]
        yield tested(
            **dict(
                zip(("accuracy", "other", "mixed", "mixed other"), (*alone, *mixed), strict=True)
            )
        )


def _on_valid(net: Net, task: Task) -> float:
    return evaluate(net, task, "valid", VALID_ROWS).accuracy


def conflict(pair: str, lr: float, examples: int = EXAMPLES, seed: int = 0) -> Iterator[Event]:
    """A run on the plain sum in which the gradients are looked at every fourth step; at its end, in [0, 1], `pull/pair`: how often those of
    the two tasks opposed each other, at the whole body, and `pull/itself`: how often those of the target and of more rows of it did."""
    tasks = drawn(pair, examples, seed)
    model, pulls = (
        Adapted(load(pair)[0].fresh_heads(seed), seed=seed),
        looking(pair, examples, seed),
    )
    data, size = arriving(FIXED, 0.5, tasks)
    seen: dict[str, list[float]] = {"pair": [], CONTROL: []}
    for event in train(
        model,
        data,
        steps=STEPS,
        size=size,
        lr=lr,
        objective=objective(FIXED, 0.5, tasks),
        seed=seed,
        validations=0,
    ):
        if event.step % EVERY == 0:
            for name, cosines in pulls.now(model, by_block=False).items():
                seen[name] += cosines.values()
    yield Event(STEPS, "pull", {f"pull/{name}": opposed(found) for name, found in seen.items()})
