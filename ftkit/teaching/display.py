"""Where a lesson shows things: a notebook with controls, a notebook that only runs, or a plain terminal."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ftkit.teaching.cards import CONTROLS_STYLE, STYLE, card

VIEW = "application/vnd.jupyter.widget-view+json"


def optional(name: str) -> Any:
    """The module of that name, or None where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def shell() -> Any:
    """The IPython shell that runs this code, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def controls() -> Any:
    """ipywidgets where a person can use them; None with FTKIT_HEADLESS=1, outside a notebook, or where it is not installed."""
    headless = os.environ.get("FTKIT_HEADLESS", "") not in ("", "0")
    return None if headless or not hasattr(shell(), "kernel") else optional("ipywidgets")


class Shown(ABC):
    """Something that shows itself with `put`. As the last value of the cell that put it, it is not shown a second time."""

    _put_in: Any = None

    @abstractmethod
    def html(self) -> str:
        """What it looks like where no control works."""

    @abstractmethod
    def text(self) -> str:
        """What it says where there is no HTML."""

    def box(self) -> Any:
        """Its controls, one ipywidget; None where controls do not work."""
        return None

    def put(self) -> None:
        """Shows it now: its controls, its HTML and its text in one bundle, of which each front end takes the best it can."""
        running = shell()
        if running is None:
            print(self.text())
            return
        self._put_in = running.execution_count
        bundle: dict[str, Any] = {"text/plain": self.text(), "text/html": STYLE + self.html()}
        if (box := self.box()) is not None:
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
        running.display_pub.publish(bundle)

    def _ipython_display_(self) -> None:
        running = shell()
        if running is None or running.execution_count != self._put_in:
            self.put()


class Page(Shown):
    """A card to read, `kind` as in `look.card`; `parts` are HTML."""

    def __init__(self, kind: str, parts: list[str], text: str) -> None:
        self._html, self._text = card(kind, *parts), text

    def html(self) -> str:
        return self._html

    def text(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text


def boxed(widgets: Any, kind: str, *parts: Any) -> Any:
    """The card around live controls: a part is a widget, or HTML that will not change."""
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
    """A button as wide as its words."""
    made = widgets.Button(
        description=words, layout=widgets.Layout(width="auto", align_self="flex-start")
    )
    made.on_click(lambda _: press())
    return made
