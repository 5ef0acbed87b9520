"""The exercises of lesson 05: `from ftkit.lesson.exercises import sparse as check`, then `check.exactly(my_exactly)`."""

from ftkit.lesson.exercises.entries import bytes_of, exactly
from ftkit.lesson.exercises.regrowing import regrow
from ftkit.lesson.exercises.scoring import per_example

__all__ = ["bytes_of", "exactly", "per_example", "regrow"]
