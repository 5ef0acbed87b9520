"""Controls for settings: a slider over stops with a number box, and a list to choose from."""

import math
from collections.abc import Sequence
from typing import Any

import ipywidgets
import traitlets

LABEL = {"description_width": "80px"}


def label(value: Any) -> str:
    """How a stop is written: numbers short, text as it is.

    >>> label(0.003), label(16), label("attention")
    ('0.003', '16', 'attention')
    """
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


class Stops(ipywidgets.HBox):  # type: ignore[misc]
    """A slider over a few numbers, and a box to type one into: what is typed moves to the nearest stop.

    Some front ends swallow the arrow keys of a slider; the box works in all.

    Raises:
        ValueError: there is no stop, or the first value is none of them.
    """

    value = traitlets.Any()

    def __init__(self, name: str, stops: Sequence[float], value: float) -> None:
        if value not in stops:
            raise ValueError(f"{name} must start at one of {', '.join(map(label, stops))}, got {value}; add it to the list")
        self._stops = list(stops)
        self.slider = ipywidgets.SelectionSlider(
            description=name,
            options=[(label(stop), stop) for stop in stops],
            value=value,
            continuous_update=False,
            readout=False,
            style=LABEL,
            layout={"flex": "1 1 auto", "width": "auto", "min_width": "120px"},
        )
        self.box = ipywidgets.Text(value=label(value), continuous_update=False, layout={"width": "66px"})
        super().__init__([self.slider, self.box], layout={"width": "auto", "overflow": "hidden"})
        self.value = value
        self.slider.observe(lambda change: self.set_trait("value", change["new"]), "value")
        self.box.observe(lambda change: self._typed(change["new"]), "value")
        self.observe(lambda change: self._moved(change["new"]), "value")

    def _moved(self, value: float) -> None:
        self.slider.value = value
        self.box.value = label(value)

    def _typed(self, text: str) -> None:
        try:
            wanted = float(text)
        except ValueError:
            wanted = math.nan
        if not math.isnan(wanted):
            self.value = min(self._stops, key=lambda stop: abs(_scale(stop) - _scale(wanted)))
        self.box.value = label(self.value)


def _scale(value: float) -> float:
    return math.log(value) if value > 0 else value - 1e9


def control(name: str, values: Sequence[Any], value: Any) -> Any:
    """The control for a setting: `Stops` for numbers, a drop-down for text. Its class on the page is `ftkit-set-<name>`."""
    if all(isinstance(each, int | float) for each in values):
        chooser: Any = Stops(name, values, value)
    else:
        chooser = ipywidgets.Dropdown(
            description=name, options=[(label(v), v) for v in values], value=value, style=LABEL, layout={"width": "auto"}
        )
    chooser.add_class(f"ftkit-set-{name}")
    return chooser
