"""Controls for settings: a slider with a number box, a list, and buttons.

They work by mouse and by keyboard.
"""

import math
from collections.abc import Sequence
from typing import Any

import ipywidgets
import traitlets

CAPTION = "92px"
"""The width of a caption: "temperature" fits."""
LABEL = {"description_width": CAPTION}


def label(value: Any) -> str:
    """Write a value of a setting: a number short, a text as it is.

    >>> label(0.003), label(16), label("attention")
    ('0.003', '16', 'attention')
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return str(value)


class Several(tuple[str, ...]):
    """Values of a setting of which several can be chosen at once.

    A choice is one text: the chosen values in their order, joined by "+".

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
        """Return the choice with its parts in order; a text with an unknown part stays as it is."""
        parts = text.split("+")
        if not set(parts) <= set(self):
            return text
        return "+".join(value for value in self if value in parts)

    @property
    def all(self) -> str:
        """The choice of all values."""
        return "+".join(self)


class Ordered(tuple[Any, ...]):
    """Texts that have an order, such as tasks from near to far: they get a slider, not a list."""


class Toggles(ipywidgets.HBox):  # type: ignore[misc]
    """A button for each value; at least one is pressed.

    Raises:
        ValueError: the first value is not a choice of these.
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
        row = ipywidgets.HBox(self.buttons, layout={"flex_flow": "row wrap", "flex": "1 1 0"})
        super().__init__([caption, row], layout={"width": "auto"})
        self._follow(value)
        self.value = value
        for button in self.buttons:
            button.observe(lambda _: self._pressed(), "value")
        self.observe(lambda change: self._follow(change["new"]), "value")

    def _follow(self, value: str) -> None:
        """Set the buttons to the value, one by one; none of these changes is a press."""
        self._following = True
        for button in self.buttons:
            button.value = button.description in value.split("+")
        self._following = False

    def _pressed(self) -> None:
        """Take the pressed buttons as the new value; press the last one again if none is left."""
        if self._following:
            return
        pressed = [button.description for button in self.buttons if button.value]
        if pressed:
            self.value = "+".join(pressed)
        else:
            self._follow(self.value)


class Stops(ipywidgets.HBox):  # type: ignore[misc]
    """A slider over a few numbers, and a box to type a number into.

    A typed number moves to the nearest stop. Some front ends do not pass the arrow keys on to a
    slider; the box works in all of them.

    Raises:
        ValueError: there is no stop, or the first value is not one of them.
    """

    value = traitlets.Any()

    def __init__(self, name: str, stops: Sequence[float], value: float) -> None:
        if value not in stops:
            raise ValueError(
                f"{name} must start at one of {', '.join(map(label, stops))}, got {value}; "
                "add it to the list"
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
        self.observe(lambda change: self._follow(change["new"]), "value")

    def _follow(self, value: float) -> None:
        self.slider.value = value
        self.box.value = label(value)

    def _typed(self, text: str) -> None:
        """Move to the stop nearest to the typed number; any other text moves nothing."""
        try:
            typed = float(text)
        except ValueError:
            typed = math.nan
        if not math.isnan(typed):
            self.value = min(self._stops, key=lambda stop: abs(_scale(stop) - _scale(typed)))
        self.box.value = label(self.value)


def _scale(value: float) -> float:
    """Return the logarithm; a value at or below 0 is farther away than all others."""
    return math.log(value) if value > 0 else value - 1e9


def control(name: str, values: Sequence[Any], value: Any) -> Any:
    """Return the control for a setting; its CSS class is `ftkit-set-<name>`.

    Numbers get `Stops`, `Several` gets `Toggles`, `Ordered` a slider, other texts a drop-down list.
    """
    chooser: Any
    if isinstance(values, Several):
        chooser = Toggles(name, values, value)
    elif all(isinstance(each, int | float) for each in values):
        chooser = Stops(name, values, value)
    else:
        options = [(label(each), each) for each in values]
        how = {"description": name, "options": options, "value": value, "style": LABEL}
        how["layout"] = {"width": "auto"}
        if isinstance(values, Ordered):
            chooser = ipywidgets.SelectionSlider(**how, continuous_update=False)
        else:
            chooser = ipywidgets.Dropdown(**how)
    chooser.add_class(f"ftkit-set-{name}")
    return chooser
