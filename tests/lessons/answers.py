"""The answers of all lessons, by exercise.

Wrong ones come with words that the message must contain; right ones are written differently.
"""

import operator
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from typing import Any

from ftkit.lessons import lessons

_ANSWERS = [
    import_module(f"lessons.{lesson.folder}.wrong_answers")
    for lesson in lessons().values()
    if lesson.exercises
]
WRONG: dict[str, Any] = {name: wrong for of in _ANSWERS for name, wrong in of.WRONG.items()}
RIGHT: dict[str, Any] = {name: right for of in _ANSWERS for name, right in of.RIGHT.items()}


def wrong_answers() -> Iterator[tuple[str, str, Any, str]]:
    """Yield (exercise, name, answer, words) for every wrong answer."""
    return (
        (exercise, name, *pair)
        for exercise, answers in WRONG.items()
        for name, pair in answers.items()
    )


def right_answers() -> Iterator[tuple[str, str, Any]]:
    """Yield (exercise, name, answer) for every right answer."""
    return (
        (exercise, name, answer)
        for exercise, answers in RIGHT.items()
        for name, answer in answers.items()
    )


def tally_of(outcomes: dict[str, dict[str, list[bool]]]) -> str:
    """Return a table of tried, caught and accepted answers."""
    lines = [f"{'exercise':<20}{'wrong tried':>12}{'caught':>8}{'right tried':>13}{'accepted':>10}"]
    for exercise, seen in [*outcomes.items(), ("all", reduce(_joined, outcomes.values()))]:
        wrong, right = seen["wrong"], seen["right"]
        lines.append(
            f"{exercise:<20}{len(wrong):>12}{sum(wrong):>8}{len(right):>13}{sum(right):>10}"
        )
    return "\n".join(lines)


def _joined(one: dict[str, list[bool]], other: dict[str, list[bool]]) -> dict[str, list[bool]]:
    return {key: operator.add(one[key], other[key]) for key in one}
