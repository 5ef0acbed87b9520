"""The exercises of lesson 04: `from ftkit.lesson.exercises import bitfit as check`, then `check.biases(my_biases)`."""

from ftkit.lesson.exercises.added_bias import with_bias
from ftkit.lesson.exercises.biases import best_shift, biases, fold

__all__ = ["best_shift", "biases", "fold", "with_bias"]
