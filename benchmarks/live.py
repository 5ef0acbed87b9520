"""How long the run takes that each lesson's panel opens with: all its steps, its validation and its probe."""

from ftkit.experiments.step_time import in_turns
from ftkit.lessons import lessons
from ftkit.training.background_validation import in_background

BUDGET = 2.0


def rows(rounds: int = 5) -> list[tuple[str, float, float | None, str]]:
    """Name, value, target and unit: seconds of a run, the median of `rounds` in turns, on the thread count that is set."""
    runs = {
        number: lambda lesson=lesson: list(lesson.opening_run())  # type: ignore[misc]
        for number, lesson in lessons().items()
        if lesson.trial
    }
    with in_background():
        seconds = in_turns(runs, rounds)
    return [
        (f"lesson {number}: live run where the panel opens, one thread", value, BUDGET, "s")
        for number, value in seconds.items()
    ]
