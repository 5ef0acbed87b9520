"""What learners hand in, by exercise: wrong answers with the words that must name the fault, and
right ones."""

from lessons.multitask.wrong_answers.fronts_and_surgery import (
    right_surgery,
    right_undominated,
    wrong_surgery,
    wrong_undominated,
)
from lessons.multitask.wrong_answers.task_weights import (
    right_at_rest,
    right_shares,
    wrong_at_rest,
    wrong_shares,
)

WRONG = {
    "shares": wrong_shares(),
    "at_rest": wrong_at_rest(),
    "surgery": wrong_surgery(),
    "undominated": wrong_undominated(),
}
RIGHT = {
    "shares": right_shares(),
    "at_rest": right_at_rest(),
    "surgery": right_surgery(),
    "undominated": right_undominated(),
}

RISING = {
    "shares": (1, 5),
    "at_rest": (2, 8),
    "surgery": (3, 15),
    "undominated": (3, 12),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
