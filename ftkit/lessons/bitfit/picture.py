"""The picture of lesson 04: how far the biases moved, and how strong their gradient is."""

import math
from collections.abc import Mapping
from typing import Any

from ftkit.figures.plots import Spec, layout, plot_title

WEAKEST = -10
"""The smallest power of ten that is drawn; what single precision leaves of a zero is near it."""


def movements(values: Mapping[str, float]) -> Spec:
    """Draw two tables, a row a block of the body and a column a group of biases.

    Left, how far the biases moved, as a root mean square, on the scale of the weights. Right, their
    last gradient as a power of ten. Its scale is fixed, not relative to the strongest gradient: if
    only the key's biases are trainable, even the strongest one is rounding.

    Args:
        values: from `movement_by_group`, `probe/<change or gradient>/<block>/<group>`.
    """
    change = _of_kind(values, "change")
    powers = {cell: _power_of_ten(value) for cell, value in _of_kind(values, "gradient").items()}
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
        plot_title("how far the biases moved", 0.23),
        plot_title("last gradient, as a power of ten", 0.77),
    ]
    largest = max(change.values(), default=0.0) or 1.0
    tables = [
        _table(change, ".2g", (0, largest), "", "moved by"),
        _table(powers, ".1f", (WEAKEST, 0), "2", "10 to the"),
    ]
    frame = {"l": 120, "r": 14, "t": 34, "b": 96}
    return {"data": tables, "layout": layout(320, margin=frame, annotations=titles, **axes)}


def _of_kind(values: Mapping[str, float], kind: str) -> dict[str, float]:
    """The values of one kind, by "<block>/<group>"."""
    prefix = f"probe/{kind}/"
    return {
        key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)
    }


def _power_of_ten(value: float) -> float:
    return max(WEAKEST, math.log10(value)) if value > 0 else WEAKEST


def _table(
    values: Mapping[str, float], form: str, scale: tuple[float, float], axis: str, verb: str
) -> dict[str, Any]:
    """A table of numbers on colour, on the axes with that number; a cell without biases stays
    empty."""
    cells = [cell.split("/") for cell in values]
    blocks = list(dict.fromkeys(block for block, _ in cells))
    groups = list(dict.fromkeys(group for _, group in cells))
    table = [[values.get(f"{block}/{group}") for group in groups] for block in blocks]
    return {
        "type": "heatmap",
        "x": groups,
        "y": blocks,
        "z": table,
        "text": [["" if value is None else format(value, form) for value in row] for row in table],
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "colorscale": "Viridis",
        "zmin": scale[0],
        "zmax": scale[1],
        "showscale": False,
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "hovertemplate": f"%{{y}}, %{{x}}: {verb} %{{z:.3g}}<extra></extra>",
    }
