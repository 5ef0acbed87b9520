"""The exercises of lesson 09: `from ftkit.lessons.can_lora_be_beaten import exercises as check`,
then `check.flips(my_flips)`."""

from ftkit.lessons.can_lora_be_beaten.exercises.equal_budgets import expected, same_parameters
from ftkit.lessons.can_lora_be_beaten.exercises.sign_flip import flips

__all__ = ["expected", "flips", "same_parameters"]
