"""The explorer: controls for a trial's settings. A move trains again, live, over recorded runs."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from ftkit import checks
from ftkit.experiments.sweep import Trial
from ftkit.experiments.tables import Replay
from ftkit.figures.plots import COLOURS
from ftkit.panel.controls import Several
from ftkit.panel.front_end import mode, shell
from ftkit.panel.layout import Panel
from ftkit.panel.painter import Painter, Run
from ftkit.panel.recorded_runs import Recorded
from ftkit.panel.worker import JobEnd, Worker

MANY = tuple(range(8))
"""The seeds of `Explorer.many`."""
MOST_SECONDS = 3.2e7
"""The longest wait: a year."""
_open: dict[tuple[str, str], tuple[str, list["Explorer"]]] = {}
"""By cell, or by title where cells have no names: an execution of the cell, and its panels."""


class Explorer:
    """A panel: controls, live plots, a cost table, and a status line.

    It runs once when it is made, and again at every move of a control. The newest move wins: an
    older run ends at its next step.

    Without a front end (`FTKIT_HEADLESS=1`, or no kernel) it runs where it is called, and raises
    errors there. Colab does not show what a thread paints: there a move runs inside its callback,
    and the panel says so.

    Args:
        trial: from settings and `seed` to an iterator of `Event`. `replay(table)` shows recorded
            runs, and the panel says so.
        steps: the number of training steps; it scales the plot and the progress bar.
        recorded: recorded runs to draw behind the live run.
        picture: from the values of an event of stage "probe" to a figure.
        start: the first value of a setting; if not given, the first of its values, and all of
            `Several`.
        name: the technique's name, as in `figures.plots.COLOURS`.
        title: heads the panel, and tells two panels of a notebook apart.
        settings: the values of each setting of the trial. Numbers get a slider with a number box,
            texts a drop-down list, `Ordered` texts a slider, and `Several` a button each.

    Raises:
        ValueError: a setting has no values, a start is not one of them, or another argument is of
            another kind.
    """

    def __init__(
        self,
        trial: Trial,
        /,
        *,
        steps: int | None = None,
        recorded: Recorded | None = None,
        picture: Callable[[Mapping[str, Any]], Any] | None = None,
        start: Mapping[str, Any] | None = None,
        name: str = "LoRA",
        title: str = "",
        **settings: Sequence[Any],
    ) -> None:
        checks.function("trial", trial, "pass a function from settings to events")
        if steps is not None:
            checks.whole("steps", steps, 1, 10**9, "leave it out if it is not known")
        if recorded is not None:
            checks.instance("recorded", recorded, Recorded, "Recorded", "Recorded(table, ...)")
        if picture is not None:
            checks.function("picture", picture, "leave it out for no picture")
        checks.one_of("name", name, COLOURS, "it decides the colour; title takes any text")
        checks.text("title", title)
        start = {} if start is None else start
        # Arrays, such as np.logspace(-4, -2, 5), are values too.
        settings = {
            name: values.tolist() if isinstance(values, np.ndarray) else values
            for name, values in settings.items()
        }
        _check(settings, start)
        self.mode = mode()
        self.error: Exception | None = None
        first = {**_first_values(settings), **start}
        self.panel = Panel(title, settings, first, self.mode == "blocking", picture is not None)
        replayed = isinstance(trial, Replay)
        self._painter = Painter(self.panel, recorded, picture, name, steps, replayed)
        self._worker = Worker(trial, self._painter.start, self._painter.add, self._on_end)
        _close_those_before(self, title or getattr(trial, "__qualname__", "panel"))
        self.panel.on_move(lambda: self._go((self.panel.seed,)))
        self.panel.on_many(lambda: self._go(MANY))
        self.panel.on_stop(self.stop)
        self.panel.on_axis(lambda: self._painter.paint_costs(self.settings))
        self.panel.on_shared(self.load)
        try:
            self._go((self.panel.seed,))
        except Exception:
            self.close()  # nobody gets a panel whose first run fails here
            raise

    @property
    def settings(self) -> dict[str, Any]:
        """The values of the controls."""
        return self.panel.settings

    @property
    def runs(self) -> list[Run]:
        """The runs of the newest request, as far as they are."""
        return self._painter.runs

    @property
    def share(self) -> str:
        """The state of the panel as a short text; `load` takes it back."""
        return urlencode({**self.settings, "seed": self.panel.seed})

    def load(self, text: str) -> None:
        """Set the controls to a state that `share` gave, and run.

        Raises:
            ValueError: the text is not such a state, or this panel does not have its settings or
                their values.
        """
        pairs = parse_qsl(text.strip()) if isinstance(text, str) else []
        if not pairs:
            raise ValueError(
                f"a share text must look like {self.share}, got {text!r}; "
                "copy it from a panel's share field"
            )
        self.set(**self.panel.parse(pairs))

    def set(self, **settings: Any) -> None:
        """Set controls, the `seed` too, and run once.

        Raises:
            ValueError: there is no such control, or it has no such value.
        """
        with self.panel.together():
            self.panel.move(settings)
        self._go((self.panel.seed,))

    def many(self) -> None:
        """Run eight seeds, one after another."""
        self._go(MANY)

    def wait(self, timeout: float = 120.0) -> list[Run]:
        """Wait for the newest request, and return its runs, one a seed.

        Raises:
            ValueError: timeout is below 0, or longer than a year.
            TimeoutError: it took longer than `timeout` seconds.
            Exception: the trial raised it.
        """
        checks.number("timeout", timeout, 0, MOST_SECONDS, advice="it counts seconds")
        if not self._worker.wait(timeout):
            raise TimeoutError(
                f"the run must end within {timeout:g} s, and has not; press Stop, or wait longer"
            )
        if self.error is not None:
            raise self.error
        return self.runs

    def stop(self) -> None:
        """End the run at its next step."""
        self._worker.stop()

    def close(self) -> None:
        """Stop for good, take the panel off the page, and forget it."""
        self._worker.close()
        self.panel.close()
        for key, (_, panels) in list(_open.items()):
            if self in panels:
                panels.remove(self)
            if not panels:
                del _open[key]
        _forget_output(self)

    def _go(self, seeds: tuple[int, ...]) -> None:
        self.panel.share(self.share)
        if self.mode == "thread":
            self._worker.request(self.settings, seeds)
            return
        self._worker.run(self.settings, seeds)
        if self.mode == "headless" and self.error is not None:
            raise self.error

    def _on_end(self, end: JobEnd) -> None:
        if end.how != "replaced":
            self.error = end.error
            self._painter.end(end)

    def _ipython_display_(self) -> None:
        self.panel.display(self.mode != "headless", repr(self))

    def __repr__(self) -> str:
        if not self.runs:
            return f"Explorer({self.share})"
        accuracy = 100 * self.runs[-1].accuracy
        return f"Explorer({self.share}): {accuracy:.1f} % on the validation set"


def _close_those_before(explorer: Explorer, name: str) -> None:
    """Close the panels that an earlier execution of the same cell showed.

    Several panels of one execution live side by side. Where cells have no names, an earlier panel
    with the same title is closed.
    """
    parent: dict[str, Any] = getattr(shell(), "get_parent", dict)() or {}
    cell = parent.get("metadata", {}).get("cellId", "")
    execution = parent.get("header", {}).get("msg_id", "")
    key = (cell, "" if cell else name)
    before, panels = _open.get(key, ("", []))
    if before != execution or not execution:
        for panel in list(panels):
            panel.close()
        panels = []
    _open[key] = (execution, [*panels, explorer])


def _forget_output(explorer: Explorer) -> None:
    """Remove a closed panel from the outputs that IPython remembers, such as `Out[3]` and `_3`."""
    outputs: dict[int, Any] = getattr(shell(), "user_ns", {}).get("_oh", {})
    numbers = [number for number, output in outputs.items() if output is explorer]
    for number in numbers:
        del outputs[number]
    if numbers:
        shell().drop_by_id({f"_{number}": explorer for number in numbers})


def _first_values(settings: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {
        name: values.all if isinstance(values, Several) else values[0]
        for name, values in settings.items()
    }


def _check(settings: Mapping[str, Sequence[Any]], start: Mapping[str, Any]) -> None:
    for name, values in settings.items():
        checks.each(name, values, str | Real, "numbers or texts", "a control offers these values")
        for value in values:
            if not isinstance(value, str | bool):
                checks.number(f"each value of {name}", value, advice="a slider offers these values")
        if not len(values):
            raise ValueError(
                f"a setting must have at least one value, got none for {name}; leave it out"
            )
    checks.instance("start", start, Mapping, "{setting: value}", "leave it out for the first")
    for name, value in start.items():
        if name not in settings or value not in settings[name]:
            raise ValueError(
                f"start must be among the settings' values, got {name}={value!r}; "
                f"the settings are {', '.join(settings)}"
            )
