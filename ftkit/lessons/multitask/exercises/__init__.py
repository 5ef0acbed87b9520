"""The exercises of lesson 07: `from ftkit.lessons.multitask import exercises as check`, then
`check.shares(my_shares)`."""

from ftkit.lessons.multitask.exercises.gradient_surgery import surgery
from ftkit.lessons.multitask.exercises.pareto_front import undominated
from ftkit.lessons.multitask.exercises.task_weights import at_rest, shares

__all__ = ["at_rest", "shares", "surgery", "undominated"]
