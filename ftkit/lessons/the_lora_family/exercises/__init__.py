"""The exercises of lesson 08: `from ftkit.lessons.the_lora_family import exercises as check`, then
`check.decompose(my_decompose)`."""

from ftkit.lessons.the_lora_family.exercises.dora_and_pissa import decompose, principal
from ftkit.lessons.the_lora_family.exercises.holm import holm

__all__ = ["decompose", "holm", "principal"]
