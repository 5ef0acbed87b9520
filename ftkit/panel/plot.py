"""The live plot: one thin anywidget that repaints a plotly figure.

plotly.js comes from the installed plotly package, compressed, once a page. The first plot of a
kernel carries it. A page that does not have it asks for it: after a reload, or in Colab, where each
cell is a page of its own.
"""

import gzip
from functools import lru_cache
from importlib.resources import files
from typing import Any

import anywidget
import plotly.graph_objects as go
import traitlets
from IPython.display import display

from ftkit import checks
from ftkit.figures.plots import Spec
from ftkit.panel.front_end import headless
from ftkit.panel.still_image import png

_HERE = files("ftkit.panel")


@lru_cache(maxsize=1)
def _library() -> bytes:
    return gzip.compress(files("plotly").joinpath("package_data", "plotly.min.js").read_bytes(), 6)


class Plot(anywidget.AnyWidget):  # type: ignore[misc]
    """A plotly figure on the page; `show`, called from any thread, repaints it.

    Args:
        alt: the figure in words, for readers who do not see it.
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
        """The painted figure, checked by plotly.

        Raises:
            ValueError: plotly does not know a property, or does not allow its value.
        """
        return go.Figure(self.spec)

    def show(self, figure: Spec | go.Figure) -> None:
        """Paint plotly JSON, or a `plotly.graph_objects.Figure`."""
        self.spec = plain(figure if isinstance(figure, dict) else figure.to_plotly_json())

    def _answer(self, _: Any, content: Any, __: Any) -> None:
        if content == {"plotly": "wanted"}:
            self.send({"plotly": "here"}, buffers=[_library()])


def draw(figure: Spec | go.Figure, alt: str) -> None:
    """Put a figure on the page, or its words `alt` where there is no front end.

    Raises:
        ValueError: it is no figure, or alt no text.
    """
    if not isinstance(figure, dict | go.Figure):
        raise ValueError(
            f"figure must be a plotly figure or its JSON, got {checks.shown(figure)}; "
            "plotly.graph_objects.Figure() makes one"
        )
    checks.text("alt", alt)
    plot = Plot(alt)
    plot.show(figure)
    shown: dict[str, Any] = {"text/plain": alt}
    if not headless():
        shown |= widget_view(plot)
    display({**shown, **png([plot])}, raw=True)


def widget_view(widget: Any) -> dict[str, Any]:
    """Return the part of a display bundle that shows a live widget, by its MIME type."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view}


def plain(value: Any) -> Any:
    """Return the value with lists and dictionaries all the way down.

    Each version of plotly packs the numpy arrays of a figure in its own way.
    """
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value
