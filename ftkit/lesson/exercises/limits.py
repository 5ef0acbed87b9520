"""The exercises of lesson 03: `from ftkit.lesson.exercises import limits as check`, then `check.step_share(my_step_share)`."""

from ftkit.lesson.exercises.needing import at_equal, rank_needed
from ftkit.lesson.exercises.pricing import step_share

__all__ = ["at_equal", "rank_needed", "step_share"]
