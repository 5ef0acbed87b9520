"""Answers to the exercises of lesson 01, by exercise: wrong ones with their messages, right ones.

A wrong answer comes with the words that the message must contain.
"""

from lessons.transfer_learning.wrong_answers.frozen_blocks import (
    right_moving,
    right_share,
    wrong_moving,
    wrong_share,
)
from lessons.transfer_learning.wrong_answers.rates_and_blends import (
    right_mix,
    right_rates,
    wrong_mix,
    wrong_rates,
)

WRONG = {
    "flops_share": wrong_share(),
    "rates": wrong_rates(),
    "interpolate": wrong_mix(),
    "moving": wrong_moving(),
}
RIGHT = {
    "flops_share": right_share(),
    "rates": right_rates(),
    "interpolate": right_mix(),
    "moving": right_moving(),
}

RISING = {
    "flops_share": (1, 8),
    "rates": (2, 8),
    "interpolate": (2, 8),
    "moving": (3, 12),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
