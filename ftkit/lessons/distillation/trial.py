"""Lesson 06: a student of one or two blocks learns from a teacher's answers.

A few rows have a label, many have none. Here `bench` is the name of a teacher, which is a
benchmark's, except for "library by mini"; only `step_cost` takes the name of a benchmark.
"""

from collections.abc import Callable, Iterator, Mapping
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
    cost_batch,
    cost_event,
    load_benchmark,
)
from ftkit.lessons.distillation.picture import Example
from ftkit.lessons.distillation.students import (
    BODIES,
    evaluate_student,
    new_student,
    probe_rows,
    student_data,
    teacher,
)
from ftkit.lessons.distillation.teachers import TEACHERS
from ftkit.model.adapted import Adapted
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Task
from ftkit.techniques.distillation import Distillation, Teacher, agreement
from ftkit.techniques.student import student
from ftkit.training.events import Event, packed
from ftkit.training.loop import HEAD_LR, train

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
WEIGHTS = (0.0, 0.5, 0.9, 1.0)
TRANSFER = (0, 400, 2500)
"""Numbers of transfer rows; "digits" has 423 at most and uses those."""
MOST_TRANSFER = TRANSFER[-1]
LABELS, PSEUDO, TRUE = "labels alone", "pseudo-labels", "true labels"
CONTROL_ROWS: Mapping[str, tuple[int, str]] = {
    LABELS: (0, "none"),
    PSEUDO: (MOST_TRANSFER, "teacher"),
    TRUE: (MOST_TRANSFER, "true"),
    FULL: (0, "none"),
    FROZEN: (0, "none"),
}
"""For each control, which has no soft targets: the number of transfer rows, and their label."""
TEXTS_SHOWN, IMAGES_SHOWN = 4, 12
"""The number of rows of valid that the picture shows."""


def trial(  # noqa: PLR0913 - the parameters of a trial are its settings
    bench: str,
    temperature: float,
    weight: float,
    transfer: int,
    body: str,
    lr: float,
    seed: int = 0,
    test: bool = False,
    probe: Callable[[str, Adapted], Mapping[str, Any]] | None = None,
) -> Iterator[Event]:
    """Train one student of a teacher: 80 steps of 16 rows.

    Args:
        bench: the name of the teacher.
        temperature: by which both models' logits are divided.
        weight: of the teacher's term in the loss, in [0, 1].
        transfer: the number of rows without a label, in addition to the few labelled ones.
        body: one of `BODIES`.
        lr: the learning rate of all weights but the head.
        seed: decides the rows, their order, the head and the random blocks.
        test: whether to evaluate on test at the end.
        probe: what to measure of the student at each validation, given the teacher's name too.

    Raises:
        ValueError: there is no such teacher or body; a temperature or weight outside its range.
    """
    objective = Distillation(teacher(bench), temperature, weight)
    model = Adapted(new_student(bench, body, seed))
    data = student_data(bench, transfer, seed)
    probe_student = partial(probe, bench) if probe else None
    yield from train_model(model, data, lr, seed, objective, probe=probe_student)
    if test:
        yield tested(bench, model)
    yield step_cost(TEACHERS[bench].bench, len(BODIES[body]))


