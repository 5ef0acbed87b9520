"""What a student of lesson 06 has: a smaller body, few rows with a label and many without, and a teacher to be measured against."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor

from ftkit.experiments.benchmark import VALID_ROWS, load_benchmark
from ftkit.lessons.distillation.teachers import SCHOOLING, divided, known, stored
from ftkit.model.base import Net
from ftkit.tasks.task import Task
from ftkit.techniques.distillation import Teacher, agreement, pseudo_labelled, unlabelled
from ftkit.techniques.stored_answers import input_keys
from ftkit.techniques.student import student

LABELLED = {"opening": 200, "library": 200, "library by mini": 200, "digits": 40}
"""How many rows have a label, by the name of the teacher."""
BODIES: Mapping[str, tuple[int, ...]] = {
    "two blocks": (0, 2),
    "one block": (0,),
    "two random blocks": (0, 2),
}
"""Which blocks of the base a student has between its embeddings and a head of its own: every second one, the lowest, or random weights."""


@lru_cache(maxsize=len(SCHOOLING))
def teacher(bench: str) -> Teacher:
    """The teacher of that name, as a teacher of students: its answers are asked for, not itself."""
    return Teacher(stored(bench))


@lru_cache(maxsize=len(SCHOOLING))
def pool(bench: str) -> Task:
    """The task with the training rows that its teacher has not learned from, and has answered."""
    stored(bench)  # refuses a name that is none
    rest = divided(load_benchmark(SCHOOLING[bench].bench)[1])[1]
    return replace(rest, train=rest.train.select(known(bench, rest.train).tolist()))


@lru_cache(maxsize=32)
def given(bench: str, transfer: int, seed: int, labels: str = "none") -> Task:
    """The rows of one student, drawn with `seed`: a few with their labels, the classes as balanced as can be, and `transfer` more.

    Those come as they are found, since balancing would take the labels that they lack; where there are not so many, all that there are.

    Args:
        labels: what the further rows have for a label: "none", the "teacher"'s most probable class, or the "true" one.

    Raises:
        ValueError: there is no such teacher, or no such kind of label; transfer is below 0.
    """
    if labels not in ("none", "teacher", "true") or transfer < 0:
        raise ValueError(
            f"labels must be none, teacher or true and transfer at least 0, got {labels!r} and {transfer}"
        )
    whole = pool(bench)
    few = whole.take(LABELLED[bench], seed)
    taken = torch.isin(input_keys(whole.train), input_keys(few.train)).numpy()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~taken))[:transfer]
    if not len(order):
        return few
    more = replace(whole, train=whole.train.select(order))
    if labels != "true":
        more = unlabelled(more) if labels == "none" else pseudo_labelled(teacher(bench), more)
    return replace(few, train=concatenate_datasets([few.train, more.train]))


def newcomer(bench: str, body: str, seed: int) -> Net:
    """A student before its first step, with a head drawn with `seed`.

    Raises:
        ValueError: there is no such body.
    """
    if body not in BODIES:
        raise ValueError(f"body must be one of {', '.join(BODIES)}, got {body!r}")
    base = load_benchmark(SCHOOLING[bench].bench)[0]
    return student(base.fresh_heads(seed), BODIES[body], seed if "random" in body else None)


def marks(bench: str, model: Net) -> tuple[dict[str, float], Tensor]:
    """`accuracy` on test, and `agreement` with the teacher on the rows of test that it has answered, both in [0, 1]; and which rows of test
    were right, 0 or 1, (rows,)."""
    task = pool(bench)
    said, asked = Teacher(model).logits(task.test, task.name), known(bench, task.test)
    theirs = stored(bench)(task.batch("test", asked))
    right = (said.argmax(-1) == task.labels("test")).to(torch.uint8)
    return {
        "accuracy": float(right.float().mean()),
        "agreement": agreement(said[asked], theirs),
    }, right


def standing(bench: str) -> dict[str, float]:
    """How often a teacher is right on valid and on test, in [0, 1], over the rows that it has answered."""
    task, found = pool(bench), {}
    for stage in ("valid", "test"):
        asked = known(bench, task.split(stage))
        said = stored(bench)(task.batch(stage, asked))
        found[stage] = float((said.argmax(-1) == task.labels(stage)[asked]).float().mean())
    return found


@dataclass(frozen=True, eq=False)
class Shown:
    """Rows of valid that a look may show, with their labels (rows,) and the teacher's logits (rows, classes)."""

    data: Dataset
    labels: Tensor
    said: Tensor
    task: Task


@lru_cache(maxsize=len(SCHOOLING))
def shown(bench: str) -> Shown:
    """The rows of valid that a reading reads, as far as the teacher has answered them."""
    task = pool(bench)
    rows = known(bench, task.valid)
    rows = rows[rows < VALID_ROWS]
    data = task.valid.select(rows.tolist())
    return Shown(
        data, task.labels("valid")[rows], teacher(bench).logits(data, task.name).float(), task
    )
