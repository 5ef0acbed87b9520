"""The benchmarks of the lessons, and the fine-tuning run that most of their trials are made of."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import torch

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.change import Space
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Batch, Task, stratified
from ftkit.techniques.freeze import Only
from ftkit.training.cost import measure
from ftkit.training.events import Event, packed
from ftkit.training.loop import HEAD_LR, Evaluation, LearningRate, Probe, evaluate, train

HEAD = Only("heads.*")
Between = Callable[[Adapted], Callable[[int], None]]
"""From a model to a function that changes it between two steps, called with the number of steps."""
STEPS, SIZE, VALID_ROWS = 80, 16, 400
"""Steps of a run, rows of a step, and validation rows, unless a trial says otherwise."""
FULL, FROZEN = "full fine-tuning", "frozen body"
"""The two reference methods of every comparison; the second is a linear probe."""


@dataclass(frozen=True)
class Benchmark:
    """A base and a task.

    Args:
        base: the name of the pretrained network.
        task: the name of the task.
        examples: the number of training rows; each seed draws its own.
        attention: the pattern of the body's attention weights.
        feed_forward: the pattern of the body's feed-forward weights.
        permuted: the share of the words that are exchanged for other words, in [0, 1].
    """

    base: str
    task: str
    examples: int
    attention: str
    feed_forward: str
    permuted: float = 0.0


_MINI = ("body.*.attention.*", "body.*.intermediate.*,body.*.layer.?.output.*")
BENCHMARKS = {
    "opening": Benchmark("mini", "docs-opening", 2000, *_MINI),
    "library": Benchmark("mini", "docs", 2000, *_MINI),
    "digits": Benchmark("mini-vit", "digits", 400, "body.*.attention.*", "body.*.mlp.*"),
}
"""The benchmarks by name.

