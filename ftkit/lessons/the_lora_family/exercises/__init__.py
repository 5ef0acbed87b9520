"""The exercises of lesson 08: `from ftkit.teaching.exercises import family as check`, then `check.decompose(my_decompose)`."""

from ftkit.lessons.the_lora_family.exercises.holm import holm
from ftkit.lessons.the_lora_family.exercises.dora_and_pissa import decompose, principal

__all__ = ["decompose", "holm", "principal"]
