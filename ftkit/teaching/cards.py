"""The one look of what lessons show: a small style sheet, and text made safe for HTML.

Colours are of Okabe and Ito's palette, which colour-blind readers can tell apart; they mark edges and backgrounds, never text, and
nothing is said by colour alone. Text inherits its colour, so that light and dark themes both read well.
"""

import html
import re
from collections.abc import Sequence

_LINE = "1px solid var(--jp-border-color2, rgba(128,128,128,.4))"
COLOURS = {"yes": "#009E73", "no": "#D55E00", "open": "#E69F00", "ask": "#0072B2"}
SYMBOLS = {"yes": "✓", "no": "✗", "open": "○", "ask": "?"}
_TINTS = {"yes": "0,158,115", "no": "213,94,0", "open": "230,159,0"}

# Every output carries it: in Colab each output is a page of its own.
STYLE = (
    "<style>"
    f".ftkit-card{{box-sizing:border-box;max-width:62em;margin:.4em 0;padding:.6em .9em;border:{_LINE};border-left-width:5px;"
    "border-radius:4px;color:inherit;line-height:1.45;overflow-wrap:anywhere;white-space:normal;container-type:inline-size}"
    ".ftkit-card p{margin:.25em 0;line-height:1.45}"
    ".ftkit-card code,.ftkit-card pre.ftkit-code{font-family:var(--jp-code-font-family,monospace);"
    "font-size:.93em;color:inherit;background:rgba(128,128,128,.15);border-radius:3px}.ftkit-card code{padding:0 .25em}"
    ".ftkit-card pre.ftkit-code{margin:.4em 0;padding:.5em .7em;overflow-x:auto;white-space:pre;line-height:1.4}"
    ".ftkit-code .k,.ftkit-code .kn,.ftkit-code .kc,.ftkit-code .ow{font-weight:600}"
    ".ftkit-code .s1,.ftkit-code .s2,.ftkit-code .sd,.ftkit-code .c1{font-style:italic}"
    ".ftkit-code .c1,.ftkit-code .sd,.ftkit-n{opacity:.72}.ftkit-code .nf,.ftkit-code .nc,.ftkit-code .nd{text-decoration:underline;"
    "text-decoration-color:rgba(128,128,128,.6)}.ftkit-n{user-select:none}.ftkit-card summary{display:list-item;cursor:pointer}"
    ".ftkit-small{font-size:.92em;opacity:.85}"
    + "".join(f".ftkit-{kind}{{border-left-color:{colour}}}" for kind, colour in COLOURS.items())
    + ".ftkit-chip{display:inline-block;padding:.05em .5em;border-radius:3px;border-left:4px solid;white-space:nowrap;color:inherit}"
    + "".join(
        f".ftkit-chip-{kind}{{border-color:{COLOURS[kind]};background:rgba({tint},.18)}}"
        for kind, tint in _TINTS.items()
    )
    + f".ftkit-card table.ftkit-table{{border-collapse:collapse;width:100%;margin:.3em 0;color:inherit}}.ftkit-table th,.ftkit-table td"
    f"{{padding:.35em .6em!important;text-align:left!important;vertical-align:top;border-bottom:{_LINE};white-space:normal;"
    "max-width:none}.ftkit-table tr{background:transparent!important}.ftkit-table th{font-weight:600}"
    ".ftkit-card:has(col){max-width:84em}.ftkit-card table.ftkit-table:has(col){table-layout:fixed}"
    "@container (max-width:44em){.ftkit-table thead,.ftkit-table col{display:none}.ftkit-table tr,.ftkit-table td{display:block}"
    ".ftkit-table td{border-bottom:0;padding:.1em 0!important}.ftkit-table td::before{content:attr(data-of) ': ';font-weight:600}"
    f".ftkit-table tr{{border-bottom:{_LINE};padding:.3em 0}}}}"
    "</style>"
)
# Only beside live controls: radio buttons as wide as their card, whose options wrap.
CONTROLS_STYLE = (
    "<style>.ftkit-card .widget-radio,.ftkit-card .widget-radio-box{width:auto!important;max-width:100%!important;height:auto}"
    ".ftkit-card .widget-radio-box label{height:auto!important;line-height:1.4!important;white-space:normal!important;margin:.15em 0;"
    "overflow:visible;display:flex;align-items:flex-start}.ftkit-card .widget-radio-box input{order:-1;flex:none;float:none}"
    ".ftkit-card .widget-html-content{line-height:1.45!important;white-space:normal;min-width:0;flex:1 1 auto}"
    ".ftkit-card .widget-html{min-width:0;height:auto}"
    "</style>"
)

_MARKED = re.compile(r"`([^`\n]+)`|(?<![\w*])\*(\w(?:[^*\n]*\w)?)\*(?![\w*])")

# Under what only a running kernel can answer.
COLD = '<p class="ftkit-small">Run this cell to answer.</p>'


def inline(text: str) -> str:
    """`text` safe for HTML; what stands between backticks becomes code, between asterisks emphasis, a new line a break.

    >>> inline("`a < b` holds")
    '<code>a &lt; b</code> holds'
    >>> inline("*not* 2 * 3 * 4, nor `*args`")
    '<em>not</em> 2 * 3 * 4, nor <code>*args</code>'
    """
    return _MARKED.sub(_marked, html.escape(text)).replace("\n", "<br>")


def _marked(found: re.Match[str]) -> str:
    code, stressed = found.groups()
    return f"<code>{code}</code>" if code else f"<em>{stressed}</em>"


def paragraph(text: str, small: bool = False) -> str:
    """A paragraph of plain text."""
    start = '<p class="ftkit-small">' if small else "<p>"
    return f"{start}{inline(text)}</p>" if text else ""


def heading(text: str) -> str:
    """The first line of a card."""
    return f"<p><b>{inline(text)}</b></p>"


def card(kind: str, *parts: str) -> str:
    """A box around `parts`, which are HTML; its edge has the colour of `kind` ("yes", "no", "open" or "ask")."""
    return f'<div class="ftkit-card ftkit-{kind}">{"".join(parts)}</div>'


def chip(kind: str, word: str) -> str:
    """A verdict: symbol, word and colour."""
    return f'<span class="ftkit-chip ftkit-chip-{kind}"><span aria-hidden="true">{SYMBOLS[kind]}</span> {inline(word)}</span>'


def table(columns: list[str], rows: list[list[str]], widths: Sequence[int] = ()) -> str:
    """A table whose cells are HTML, with `widths` of its columns in percent if given; on a narrow page each row becomes a block."""
    head = "".join(f'<th scope="col">{inline(name)}</th>' for name in columns)
    cells = [
        [
            f'<td data-of="{html.escape(name)}">{cell}</td>'
            for name, cell in zip(columns, row, strict=True)
        ]
        for row in rows
    ]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    cols = "".join(f'<col style="width:{width}%">' for width in widths)
    return f'<table class="ftkit-table">{cols}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def listing(lines: list[str], first: int | None = None) -> str:
    """A block of code whose lines are HTML, numbered from `first` if that is given."""
    if first is not None:
        wide = len(str(first + len(lines)))
        lines = [
            f'<span class="ftkit-n">{n:>{wide}}</span>  {line}'
            for n, line in enumerate(lines, first)
        ]
    return '<pre class="ftkit-code" tabindex="0">' + "\n".join(lines) + "</pre>"
