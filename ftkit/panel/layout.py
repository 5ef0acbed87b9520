"""The panel of an explorer as widgets: controls left, plots right. It knows nothing of training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets
from IPython.display import display

from ftkit.figures.plots import AXES
from ftkit.panel.controls import LABEL, Several, control, label
from ftkit.panel.cost_table import bill
from ftkit.panel.plot import Plot
from ftkit.panel.still_image import png

IN_COLAB = (
    "In Colab a run cannot be left once it has begun: each move waits for the one before, and Stop has no effect. In JupyterLab the newest "
    "move wins."
)
Hook = Callable[[], None]


class Panel:
    """Controls for `settings`, at first where `first` says; the plots `curves`, `picture` and `costs`; a bill, progress and status."""

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
            description="seed", value=0, min=0, max=9999, style=LABEL, layout={"width": "170px"}
        )
        self._run = ipywidgets.Button(
            description="Run", button_style="primary", tooltip="Run these settings again"
        )
        self._stop = ipywidgets.Button(description="Stop", tooltip="Leave the run at its next step")
        self._many = ipywidgets.Button(
            description="8 seeds", tooltip="Run seeds 0 to 7, one after another"
        )
        for button, mark in ((self._run, "run"), (self._stop, "stop"), (self._many, "many")):
            button.layout.width = "auto"
            button.add_class(f"ftkit-{mark}")
        self._progress = ipywidgets.IntProgress(
            min=0, max=1, layout={"width": "auto", "height": "10px"}
        )
        self._status = ipywidgets.HTML()
        self._status.add_class("ftkit-status")
        self._share = ipywidgets.Text(
            description="share", continuous_update=False, style=LABEL, layout={"width": "auto"}
        )
        self._share.add_class("ftkit-share")
        self._axis = ipywidgets.Dropdown(
            description="against",
            options=[(words, axis) for axis, words in AXES.items()],
            style=LABEL,
        )
        self._axis.add_class("ftkit-axis")
        self._bill = ipywidgets.HTML()
        self._bill.add_class("ftkit-bill")
        self.curves = Plot("accuracy on valid and training loss over the steps of the run")
        self.picture = Plot("what the technique has learned so far")
        self.costs = Plot("accuracy against cost, recorded and live")
        self._plots = (self.curves, self.picture, self.costs)
        self._quiet = False
        self._shown = self._build(title, blocking, picture)

    def _build(self, title: str, blocking: bool, picture: bool) -> Any:
        buttons = ipywidgets.HBox(
            [self._run, self._stop, self._many], layout={"flex_flow": "row wrap"}
        )
        notes = [_html(IN_COLAB, "ftkit-note")] if blocking else []
        above = [
            *self._controls.values(),
            self._seed,
            buttons,
            self._progress,
            self._status,
            *notes,
        ]
        controls = _column("ftkit-controls", *above, self._bill, self._share)
        pair = _row(
            "ftkit-pair",
            _column("ftkit-curves", self.curves),
            _column("ftkit-cost", self.costs, self._axis),
        )
        body = _row(
            "ftkit-body",
            controls,
            _column("ftkit-plots", pair, *([self.picture] if picture else [])),
        )
        return _column("ftkit-panel", *([_html(title, "ftkit-title")] if title else []), body)

    @property
    def settings(self) -> dict[str, Any]:
        """Where the controls stand."""
        return {name: each.value for name, each in self._controls.items()}

    @property
    def seed(self) -> int:
        """The seed that Run uses."""
        return int(self._seed.value)

    @property
    def axis(self) -> str:
        """What the trade-off plot's horizontal axis shows."""
        return str(self._axis.value)

    def move(self, wanted: Mapping[str, Any]) -> None:
        """Moves controls, and the seed.

        Raises:
            ValueError: there is no such control, or it has no such value; nothing moves then.
        """
        wanted = {name: self._in_order(name, value) for name, value in wanted.items()}
        for name, value in wanted.items():
            if name != "seed" and name not in self._values:
                raise ValueError(
                    f"a setting must be one of {', '.join([*self._values, 'seed'])}, got {name!r}"
                )
            if name != "seed" and value not in self._values[name]:
                some = (
                    "some, joined by +, of" if isinstance(self._values[name], Several) else "one of"
                )
                raise ValueError(
                    f"{name} must be {some} {', '.join(map(label, self._values[name]))}, got {value!r}"
                )
            if name == "seed" and not (isinstance(value, int) and 0 <= value <= 9999):
                raise ValueError(f"seed must be a whole number from 0 to 9999, got {value!r}")
        for name, value in wanted.items():
            (self._seed if name == "seed" else self._controls[name]).value = value

    def _in_order(self, name: str, value: Any) -> Any:
        values = self._values.get(name)
        return (
            values.ordered(value)
            if isinstance(values, Several) and isinstance(value, str)
            else value
        )

    def parse(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Values of controls from their texts; one that no control has is left as text, for `move` to refuse."""
        wanted: dict[str, Any] = {}
        for name, text in pairs:
            if name == "seed":
                wanted[name] = int(text) if text.isdecimal() else text
            else:
                wanted[name] = next(
                    (
                        value
                        for value in self._values.get(name, [])
                        if label(value) == text or str(value) == text
                    ),
                    text,
                )
        return wanted

    def on_move(self, hook: Hook) -> None:
        """Calls `hook` when a control moves or Run is pressed."""
        for each in (*self._controls.values(), self._seed):
            each.observe(lambda _: None if self._quiet else hook(), "value")
        self._run.on_click(lambda _: hook())

    def on_many(self, hook: Hook) -> None:
        """Calls `hook` when "8 seeds" is pressed."""
        self._many.on_click(lambda _: hook())

    def on_stop(self, hook: Hook) -> None:
        """Calls `hook` when Stop is pressed."""
        self._stop.on_click(lambda _: hook())

    def on_axis(self, hook: Hook) -> None:
        """Calls `hook` when another axis is chosen."""
        self._axis.observe(lambda _: hook(), "value")

    def on_shared(self, hook: Callable[[str], None]) -> None:
        """Calls `hook` with a text that was put into the share field; what it refuses is said in the status line."""

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
        """In the block, what moves is not told to the hooks."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def share(self, text: str) -> None:
        """Writes the share field."""
        with self.together():
            self._share.value = text

    def say(self, text: str) -> None:
        """Writes the line of status, HTML."""
        self._status.value = text

    def show_progress(self, done: int, of: int) -> None:
        """Moves the progress bar."""
        self._progress.max, self._progress.value = max(1, of), done

    def show_bill(
        self, here: Mapping[str, float] | None, full: Mapping[str, float] | None, live: bool
    ) -> None:
        """Writes the bill of this run, or the recorded one, beside full fine-tuning's."""
        self._bill.value = bill(here, full, live) if here else ""

    def display(self, widgets: bool, text: str) -> None:
        """Puts the panel on the page: as widgets, or else as text; with a picture beside where one is asked for."""
        shown = {"text/plain": text}
        if widgets:
            shown["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._shown.model_id,
            }  # type: ignore[assignment]
        display({**shown, **png(self._plots)}, raw=True)

    def close(self) -> None:
        """Takes all widgets off the page."""
        self._shown.close()
        for plot in self._plots:
            plot.close()


def _row(mark: str, *children: Any) -> Any:
    return _marked(ipywidgets.HBox(list(children)), mark)


def _column(mark: str, *children: Any) -> Any:
    return _marked(ipywidgets.VBox(list(children)), mark)


def _html(text: str, mark: str) -> Any:
    return _marked(ipywidgets.HTML(escape(text)), mark)


def _marked(widget: Any, mark: str) -> Any:
    widget.add_class(mark)
    return widget
