"""Answers to the exercises of lesson 02, by exercise: wrong ones with their messages, right ones.

A wrong answer comes with the words that the message must contain.
"""

from lessons.lora.wrong_answers.embedding import right_embedding, wrong_embedding
from lessons.lora.wrong_answers.factors import right_count, right_merge, wrong_count, wrong_merge
from lessons.lora.wrong_answers.fair_comparison import right_tuned, wrong_tuned
from lessons.lora.wrong_answers.ranks import right_rank, wrong_rank

WRONG = {
    "trainable_parameters": wrong_count(),
    "merge": wrong_merge(),
    "best_of_rank": wrong_rank(),
    "tuned": wrong_tuned(),
    "lora_embedding": wrong_embedding(),
}
RIGHT = {
    "trainable_parameters": right_count(),
    "merge": right_merge(),
    "best_of_rank": right_rank(),
    "tuned": right_tuned(),
    "lora_embedding": right_embedding(),
}

RISING = {
    "trainable_parameters": (1, 5),
    "merge": (2, 8),
    "best_of_rank": (3, 12),
    "tuned": (3, 12),
    "lora_embedding": (4, 20),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
