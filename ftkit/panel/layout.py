"""The widgets of an explorer's panel: controls left, plots right. It knows nothing of training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from numbers import Number
from typing import Any

import ipywidgets
from IPython.display import display

from ftkit import checks
from ftkit.figures.plots import AXES
from ftkit.panel.controls import LABEL, Several, control, label
from ftkit.panel.cost_table import cost_table
from ftkit.panel.plot import Plot, widget_view
from ftkit.panel.still_image import png

IN_COLAB = (
    "In Colab a run cannot be interrupted: each move waits for the run before it, and Stop has no "
    "effect. In JupyterLab the newest move wins."
)
MOST_SEED = 9999
Hook = Callable[[], None]


class Panel:
    """Controls, a progress bar, a status line, a cost table, and the plots.

    Args:
        title: heads the panel; "" for no title.
        settings: the values of each setting.
        first: the first value of each setting.
        blocking: whether a run blocks the page, as in Colab; the panel then says so.
        picture: whether the technique has a picture of its own.

    Attributes:
        curves: the plot of accuracy and loss.
        picture: the technique's own plot.
        costs: the trade-off plot.
    """

    def __init__(
        self,
        title: str,
        settings: Mapping[str, Sequence[Any]],
        first: Mapping[str, Any],
        blocking: bool,
        picture: bool,
    ) -> None:
        self._values = {
            name: values if isinstance(values, Several) else list(values)
            for name, values in settings.items()
        }
        self._controls = {
            name: control(name, values, first[name]) for name, values in settings.items()
        }
        self._seed = ipywidgets.BoundedIntText(
            description="seed",
            value=0,
            min=0,
            max=MOST_SEED,
            style=LABEL,
            layout={"width": "170px"},
        )
        self._run = _button("Run", "Run these settings again", "run", button_style="primary")
        self._stop = _button("Stop", "Stop the run at its next step", "stop")
        self._many = _button("8 seeds", "Run seeds 0 to 7, one after another", "many")
        self._progress = ipywidgets.IntProgress(
            min=0, max=1, layout={"width": "auto", "height": "10px"}
        )
        self._status = _marked(ipywidgets.HTML(), "ftkit-status")
        self._cost_table = _marked(ipywidgets.HTML(), "ftkit-cost-table")
        share = ipywidgets.Text(
            description="share", continuous_update=False, style=LABEL, layout={"width": "auto"}
        )
        self._share = _marked(share, "ftkit-share")
        axis = ipywidgets.Dropdown(
            description="cost axis",
            options=[(words, axis) for axis, words in AXES.items()],
            style=LABEL,
        )
        self._axis = _marked(axis, "ftkit-axis")
        self.curves = Plot("accuracy on the validation set and training loss, by training step")
        self.picture = Plot("the learned change so far")
        self.costs = Plot("accuracy against cost, recorded and live")
        self._plots = (self.curves, self.picture, self.costs)
        self._quiet = False
        self._shown = self._build(title, blocking, picture)

    def _build(self, title: str, blocking: bool, picture: bool) -> Any:
        """Return the panel as one widget."""
        buttons = ipywidgets.HBox(
            [self._run, self._stop, self._many], layout={"flex_flow": "row wrap"}
        )
        notes = [_html(IN_COLAB, "ftkit-note")] if blocking else []
        controls = _column(
            "ftkit-controls",
            *self._controls.values(),
            self._seed,
            buttons,
            self._progress,
            self._status,
            *notes,
            self._cost_table,
            self._share,
        )
        pair = _row(
            "ftkit-pair",
            _column("ftkit-curves", self.curves),
            _column("ftkit-cost", self.costs, self._axis),
        )
        plots = _column("ftkit-plots", pair, *([self.picture] if picture else []))
        heads = [_html(title, "ftkit-title")] if title else []
        return _column("ftkit-panel", *heads, _row("ftkit-body", controls, plots))

    @property
    def settings(self) -> dict[str, Any]:
        """The values of the controls."""
        return {name: each.value for name, each in self._controls.items()}

    @property
    def seed(self) -> int:
        """The seed that Run uses."""
        return int(self._seed.value)

    @property
    def axis(self) -> str:
        """The cost on the horizontal axis of the trade-off plot."""
        return str(self._axis.value)

    def move(self, wanted: Mapping[str, Any]) -> None:
        """Set controls, and the seed.

        Raises:
            ValueError: there is no such control, or it has no such value; nothing moves then.
        """
        wanted = {name: self._in_order(name, value) for name, value in wanted.items()}
        for name, value in wanted.items():
            if name == "seed":
                _check_seed(value)
            else:
                self._check(name, value)
        for name, value in wanted.items():
            chooser = self._seed if name == "seed" else self._controls[name]
            chooser.value = value

    def _in_order(self, name: str, value: Any) -> Any:
        values = self._values.get(name)
        if isinstance(values, Several) and isinstance(value, str):
            return values.ordered(value)
        return value

    def _check(self, name: str, value: Any) -> None:
        if name not in self._values:
            raise ValueError(
                f"a setting must be one of {', '.join([*self._values, 'seed'])}, "
                f"got {checks.shown(name)}; choose one of these"
            )
        values = self._values[name]
        # A value is compared with `==` only if that gives one answer, not an array of them.
        if not isinstance(value, str | Number) or value not in values:
            some = "some, joined by +, of" if isinstance(values, Several) else "one of"
            raise ValueError(
                f"{name} must be {some} {', '.join(map(label, values))}, "
                f"got {checks.shown(value)}; choose one of these"
            )

    def parse(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return values of controls from their texts.

        A text that fits no value stays a text, for `move` to refuse.
        """
        wanted: dict[str, Any] = {}
        for name, text in pairs:
            if name == "seed":
                wanted[name] = int(text) if text.isdecimal() else text
                continue
            fits = (v for v in self._values.get(name, []) if text in (label(v), str(v)))
            wanted[name] = next(fits, text)
        return wanted

    def on_move(self, hook: Hook) -> None:
        """Call `hook` when a control moves or Run is pressed."""

        def moved(_: Any) -> None:
            if not self._quiet:
                hook()

        for each in (*self._controls.values(), self._seed):
            each.observe(moved, "value")
        self._run.on_click(lambda _: hook())

    def on_many(self, hook: Hook) -> None:
        """Call `hook` when "8 seeds" is pressed."""
        self._many.on_click(lambda _: hook())

    def on_stop(self, hook: Hook) -> None:
        """Call `hook` when Stop is pressed."""
        self._stop.on_click(lambda _: hook())

    def on_axis(self, hook: Hook) -> None:
        """Call `hook` when another axis is chosen."""
        self._axis.observe(lambda _: hook(), "value")

    def on_shared(self, hook: Callable[[str], None]) -> None:
        """Call `hook` with a text from the share field; the status line says why it is refused."""

        def entered(change: Mapping[str, Any]) -> None:
            if self._quiet:
                return
            try:
                hook(change["new"])
            except ValueError as error:
                self.say(f"<b>Not understood:</b> {escape(str(error))}")

        self._share.observe(entered, "value")

    @contextmanager
    def together(self) -> Iterator[None]:
        """In the block, no move calls a hook."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def share(self, text: str) -> None:
        """Write the share field."""
        with self.together():
            self._share.value = text

    def say(self, text: str) -> None:
        """Write the status line, HTML."""
        self._status.value = text

    def show_progress(self, done: int, of: int) -> None:
        """Move the progress bar."""
        self._progress.max, self._progress.value = max(1, of), done

    def show_cost(
        self, here: Mapping[str, float] | None, full: Mapping[str, float] | None, live: bool
    ) -> None:
        """Write the cost table, live or recorded, and full fine-tuning's cost next to it."""
        self._cost_table.value = cost_table(here, full, live) if here else ""

    def display(self, widgets: bool, text: str) -> None:
        """Put the panel on the page: as widgets, or else as text; with a picture if asked for."""
        shown: dict[str, Any] = {"text/plain": text}
        if widgets:
            shown |= widget_view(self._shown)
        display({**shown, **png(self._plots)}, raw=True)

    def close(self) -> None:
        """Take all widgets off the page, and out of the registry of ipywidgets.

        A widget that is closed does not close those that it holds.
        """
        for part in (self._shown, *self._plots):
            for widget in _with_parts(part):
                widget.close()


