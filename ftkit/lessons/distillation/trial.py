"""Lesson 06: a student of one or two blocks learns from a teacher's answers, with few labels and many rows that have none."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ftkit.experiments import benchmark
from ftkit.experiments.benchmark import (
    BENCHMARKS,
    FROZEN,
    FULL,
    HEAD,
    SIZE,
    STEPS,
    VALID_ROWS,
    load_benchmark,
)
from ftkit.lessons.distillation.picture import Example
from ftkit.lessons.distillation.students import BODIES, given, marks, newcomer, shown, teacher
from ftkit.lessons.distillation.teachers import SCHOOLING
from ftkit.model.adapted import Adapted
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Task
from ftkit.techniques.distillation import Distillation, Teacher, agreement
from ftkit.techniques.student import student
from ftkit.training.cost import measure
from ftkit.training.events import Event, packed
from ftkit.training.loop import HEAD_LR, train

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
WEIGHTS = (0.0, 0.5, 0.9, 1.0)
TRANSFER = (0, 400, 2500)
"""Rows without a label; `digits` has 423 at most, and gives those."""
MOST = TRANSFER[-1]
LABELS, PSEUDO, TRUE = "labels alone", "pseudo-labels", "true labels"
ROWS: Mapping[str, tuple[int, str]] = {
    LABELS: (0, "none"),
    PSEUDO: (MOST, "teacher"),
    TRUE: (MOST, "true"),
    FULL: (0, "none"),
    FROZEN: (0, "none"),
}
"""For each method without a teacher's soft answers how many further rows it has, and what these have for a label."""
TEXTS, IMAGES = 4, 12
"""How many rows of valid a look shows."""


def trial(
    bench: str,
    temperature: float,
    weight: float,
    transfer: int,
    body: str,
    lr: float,
    seed: int = 0,
    test: bool = False,
    probe: Callable[[str, Adapted], Mapping[str, float]] | None = None,
) -> Iterator[Event]:
    """One student of the teacher `on`: 80 steps of 16 rows, with `transfer` rows that have no label beside the few that have one.

    Raises:
        ValueError: there is no such teacher or body; a temperature or weight outside its range.
    """
    objective, model = (
        Distillation(teacher(bench), temperature, weight),
        Adapted(newcomer(bench, body, seed)),
    )
    yield from learning(
        model,
        given(bench, transfer, seed),
        lr,
        seed,
        objective,
        probe=partial(probe, bench) if probe else None,
    )
    if test:
        yield tested(bench, model)
    yield step_cost(SCHOOLING[bench].bench, len(BODIES[body]))


def control(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """What a student is compared with, at equal steps.

    The student itself without soft answers: "labels alone" (no teacher, no further rows), "pseudo-labels" (all rows, the teacher's most
    probable class as their label) and "true labels" (all rows, with the labels that nobody has). And the whole base on the few labels:
    "full fine-tuning", and "frozen body", whose head trains at the rate `lr`.

    Raises:
        ValueError: there is no such teacher or method.
    """
    if method not in ROWS:
        raise ValueError(f"method must be one of {', '.join(ROWS)}, got {method!r}")
    transfer, labels = ROWS[method]
    data, place = given(bench, transfer, seed, labels), SCHOOLING[bench].bench
    spaces = (HEAD,) if method == FROZEN else ()
    is_whole = method in (FULL, FROZEN)
    model = Adapted(
        load_benchmark(place)[0].fresh_heads(seed)
        if is_whole
        else newcomer(bench, "two blocks", seed),
        *spaces,
    )
    yield from learning(
        model, data, lr, seed, supervised, head_lr=lr if method == FROZEN else HEAD_LR
    )
    if test:
        yield tested(bench, model)
    yield (
        benchmark.step_cost(place, *spaces) if is_whole else step_cost(place, len(BODIES["two blocks"]))
    )


def learning(
    model: Adapted, data: Task, lr: float, seed: int, objective: Objective, **more: Any
) -> Iterator[Event]:
    """The steps that all of them have in common; `more` is for `train`."""
    return train(
        model,
        data,
        steps=STEPS,
        size=SIZE,
        lr=lr,
        seed=seed,
        objective=objective,
        valid_rows=VALID_ROWS,
        **more,
    )


def tested(bench: str, model: Adapted) -> Event:
    """Accuracy on test, and agreement with the teacher there: read once, for settings that were chosen before."""
    found, right = marks(bench, model.net)
    return Event(
        STEPS,
        "test",
        {f"test/{name}": value for name, value in found.items()},
        {"test/accuracy": packed(right.numpy())},
    )


@lru_cache(maxsize=2 * len(BENCHMARKS))
def step_cost(place: str, blocks: int) -> Event:
    """What a step of a student of so many blocks costs, on the batch of `benchmark.step_cost`; the teacher has answered already. Measured once."""
    base, task = load_benchmark(place)
    batch = next(
        task.take(BENCHMARKS[place].examples, 0).batches(SIZE, torch.Generator().manual_seed(0))
    )
    cost = measure(Adapted(student(base, range(blocks))), batch)
    return Event(
        STEPS, "cost", {f"cost/{name}": float(value) for name, value in asdict(cost).items()}
    )


def answers(bench: str, model: Adapted) -> dict[str, float]:
    """What teacher and student say to some rows of valid: `probe/<who>/<on>/<row>/<class>`, probabilities; and over all rows that a reading
    reads `probe/accuracy/<who>` and `probe/agreement/both`."""
    seen = shown(bench)
    said = {"teacher": seen.said, "student": Teacher(model).logits(seen.data, seen.task.name)}
    validations = {
        f"probe/accuracy/{who}": float((z.argmax(-1) == seen.labels).float().mean())
        for who, z in said.items()
    }
    validations["probe/agreement/both"] = agreement(said["student"], said["teacher"])
    rows = worth_showing(bench, said["student"])
    for who, z in said.items():
        for row in rows:
            validations |= {
                f"probe/{who}/{bench}/{row}/{i}": p
                for i, p in enumerate(z[row].softmax(-1).tolist())
            }
    return validations


def worth_showing(bench: str, student_said: Tensor) -> list[int]:
    """Of texts the same rows every time, from the one that the teacher is least sure of to the surest; of images those that the student
    gets wrong, and others if these are few."""
    seen = shown(bench)
    if seen.task.kind == "text":
        surest = seen.said.softmax(-1).amax(-1).argsort(stable=True)
        return surest[torch.linspace(0, len(surest) - 1, min(TEXTS, len(surest))).long()].tolist()
    right = (student_said.argmax(-1) == seen.labels).long()
    return right.argsort(stable=True)[:IMAGES].tolist()


def examples(bench: str) -> list[Example]:
    """The rows that `answers` speaks of, as the picture shows them."""
    seen = shown(bench)
    inputs: list[Any] = seen.data[seen.task.kind][:]
    return [
        Example(one, int(label), seen.task.classes)
        for one, label in zip(inputs, seen.labels, strict=True)
    ]
