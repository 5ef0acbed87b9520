"""The students of lesson 06: a smaller body, few labelled and many unlabelled rows, and a teacher.

Here `bench` is the name of a teacher, which is a benchmark's, except for "library by mini".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor

from ftkit.experiments.benchmark import VALID_ROWS, load_benchmark
from ftkit.lessons.distillation.teachers import (
    TEACHERS,
    answered_rows,
    split_task,
    stored_answers,
)
from ftkit.model.base import Net
from ftkit.tasks.task import Task, stratified
from ftkit.techniques.distillation import Teacher, agreement, pseudo_labelled, unlabelled
from ftkit.techniques.stored_answers import input_keys
from ftkit.techniques.student import student

LABELLED = {"opening": 200, "library": 200, "library by mini": 200, "digits": 40}
"""The number of labelled rows, by the name of the teacher."""
BODIES: Mapping[str, tuple[int, ...]] = {
    "two blocks": (0, 2),
    "one block": (0,),
    "two random blocks": (0, 2),
}
"""The blocks of the base that a student has between its embeddings and its new head.

They are every second block, or the lowest; or every second block with random weights.
"""


@lru_cache(maxsize=len(TEACHERS))
def teacher(bench: str) -> Teacher:
    """The teacher of that name: its stored answers, not its network."""
    return Teacher(stored_answers(bench))


@lru_cache(maxsize=len(TEACHERS))
def student_task(bench: str) -> Task:
    """The task with the training rows that the teacher was not trained on but has answered."""
    stored_answers(bench)  # raises ValueError for an unknown name
    _, for_students = split_task(load_benchmark(TEACHERS[bench].bench)[1])
    answered = answered_rows(bench, for_students.train)
    return replace(for_students, train=for_students.train.select(answered.tolist()))


@lru_cache(maxsize=32)
def student_data(bench: str, transfer: int, seed: int, labels: str = "none") -> Task:
    """The training rows of one student: a few labelled rows, and `transfer` rows without a label.

    The classes of the labelled rows are as balanced as possible. The transfer rows are not
    balanced, since that would take the labels that they do not have; if there are fewer than
    `transfer`, all of them are used.

    Args:
        bench: the name of the teacher.
        transfer: the number of transfer rows, at least 0.
        seed: decides which rows are drawn.
        labels: the label of a transfer row: "none", the teacher's most probable class ("teacher"),
            or the true one ("true").

    Raises:
        ValueError: there is no such teacher, or no such kind of label; or transfer is below 0.
    """
    if labels not in ("none", "teacher", "true") or transfer < 0:
        raise ValueError(
            "labels must be none, teacher or true and transfer at least 0, "
            f"got {labels!r} and {transfer}; use 0 and none for the labelled rows alone"
        )
    task = student_task(bench)
    labelled = task.take(LABELLED[bench], seed)
    is_labelled = torch.isin(input_keys(task.train), input_keys(labelled.train)).numpy()
    others = np.random.default_rng(seed).permutation(np.flatnonzero(~is_labelled))[:transfer]
    if not len(others):
        return labelled
    more = replace(task, train=task.train.select(others))
    if labels == "none":
        more = unlabelled(more)
    elif labels == "teacher":
        more = pseudo_labelled(teacher(bench), more)
    return replace(labelled, train=concatenate_datasets([labelled.train, more.train]))


def new_student(bench: str, body: str, seed: int) -> Net:
    """A student before its first step; `seed` draws its head and its random blocks.

    Raises:
        ValueError: there is no such body.
    """
    if body not in BODIES:
        raise ValueError(
            f"body must be one of {', '.join(BODIES)}, got {body!r}; choose one of these"
        )
    base = load_benchmark(TEACHERS[bench].bench)[0]
    return student(base.fresh_heads(seed), BODIES[body], seed if "random" in body else None)


def evaluate_student(bench: str, model: Net) -> tuple[dict[str, float], Tensor]:
    """Evaluate a student on test.

    Returns:
        `accuracy`, and `agreement` with the teacher on the rows that the teacher has answered, both
        in [0, 1]; and which rows of test were right, 0 or 1, uint8 (rows,).
    """
    task = student_task(bench)
    logits = Teacher(model).logits(task.test, task.name)
    answered = answered_rows(bench, task.test)
    teacher_logits = stored_answers(bench)(task.batch("test", answered))
    right = (logits.argmax(-1) == task.labels("test")).to(torch.uint8)
    scores = {
        "accuracy": float(right.float().mean()),
        "agreement": agreement(logits[answered], teacher_logits),
    }
    return scores, right


def teacher_accuracies(bench: str) -> dict[str, float]:
    """The accuracy of a teacher on "valid" and "test", in [0, 1], over the rows it has answered."""
    task = student_task(bench)
    accuracies = {}
    for stage in ("valid", "test"):
        answered = answered_rows(bench, task.split(stage))
        logits = stored_answers(bench)(task.batch(stage, answered))
        right = logits.argmax(-1) == task.labels(stage)[answered]
        accuracies[stage] = float(right.float().mean())
    return accuracies


@dataclass(frozen=True, eq=False)
class ProbeRows:
    """Rows of valid on which teacher and student are compared.

    Args:
        data: the rows.
        labels: their labels (rows,).
        teacher_logits: the teacher's answers (rows, classes).
        task: the task they belong to.
    """

    data: Dataset
    labels: Tensor
    teacher_logits: Tensor
    task: Task


@lru_cache(maxsize=len(TEACHERS))
def probe_rows(bench: str) -> ProbeRows:
    """The rows of valid on which a run is validated, if the teacher has answered them."""
    task = student_task(bench)
    rows = answered_rows(bench, task.valid)
    rows = rows[torch.isin(rows, stratified(task.labels("valid"), VALID_ROWS))]
    data = task.valid.select(rows.tolist())
    logits = teacher(bench).logits(data, task.name).float()
    return ProbeRows(data, task.labels("valid")[rows], logits, task)
