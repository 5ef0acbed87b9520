"""The exercises of lesson 06: `from ftkit.lessons.distillation import exercises as check`, then
`check.soften(my_soften)`."""

from ftkit.lessons.distillation.exercises.soft_targets import kd_loss, soften
from ftkit.lessons.distillation.exercises.student_blocks import inherited, take_blocks

__all__ = ["inherited", "kd_loss", "soften", "take_blocks"]
