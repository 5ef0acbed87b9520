"""What a prediction may be: one of several options, or a number on a scale."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Answer(Protocol):
    """A kind of answer: what may be said, how it reads, when it is right."""

    def taken(self, value: Any) -> Any:
        """`value` as it is written down; ValueError if it cannot be said."""

    def truth(self, value: Any) -> Any:
        """`value` as the outcome; ValueError if it cannot be one."""

    def words(self, value: Any) -> str:
        """How a value reads."""

    def verdict(self, said: Any, truth: Any) -> tuple[bool, str]:
        """Whether it is right, and that in words."""

    def listing(self) -> list[str]:
        """What may be said, in lines."""

    def control(self, widgets: Any) -> Any:
        """A widget whose `value` is the answer."""


@dataclass(frozen=True)
class Options:
    """One of several options."""

    options: tuple[Hashable, ...]

    def __post_init__(self) -> None:
        if len(self.options) < 2 or len({str(option) for option in self.options}) < len(
            self.options
        ):
            raise ValueError(
                f"options must be at least two and differ, got {list(self.options)}; add or reword one"
            )

    def taken(self, value: Any) -> Any:
        if value not in self.options:
            raise ValueError(
                f"the answer must be one of {list(self.options)}, got {value!r}; copy one of them"
            )
        return value

    truth = taken

    def words(self, value: Any) -> str:
        return f"“{value}”"

    def verdict(self, said: Any, truth: Any) -> tuple[bool, str]:
        return said == truth, "Right." if said == truth else "Not this time."

    def listing(self) -> list[str]:
        return [str(option) for option in self.options]

    def control(self, widgets: Any) -> Any:
        return radio(widgets, self.options)


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, right within `tolerance`."""

    low: float
    high: float
    unit: str
    tolerance: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(
                f"low must be below high, got {self.low} and {self.high}; give the ends of the scale"
            )
        if not 0 <= self.tolerance < self.high - self.low:
            raise ValueError(
                f"tolerance must be from 0 to below the scale's length, got {self.tolerance}; say how far off is still right"
            )

    def taken(self, value: Any) -> float:
        number = self.truth(value)
        if not self.low <= number <= self.high:
            raise ValueError(
                f"the answer must be from {self.words(self.low)} to {self.words(self.high)}, got {value}; stay on the scale"
            )
        return number

    def truth(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"the answer must be a number, got {value!r}; write it without a unit"
            ) from None
        if not math.isfinite(number):
            raise ValueError(
                f"the answer must be a finite number, got {value}; look at the run it came from"
            )
        return number

    def words(self, value: Any) -> str:
        return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}") + (
            f" {self.unit}" if self.unit else ""
        )

    def verdict(self, said: Any, truth: Any) -> tuple[bool, str]:
        off = abs(said - truth)
        near = f"within {self.words(self.tolerance)}"
        if off <= self.tolerance * (1 + 1e-9):
            return True, f"Right, {near}." if self.tolerance else "Exactly right."
        return False, f"Too {'high' if said > truth else 'low'} by {self.words(off)}" + (
            f"; right was {near}." if self.tolerance else "."
        )

    def listing(self) -> list[str]:
        scale = f"a number from {self.words(self.low)} to {self.words(self.high)}"
        return [scale + (f"; right within {self.words(self.tolerance)}" if self.tolerance else "")]

    def control(self, widgets: Any) -> Any:
        step = self.step()
        start = self.low + round((self.high - self.low) / 2 / step) * step
        places = max(0, -math.floor(math.log10(step)))
        return widgets.FloatSlider(
            value=start,
            min=self.low,
            max=self.high,
            step=step,
            readout_format=f",.{places}f",
            continuous_update=False,
            description="your guess",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="auto"),
        )

    def step(self) -> float:
        """A round step, such that the scale has 100 to 250 of them.

        >>> Number(0, 100, "%", 5).step(), Number(0, 3e6, "", 1).step()
        (0.5, 20000.0)
        """
        raw = (self.high - self.low) / 250
        ten = 10.0 ** math.floor(math.log10(raw))
        return next(ten * round_ for round_ in (1, 2, 5, 10) if ten * round_ >= raw * (1 - 1e-9))


def radio(widgets: Any, options: Sequence[Hashable]) -> Any:
    """Radio buttons of which none is chosen yet; long options wrap."""
    pairs = [(str(option), option) for option in options]
    return widgets.RadioButtons(
        options=pairs, value=None, description="", layout=widgets.Layout(width="auto")
    )
