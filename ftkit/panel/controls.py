"""Controls for settings: a slider over stops with a number box, a list to choose from, and buttons of which several may be pressed."""

import math
from collections.abc import Sequence
from typing import Any

import ipywidgets
import traitlets

CAPTION = "92px"
"""How wide a caption is: "temperature" fits."""
LABEL = {"description_width": CAPTION}


def label(value: Any) -> str:
    """How a stop is written: numbers short, text as it is.

    >>> label(0.003), label(16), label("attention")
    ('0.003', '16', 'attention')
    """
    return (
        f"{value:g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )


class Several(tuple[str, ...]):
    """Values of a setting of which several may be chosen at once. What is chosen is one text, joined by "+", in the order of the values.

    >>> several = Several(["query", "key", "value"])
    >>> "query+value" in several, "value+query" in several, "" in several, several.all
    (True, False, False, 'query+key+value')
    >>> several.ordered("value+query")
    'query+value'
    """

    def __contains__(self, text: object) -> bool:
        parts = str(text).split("+")
        return parts == [value for value in self if value in parts]

    def ordered(self, text: str) -> str:
        """The text with its parts in the order of the values; one with a part that is no value stays as it is."""
        parts = text.split("+")
        return (
            "+".join(value for value in self if value in parts) if set(parts) <= set(self) else text
        )

    @property
    def all(self) -> str:
        """Everything at once."""
        return "+".join(self)


class Ordered(tuple[Any, ...]):
    """Values of a setting that lie in a line though they are no numbers, such as tasks from near to far: a slider, not a list."""


class Toggles(ipywidgets.HBox):  # type: ignore[misc]
    """A button a value, of which at least one is pressed.

    Raises:
        ValueError: the first value is no choice of these.
    """

    value = traitlets.Unicode()

    def __init__(self, name: str, values: Several, value: str) -> None:
        if value not in values:
            raise ValueError(
                f"{name} must start with some of {values.all}, got {value}; join them with +"
            )
        self.buttons = [
            ipywidgets.ToggleButton(
                description=each, tooltip=f"{name}: {each}", layout={"width": "auto"}
            )
            for each in values
        ]
        caption = ipywidgets.Label(name, layout={"width": CAPTION, "justify_content": "flex-end"})
        pressed = ipywidgets.HBox(self.buttons, layout={"flex_flow": "row wrap", "flex": "1 1 0"})
        super().__init__([caption, pressed], layout={"width": "auto"})
        self._moved(value)
        self.value = value
        for button in self.buttons:
            button.observe(lambda _: self._pressed(), "value")
        self.observe(lambda change: self._moved(change["new"]), "value")

    def _moved(self, value: str) -> None:
        self._moving = True  # the buttons follow one by one; none of them is a press
        for button in self.buttons:
            button.value = button.description in value.split("+")
        self._moving = False

    def _pressed(self) -> None:
        if self._moving:
            return
        if chosen := [button.description for button in self.buttons if button.value]:
            self.value = "+".join(chosen)
        else:
            self._moved(self.value)


class Stops(ipywidgets.HBox):  # type: ignore[misc]
    """A slider over a few numbers, and a box to type one into: what is typed moves to the nearest stop.

    Some front ends swallow the arrow keys of a slider; the box works in all.

    Raises:
        ValueError: there is no stop, or the first value is none of them.
    """

    value = traitlets.Any()

    def __init__(self, name: str, stops: Sequence[float], value: float) -> None:
        if value not in stops:
            raise ValueError(
                f"{name} must start at one of {', '.join(map(label, stops))}, got {value}; add it to the list"
            )
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
        self.box = ipywidgets.Text(
            value=label(value), continuous_update=False, layout={"width": "66px"}
        )
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
    """The control for a setting: `Stops` for numbers, `Toggles` for `Several`, a slider for `Ordered`, a drop-down for other texts.

    Its class on the page is `ftkit-set-<name>`.
    """
    if isinstance(values, Several):
        chooser: Any = Toggles(name, values, value)
    elif all(isinstance(each, int | float) for each in values):
        chooser = Stops(name, values, value)
    else:
        made, more = (
            (ipywidgets.SelectionSlider, {"continuous_update": False})
            if isinstance(values, Ordered)
            else (ipywidgets.Dropdown, {})
        )
        options = [(label(v), v) for v in values]
        chooser = made(
            description=name,
            options=options,
            value=value,
            style=LABEL,
            layout={"width": "auto"},
            **more,
        )
    chooser.add_class(f"ftkit-set-{name}")
    return chooser
