"""The exercises of lesson 07: `from ftkit.lesson.exercises import multitask as check`, then `check.shares(my_shares)`."""

from ftkit.lesson.exercises.surgery import surgery
from ftkit.lesson.exercises.undominated import undominated
from ftkit.lesson.exercises.weighing import at_rest, shares

__all__ = ["at_rest", "shares", "surgery", "undominated"]
