"""Benchmark a step of each technique against one of full fine-tuning: time, FLOPs and bytes."""

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
"""Two measures in bytes.

The first is the gradients and AdamW's state after a step. The second is the most that is allocated
at once outside the forward passes; it includes the gradients of activations and everything that
exists for a moment only (`ftkit.training.cost.Peak.outside_forward`).
"""
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
"""The model that is trained, its batches, and the objective."""


def rows(name: str, task: Task, other: Task, batches: list[Batch], steps: int) -> list[Row]:
    """The cost of a step of every technique on a base, as shares of full fine-tuning's.

    Args:
        name: the name of the base.
        task: the task of all techniques.
        other: a second task on the same sentences, for the techniques of two tasks.
        batches: batches of `task`; bytes and FLOPs are those of the first one.
        steps: the steps of a block of timed steps.
    """
    base = load_base(name, task)
    full = costs(Adapted(base), batches[0])
    table: list[Row] = [(f"{name}: full, {HELD}", full[HELD] / 1e6, None, "MB")]
    for technique, space in spaces(base).items():
        ours = costs(Adapted(base, space, HEAD), batches[0])
        times = ratios(base, task, space, HEAD, steps=steps, blocks=4)
        table += _shares(name, technique, ours, full, sum(times) / len(times))
    for technique, method in objectives(name, base, task, other, batches[:16]).items():
        model, its_batches, objective = method
        ours = costs(model, its_batches[0], objective)
        steppers = {"ours": stepper(*method), "full": stepper(Adapted(base), batches[:16])}
        seconds = in_turns(steppers, rounds=4 * steps)
        table += _shares(name, technique, ours, full, seconds["ours"] / seconds["full"])
    return [*table, *memory(name, base, batches)]


def spaces(base: Net) -> dict[str, Space]:
    """The space of each technique.

    Lesson 05 opens with 1 % of the weights of the body's linear layers.
    """
    of_body = [layer for layer in linear_layers(base) if layer.startswith("body.")]
    return {
        "last block": LastBlocks(1),
        "LoRA, rank 8": LoRA(rank=8),
        "BitFit": BitFit(),
        LINEAR: Sparse(density=0.01, where=",".join(of_body)),
        BODY: Sparse(density=0.01),
        "rows, 5 %": Rows(density=0.05),
    }


def objectives(
    name: str, base: Net, task: Task, other: Task, batches: list[Batch]
) -> dict[str, Method]:
    """The techniques of other slots than the space, with all parameters trainable.

    All of them read the sentences that full fine-tuning reads. The teacher is the base itself; its
    logits are computed before, so a step does not include that. In a joint batch of two tasks, as
    from `Together`, half of the sentences have labels of the one task and half of the other.
    """
    config: Any = base.body.config
    every_second = range(0, config.num_hidden_layers, 2)
    own_split = _own_split(batches)
    teacher = Teacher(base)
    teacher.logits(own_split[0].data, task.name)
    both = load_base(name, task, other)
    joint = []
    for batch in batches:
        halves = task.batch("train", batch.rows[::2]), other.batch("train", batch.rows[1::2])
        joint.append(Joint(halves))
    return {
        "student of every second block, stored teacher logits": (
            Adapted(student(base, every_second)),
            own_split,
            Distillation(teacher),
        ),
        "two tasks, 8 + 8 rows, plain sum": (Adapted(both), joint, Weighted()),
        "two tasks, 8 + 8 rows, PCGrad": (Adapted(both), joint, PCGrad()),
    }


def _own_split(batches: list[Batch]) -> list[Batch]:
    """The same batches in a split of their own, for which a teacher computes all logits."""
    rows = torch.cat([batch.rows for batch in batches])
    data = batches[0].data.select(rows.tolist())
    indices = torch.arange(len(rows)).split([len(batch) for batch in batches])
    return [
        Batch(data, own, batch.labels, batch.task)
        for own, batch in zip(indices, batches, strict=True)
    ]


def costs(model: Adapted, batch: Any, objective: Objective = supervised) -> dict[str, float]:
    """The costs that `measure` finds, and two sums of bytes.

    These are gradients and optimizer state after a step, and everything at the peak of a step.
    """
    cost = asdict(measure(model, batch, objective))
    return {
        **cost,
        HELD: cost["gradients"] + cost["optimizer"],
        EVERYTHING: peak(model, batch, objective).everything,
    }


def _shares(
    base: str, technique: str, ours: Mapping[str, float], full: Mapping[str, float], time: float
) -> Iterator[Row]:
    names = (HELD, EVERYTHING, "flops", "activations")
    shares = {name: ours[name] / full[name] for name in names}
    shares["time of a step"] = time
    for name, share in shares.items():
        target = TARGETS.get((technique, name))
        yield f"{base}: {technique}, {name} / full", share, target, "x"


def memory(name: str, base: Net, batches: list[Batch]) -> list[Row]:
    """The peak of sparse fine-tuning's gradients and optimizer state, on three batches.

    These are one row, the first batch, which has the target, and the longest batch. Gradients of
    activations grow with the batch, and those of weights do not; on one row the latter are nearly
    everything.
    """

    def tokens(batch: Batch) -> int:
        return base.reader(batch.data, batch.rows)["input_ids"].shape[1]

    first = batches[0]
    one = Batch(first.data, first.rows[:1], first.labels[:1], first.task)
    table: list[Row] = []
    for batch in (one, first, max(batches, key=tokens)):
        size = f"{len(batch)} x {tokens(batch)} tokens"
        full = peak(Adapted(base), batch).outside_forward
        table.append((f"{name}: full, {PEAK}, {size}", full / 1e6, None, "MB"))
        for technique in (LINEAR, BODY):
            model = Adapted(base, spaces(base)[technique], HEAD)
            share = peak(model, batch).outside_forward / full
            target = TARGETS.get((technique, PEAK)) if batch is first else None
            table.append((f"{name}: {technique}, {PEAK}, {size} / full", share, target, "x"))
    return table
