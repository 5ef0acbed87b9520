"""The source of the package's own code, as it is installed: shown, never pasted."""

import html
import inspect
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from ftkit.teaching.cards import listing, paragraph
from ftkit.teaching.display import Page, optional


def highlighted(source: str) -> list[str]:
    """The lines of Python code as HTML, highlighted where Pygments is installed. Colours are left to the style sheet of `look`."""
    pygments = optional("pygments")
    if pygments is None:
        return html.escape(source).splitlines()
    lexer = optional("pygments.lexers").PythonLexer(stripnl=False)
    marked: str = pygments.highlight(
        source, lexer, optional("pygments.formatters").HtmlFormatter(nowrap=True)
    )
    return marked.splitlines()


def place(obj: Any) -> str:
    """Where the code of `obj` stands, from its package on: "ftkit/techniques/lora.py"; "this notebook" for a cell's."""
    file, module = Path(inspect.getsourcefile(obj) or ""), inspect.getmodule(obj)
    top = sys.modules.get(module.__name__.split(".")[0]) if module else None
    root = getattr(top, "__file__", None)
    if root is None or module is None or module.__name__ == "__main__":
        return "this notebook"
    folder = Path(root).parent.parent if hasattr(top, "__path__") else Path(root).parent
    return file.relative_to(folder).as_posix()


def show(obj: Any, *, lines: tuple[int, int] | None = None) -> Page:
    """Shows the source of a function, class or module, with its file and line numbers.

    Args:
        lines: the first and last line to show, counted from 1 at the beginning of `obj`; all by default.

    Raises:
        TypeError: `obj` has no source in Python.
        ValueError: `lines` are not lines of `obj`.
    """
    try:
        source, first = inspect.getsourcelines(obj)
    except (TypeError, OSError) as error:
        raise TypeError(
            f"show must get a function, class or module of Python, got {obj!r}; pass the object, not its name"
        ) from error
    first = max(first, 1)
    if lines is not None:
        if not 1 <= lines[0] <= lines[1] <= len(source):
            raise ValueError(
                f"lines must lie in 1 to {len(source)}, got {lines}; they count from the beginning of the object"
            )
        source, first = source[lines[0] - 1 : lines[1]], first + lines[0] - 1
    code = dedent("".join(source)).rstrip("\n")
    caption = f"{place(obj)}, lines {first}-{first + len(code.splitlines()) - 1}"
    shown = Page(
        "ask", [paragraph(caption, small=True), listing(highlighted(code))], f"{caption}\n\n{code}"
    )
    shown.put()
    return shown
