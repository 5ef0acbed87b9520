"""The rows of a comparison: what fills the three slots in each, and what every technique is judged against."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.model.change import Space
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Task
from ftkit.techniques.freeze import Only
from ftkit.training.loop import HEAD_LR, Data

HEAD = Only("heads.*")
Slots = tuple[Adapted, Data, Objective]


@dataclass(frozen=True)
class Setting:
    """What all arms share: the base, the task with the tasks beside it, if any, and how many training rows a seed draws (None for all)."""

    base: Net
    tasks: tuple[Task, ...]
    examples: int | None
    lr: float
    full_lr: float
    steps: int
    size: int

    def rows(self, seed: int) -> tuple[Task, ...]:
        """The tasks with the training rows of a seed."""
        return tuple(
            task.take(self.examples, seed) if self.examples else task for task in self.tasks
        )

    def fresh(self, seed: int, *spaces: Space) -> Adapted:
        """The base with a new head."""
        return Adapted(
            self.base.fresh_heads(seed), *(seeded(space, seed) for space in spaces), seed=seed
        )


@dataclass(frozen=True)
class Arm:
    """One row of the comparison: its name, its peak learning rate, and what fills the three slots with a seed."""

    name: str
    lr: float
    slots: Callable[[int], Slots]


def seeded(space: Any, seed: int) -> Any:
    """The space with this seed, if it draws something of its own, such as a mask."""
    return replace(space, seed=seed) if hasattr(space, "seed") else space


def with_head(space: Space, base: Net) -> tuple[Space, ...]:
    """The space, and the head beside it unless the space moves a head already."""
    return (
        (space,)
        if any(name.startswith("heads.") for name in space.changes(base))
        else (space, HEAD)
    )


def judges(setting: Setting) -> list[Arm]:
    """What every technique stands beside: full fine-tuning and the frozen body, on the first task alone."""

    def alone(*spaces: Space) -> Callable[[int], Slots]:
        return lambda seed: (setting.fresh(seed, *spaces), setting.rows(seed)[0], supervised)

    return [
        Arm("full fine-tuning", setting.full_lr, alone()),
        Arm("frozen body", HEAD_LR, alone(HEAD)),
    ]


def of_space(space: Space, setting: Setting) -> list[Arm]:
    """A space on the first task."""
    spaces = with_head(space, setting.base)
    return [
        Arm(
            str(space),
            setting.lr,
            lambda seed: (setting.fresh(seed, *spaces), setting.rows(seed)[0], supervised),
        )
    ]
