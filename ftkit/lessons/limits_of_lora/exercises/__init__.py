"""The exercises of lesson 03.

Notebooks import them with `from ftkit.lessons.limits_of_lora import exercises as check` and call
`check.step_share(my_step_share)`.
"""

from ftkit.lessons.limits_of_lora.exercises.rank_and_forgetting import at_equal, rank_needed
from ftkit.lessons.limits_of_lora.exercises.step_share import step_share

__all__ = ["at_equal", "rank_needed", "step_share"]
