"""The teachers of lesson 06: fully fine-tuned models, of which the answers are shipped and the weights are not.

Each learns from one part of a task's training rows; its students get the other part, so that they are taught on rows whose labels their
teacher has never seen. Which part a row is in depends on its text or image alone, so that another version of the data moves no row.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ftkit.experiments.benchmark import SIZE, VALID_ROWS, load_benchmark
from ftkit.model.adapted import Adapted
from ftkit.model.base import load_base
from ftkit.paths import kit_path
from ftkit.tasks.task import STAGES, Task
from ftkit.techniques.distillation import Teacher
from ftkit.techniques.stored_answers import Stored, input_keys
from ftkit.training.loop import train

SHARES, THEIRS = 8, 5
"""A teacher learns from five eighths of the training rows."""
SEED = 0


@dataclass(frozen=True)
class Schooling:
    """How a teacher is made: which base, on the task of which bench, for how many steps, and the learning rates that are tried."""

    bench: str
    base: str
    steps: int
    lrs: tuple[float, ...]


SCHOOLING = {
    "opening": Schooling("opening", "mini", 600, (3e-4, 1e-3, 3e-3)),
    "library": Schooling("library", "minilm", 300, (3e-5, 1e-4, 3e-4, 1e-3)),
    "library by mini": Schooling("library", "mini", 600, (3e-4, 1e-3, 3e-3)),
    "digits": Schooling("digits", "mini-vit", 400, (1e-3, 3e-3, 1e-2)),
}
"""The teachers by name; the base is the bench's own but for `library`, which the much larger minilm teaches."""


def divided(task: Task) -> tuple[Task, Task]:
    """The task with the training rows that its teacher learns from, and with those that are left for students."""
    theirs = input_keys(task.train) % SHARES < THEIRS
    parts = (task.train.select(rows.nonzero().flatten().tolist()) for rows in (theirs, ~theirs))
    teachers, students = (replace(task, train=rows) for rows in parts)
    return teachers, students


def schooled(how: Schooling) -> tuple[Adapted, dict[str, Any]]:
    """A teacher, trained at the one of its rates that is best on valid (of two as accurate, by the loss), and how it was made."""
    task, tried = divided(load_benchmark(how.bench)[1])[0], []
    for lr in how.lrs:
        model = Adapted(load_base(how.base, task).fresh_heads(SEED), seed=SEED)
        *_, last = train(
            model,
            task,
            steps=how.steps,
            size=SIZE,
            lr=lr,
            seed=SEED,
            validations=1,
            valid_rows=VALID_ROWS,
        )
        tried.append((last.values["valid/accuracy"], -last.values["valid/loss"], lr, model))
    accuracy, _, lr, model = max(tried, key=lambda one: one[:2])
    return model, {
        **asdict(how),
        "lr": lr,
        "seed": SEED,
        "valid": accuracy,
        "rows": len(task.train),
    }


def answers(model: Any, task: Task) -> dict[str, Tensor]:
    """What a teacher answers to the rows of a task, all three splits: `keys`, and `logits` in half precision."""
    teacher, splits = Teacher(model), [task.split(stage) for stage in STAGES]
    said = torch.cat([teacher.logits(data, task.name) for data in splits])
    return {"keys": torch.cat([input_keys(data) for data in splits]), "logits": said.half()}


def shipped() -> Path:
    """Where the answers of the teachers lie."""
    return kit_path("data", "results", "06_teachers.safetensors")


def make(path: Path, names: Sequence[str] = tuple(SCHOOLING)) -> None:
    """Makes the named teachers and writes their answers to the rows for students, to valid and to test; whole or not at all.

    The answers of other teachers in the file stay.
    """
    tensors, about = read(path) if path.exists() else ({}, {})
    for name in names:
        model, about[name] = schooled(SCHOOLING[name])
        students = divided(load_benchmark(SCHOOLING[name].bench)[1])[1]
        tensors |= {f"{name}/{part}": tensor for part, tensor in answers(model, students).items()}
    beside = path.with_name(path.name + ".part")
    save_file(tensors, beside, metadata={name: json.dumps(how) for name, how in about.items()})
    beside.replace(path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """The tensors of a file of answers, `<teacher>/keys` and `<teacher>/logits`, and how each teacher was made."""
    with safe_open(path, "pt") as file:
        about = {name: json.loads(how) for name, how in (file.metadata() or {}).items()}
        return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118 - the file is no mapping


@lru_cache(maxsize=len(SCHOOLING))
def stored(name: str) -> Stored:
    """The shipped answers of a teacher.

    Raises:
        ValueError: there is no such teacher.
    """
    if name not in SCHOOLING:
        raise ValueError(f"the teacher must be one of {', '.join(SCHOOLING)}, got {name!r}")
    tensors, _ = read(shipped())
    return Stored(tensors[f"{name}/keys"], tensors[f"{name}/logits"])


def known(name: str, data: Dataset) -> Tensor:
    """The rows of a split that a teacher has answered, int64, rising; all, unless the data are of another version than its own."""
    return stored(name).knows(data).nonzero().flatten()
