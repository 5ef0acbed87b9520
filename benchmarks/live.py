"""Benchmark the run that each lesson's panel opens with: its steps, validation and probe."""

from functools import partial

from ftkit.experiments.step_time import in_turns
from ftkit.lessons import Lesson, lessons
from ftkit.training.background_validation import in_background
from ftkit.training.events import Event

BUDGET = 2.0
"""The most seconds that such a run should take."""


def rows(rounds: int = 5) -> list[tuple[str, float, float | None, str]]:
    """Name, value, target and unit: the seconds of a run, the median of `rounds`.

    The lessons take turns, with the number of threads that is set.
    """

    def whole_run(lesson: Lesson) -> list[Event]:
        return list(lesson.opening_run())

    runs = {
        number: partial(whole_run, lesson) for number, lesson in lessons().items() if lesson.trial
    }
    with in_background():
        seconds = in_turns(runs, rounds)
    return [
        (f"lesson {number}: live run where the panel opens, one thread", value, BUDGET, "s")
        for number, value in seconds.items()
    ]
