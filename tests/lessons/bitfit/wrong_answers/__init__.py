"""Answers to the exercises of lesson 04, by exercise: wrong ones with their messages, right ones.

A wrong answer comes with the words that the message must contain.
"""

from lessons.bitfit.wrong_answers.added_bias import right_added, wrong_added
from lessons.bitfit.wrong_answers.biases import (
    right_biases,
    right_fold,
    right_shift,
    wrong_biases,
    wrong_fold,
    wrong_shift,
)

WRONG = {
    "biases": wrong_biases(),
    "fold": wrong_fold(),
    "best_shift": wrong_shift(),
    "with_bias": wrong_added(),
}
RIGHT = {
    "biases": right_biases(),
    "fold": right_fold(),
    "best_shift": right_shift(),
    "with_bias": right_added(),
}

RISING = {
    "biases": (1, 5),
    "fold": (2, 10),
    "best_shift": (3, 12),
    "with_bias": (4, 15),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
