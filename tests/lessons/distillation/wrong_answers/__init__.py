"""What learners hand in, by exercise: wrong answers with the words that must name the fault, and
right ones."""

from lessons.distillation.wrong_answers.soft_targets import (
    right_loss,
    right_soften,
    wrong_loss,
    wrong_soften,
)
from lessons.distillation.wrong_answers.student_blocks import (
    right_blocks,
    right_inherited,
    wrong_blocks,
    wrong_inherited,
)

WRONG = {
    "soften": wrong_soften(),
    "inherited": wrong_inherited(),
    "kd_loss": wrong_loss(),
    "take_blocks": wrong_blocks(),
}
RIGHT = {
    "soften": right_soften(),
    "inherited": right_inherited(),
    "kd_loss": right_loss(),
    "take_blocks": right_blocks(),
}

RISING = {
    "soften": (1, 5),
    "inherited": (2, 8),
    "kd_loss": (3, 15),
    "take_blocks": (4, 20),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
