"""The exercises of lesson 02.

Notebooks import them with `from ftkit.lessons.lora import exercises as check` and call
`check.merge(my_merge)`.
"""

from ftkit.lessons.lora.exercises.embedding import lora_embedding
from ftkit.lessons.lora.exercises.factors import best_of_rank, merge, trainable_parameters
from ftkit.lessons.lora.exercises.fair_comparison import tuned

__all__ = ["best_of_rank", "lora_embedding", "merge", "trainable_parameters", "tuned"]
