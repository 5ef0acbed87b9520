"""The exercises of lesson 09: `from ftkit.lesson.exercises import board as check`, then `check.flips(my_flips)`."""

from ftkit.lesson.exercises.flipping import flips
from ftkit.lesson.exercises.tuning import expected, same_numbers

__all__ = ["expected", "flips", "same_numbers"]
