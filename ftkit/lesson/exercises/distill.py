"""The exercises of lesson 06: `from ftkit.lesson.exercises import distill as check`, then `check.soften(my_soften)`."""

from ftkit.lesson.exercises.pupil import inherited, take_blocks
from ftkit.lesson.exercises.soft import kd_loss, soften

__all__ = ["inherited", "kd_loss", "soften", "take_blocks"]
