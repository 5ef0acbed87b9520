"""Cards, the boxes that lessons show, and the safe HTML that goes into them.

Nothing is said by colour alone: every kind of card has a symbol and words too.
"""

import html
import re
from collections.abc import Sequence
from importlib.resources import files

_FOLDER = files("ftkit.teaching")


def _style(name: str) -> str:
    """Return the style sheet in the file `name` as a `<style>` element."""
    return f"<style>{_FOLDER.joinpath(name).read_text(encoding='utf8')}</style>"


STYLE = _style("cards.css")
"""Every output carries it: in Colab each output is a page of its own."""

CONTROLS_STYLE = _style("card_controls.css")
"""Only outputs with live controls carry it."""

SYMBOLS = {"yes": "✓", "no": "✗", "open": "○", "ask": "?"}
"""A symbol for each kind of card."""

COLD = '<p class="ftkit-small">Run this cell to answer.</p>'
"""Stands in for controls that only a running kernel can show."""

_MARKED = re.compile(r"`([^`\n]+)`|(?<![\w*])\*(\w(?:[^*\n]*\w)?)\*(?![\w*])")


def inline(text: str) -> str:
    """Make `text` safe for HTML: backticks mark code, asterisks emphasis; a new line is a break.

    >>> inline("`a < b` holds")
    '<code>a &lt; b</code> holds'
    >>> inline("*not* 2 * 3 * 4, nor `*args`")
    '<em>not</em> 2 * 3 * 4, nor <code>*args</code>'
    """
    return _MARKED.sub(_marked, html.escape(text)).replace("\n", "<br>")


def _marked(match: re.Match[str]) -> str:
    code, emphasis = match.groups()
    return f"<code>{code}</code>" if code else f"<em>{emphasis}</em>"


def paragraph(text: str, small: bool = False) -> str:
    """Return a paragraph of plain text as HTML, or nothing if `text` is empty."""
    start = '<p class="ftkit-small">' if small else "<p>"
    return f"{start}{inline(text)}</p>" if text else ""


def heading(text: str) -> str:
    """Return the first line of a card as HTML."""
    return f"<p><b>{inline(text)}</b></p>"


def bullets(lines: Sequence[str]) -> str:
    """Return a list of lines of plain text as HTML."""
    return f"<ul>{''.join(f'<li>{inline(line)}</li>' for line in lines)}</ul>"


def card(kind: str, *parts: str) -> str:
    """Put a box around `parts`, which are HTML; `kind` is "yes", "no", "open" or "ask"."""
    return f'<div class="ftkit-card ftkit-{kind}">{"".join(parts)}</div>'


def chip(kind: str, word: str) -> str:
    """Return a verdict as HTML: its symbol, its word and the colour of `kind`."""
    symbol = f'<span aria-hidden="true">{SYMBOLS[kind]}</span>'
    return f'<span class="ftkit-chip ftkit-chip-{kind}">{symbol} {inline(word)}</span>'


def table(columns: list[str], rows: list[list[str]], widths: Sequence[int] = ()) -> str:
    """Return a table as HTML; on a narrow page each row becomes a block.

    Args:
        columns: their names, plain text.
        rows: one cell a column, each HTML.
        widths: of the columns, in percent.
    """
    sizes = "".join(f'<col style="width:{width}%">' for width in widths)
    head = "".join(f'<th scope="col">{inline(name)}</th>' for name in columns)
    body = "".join(_table_row(columns, row) for row in rows)
    return (
        f'<table class="ftkit-table">{sizes}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _table_row(columns: list[str], row: list[str]) -> str:
    cells = [
        f'<td data-of="{html.escape(name)}">{cell}</td>'
        for name, cell in zip(columns, row, strict=True)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def listing(lines: list[str], first: int | None = None) -> str:
    """Return a block of code; its lines are HTML, numbered from `first` if that is given."""
    if first is not None:
        digits = len(str(first + len(lines)))
        lines = [
            f'<span class="ftkit-n">{number:>{digits}}</span>  {line}'
            for number, line in enumerate(lines, first)
        ]
    return '<pre class="ftkit-code" tabindex="0">' + "\n".join(lines) + "</pre>"
