"""A stand-in for a notebook: it keeps what is displayed, and counts the cells."""

from types import SimpleNamespace
from typing import Any

from ftkit.teaching.display import VIEW


class Notebook:
    """The part of an IPython shell with a kernel that `ftkit.teaching.display` uses."""

    def __init__(self) -> None:
        self.kernel, self.execution_count = object(), 1
        self.shown: list[dict[str, Any]] = []
        self.display_pub = SimpleNamespace(publish=self.shown.append)

    def last(self, mime: str = "text/html") -> Any:
        """The last display in that form; None if it has no such form."""
        return self.shown[-1].get(mime)

    def box(self) -> Any:
        """The last displayed controls."""
        return widget(self.last(VIEW)["model_id"])


def widget(model_id: str) -> Any:
    """Find the widget of that id, in ipywidgets 7 and 8."""
    try:
        from ipywidgets.widgets.widget import _instances as every
    except ImportError:
        from ipywidgets import Widget

        every = Widget.widgets
    return every[model_id]


def parts(box: Any, kind: str) -> list[Any]:
    """Find the widgets in `box`, at any depth, whose class is named `kind`."""
    widgets = [box] if type(box).__name__ == kind else []
    for child in getattr(box, "children", ()):
        widgets += parts(child, kind)
    return widgets
