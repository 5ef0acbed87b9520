"""The exercises of lesson 01.

Notebooks import them with `from ftkit.lessons.transfer_learning import exercises as check` and
call `check.flops_share(my_flops_share)`.
"""

from ftkit.lessons.transfer_learning.exercises.frozen_blocks import flops_share, moving
from ftkit.lessons.transfer_learning.exercises.rates_and_blends import interpolate, rates

__all__ = ["flops_share", "interpolate", "moving", "rates"]
