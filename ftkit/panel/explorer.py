"""The explorer: a hand on a trial's settings. A move retrains, live, in front of what was recorded."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ftkit.experiments.sweep import Trial
from ftkit.experiments.tables import Replay
from ftkit.panel.controls import Several
from ftkit.panel.layout import Panel
from ftkit.panel.painter import Run, View
from ftkit.panel.recorded_runs import Recorded
from ftkit.panel.worker import Ended, Session

MANY = tuple(range(8))
_open: dict[str, "Explorer"] = {}


class Explorer:
    """A panel: controls, live plots, the bill, and a line of status.

    It runs once when it is made, and again at every move of a control: the newest move wins, and the run before it is left at its next
    step. Without a front end (`FTKIT_HEADLESS=1`, or no kernel) it runs where it is called, and errors are raised there. In Colab, which
    does not show what a thread paints, a move runs inside its callback, and the panel says so.

    Args:
        trial: from settings and `seed` to an iterator of `Event`; `replay(table)` shows recorded runs, and the panel says so.
        steps: how many updates a run has; scales the plot and the progress bar.
        recorded: what stands behind the live run; without it the live run stands alone.
        picture: from the values of an event of stage "look" to a figure.
        start: the first value of a setting; the first of its list otherwise, and all of `Several`.
        name: the technique's name, as in `figures.COLOURS`.
        title: heads the panel, and tells two panels of a notebook apart.
        settings: for each setting of the trial the values to choose from: numbers get a slider with a number box, texts a drop-down,
            `Ordered` ones a slider, and `Several` a button each.

    Raises:
        ValueError: a setting without values, or a start that is none of them.
    """

    def __init__(
        self,
        trial: Trial,
        /,
        *,
        steps: int | None = None,
        recorded: Recorded | None = None,
        picture: Callable[[Mapping[str, float]], Any] | None = None,
        start: Mapping[str, Any] | None = None,
        name: str = "LoRA",
        title: str = "",
        **settings: Sequence[Any],
    ) -> None:
        _check(settings, start or {})
        self.mode = mode()
        self.error: Exception | None = None
        first = {
            name: values.all if isinstance(values, Several) else values[0]
            for name, values in settings.items()
        } | dict(start or {})
        self.panel = Panel(title, settings, first, self.mode == "blocking", picture is not None)
        self._view = View(self.panel, recorded, picture, name, steps, isinstance(trial, Replay))
        self._session = Session(trial, self._view.begin, self._view.heard, self._ended)
        _close_the_one_before(self, title or getattr(trial, "__qualname__", "panel"))
        self.panel.on_move(lambda: self._go((self.panel.seed,)))
        self.panel.on_many(lambda: self._go(MANY))
        self.panel.on_stop(self.stop)
        self.panel.on_axis(lambda: self._view.costs(self.settings))
        self.panel.on_shared(self.load)
        self._go((self.panel.seed,))

    @property
    def settings(self) -> dict[str, Any]:
        """Where the controls stand."""
        return self.panel.settings

    @property
    def runs(self) -> list[Run]:
        """The runs of the newest request, as far as they are."""
        return self._view.runs

    @property
    def share(self) -> str:
        """The state of the panel as a short text; `load` takes it back."""
        return urlencode({**self.settings, "seed": self.panel.seed})

    def load(self, text: str) -> None:
        """Moves the controls to where `share` says, and runs.

        Raises:
            ValueError: the text is none, or names a setting or a value that this panel does not have.
        """
        pairs = parse_qsl(text.strip()) if isinstance(text, str) else []
        if not pairs:
            raise ValueError(
                f"a share text must look like {self.share}, got {text!r}; copy it from a panel's share field"
            )
        self.set(**self.panel.parse(pairs))

    def set(self, **settings: Any) -> None:
        """Moves controls, `seed` among them, and runs once.

        Raises:
            ValueError: there is no such control, or it has no such value.
        """
        with self.panel.together():
            self.panel.move(settings)
        self._go((self.panel.seed,))

    def many(self) -> None:
        """Runs eight seeds, one after another."""
        self._go(MANY)

    def wait(self, timeout: float = 120.0) -> list[Run]:
        """The runs of the newest request, one a seed, when they are done.

        Raises:
            TimeoutError: they took longer than `timeout` seconds.
            Exception: what the trial raised.
        """
        if not self._session.wait(timeout):
            raise TimeoutError(
                f"the run must end within {timeout:g} s, and has not; press Stop, or wait longer"
            )
        if self.error is not None:
            raise self.error
        return self.runs

    def stop(self) -> None:
        """Leaves what runs at its next step."""
        self._session.stop()

    def close(self) -> None:
        """Stops for good and takes the panel off the page."""
        self._session.close()
        self.panel.close()

    def _go(self, seeds: tuple[int, ...]) -> None:
        self.panel.share(self.share)
        if self.mode == "thread":
            self._session.request(self.settings, seeds)
            return
        self._session.run(self.settings, seeds)
        if self.mode == "headless" and self.error is not None:
            raise self.error

    def _ended(self, end: Ended) -> None:
        if end.how != "replaced":
            self.error = end.error
            self._view.ended(end)

    def _ipython_display_(self) -> None:
        self.panel.display(self.mode != "headless", repr(self))

    def __repr__(self) -> str:
        done = f": {100 * self.runs[-1].accuracy:.1f} % on valid" if self.runs else ""
        return f"Explorer({self.share}){done}"


def mode() -> str:
    """How panels run here: "headless" (no front end), "blocking" (Colab) or "thread"."""
    shell = _shell()
    if os.environ.get("FTKIT_HEADLESS") == "1" or not hasattr(shell, "kernel"):
        return "headless"
    return "blocking" if "google.colab" in sys.modules else "thread"


def _shell() -> Any:
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _close_the_one_before(explorer: Explorer, name: str) -> None:
    """Closes the panel that this cell (or, where cells have no names, a panel of this title) showed before."""
    parent: dict[str, Any] = getattr(_shell(), "get_parent", dict)() or {}
    key = f"{parent.get('metadata', {}).get('cellId', '')} {name}"
    if (before := _open.pop(key, None)) is not None:
        before.close()
    _open[key] = explorer


def _check(settings: Mapping[str, Sequence[Any]], start: Mapping[str, Any]) -> None:
    for name, values in settings.items():
        if not len(values):
            raise ValueError(
                f"a setting must have at least one value, got none for {name}; leave it out"
            )
    for name, value in start.items():
        if name not in settings or value not in settings[name]:
            raise ValueError(
                f"start must be among the settings' values, got {name}={value!r}; the settings are {', '.join(settings)}"
            )
