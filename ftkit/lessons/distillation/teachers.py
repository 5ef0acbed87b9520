"""The teachers of lesson 06: fully fine-tuned models. Their answers are shipped, their weights not.

A teacher is trained on one part of a task's training rows; its students get the other part, so that
they are taught on rows whose labels their teacher has never seen. Which part a row belongs to
depends on its text or image alone, so that another version of the data moves no row.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ftkit.checksums import checked
from ftkit.experiments.benchmark import SIZE, VALID_ROWS, load_benchmark
from ftkit.model.adapted import Adapted
from ftkit.model.base import load_base
from ftkit.paths import kit_path
from ftkit.storage import whole_file
from ftkit.tasks.task import STAGES, Task
from ftkit.techniques.distillation import Teacher
from ftkit.techniques.stored_answers import Stored, input_keys
from ftkit.training.loop import train

PARTS, TEACHER_PARTS = 8, 5
"""A teacher is trained on five eighths of the training rows."""
SEED = 0


@dataclass(frozen=True)
class TeacherRecipe:
    """How a teacher is trained.

    Args:
        bench: the benchmark whose task it learns.
        base: the name of the pretrained network it starts from.
        steps: the number of training steps.
        lrs: the learning rates that are tried.
    """

    bench: str
    base: str
    steps: int
    lrs: tuple[float, ...]


TEACHERS = {
    "opening": TeacherRecipe("opening", "mini", 600, (3e-4, 1e-3, 3e-3)),
    "library": TeacherRecipe("library", "minilm", 300, (3e-5, 1e-4, 3e-4, 1e-3)),
    "library by mini": TeacherRecipe("library", "mini", 600, (3e-4, 1e-3, 3e-3)),
    "digits": TeacherRecipe("digits", "mini-vit", 400, (1e-3, 3e-3, 1e-2)),
}
"""The teachers by name.

Each starts from its benchmark's base, except that of "library": the much larger minilm.
"""


def split_task(task: Task) -> tuple[Task, Task]:
    """Split the training rows of a task between its teacher and the teacher's students.

    Returns:
        The task with the teacher's rows, and the task with the students' rows.
    """
    is_teachers = input_keys(task.train) % PARTS < TEACHER_PARTS
    for_teacher, for_students = (
        replace(task, train=task.train.select(rows.nonzero().flatten().tolist()))
        for rows in (is_teachers, ~is_teachers)
    )
    return for_teacher, for_students


def train_teacher(recipe: TeacherRecipe) -> tuple[Adapted, dict[str, Any]]:
    """Train a teacher at each of its learning rates, and keep the best on valid.

    The best has the highest accuracy; of two with the same accuracy, the lower loss.

    Returns:
        The teacher, and how it was made.
    """
    task, _ = split_task(load_benchmark(recipe.bench)[1])
    tried = []
    for lr in recipe.lrs:
        model = Adapted(load_base(recipe.base, task).fresh_heads(SEED), seed=SEED)
        *_, last = train(
            model,
            task,
            steps=recipe.steps,
            size=SIZE,
            lr=lr,
            seed=SEED,
            validations=1,
            valid_rows=VALID_ROWS,
        )
        tried.append((last.values["valid/accuracy"], -last.values["valid/loss"], lr, model))
    accuracy, _, lr, model = max(tried, key=lambda attempt: attempt[:2])
    return model, {
        **asdict(recipe),
        "lr": lr,
        "seed": SEED,
        "valid": accuracy,
        "rows": len(task.train),
    }


def answer_rows(model: Any, task: Task) -> dict[str, Tensor]:
    """Compute a teacher's answers to the rows of all three splits of a task.

    Returns:
        `keys` (rows,), and `logits` (rows, classes) in half precision.
    """
    teacher, splits = Teacher(model), [task.split(stage) for stage in STAGES]
    logits = torch.cat([teacher.logits(data, task.name) for data in splits])
    return {"keys": torch.cat([input_keys(data) for data in splits]), "logits": logits.half()}


def answers_path() -> Path:
    """The file with the shipped answers of all teachers."""
    return kit_path("data", "results", "06_teachers.safetensors")


def make_answers(path: Path, names: Sequence[str] = tuple(TEACHERS)) -> None:
    """Train teachers, and write their answers to the students' rows, to valid and to test.

    The answers of other teachers in the file are kept. The file is replaced as a whole, or not at
    all.
    """
    # Where all are made again, the file is not read: it may be damaged.
    keeps_some = path.exists() and not set(TEACHERS) <= set(names)
    tensors, about = read_answers(path) if keeps_some else ({}, {})
    for name in names:
        recipe = TEACHERS[name]
        model, about[name] = train_teacher(recipe)
        _, for_students = split_task(load_benchmark(recipe.bench)[1])
        for part, tensor in answer_rows(model, for_students).items():
            tensors[f"{name}/{part}"] = tensor
    with whole_file(path) as new:
        save_file(tensors, new, metadata={name: json.dumps(how) for name, how in about.items()})


def read_answers(path: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Read a file of answers.

    Returns:
        The tensors `<teacher>/keys` and `<teacher>/logits`, and how each teacher was made.

    Raises:
        ValueError: there is no such file, or it is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            about = {name: json.loads(how) for name, how in (file.metadata() or {}).items()}
            keys = file.keys()  # it is no mapping: without this call there is nothing to iterate
            tensors = {key: file.get_tensor(key) for key in keys}
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"answers must be a whole file of safetensors, got {path} ({error}); "
            "delete it and make it again with `make results LESSON=06`"
        ) from error
    return tensors, about


@lru_cache(maxsize=len(TEACHERS))
def stored_answers(name: str) -> Stored:
    """The shipped answers of a teacher.

    Raises:
        ValueError: there is no such teacher, or the file is not as the kit wrote it.
    """
    if name not in TEACHERS:
        raise ValueError(
            f"the teacher must be one of {', '.join(TEACHERS)}, got {name!r}; choose one of these"
        )
    tensors, _ = read_answers(checked(kit_path("data"), "results/06_teachers.safetensors"))
    return Stored(tensors[f"{name}/keys"], tensors[f"{name}/logits"])


def answered_rows(name: str, data: Dataset) -> Tensor:
    """The rows of a split that a teacher has answered, int64, ascending.

    They are all rows, unless the data are of another version than the teacher's.
    """
    return stored_answers(name).knows(data).nonzero().flatten()