def control(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Run a control of distillation, with the same number of steps.

    Three controls train the student without soft targets: "labels alone" (no teacher, no transfer
    rows), "pseudo-labels" (all rows, labelled with the teacher's most probable class) and "true
    labels" (all rows, with the labels that a real student would not have). Two train the whole base
    on the few labelled rows: "full fine-tuning", and "frozen body", where `lr` is the learning rate
    of the head.

    Raises:
        ValueError: there is no such teacher or method.
    """
    if method not in CONTROL_ROWS:
        raise ValueError(
            f"method must be one of {', '.join(CONTROL_ROWS)}, got {method!r}; choose one of these"
        )
    transfer, labels = CONTROL_ROWS[method]
    data = student_data(bench, transfer, seed, labels)
    teacher_bench = TEACHERS[bench].bench
    if method in (FULL, FROZEN):
        spaces = (HEAD,) if method == FROZEN else ()
        model = Adapted(load_benchmark(teacher_bench)[0].fresh_heads(seed), *spaces)
        cost = partial(benchmark.step_cost, teacher_bench, *spaces)
    else:
        body = "two blocks"
        model = Adapted(new_student(bench, body, seed))
        cost = partial(step_cost, teacher_bench, len(BODIES[body]))
    head_lr = lr if method == FROZEN else HEAD_LR
    yield from train_model(model, data, lr, seed, supervised, head_lr=head_lr)
    if test:
        yield tested(bench, model)
    yield cost()


def train_model(
    model: Adapted, data: Task, lr: float, seed: int, objective: Objective, **more: Any
) -> Iterator[Event]:
    """Train a student, or a control, with the settings that they have in common.

    `more` is passed on to `train`.
    """
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
    """The event of stage "test": accuracy, agreement with the teacher, which items were right."""
    scores, right = evaluate_student(bench, model.net)
    values = {f"test/{name}": value for name, value in scores.items()}
    return Event(STEPS, "test", values, {"test/accuracy": packed(right.numpy())})


@lru_cache(maxsize=2 * len(BENCHMARKS))
def step_cost(bench: str, blocks: int) -> Event:
    """The event of stage "cost": what a step of a student with this number of blocks costs.

    Measured once, on the batch of `benchmark.step_cost`. The teacher is not counted: its answers
    are stored.
    """
    base, _ = load_benchmark(bench)
    return cost_event(Adapted(student(base, range(blocks))), cost_batch(bench))


def probe_answers(bench: str, model: Adapted) -> dict[str, Any]:
    """Compare the answers of teacher and student.

    - `probe/teacher/<bench>/<row>` and `probe/student/<bench>/<row>`: the probabilities of all
      classes, for the rows that the picture shows, see `rows_to_show`.
    - `probe/accuracy/teacher`, `probe/accuracy/student` and `probe/agreement/both`: in [0, 1], over
      all rows of `students.probe_rows`.
    """
    rows = probe_rows(bench)
    student_logits = Teacher(model).logits(rows.data, rows.task.name)
    logits = {"teacher": rows.teacher_logits, "student": student_logits}
    values: dict[str, Any] = {
        f"probe/accuracy/{model_name}": float((z.argmax(-1) == rows.labels).float().mean())
        for model_name, z in logits.items()
    }
    values["probe/agreement/both"] = agreement(student_logits, rows.teacher_logits)
    shown = rows_to_show(bench, student_logits)
    for model_name, z in logits.items():
        for row in shown:
            values[f"probe/{model_name}/{bench}/{row}"] = z[row].softmax(-1).tolist()
    return values


def rows_to_show(bench: str, student_logits: Tensor) -> list[int]:
    """Choose the rows that the picture shows.

    Of texts always the same ones, from the one of which the teacher is least sure to the one of
    which it is most sure. Of images those that the student gets wrong; others if they are too few.
    """
    rows = probe_rows(bench)
    if rows.task.kind == "text":
        by_confidence = rows.teacher_logits.softmax(-1).amax(-1).argsort(stable=True)
        count = min(TEXTS_SHOWN, len(by_confidence))
        evenly_spaced = torch.linspace(0, len(by_confidence) - 1, count).long()
        return by_confidence[evenly_spaced].tolist()
    right = (student_logits.argmax(-1) == rows.labels).long()
    return right.argsort(stable=True)[:IMAGES_SHOWN].tolist()


def examples(bench: str) -> list[Example]:
    """The rows of `students.probe_rows`, as the picture shows them."""
    rows = probe_rows(bench)
    inputs: list[Any] = rows.data[rows.task.kind][:]
    return [
        Example(content, int(label), rows.task.classes)
        for content, label in zip(inputs, rows.labels, strict=True)
    ]
