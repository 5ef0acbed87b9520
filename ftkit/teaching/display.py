"""Show things in a notebook with controls, in a notebook that only runs, or in a terminal."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ftkit.panel.front_end import headless
from ftkit.teaching.cards import CONTROLS_STYLE, STYLE, card

VIEW = "application/vnd.jupyter.widget-view+json"
"""The MIME type of a live widget."""


def optional(name: str) -> Any:
    """Return the module of that name, or None if it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def shell() -> Any:
    """Return the IPython shell that runs this code, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def controls() -> Any:
    """Return ipywidgets where a person can use them, else None.

    None with FTKIT_HEADLESS=1, outside a notebook, and where ipywidgets is not installed.
    """
    return None if headless() or not hasattr(shell(), "kernel") else optional("ipywidgets")


class Shown(ABC):
    """Something that `put` shows, once.

    As the last value of the cell that put it, it is not shown a second time.
    """

    _put_in: Any = None
    """The execution count of the cell that put it."""

    @abstractmethod
    def html(self) -> str:
        """Return what a page without live controls shows."""

    @abstractmethod
    def text(self) -> str:
        """Return what a terminal prints."""

    def box(self) -> Any:
        """Return its live controls as one ipywidget; None where they do not work."""
        return None

    def put(self) -> None:
        """Show it now.

        Controls, HTML and text go out in one bundle; each front end shows the best that it can.
        """
        running = shell()
        if running is None:
            print(self.text())
            return
        self._put_in = running.execution_count
        bundle: dict[str, Any] = {"text/plain": self.text(), "text/html": STYLE + self.html()}
        box = self.box()
        if box is not None:
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
        running.display_pub.publish(bundle)

    def _ipython_display_(self) -> None:
        running = shell()
        if running is None or running.execution_count != self._put_in:
            self.put()


class Page(Shown):
    """A card to read; for `kind` see `cards.card`, and `parts` are HTML."""

    def __init__(self, kind: str, parts: list[str], text: str) -> None:
        self._html, self._text = card(kind, *parts), text

    def html(self) -> str:
        return self._html

    def text(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text


def boxed(widgets: Any, kind: str, *parts: Any) -> Any:
    """Return a card around live controls; a part is a widget, or HTML that does not change."""
    wide = widgets.Layout(width="auto")
    children = [
        widgets.HTML(part, layout=wide) if isinstance(part, str) else part
        for part in (STYLE + CONTROLS_STYLE, *parts)
    ]
    box = widgets.VBox(children, layout=wide)
    box.add_class("ftkit-card")
    box.add_class(f"ftkit-{kind}")
    return box


def button(widgets: Any, words: str, press: Callable[[], object]) -> Any:
    """Return a button that is as wide as its words, and calls `press`."""
    layout = widgets.Layout(width="auto", align_self="flex-start")
    widget = widgets.Button(description=words, layout=layout)
    widget.on_click(lambda _: press())
    return widget
