"""Knowledge distillation, the objective slot: a student learns a teacher's answers.

It learns them in addition to the labels, or instead of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit import checks
from ftkit.model.change import at_least_float32
from ftkit.tasks.task import Batch, Task


class Teacher:
    """A model whose answers are learned. Each row of a split is asked once; the answers are kept.

    The model gets no labels and no gradient, and is not changed. The answers stay even if the model
    is trained further: make a new teacher then.

    Args:
        model: any callable from a `Batch` to logits (n, classes): a `Net`, an `Adapted`, a mean of
            several models, or `Stored`.

    Raises:
        ValueError: the model cannot be called, or is in training mode.
    """

    def __init__(self, model: Callable[[Batch], Tensor]) -> None:
        checks.function("model", model, "pass a Net, an Adapted, or a function of a batch")
        if isinstance(model, nn.Module) and any(part.training for part in model.modules()):
            raise ValueError(
                f"a teacher must be in eval mode, got {type(model).__name__} in training mode; "
                "call its eval() before"
            )
        self.model = model
        self._answers: WeakKeyDictionary[Dataset, dict[str, Tensor]] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"Teacher({type(self.model).__name__})"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits of the rows of a batch, (n, classes)."""
        return self.logits(batch.data, batch.task)[batch.rows]

    def logits(self, data: Dataset, task: str) -> Tensor:
        """Return the logits of all rows of a split, (rows, classes), for the task of that name."""
        of_split = self._answers.setdefault(data, {})
        if task not in of_split:
            reader = getattr(getattr(self.model, "base", self.model), "reader", None)
            order = reader.order(data) if reader else torch.arange(len(data))
            with torch.no_grad():
                answers = torch.cat(
                    [
                        self.model(Batch(data, rows, torch.full_like(rows, -1), task))
                        for rows in order.split(64)
                    ]
                )
                of_split[task] = answers[order.argsort()]
        return of_split[task]


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute T^2 KL(p || q) in nats, the mean over the rows of two logits (n, classes).

    p is the teacher's softmax(logits / T), q the student's. The gradient of the KL falls like
    1/T^2, hence the factor (Hinton, Vinyals and Dean 2015, arXiv:1503.02531).

    Raises:
        ValueError: the shapes differ, or the temperature is outside its range.

    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[100.0, 0.0]])
    >>> print(f"{divergence(student, teacher, temperature=1.0):.4f}")  # ln 2
    0.6931
    """
    _same_shape(student, teacher)
    _check_temperature(temperature)
    student = at_least_float32(student)
    log_p = F.log_softmax(teacher.to(student) / temperature, dim=-1)
    # kl_div takes the student first. "batchmean" divides by the rows; "mean" would divide by rows
    # times classes.
    return temperature**2 * F.kl_div(
        F.log_softmax(student / temperature, dim=-1), log_p, reduction="batchmean", log_target=True
    )


def agreement(student: Tensor, teacher: Tensor) -> float:
    """Compute the share of rows, in [0, 1], with the same most probable class in both logits.

    Both are (rows, classes). A student can be as accurate as its teacher and still agree with it
    little.

    Raises:
        ValueError: the shapes differ.

    >>> agreement(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([[0.1, 0.0], [1.0, 0.0]]))
    0.5
    """
    _same_shape(student, teacher)
    return float((student.argmax(-1) == teacher.to(student).argmax(-1)).float().mean())


def _check_temperature(temperature: Any) -> None:
    advice = "1 takes the probabilities as they are"
    if not checks.is_number(temperature) or temperature <= 0:
        raise ValueError(
            f"temperature must be above 0 and finite, got {checks.shown(temperature)}; {advice}"
        )
    # Outside this range, float32 cannot hold the logits over T, or T^2.
    checks.number("temperature", temperature, 1e-6, 1e6, advice=advice)


def _same_shape(student: Tensor, teacher: Tensor) -> None:
    for name, logits in (("student", student), ("teacher", teacher)):
        if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.numel():
            raise ValueError(
                f"{name} must be logits (rows, classes) in a tensor, got {checks.shown(logits)}; "
                "call a model with a batch"
            )
    if student.shape != teacher.shape:
        got = f"logits {tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(
            f"student and teacher must answer the same rows with the same classes, got {got}; "
            "give both one task"
        )


@dataclass(frozen=True)
class Distillation:
    """(1 - weight) CE(labels, student) + weight T^2 KL(teacher || student), as an objective.

    Hinton, Vinyals and Dean 2015, arXiv:1503.02531. The KL is of the softmax at temperature T. The
    terms `labels` and `teacher` are means over the rows of a batch, in nats; a row with the label
    -1 adds nothing to the first. A term with factor 0 is left out: weight 0 is supervised training
    bit for bit, weight 1 needs no labels. The teacher is asked about each row once.

    Args:
        teacher: the `Teacher` whose answers are learned.
        temperature: T, from 1e-6 to 1e6, usually 1 to 10; the higher, the more weight the classes
            have that the teacher does not choose.
        weight: the weight of the teacher, in [0, 1].

    Raises:
        ValueError: temperature or weight is outside its range; from the call, if teacher and model
            have different classes.
    """

    needs = ("teacher",)  # see ftkit.cli.run_techniques

    teacher: Teacher
    temperature: float = 4.0
    weight: float = 0.5

    def __post_init__(self) -> None:
        checks.function("teacher", self.teacher, "Teacher(model) makes one of a model")
        _check_temperature(self.temperature)
        checks.share("weight", self.weight, "0 is the labels alone, 1 the teacher alone")

    def __call__(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        logits, terms = model(batch), {}
        if self.weight < 1:
            # Divided by all rows, labelled or not: a label has the same weight in each batch.
            labels = F.cross_entropy(
                logits, batch.labels.to(logits.device), ignore_index=-1, reduction="sum"
            ) / len(batch)
            terms["labels"] = (1 - self.weight) * labels
        if self.weight > 0:
            terms["teacher"] = self.weight * divergence(
                logits, self.teacher(batch), self.temperature
            )
        return terms


def pseudo_labelled(teacher: Teacher, task: Task) -> Task:
    """Replace the label of each training row by the teacher's most probable class.

    It is a control: what do soft answers add to these labels?

    Raises:
        ValueError: the teacher is no `Teacher`, or the task no `Task`.
    """
    checks.instance("teacher", teacher, Teacher, "a Teacher", "Teacher(model) makes one")
    checks.instance("task", task, Task, "a task", "load_task('docs') makes one")
    return _pseudo_labelled(teacher, task)


@lru_cache(maxsize=16)  # the same task is the same object, as with Task.take
def _pseudo_labelled(teacher: Teacher, task: Task) -> Task:
    labels = teacher.logits(task.train, task.name).argmax(-1).tolist()
    return _relabelled(task, labels, "the labels of train are a teacher's answers")


def unlabelled(task: Task, keep: int = 0) -> Task:
    """Make a transfer set: set the label of each training row to -1, except the first `keep` rows.

    A teacher needs inputs alone. In `unlabelled(task.take(2000, seed), keep=200)` the rows of
    `task.take(200, seed)` keep their labels.

    Raises:
        ValueError: keep is below 0 or above the number of training rows.
    """
    checks.instance("task", task, Task, "a task", "load_task('docs') makes one")
    if not checks.is_whole(keep) or not 0 <= keep <= len(task.train):
        raise ValueError(
            f"keep must be from 0 to {len(task.train)}, the rows of train, "
            f"got {checks.shown(keep)}; it counts rows that keep their label"
        )
    return _unlabelled(task, int(keep))


@lru_cache(maxsize=16)
def _unlabelled(task: Task, keep: int) -> Task:
    labels = [
        label if row < keep else -1 for row, label in enumerate(task.labels("train").tolist())
    ]
    return _relabelled(task, labels, f"{len(labels) - keep:,} rows of train have no label")


def _relabelled(task: Task, labels: list[int], note: str) -> Task:
    train = Dataset.from_dict(
        {**task.train.to_dict(), "label": labels}, features=task.train.features
    )
    return replace(task, train=train, notes=(*task.notes, note))
