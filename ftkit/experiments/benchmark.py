"""What the lessons run on, and the one run that all their trials are made of."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import torch

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.change import Space
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.techniques.freeze import Only
from ftkit.training.cost import measure
from ftkit.training.events import Event, packed
from ftkit.training.loop import HEAD_LR, Evaluation, Probe, Rate, evaluate, train

HEAD = Only("heads.*")
Between = Callable[[Adapted], Callable[[int], None]]
"""What is done to a model between two steps of its run."""
STEPS, SIZE, VALID_ROWS = 80, 16, 400
FULL, FROZEN = "full fine-tuning", "frozen body"
"""What a technique stands between."""


@dataclass(frozen=True)
class Benchmark:
    """A base and a task, with `examples` training rows drawn anew by each seed, and where its blocks keep attention and feed-forward.
    `permuted` is the share of the words that mean another word, in [0, 1]."""

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
"""Which word opens this sentence? Which library wrote it? (Text, on mini.) Which digit is this? (Real handwriting, on mini-vit.)"""


DISTANCES = (0.0, 0.25, 0.5, 0.75, 1.0)
FAR_TASKS = {
    **{
        f"library, {share:.0%} foreign": replace(BENCHMARKS["library"], permuted=share)
        for share in DISTANCES[1:]
    },
    "digits as text": Benchmark("mini", "digits-as-text", 800, *_MINI),
}
"""Farther and farther from what the base has read: a growing share of the words means another word; and no words at all."""


@lru_cache(maxsize=len(BENCHMARKS) + len(FAR_TASKS))
def load_benchmark(bench: str) -> tuple[Net, Task]:
    """The base and the task of a bench; loaded once.

    Raises:
        ValueError: there is no such bench.
    """
    where = find_benchmark(bench)
    task = load_task(where.task, permute=where.permuted)
    return load_base(where.base, task), task


def find_benchmark(bench: str) -> Benchmark:
    """The bench of that name, near or far.

    Raises:
        ValueError: there is no such bench.
    """
    if bench not in BENCHMARKS and bench not in FAR_TASKS:
        raise ValueError(f"on must be one of {'; '.join([*BENCHMARKS, *FAR_TASKS])}, got {bench!r}")
    return BENCHMARKS[bench] if bench in BENCHMARKS else FAR_TASKS[bench]


def majority_baseline(bench: str) -> float:
    """The share of the most frequent class in the rows of valid that a run reads, in [0, 1]: what one answer for all gets right."""
    labels = load_benchmark(bench)[1].labels("valid")[:VALID_ROWS]
    return float(labels.bincount().max()) / len(labels)


def fine_tuning(
    bench: str,
    *spaces: Space,
    lr: Rate,
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
    """One run on a bench, of 80 steps of 16 rows unless said otherwise.

    The seed decides the training rows, their order, the head and the starting values.

    Yields what `train` does; after each reading of valid what `look` sees of the model; at the end what `after` sees of it, accuracy on
    test if `test` (once, for settings that were chosen before), and the bill. `net` is what it starts from, the bench's base with a fresh
    head by default; `examples` are its training rows, as many as the bench says by default; `size` is the rows of a step. What `between`
    makes of the model is called with the number of each step, when that is done.
    """
    base, task = load_benchmark(bench)
    data = task.take(find_benchmark(bench).examples if examples is None else examples, seed)
    model = Adapted(net or base.fresh_heads(seed), *spaces, seed=seed)
    done = between(model) if between else None
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
        if done and event.stage == "train":
            done(event.step)
        yield event
    if after:
        yield Event(steps, "after", after(model))
    if test:
        yield replace(tested(accuracy=evaluate(model, task)), step=steps)
    yield replace(step_cost(bench, *spaces), step=steps)


def tested(**read: Evaluation) -> Event:
    """What was read of test, by name: accuracies, and which items were right. Once, for settings that were chosen before."""
    right = {f"test/{name}": packed(reading.correct.numpy()) for name, reading in read.items()}
    return Event(
        STEPS, "test", {f"test/{name}": reading.accuracy for name, reading in read.items()}, right
    )


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
    """What a technique stands between: "full fine-tuning", or "frozen body", whose head alone trains, at the rate `lr`.

    Raises:
        ValueError: there is no such bench or method.
    """
    if method not in (FULL, FROZEN):
        raise ValueError(f"method must be {FULL} or {FROZEN}, got {method!r}")
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
    """What a step on a bench costs, on a batch that is the same for every method; measured once."""
    base, task = load_benchmark(bench)
    model, data = Adapted(base, *spaces), task.take(find_benchmark(bench).examples, 0)
    batch = next(data.batches(SIZE, torch.Generator().manual_seed(0)))
    return Event(
        STEPS,
        "cost",
        {f"cost/{name}": float(value) for name, value in asdict(measure(model, batch)).items()},
    )
