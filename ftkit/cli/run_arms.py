"""The rows of a comparison: what fills the three slots in each, and the reference methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ftkit.cli.run_techniques import Technique, is_data, is_space
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.model.change import Space
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Task
from ftkit.techniques.distillation import Teacher, unlabelled
from ftkit.techniques.freeze import Only
from ftkit.techniques.student import student
from ftkit.techniques.task_mixing import Together
from ftkit.training.loop import Data, train

HEAD = Only("heads.*")
SPACE_GRID = (1e-3, 3e-3, 1e-2)
FULL_GRID = (1e-4, 3e-4, 1e-3)
"""Where all weights train, the learning rate is lower."""
HEAD_GRID = (1e-2, 3e-2, 1e-1)
"""A head starts from nothing, so its learning rate is higher."""
Slots = tuple[Adapted, Data, Objective]


@dataclass(frozen=True)
class Setting:
    """What all rows of a comparison share.

    Args:
        base: the network that is fine-tuned.
        tasks: the target task, then the other tasks if the technique needs several.
        examples: the number of training rows that a seed draws; None for all.
        steps: the number of training steps.
        size: the number of examples a step.
    """

    base: Net
    tasks: tuple[Task, ...]
    examples: int | None
    steps: int
    size: int

    def rows(self, seed: int) -> tuple[Task, ...]:
        """Return the tasks with the training rows of a seed."""
        if not self.examples:
            return self.tasks
        return tuple(task.take(self.examples, seed) for task in self.tasks)

    def fresh(self, seed: int, *spaces: Space) -> Adapted:
        """Return the base with a new head."""
        with_seed = [seeded(space, seed) for space in spaces]
        return Adapted(self.base.fresh_heads(seed), *with_seed, seed=seed)


@dataclass(frozen=True)
class Arm:
    """A row of the comparison.

    Args:
        name: what the table calls it.
        grid: the peak learning rates that are tried first, ascending.
        slots: from a seed to what fills the three slots.
        trains_head_alone: the learning rate is then that of the head.
    """

    name: str
    grid: tuple[float, ...]
    slots: Callable[[int], Slots]
    trains_head_alone: bool = False


def seeded(space: Any, seed: int) -> Any:
    """Return the space with this seed if it draws something of its own, such as a mask."""
    return replace(space, seed=seed) if hasattr(space, "seed") else space


def with_head(space: Space, base: Net) -> tuple[Space, ...]:
    """Return the space, and a space for the head unless it trains a head already."""
    if any(name.startswith("heads.") for name in space.changes(base)):
        return (space,)
    return (space, HEAD)


def own_arms(
    technique: Technique, setting: Setting, full_lr: float, blocks: Sequence[int] = ()
) -> list[Arm]:
    """Return the technique's own rows.

    Args:
        technique: its class decides what is compared, see `run_techniques`.
        setting: what all rows share.
        full_lr: the learning rate of a teacher, which is the fully fine-tuned base.
        blocks: the blocks that a student keeps, from 0; every second one if empty.
    """
    if is_space(technique.kind):
        return [_of_space(technique.make(), setting)]
    if "teacher" in technique.needs:
        return _with_teacher(technique, setting, full_lr, blocks)
    if "tasks" in technique.needs:
        return [_of_tasks(technique, setting)]
    return [_of_objective(technique, setting)]


def references(setting: Setting) -> list[Arm]:
    """Return full fine-tuning and the frozen body, on the first task alone."""

    def alone(*spaces: Space) -> Callable[[int], Slots]:
        return lambda seed: (setting.fresh(seed, *spaces), setting.rows(seed)[0], supervised)

    return [
        Arm("full fine-tuning", FULL_GRID, alone()),
        Arm("frozen body", HEAD_GRID, alone(HEAD), trains_head_alone=True),
    ]


def _of_space(space: Space, setting: Setting) -> Arm:
    """Return the row of a space, with a head, on the first task."""
    spaces = with_head(space, setting.base)

    def slots(seed: int) -> Slots:
        return setting.fresh(seed, *spaces), setting.rows(seed)[0], supervised

    return Arm(str(space), SPACE_GRID, slots)


def _of_objective(technique: Technique, setting: Setting) -> Arm:
    """Return the row of an objective that needs nothing: all weights train on the first task."""

    def slots(seed: int) -> Slots:
        return setting.fresh(seed), setting.rows(seed)[0], technique.make(seed=seed)

    return Arm(str(technique), FULL_GRID, slots)


def _of_tasks(technique: Technique, setting: Setting) -> Arm:
    """Return the row of several tasks that share a body.

    All weights train; the first task is tested.
    """
    task_names = tuple(task.name for task in setting.tasks)
    named = technique.for_tasks(task_names)

    def slots(seed: int) -> Slots:
        tasks = setting.rows(seed)
        made = named.make(tasks=tasks, seed=seed)
        data, objective = (made, supervised) if is_data(technique.kind) else (Together(tasks), made)
        return setting.fresh(seed), data, objective

    return Arm(f"{technique} of {', '.join(task_names)}", FULL_GRID, slots)


def _with_teacher(
    technique: Technique, setting: Setting, full_lr: float, blocks: Sequence[int]
) -> list[Arm]:
    """Return the rows of a student: taught by the fully fine-tuned base, and with labels alone.

    The teacher answers all training inputs, with and without a label in the seed's examples.
    """
    count = getattr(setting.base.body.config, "num_hidden_layers", 0)
    kept = tuple(blocks) or tuple(range(count)[::2])
    small = replace(setting, base=student(setting.base, kept))

    @cache
    def teacher_of(seed: int) -> Adapted:
        return _trained(setting, full_lr, seed)

    def taught(seed: int) -> Slots:
        labelled, task = setting.rows(seed)[0], setting.tasks[0]
        inputs = unlabelled(task.take(len(task.train), seed), keep=len(labelled.train))
        objective = technique.make(teacher=Teacher(teacher_of(seed)), seed=seed)
        return small.fresh(seed), inputs, objective

    def alone(seed: int) -> Slots:
        return small.fresh(seed), small.rows(seed)[0], supervised

    student_name = f"blocks {', '.join(map(str, kept))} of {count}"
    return [
        Arm(f"{technique} into {student_name}", FULL_GRID, taught),
        Arm(f"{student_name}, the labels alone", FULL_GRID, alone),
    ]


def _trained(setting: Setting, lr: float, seed: int) -> Adapted:
    """Return the base, fully fine-tuned on the first task."""
    model, task = setting.fresh(seed), setting.rows(seed)[0]
    for _ in train(
        model,
        task,
        steps=setting.steps,
        lr=lr,
        size=setting.size,
        seed=seed,
        validations=0,
    ):
        pass
    return model
