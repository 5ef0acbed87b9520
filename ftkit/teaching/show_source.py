"""Show the source of the installed package: what a lesson shows is what runs."""

import html
import inspect
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from ftkit.teaching.cards import listing, paragraph
from ftkit.teaching.display import Page, optional


def highlighted(source: str) -> list[str]:
    """Return the lines of Python code as HTML, with Pygments' classes where it is installed.

    The style sheet of the cards says how the classes look.
    """
    pygments = optional("pygments")
    if pygments is None:
        return html.escape(source).splitlines()
    lexer = optional("pygments.lexers").PythonLexer(stripnl=False)
    formatter = optional("pygments.formatters").HtmlFormatter(nowrap=True)
    marked: str = pygments.highlight(source, lexer, formatter)
    return marked.splitlines()


def location(obj: Any) -> str:
    """Return the file of `obj` from its package on, such as "ftkit/techniques/lora.py".

    What a cell defines is in "this notebook".
    """
    file, module = Path(inspect.getsourcefile(obj) or ""), inspect.getmodule(obj)
    top = sys.modules.get(module.__name__.split(".")[0]) if module else None
    root = getattr(top, "__file__", None)
    if root is None or module is None or module.__name__ == "__main__":
        return "this notebook"
    is_package = hasattr(top, "__path__")
    folder = Path(root).parent.parent if is_package else Path(root).parent
    return file.relative_to(folder).as_posix()


def show(obj: Any, *, lines: tuple[int, int] | None = None) -> Page:
    """Show the source of a function, class or module, with its file and line numbers.

    Args:
        lines: the first and the last line to show, counted from 1 where `obj` begins; all by
            default.

    Raises:
        TypeError: `obj` has no source in Python.
        ValueError: `obj` has no such lines.
    """
    try:
        source, first = inspect.getsourcelines(obj)
    except (TypeError, OSError) as error:
        raise TypeError(
            f"show must get a function, class or module that is written in Python, got {obj!r}; "
            "pass the object itself, not its name"
        ) from error
    first = max(first, 1)  # of a module it is 0
    if lines is not None:
        start, stop = lines
        if not 1 <= start <= stop <= len(source):
            raise ValueError(
                f"lines must be in 1 to {len(source)}, got {lines}; "
                "count from the first line of the object"
            )
        source, first = source[start - 1 : stop], first + start - 1
    code = dedent("".join(source)).rstrip("\n")
    caption = f"{location(obj)}, lines {first}-{first + len(code.splitlines()) - 1}"
    parts = [paragraph(caption, small=True), listing(highlighted(code))]
    page = Page("ask", parts, f"{caption}\n\n{code}")
    page.put()
    return page
