"""What a step of each technique costs beside full fine-tuning's, on one batch: time in turns, operations, and bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch

from ftkit import Adapted, BitFit, LastBlocks, LoRA, Net, Only, Rows, Space, Sparse, Task, load_base
from ftkit.experiments.step_time import in_turns, ratios, stepper
from ftkit.model.adapted import linear_layers
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Batch
from ftkit.techniques.distillation import Distillation, Teacher
from ftkit.techniques.student import student
from ftkit.techniques.task_balancing import PCGrad, Weighted
from ftkit.techniques.task_mixing import Joint
from ftkit.training.cost import measure, peak

HEAD = Only("heads.*")
LINEAR, BODY = "sparse, 1 % of linear layers", "sparse, 1 % of the whole body"
HELD, PEAK = "gradients + optimizer, held after a step", "gradients + optimizer, peak of a step"
"""The gradients and AdamW's state that are there after a step; and the most that was allocated at once outside the forward passes, which
the gradients of activations and what lives for a moment are part of: `ftkit.training.cost.Peak.outside_forward`."""
EVERYTHING = "all bytes above the weights, peak of a step"
TARGETS = {
    ("BitFit", "flops"): 0.75,
    ("BitFit", "activations"): 0.7,
    (LINEAR, PEAK): 0.05,
    (BODY, PEAK): 0.05,
}

Row = tuple[str, float, float | None, str]
"""Name, value, target and unit."""
Method = tuple[Adapted, list[Any], Objective]
"""What steps, on which batches, and what it minimises."""


def rows(name: str, task: Task, other: Task, batches: list[Batch], steps: int) -> list[Row]:
    """The cost of a step of every technique on a base, as shares of full fine-tuning's. Bytes and operations are those of the first batch;
    `other` is a second task on the same sentences."""
    base = load_base(name, task)
    full = bill(Adapted(base), batches[0])
    found: list[Row] = [(f"{name}: full, {HELD}", full[HELD] / 1e6, None, "MB")]
    for technique, space in spaces(base).items():
        own = bill(Adapted(base, space, HEAD), batches[0])
        times = ratios(base, task, space, HEAD, steps=steps, blocks=4)
        found += _shares(f"{name}: {technique}", own, full, sum(times) / len(times), technique)
    for technique, method in objectives(name, base, task, other, batches[:16]).items():
        own = bill(method[0], method[1][0], method[2])
        seconds = in_turns(
            {"own": stepper(*method), "full": stepper(Adapted(base), batches[:16])},
            rounds=4 * steps,
        )
        found += _shares(
            f"{name}: {technique}", own, full, seconds["own"] / seconds["full"], technique
        )
    return [*found, *memory(name, base, batches)]


def spaces(base: Net) -> dict[str, Space]:
    """Where the change of each technique lives. Lesson 05 opens with 1 % of the weights of the body's linear layers."""
    return {
        "last block": LastBlocks(1),
        "LoRA, rank 8": LoRA(rank=8),
        "BitFit": BitFit(),
        LINEAR: Sparse(
            density=0.01,
            where=",".join(layer for layer in linear_layers(base) if layer.startswith("body.")),
        ),
        BODY: Sparse(density=0.01),
        "rows, 5 %": Rows(density=0.05),
    }


def objectives(
    name: str, base: Net, task: Task, other: Task, batches: list[Batch]
) -> dict[str, Method]:
    """Techniques of another slot than the space. Everything moves, and all read the sentences that full fine-tuning reads.

    The teacher, the base itself, has answered before: a step does not pay for it. Of two tasks a joint batch, as `Together` brings it, has
    half of the sentences with the labels of either.
    """
    config: Any = base.body.config
    every_second = range(0, config.num_hidden_layers, 2)
    alone = _apart(batches)
    teacher = Teacher(base)
    teacher.logits(alone[0].data, task.name)
    both = load_base(name, task, other)
    joint = [
        Joint((task.batch("train", b.rows[::2]), other.batch("train", b.rows[1::2])))
        for b in batches
    ]
    return {
        "student of every second block, teacher asked before": (
            Adapted(student(base, every_second)),
            alone,
            Distillation(teacher),
        ),
        "two tasks, 8 + 8 rows, plain sum": (Adapted(both), joint, Weighted()),
        "two tasks, 8 + 8 rows, PCGrad": (Adapted(both), joint, PCGrad()),
    }


def _apart(batches: list[Batch]) -> list[Batch]:
    """The same batches in a split of their own, which a teacher can answer whole."""
    rows = torch.cat([batch.rows for batch in batches])
    data, places = (
        batches[0].data.select(rows.tolist()),
        torch.arange(len(rows)).split([len(batch) for batch in batches]),
    )
    return [
        Batch(data, place, batch.labels, batch.task)
        for place, batch in zip(places, batches, strict=True)
    ]


def bill(model: Adapted, batch: Any, objective: Objective = supervised) -> dict[str, float]:
    """What `measure` finds, and bytes together: gradients and optimizer state after a step, and all at the peak of one."""
    cost = asdict(measure(model, batch, objective))
    return {
        **cost,
        HELD: cost["gradients"] + cost["optimizer"],
        EVERYTHING: peak(model, batch, objective).everything,
    }


def _shares(
    start: str, own: Mapping[str, float], full: Mapping[str, float], time: float, technique: str
) -> Iterator[Row]:
    shares = {what: own[what] / full[what] for what in (HELD, EVERYTHING, "flops", "activations")}
    for what, share in {**shares, "time of a step": time}.items():
        yield f"{start}, {what} / full", share, TARGETS.get((technique, what)), "x"


def memory(name: str, base: Net, batches: list[Batch]) -> list[Row]:
    """Sparse fine-tuning's gradients and optimizer state at their peak: on the first batch, whose the target is, on one row of it, and on
    the longest of all. Gradients of activations grow with the batch, those of weights do not: on one row these are nearly alone.
    """

    def tokens(batch: Batch) -> int:
        return base.reader(batch.data, batch.rows)["input_ids"].shape[1]

    first = batches[0]
    one = Batch(first.data, first.rows[:1], first.labels[:1], first.task)
    found: list[Row] = []
    for batch in (one, first, max(batches, key=tokens)):
        on = f"{len(batch)} x {tokens(batch)} tokens"
        full = peak(Adapted(base), batch).outside_forward
        found.append((f"{name}: full, {PEAK}, {on}", full / 1e6, None, "MB"))
        for technique in (LINEAR, BODY):
            own = peak(Adapted(base, spaces(base)[technique], HEAD), batch).outside_forward
            target = TARGETS.get((technique, PEAK)) if batch is first else None
            found.append((f"{name}: {technique}, {PEAK}, {on} / full", own / full, target, "x"))
    return found
