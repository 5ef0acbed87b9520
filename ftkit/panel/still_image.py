"""Pictures of figures, for notebooks that are opened without a kernel.

They are drawn when the lessons are stored, not when they are used.
"""

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

ASKED = "FTKIT_PICTURES"
"""The environment variable that asks for pictures; `make notebooks` sets it."""

WIDTH, GAP = 640, 12


def png(plots: Sequence[Any]) -> dict[str, str]:
    """Return `{"image/png": ...}`: the figures of the plots, one below the other, in base64.

    It is empty unless pictures are asked for. Needs kaleido, Pillow and a Chromium or Chrome.
    """
    if os.environ.get(ASKED) != "1":
        return {}
    figures = [plot.figure for plot in plots]
    drawn = [figure for figure in figures if figure.data]
    if not drawn:
        return {}
    from PIL import Image

    images = [Image.open(io.BytesIO(_rendered(figure))) for figure in drawn]
    height = sum(image.height for image in images) + GAP * (len(images) - 1)
    sheet = Image.new("RGB", (WIDTH, height), "white")
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height + GAP
    return {"image/png": base64.b64encode(packed(sheet)).decode()}


def packed(sheet: Any) -> bytes:
    """Return the image as a PNG of 192 colours.

    The colours are chosen to cover all that occur. Chosen by frequency, as is usual, a small point
    would lose the colour of its technique to a large picture of many shades.
    """
    from PIL import Image

    few = sheet.quantize(192, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    file = io.BytesIO()
    few.save(file, "png", optimize=True)
    return file.getvalue()


def _rendered(figure: Any) -> bytes:
    """Return the figure as a PNG."""
    height = figure.layout.height or 300
    return bytes(_light(figure).to_image("png", width=WIDTH, height=height))


def _light(figure: Any) -> Any:
    """Return the figure on white, with a grid in the grey that a light page would give it."""
    grid = {"gridcolor": "#e4e4e4", "linecolor": "#bbbbbb", "zerolinecolor": "#bbbbbb"}
    return (
        type(figure)(figure)
        .update_xaxes(**grid)
        .update_yaxes(**grid)
        .update_layout(paper_bgcolor="white", plot_bgcolor="white")
    )


def svg(spec: Mapping[str, Any], width: int) -> str:
    """Return a figure as SVG text on white; the same figure always gives the same text.

    Needs kaleido and a Chromium or Chrome.
    """
    import plotly.graph_objects as go

    figure = _light(go.Figure(spec))
    text = figure.to_image("svg", width=width, height=figure.layout.height).decode()
    # Plotly names the definitions and the traces of a drawing at random.
    (random_name,) = set(re.findall(r'id="defs-(\w+)"', text))
    text = re.sub(r"\btrace[0-9a-f]{6}\b", "trace", text)
    return text.replace(random_name, "figure") + "\n"
