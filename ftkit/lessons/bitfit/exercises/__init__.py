"""The exercises of lesson 04.

Notebooks import them with `from ftkit.lessons.bitfit import exercises as check` and call
`check.biases(my_biases)`.
"""

from ftkit.lessons.bitfit.exercises.added_bias import with_bias
from ftkit.lessons.bitfit.exercises.biases import best_shift, biases, fold

__all__ = ["best_shift", "biases", "fold", "with_bias"]
