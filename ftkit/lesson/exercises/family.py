"""The exercises of lesson 08: `from ftkit.lesson.exercises import family as check`, then `check.decompose(my_decompose)`."""

from ftkit.lesson.exercises.adjusting import holm
from ftkit.lesson.exercises.relatives import decompose, principal

__all__ = ["decompose", "holm", "principal"]
