"""The exercises of lesson 01: `from ftkit.lesson.exercises import transfer as check`, then `check.flops_share(my_flops_share)`."""

from ftkit.lesson.exercises.freezing import flops_share, moving
from ftkit.lesson.exercises.schedules import interpolate, rates

__all__ = ["flops_share", "interpolate", "moving", "rates"]
