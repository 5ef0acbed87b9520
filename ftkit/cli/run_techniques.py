"""What `ftkit run` can run, by name: a space, a teacher's student, or several tasks that share a body."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ftkit import techniques
from ftkit.cli.run_arms import Arm, Setting, Slots, judges, of_space
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Task
from ftkit.techniques.distillation import Distillation, Teacher, unlabelled
from ftkit.techniques.student import student
from ftkit.techniques.task_balancing import GradNorm, PCGrad, Uncertainty, Weighted
from ftkit.techniques.task_mixing import Mixture, Together
from ftkit.training.loop import Data, train


@dataclass(frozen=True)
class Distilled:
    """A student of some blocks, taught by the fully fine-tuned base, beside the same student with the labels alone.

    The teacher is asked about all training inputs, those that have no label of the seed's examples included.

    Args:
        blocks: the numbers of the blocks that the student keeps, with commas between; every second one if empty.
    """

    temperature: float = 4.0
    weight: float = 0.5
    blocks: str = ""

    def arms(self, setting: Setting) -> list[Arm]:
        every = range(getattr(setting.base.body.config, "num_hidden_layers", 0))
        kept = (
            tuple(int(number) for number in numbers("blocks", self.blocks))
            if self.blocks
            else tuple(every[::2])
        )
        small = replace(setting, base=student(setting.base, kept))

        def taught(seed: int) -> Slots:
            teacher = setting.fresh(seed)
            for _ in train(
                teacher,
                setting.rows(seed)[0],
                steps=setting.steps,
                lr=setting.full_lr,
                size=setting.size,
                seed=seed,
                validations=0,
            ):
                pass
            task = setting.tasks[0]
            transfer = unlabelled(
                task.take(len(task.train), seed), keep=len(setting.rows(seed)[0].train)
            )
            return (
                small.fresh(seed),
                transfer,
                Distillation(Teacher(teacher), self.temperature, self.weight),
            )

        def alone(seed: int) -> Slots:
            return small.fresh(seed), small.rows(seed)[0], supervised

        named = f"blocks {', '.join(map(str, kept))} of {len(every)}"
        says = f"Distillation(temperature={self.temperature:g}, weight={self.weight:g})"
        return [
            Arm(f"{says} into {named}", setting.full_lr, taught),
            Arm(f"{named}, the labels alone", setting.full_lr, alone),
        ]


@dataclass(frozen=True)
class Sharing:
    """Full fine-tuning on several tasks, by default a batch of every task at each step and the plain sum; what is read is the first.

    Args:
        beside: the other tasks, as `load_task` takes them, with commas between.
    """

    beside: str

    def filled(self, tasks: tuple[Task, ...], seed: int) -> tuple[Data, Objective]:
        """The data and the objective of a run."""
        return Together(tasks), Weighted()

    def arms(self, setting: Setting) -> list[Arm]:
        def slots(seed: int) -> Slots:
            return setting.fresh(seed), *self.filled(setting.rows(seed), seed)

        return [
            Arm(
                f"{type(self).__name__} of {', '.join(task.name for task in setting.tasks)}",
                setting.full_lr,
                slots,
            )
        ]


@dataclass(frozen=True)
class Mixing(Sharing):
    """A batch of one of the tasks at each step. `shares`: a number for each task, with commas between; all alike if empty."""

    shares: str = ""

    def filled(self, tasks: tuple[Task, ...], seed: int) -> tuple[Data, Objective]:
        return Mixture(
            tasks, numbers("shares", self.shares) if self.shares else (1.0,) * len(tasks)
        ), supervised


@dataclass(frozen=True)
class Weighing(Sharing):
    """The sum of the losses with fixed weights. `weights`: a number for each task, with commas between; all 1 if empty."""

    weights: str = ""

    def filled(self, tasks: tuple[Task, ...], seed: int) -> tuple[Data, Objective]:
        weights = numbers("weights", self.weights) if self.weights else (1.0,) * len(tasks)
        if len(weights) != len(tasks):
            raise ValueError(
                f"there must be one weight for each task, got {len(weights)} for {len(tasks)}; that of --task comes first"
            )
        return Together(tasks), Weighted(
            dict(zip((task.name for task in tasks), weights, strict=True))
        )


class UncertaintyWeighting(Sharing):
    """The sum of the losses with learned weights."""

    def filled(self, tasks: tuple[Task, ...], seed: int) -> tuple[Data, Objective]:
        return Together(tasks), Uncertainty(tasks)


class GradientSurgery(Sharing):
    """The sum of the losses, whose gradients give up what opposes another's."""

    def filled(self, tasks: tuple[Task, ...], seed: int) -> tuple[Data, Objective]:
        return Together(tasks), PCGrad(seed)


@dataclass(frozen=True)
class GradientNorms(Sharing):
    """The sum of the losses, with weights that let all tasks learn at like pace."""

    alpha: float = 1.5

    def filled(self, tasks: tuple[Task, ...], seed: int) -> tuple[Data, Objective]:
        return Together(tasks), GradNorm(self.alpha)


SEVERAL: dict[str, type[Any]] = {
    "mixture": Mixing,
    "weighted": Weighing,
    "uncertainty": UncertaintyWeighting,
    "pcgrad": GradientSurgery,
    "gradnorm": GradientNorms,
}


def found() -> dict[str, type[Any]]:
    """What can be run, by its name: each space that a file of `ftkit.techniques` defines, distillation, and several tasks."""
    return {
        **{space.__name__.lower(): space for space in _spaces()},
        "distillation": Distilled,
        **SEVERAL,
    }


def _spaces() -> Iterator[type[Any]]:
    modules = (
        importlib.import_module(f"ftkit.techniques.{found.name}")
        for found in pkgutil.iter_modules(techniques.__path__)
    )
    classes = (
        c
        for module in modules
        for _, c in inspect.getmembers(module, inspect.isclass)
        if c.__module__ == module.__name__
    )
    return (c for c in classes if dataclasses.is_dataclass(c) and hasattr(c, "changes"))


def numbers(name: str, text: str) -> tuple[float, ...]:
    """The numbers in a text, with commas between.

    Raises:
        ValueError: one is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--{name} must be numbers with commas between, got {text!r}") from None


def arms(technique: Any, setting: Setting) -> list[Arm]:
    """The technique's own rows, and what they are judged against."""
    own = technique.arms(setting) if hasattr(technique, "arms") else of_space(technique, setting)
    return [*own, *judges(setting)]
