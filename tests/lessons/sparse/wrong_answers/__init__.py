"""What learners hand in, by exercise: wrong answers with the words that must name the fault, and
right ones."""

from lessons.sparse.wrong_answers.entry_counts import (
    right_bytes,
    right_exactly,
    wrong_bytes,
    wrong_exactly,
)
from lessons.sparse.wrong_answers.scores_and_regrow import (
    right_fisher,
    right_regrow,
    wrong_fisher,
    wrong_regrow,
)

WRONG = {
    "bytes_of": wrong_bytes(),
    "exactly": wrong_exactly(),
    "per_example": wrong_fisher(),
    "regrow": wrong_regrow(),
}
RIGHT = {
    "bytes_of": right_bytes(),
    "exactly": right_exactly(),
    "per_example": right_fisher(),
    "regrow": right_regrow(),
}

RISING = {
    "bytes_of": (1, 6),
    "exactly": (2, 10),
    "per_example": (3, 15),
    "regrow": (4, 20),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