def _with_parts(widget: Any) -> Iterator[Any]:
    """The widgets that a widget holds, at any depth, and at last the widget itself."""
    for child in getattr(widget, "children", ()):
        yield from _with_parts(child)
    for name in ("layout", "style"):  # they are widgets too
        if hasattr(widget, name):
            yield getattr(widget, name)
    yield widget


def _row(mark: str, *children: Any) -> Any:
    return _marked(ipywidgets.HBox(list(children)), mark)


def _column(mark: str, *children: Any) -> Any:
    return _marked(ipywidgets.VBox(list(children)), mark)


def _html(text: str, mark: str) -> Any:
    return _marked(ipywidgets.HTML(escape(text)), mark)


def _marked(widget: Any, mark: str) -> Any:
    widget.add_class(mark)
    return widget


def _button(caption: str, tooltip: str, mark: str, **how: Any) -> Any:
    button = ipywidgets.Button(
        description=caption, tooltip=tooltip, layout={"width": "auto"}, **how
    )
    return _marked(button, f"ftkit-{mark}")


def _check_seed(value: Any) -> None:
    if not checks.is_whole(value) or not 0 <= value <= MOST_SEED:
        raise ValueError(
            f"seed must be a whole number from 0 to {MOST_SEED}, got {checks.shown(value)}; "
            "choose one of these"
        )
