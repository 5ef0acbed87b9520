"""Recipes of lesson 01: training in stages, interpolation of the change, and a far task."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from ftkit.experiments.benchmark import (
    BENCHMARKS,
    HEAD,
    SIZE,
    STEPS,
    VALID_ROWS,
    load_benchmark,
    tested,
)
from ftkit.lessons.transfer_learning.trial import BLOCKS, spaces
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.change import Space
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.techniques.freeze import LastBlocks, Only, discriminative
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, LearningRate, evaluate, train

BLEND_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The shares of the learned change at which an interpolation is evaluated."""
PERMUTED = 0.25
"""The share of the distinct words that are exchanged in the shifted task."""
VALIDATIONS = 12
"""The number of validations of a recipe, shared by its stages."""
FAR_METHODS = ("frozen body", "full fine-tuning", "random weights")
FAR_TASK_EXAMPLES = 400


@dataclass(frozen=True)
class Stage:
    """A stage of training with its own trainable weights, warm-up and decay.

    Without `spaces` everything is trainable.
    """

    spaces: tuple[Space, ...]
    steps: int
    lr: LearningRate
    head_lr: float = HEAD_LR


def chain(net: Net, data: Task, stages: list[Stage], seed: int) -> Generator[Event, None, Adapted]:
    """Train in stages; each starts from the merged result of the one before.

    Yields:
        The events of all stages; their steps are counted from the start of the first.

    Returns:
        The model of the last stage, whose base is the result of the stage before.
    """
    steps_done = 0
    for number, stage in enumerate(stages):
        # With the same seed each stage would train on the same rows in the same order.
        order_seed = seed + 1000 * number
        model = Adapted(net, *stage.spaces, seed=seed)
        events = train(
            model,
            data,
            steps=stage.steps,
            lr=stage.lr,
            head_lr=stage.head_lr,
            size=SIZE,
            seed=order_seed,
            validations=VALIDATIONS // len(stages),
            valid_rows=VALID_ROWS,
        )
        for event in events:
            yield replace(event, step=event.step + steps_done)
        net = model.merged()
        steps_done += stage.steps
    return model


def stages(net: Net, method: str, lr: float, probe: float) -> list[Stage]:
    """Return the stages of a recipe, 80 steps in all.

    LP-FT trains the head alone (a linear probe) for 80 steps before them.

    Args:
        net: the network whose blocks the recipe freezes.
        method: the name of the recipe.
        lr: the peak learning rate of the body; of the head, if the body is frozen.
        probe: the learning rate of LP-FT's linear probe.

    Raises:
        ValueError: there is no such recipe.
    """
    steps_per_part = STEPS // (BLOCKS + 1)
    lowest_block = Only(f"{LastBlocks.blocks(net)[0]}*")
    plans: dict[str, list[Stage]] = {
        "full fine-tuning": [Stage((), STEPS, lr)],
        "frozen body": [Stage((HEAD,), STEPS, lr, lr)],
        "LP-FT": [Stage((HEAD,), STEPS, probe, probe), Stage((), STEPS, lr)],
        "gradual unfreezing": [
            Stage(spaces(frozen), steps_per_part, lr) for frozen in reversed(range(BLOCKS + 1))
        ],
        "discriminative rates": [Stage((), STEPS, discriminative(net, lr))],
        "first block": [Stage((lowest_block, HEAD), STEPS, lr)],
    }
    if method not in plans:
        raise ValueError(
            f"method must be one of {', '.join(plans)}, got {method!r}; for frozen parts use trial"
        )
    return plans[method]


def recipe(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False, probe: float = 3e-2
) -> Iterator[Event]:
    """Run a recipe on a benchmark.

    With `test` it is evaluated on test and, on "library", out of distribution as well; LP-FT is
    then also evaluated at each share of its learned change.
    """
    base, task = load_benchmark(bench)
    net = base.fresh_heads(seed)
    data = task.take(BENCHMARKS[bench].examples, seed)
    model = yield from chain(net, data, stages(net, method, lr, probe), seed)
    if not test:
        return
    yield tested(accuracy=evaluate(model, task))
    if bench == "library":
        yield Event(STEPS, "shift", {"shift/accuracy": evaluate(model, shifted()).accuracy})
        if method == "LP-FT":
            yield Event(STEPS, "blend", blend(model, task, shifted()))


@lru_cache(maxsize=1)
def shifted() -> Task:
    """Load the docs task out of distribution: a quarter of the distinct words are exchanged.

    The sentences and labels are the same; each exchanged word is replaced by one of similar
    frequency. No run trains on a label of this task.
    """
    return load_task(BENCHMARKS["library"].task, permute=PERMUTED)


def blend(
    model: Adapted, inside: Task, outside: Task, stage: str = "test", rows: int | None = None
) -> dict[str, float]:
    """Evaluate the base plus a share of the learned change (WiSE-FT), for each of `BLEND_SHARES`.

    Args:
        model: the fine-tuned model.
        inside: the task in distribution.
        outside: the task out of distribution.
        stage: the split that is evaluated.
        rows: the number of rows that are evaluated; all by default.

    Returns:
        Accuracies in [0, 1] as `blend/<share>/in` and `blend/<share>/out`.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903. Their
    line begins at a zero-shot model; LP-FT's base is the network after the linear probe.
    """
    delta = model.delta()
    accuracies = {}
    for share in BLEND_SHARES:
        net = (share * delta).on(model.base)
        for side, task in (("in", inside), ("out", outside)):
            accuracies[f"blend/{share:g}/{side}"] = evaluate(net, task, stage, rows).accuracy
    return accuracies


def far_task(method: str, lr: float, seed: int = 0, test: bool = False) -> Iterator[Event]:
    """Run one of `FAR_METHODS` on handwriting written as words, with the text base.

    "random weights" is full fine-tuning of random weights.
    """
    base, task = _digits_as_text()
    net = base.untrained(seed) if method == "random weights" else base.fresh_heads(seed)
    plan_name = "frozen body" if method == "frozen body" else "full fine-tuning"
    plan = stages(net, plan_name, lr, lr)
    model = yield from chain(net, task.take(FAR_TASK_EXAMPLES, seed), plan, seed)
    if test:
        yield tested(accuracy=evaluate(model, task))


@lru_cache(maxsize=1)
def _digits_as_text() -> tuple[Net, Task]:
    task = load_task("digits-as-text")
    return load_base("mini", task), task
