"""BitFit's picture: how far the biases moved, and which of them the loss pulls at."""

import math
from collections.abc import Mapping
from typing import Any

from ftkit.figures.plots import Spec, layout

WEAKEST = -10
"""The least power of ten that is told apart from 0; what single precision leaves of a zero lies near it."""


def movements(values: Mapping[str, float]) -> Spec:
    """Two tables, a row a block of the body and a column a group of biases, from readings `probe/<change or gradient>/<block>/<group>`.

    Left, how far the biases moved, root mean square, on the scale of the weights. Right, their last gradient as a power of ten. Not of the
    strongest there is: where only the key may move, that is rounding too.
    """
    change, gradient = (
        {
            key.split("/", 2)[2]: value
            for key, value in values.items()
            if key.startswith(f"probe/{of}/")
        }
        for of in _KINDS
    )
    powers = {
        key: max(WEAKEST, math.log10(value)) if value > 0 else WEAKEST
        for key, value in gradient.items()
    }
    axes = {
        "xaxis": {"domain": [0, 0.46], "tickangle": -30, "showgrid": False},
        "yaxis": {"autorange": "reversed", "type": "category", "showgrid": False},
        "xaxis2": {"domain": [0.54, 1], "tickangle": -30, "anchor": "y2", "showgrid": False},
        "yaxis2": {
            "autorange": "reversed",
            "type": "category",
            "anchor": "x2",
            "showticklabels": False,
            "showgrid": False,
        },
    }
    titles = [
        _title("how far the biases moved", 0.23),
        _title("last gradient, as a power of ten", 0.77),
    ]
    probe = layout(320, margin={"l": 120, "r": 14, "t": 34, "b": 96}, annotations=titles, **axes)
    cells = [
        _cells(change, ".2g", 0, max(change.values(), default=0.0) or 1.0, "", "moved by"),
        _cells(powers, ".1f", WEAKEST, 0, "2", "10 to the"),
    ]
    return {"data": cells, "layout": probe}


_KINDS = ("change", "gradient")


def _title(text: str, x: float) -> dict[str, Any]:
    return {
        "text": text,
        "x": x,
        "xanchor": "center",
        "xref": "paper",
        "y": 1.02,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
    }


def _cells(
    found: Mapping[str, float], form: str, low: float, high: float, axis: str, says: str
) -> dict[str, Any]:
    """A table of numbers on colour; a place without biases stays empty."""
    blocks = list(dict.fromkeys(key.split("/")[0] for key in found))
    groups = list(dict.fromkeys(key.split("/")[1] for key in found))
    table = [[found.get(f"{block}/{group}") for group in groups] for block in blocks]
    return {
        "type": "heatmap",
        "x": groups,
        "y": blocks,
        "z": table,
        "text": [["" if value is None else format(value, form) for value in row] for row in table],
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "colorscale": "Viridis",
        "zmin": low,
        "zmax": high,
        "showscale": False,
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "hovertemplate": f"%{{y}}, %{{x}}: {says} %{{z:.3g}}<extra></extra>",
    }
