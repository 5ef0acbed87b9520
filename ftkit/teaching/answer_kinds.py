"""Kinds of answers to a prediction: one of several options, or a number on a scale."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Answer(Protocol):
    """A kind of answer: which values it allows, how they read, and when one is right."""

    def accept(self, value: Any) -> Any:
        """Return `value` as the learner's answer; raise ValueError if it is not a possible one."""

    def accept_outcome(self, value: Any) -> Any:
        """Return `value` as the outcome of the run; raise ValueError if it cannot be one."""

    def words(self, value: Any) -> str:
        """Return a value as it is printed."""

    def verdict(self, guess: Any, outcome: Any) -> tuple[bool, str]:
        """Return whether the guess is right, and a sentence that says so."""

    def lines(self) -> list[str]:
        """Return the possible answers in words, one line each."""

    def control(self, widgets: Any) -> Any:
        """Return a widget whose `value` is the answer."""


@dataclass(frozen=True)
class Options:
    """One of several options."""

    options: tuple[Hashable, ...]

    def __post_init__(self) -> None:
        different = {str(option) for option in self.options}
        if len(self.options) < 2 or len(different) < len(self.options):
            raise ValueError(
                "options must be at least two and all different, "
                f"got {list(self.options)}; add or reword one"
            )

    def accept(self, value: Any) -> Any:
        if value not in self.options:
            raise ValueError(
                f"the answer must be one of {list(self.options)}, got {value!r}; copy one of them"
            )
        return value

    accept_outcome = accept

    def words(self, value: Any) -> str:
        return f"“{value}”"

    def verdict(self, guess: Any, outcome: Any) -> tuple[bool, str]:
        return guess == outcome, "Right." if guess == outcome else "Not this time."

    def lines(self) -> list[str]:
        return [str(option) for option in self.options]

    def control(self, widgets: Any) -> Any:
        return radio(widgets, self.options)


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high` that is right within `tolerance`."""

    low: float
    high: float
    unit: str
    tolerance: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(
                f"low must be below high, got {self.low} and {self.high}; "
                "give the two ends of the scale"
            )
        if not 0 <= self.tolerance < self.high - self.low:
            raise ValueError(
                "tolerance must be at least 0 and below the length of the scale, "
                f"got {self.tolerance}; say how far off still counts as right"
            )

    def accept(self, value: Any) -> float:
        number = self.accept_outcome(value)
        if not self.low <= number <= self.high:
            raise ValueError(
                f"the answer must be from {self.words(self.low)} to {self.words(self.high)}, "
                f"got {value}; stay on the scale"
            )
        return number

    def accept_outcome(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"the answer must be a number, got {value!r}; write it without a unit"
            ) from None
        if not math.isfinite(number):
            raise ValueError(
                f"the answer must be a finite number, got {value}; check the run that gave it"
            )
        return number

    def words(self, value: Any) -> str:
        number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return f"{number} {self.unit}" if self.unit else number

    def verdict(self, guess: Any, outcome: Any) -> tuple[bool, str]:
        error = abs(guess - outcome)
        within = f"within {self.words(self.tolerance)}"
        if error <= self.tolerance * (1 + 1e-9):
            return True, f"Right, {within}." if self.tolerance else "Exactly right."
        direction = "high" if guess > outcome else "low"
        rule = f"; {within} counts as right." if self.tolerance else "."
        return False, f"Too {direction} by {self.words(error)}{rule}"

    def lines(self) -> list[str]:
        scale = f"a number from {self.words(self.low)} to {self.words(self.high)}"
        if not self.tolerance:
            return [scale]
        return [f"{scale}; within {self.words(self.tolerance)} counts as right"]

    def control(self, widgets: Any) -> Any:
        step = self.step()
        middle = self.low + round((self.high - self.low) / 2 / step) * step
        decimals = max(0, -math.floor(math.log10(step)))
        return widgets.FloatSlider(
            value=middle,
            min=self.low,
            max=self.high,
            step=step,
            readout_format=f",.{decimals}f",
            continuous_update=False,
            description="your guess",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="auto"),
        )

    def step(self) -> float:
        """Return a round step that divides the scale into 100 to 250 steps.

        >>> Number(0, 100, "%", 5).step(), Number(0, 3e6, "", 1).step()
        (0.5, 20000.0)
        """
        smallest = (self.high - self.low) / 250
        decade = 10.0 ** math.floor(math.log10(smallest))
        candidates = (decade * factor for factor in (1, 2, 5, 10))
        return next(step for step in candidates if step >= smallest * (1 - 1e-9))


def radio(widgets: Any, options: Sequence[Hashable]) -> Any:
    """Return radio buttons with no choice made yet; long options wrap."""
    pairs = [(str(option), option) for option in options]
    return widgets.RadioButtons(
        options=pairs, value=None, description="", layout=widgets.Layout(width="auto")
    )