- "opening": which word opens this sentence? (text, on mini)
- "library": which library wrote this sentence? (text, on mini)
- "digits": which digit is this? (real handwriting, on mini-vit)
"""

DISTANCES = (0.0, 0.25, 0.5, 0.75, 1.0)
FAR_TASKS = {
    **{
        f"library, {share:.0%} foreign": replace(BENCHMARKS["library"], permuted=share)
        for share in DISTANCES[1:]
    },
    "digits as text": Benchmark("mini", "digits-as-text", 800, *_MINI),
}
"""Benchmarks ever farther from the pretraining data: foreign words, at last no words at all."""


@lru_cache(maxsize=len(BENCHMARKS) + len(FAR_TASKS))
def load_benchmark(bench: str) -> tuple[Net, Task]:
    """Load the base and the task of a benchmark, once.

    Raises:
        ValueError: there is no such benchmark.
    """
    benchmark = find_benchmark(bench)
    task = load_task(benchmark.task, permute=benchmark.permuted)
    return load_base(benchmark.base, task), task


def find_benchmark(bench: str) -> Benchmark:
    """The benchmark of that name, near or far.

    Raises:
        ValueError: there is no such benchmark.
    """
    known = BENCHMARKS | FAR_TASKS
    if bench not in known:
        raise ValueError(
            f"bench must be one of {'; '.join(known)}, got {bench!r}; choose one of these"
        )
    return known[bench]


def majority_baseline(bench: str) -> float:
    """The accuracy of always predicting the most frequent class, in [0, 1].

    On the validation rows that a run is validated on.
    """
    return majority_share(load_benchmark(bench)[1])


def majority_share(task: Task) -> float:
    """The share of the most frequent class in the validation rows of a run, in [0, 1]."""
    labels = task.labels("valid")
    labels = labels[stratified(labels, VALID_ROWS)]
    return float(labels.bincount().max()) / len(labels)


def fine_tuning(  # noqa: PLR0913 - all but `bench` are keywords with defaults: settings of a run
    bench: str,
    *spaces: Space,
    lr: LearningRate,
    seed: int = 0,
    head_lr: float = HEAD_LR,
    probe: Probe | None = None,
    test: bool = False,
    net: Net | None = None,
    examples: int | None = None,
    size: int = SIZE,
    steps: int = STEPS,
    between: Between | None = None,
    after: Probe | None = None,
) -> Iterator[Event]:
    """Run fine-tuning on a benchmark, by default 80 steps of 16 rows.

    Args:
        bench: the name of the benchmark.
        spaces: where the change may be; everything if there are none.
        lr: the learning rate of everything but the head, or a function from a weight's name to it.
        seed: decides the training rows, their order, the new head and the starting values.
        head_lr: the learning rate of the head.
        probe: what to measure of the model at each validation.
        test: whether to evaluate on test at the end; only for settings that were chosen before.
        net: the network to start from; by default the benchmark's base with a new head.
        examples: the number of training rows; by default that of the benchmark.
        size: the rows of a step.
        steps: the number of steps.
        between: makes of the model a function that is called after each step, with its number.
        after: what to measure of the model at the end.

    Yields:
        The events of `train`; then one of stage "after" if there is `after`, one of stage "test"
        with `test`, and one of stage "cost".
    """
    base, task = load_benchmark(bench)
    data = task.take(find_benchmark(bench).examples if examples is None else examples, seed)
    model = Adapted(net or base.fresh_heads(seed), *spaces, seed=seed)
    after_step = between(model) if between else None
    for event in train(
        model,
        data,
        steps=steps,
        size=size,
        lr=lr,
        head_lr=head_lr,
        seed=seed,
        valid_rows=VALID_ROWS,
        probe=probe,
    ):
        if after_step and event.stage == "train":
            after_step(event.step)
        yield event
    if after:
        yield Event(steps, "after", after(model))
    if test:
        yield replace(tested(accuracy=evaluate(model, task)), step=steps)
    yield replace(step_cost(bench, *spaces), step=steps)


def tested(**evaluations: Evaluation) -> Event:
    """The event of stage "test": by name the accuracies on test, and which items were right."""
    accuracies = {f"test/{name}": each.accuracy for name, each in evaluations.items()}
    right = {f"test/{name}": packed(each.correct.numpy()) for name, each in evaluations.items()}
    return Event(STEPS, "test", accuracies, right)


def reference(
    bench: str,
    method: str,
    lr: float,
    seed: int = 0,
    test: bool = False,
    examples: int | None = None,
    size: int = SIZE,
    after: Probe | None = None,
) -> Iterator[Event]:
    """Run a reference method on a benchmark: "full fine-tuning" or "frozen body".

    `lr` is the learning rate of all weights but the head; with a frozen body, where only the head
    is trained, it is that of the head. The other arguments and the events are those of
    `fine_tuning`.

    Raises:
        ValueError: there is no such benchmark or method.
    """
    if method not in (FULL, FROZEN):
        raise ValueError(
            f"method must be {FULL} or {FROZEN}, got {method!r}; choose one of the two references"
        )
    spaces, head_lr = ((HEAD,), lr) if method == FROZEN else ((), HEAD_LR)
    yield from fine_tuning(
        bench,
        *spaces,
        lr=lr,
        head_lr=head_lr,
        seed=seed,
        test=test,
        examples=examples,
        size=size,
        after=after,
    )


@lru_cache(maxsize=1024)
def step_cost(bench: str, *spaces: Space) -> Event:
    """The event of stage "cost": what a step on a benchmark costs, measured once.

    The batch is the same for every method.
    """
    return cost_event(Adapted(load_benchmark(bench)[0], *spaces), cost_batch(bench))


def cost_batch(bench: str) -> Batch:
    """The batch of a benchmark on which the costs of all methods are measured."""
    data = load_benchmark(bench)[1].take(find_benchmark(bench).examples, 0)
    return next(data.batches(SIZE, torch.Generator().manual_seed(0)))


def cost_event(model: Adapted, batch: Batch, objective: Objective = supervised) -> Event:
    """The event of stage "cost": what a step of a model on a batch costs."""
    costs = asdict(measure(model, batch, objective))
    return Event(STEPS, "cost", {f"cost/{name}": float(value) for name, value in costs.items()})
