"""The live plot: one thin anywidget that repaints a plotly figure.

plotly.js comes out of the installed plotly package, packed, once a page: the first plot of a kernel carries it, and a page that does not
have it (after a reload, or in Colab, where each cell is a page of its own) asks for it.
"""

import gzip
import os
from functools import lru_cache
from importlib.resources import files
from typing import Any

import anywidget
import plotly.graph_objects as go
import traitlets
from IPython.display import display

from ftkit.figures.plots import Spec
from ftkit.panel.still_image import png

_HERE = files("ftkit.panel")


@lru_cache(maxsize=1)
def _library() -> bytes:
    return gzip.compress(files("plotly").joinpath("package_data", "plotly.min.js").read_bytes(), 6)


class Plot(anywidget.AnyWidget):  # type: ignore[misc]
    """A plotly figure on the page, repainted whenever `show` is called, from any thread.

    `alt` says in words what is drawn, for readers who do not see it.
    """

    _esm = _HERE.joinpath("plot.js").read_text(encoding="utf8")
    _css = _HERE.joinpath("panel.css").read_text(encoding="utf8")
    library = traitlets.Bytes().tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    _carried = False

    def __init__(self, alt: str = "") -> None:
        carries = not Plot._carried
        Plot._carried = True
        super().__init__(alt=alt, library=_library() if carries else b"")
        self.on_msg(self._answer)

    @property
    def figure(self) -> go.Figure:
        """What is painted, checked by plotly.

        Raises:
            ValueError: plotly knows no such property, or no such value of it.
        """
        return go.Figure(self.spec)

    def show(self, figure: Spec | go.Figure) -> None:
        """Paints plotly JSON, or a `plotly.graph_objects.Figure`."""
        self.spec = plain(figure if isinstance(figure, dict) else figure.to_plotly_json())

    def _answer(self, _: Any, content: Any, __: Any) -> None:
        if content == {"plotly": "wanted"}:
            self.send({"plotly": "here"}, buffers=[_library()])


def draw(figure: Spec | go.Figure, alt: str) -> None:
    """Puts a figure on the page; `alt` says in words what it shows. Where there is no front end, the words."""
    plot = Plot(alt)
    plot.show(figure)
    view = {"version_major": 2, "version_minor": 0, "model_id": plot.model_id}
    shown = (
        {}
        if os.environ.get("FTKIT_HEADLESS") == "1"
        else {"application/vnd.jupyter.widget-view+json": view}
    )
    display({"text/plain": alt, **shown, **png([plot])}, raw=True)


def plain(value: Any) -> Any:
    """Lists and dictionaries all the way down: numpy arrays in a figure's JSON are packed differently by each plotly."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value
