"""The picture of a mask: how many entries of each part of the body are trained, and where."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ftkit.figures.plots import Spec, layout, plot_title

Part = tuple[str, str]
"""A part of the body: a block, and a kind of weight in it."""
Tiles = dict[Part, list[list[float]]]
DENSITY, MASK = "probe/density/", "probe/mask/"


def mask(values: Mapping[str, Any]) -> Spec:
    """Draw two maps, a row a block of the body and a column a kind of weight.

    Left, the share of the entries that are trained. Right, each matrix as a tile, its outputs
    downwards: the darker a cell, the fewer of its entries are trained.

    Args:
        values: shares in [0, 1]: `probe/density/<block>/<kind>`, and `probe/mask/<block>/<kind>` as
            rows of cells; see `mask_probe.probe_mask`.
    """
    shares: dict[Part, float] = _by_part(values, DENSITY)
    tiles: Tiles = _by_part(values, MASK)
    axes = {
        "xaxis": {
            "domain": [0, 0.42],
            "tickangle": -40,
            "showgrid": False,
            "type": "category",
            "tickfont": {"size": 10},
        },
        "yaxis": {
            "autorange": "reversed",
            "type": "category",
            "showgrid": False,
            "automargin": True,
        },
    }
    mosaic, mosaic_axes = _mosaic(tiles)
    titles = [
        plot_title("share of the entries that are trained, in %", 0.21),
        plot_title("where in each matrix", 0.76),
    ]
    frame = {"l": 76, "r": 14, "t": 30, "b": 104}
    return {
        "data": [_table(shares), mosaic],
        "layout": layout(340, margin=frame, annotations=titles, **axes, **mosaic_axes),
    }


def _by_part(values: Mapping[str, Any], prefix: str) -> dict[Part, Any]:
    """The values whose names start with `prefix`, by block and kind."""
    parts = {}
    for name, value in values.items():
        if name.startswith(prefix):
            block, kind = name.removeprefix(prefix).split("/")
            parts[block, kind] = value
    return parts


def percent(share: float) -> str:
    """A share in per cent with at most two digits; 0 is left empty.

    >>> percent(0.0), percent(0.0001), percent(0.0123), percent(0.2)
    ('', '0.01', '1.2', '20')
    """
    return f"{100 * share:.2g}" if share else ""


def _blocks_and_kinds(parts: Collection[Part]) -> tuple[list[str], list[str]]:
    """The blocks and the kinds, each once, in the order in which they first come."""
    blocks = list(dict.fromkeys(block for block, _ in parts))
    kinds = list(dict.fromkeys(kind for _, kind in parts))
    return blocks, kinds


def _table(shares: Mapping[Part, float]) -> dict[str, Any]:
    """The shares in per cent on colour; a part that the body does not have stays empty."""
    blocks, kinds = _blocks_and_kinds(shares)
    table = [[shares.get((block, kind)) for kind in kinds] for block in blocks]
    text = [["" if share is None else percent(share) for share in row] for row in table]
    return {
        "type": "heatmap",
        "x": kinds,
        "y": blocks,
        "z": table,
        "text": text,
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": max(shares.values(), default=0.0) or 1.0,
        "showscale": False,
        "hovertemplate": "%{y}, %{x}: %{z:.3%}<extra></extra>",
    }


def _mosaic(tiles: Tiles) -> tuple[dict[str, Any], dict[str, Any]]:
    """All matrices as one map with gaps between the tiles; and its axes.

    The axes name the rows and columns of tiles.
    """
    blocks, kinds = _blocks_and_kinds(tiles)
    size = max((len(tile) for tile in tiles.values()), default=0)
    pitch = size + 1  # a tile and the gap after it
    height, width = pitch * len(blocks), pitch * len(kinds)
    cells: list[list[float | None]] = [[None] * width for _ in range(height)]
    names = [[""] * width for _ in range(height)]
    largest = 0.0
    for (block, kind), tile in tiles.items():
        top, left = pitch * blocks.index(block), pitch * kinds.index(kind)
        for i, row in enumerate(tile):
            cells[top + i][left : left + len(row)] = row
            names[top + i][left : left + len(row)] = [f"{block}, {kind}"] * len(row)
            largest = max(largest, *row)
    trace = {
        "type": "heatmap",
        "z": cells,
        "text": names,
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": largest or 1.0,
        "showscale": False,
        "xaxis": "x2",
        "yaxis": "y2",
        "hoverongaps": False,
        "hovertemplate": "%{text}: %{z:.2%} of the entries here<extra></extra>",
    }
    axes = {
        "xaxis2": {
            "domain": [0.52, 1],
            "tickangle": -40,
            "anchor": "y2",
            "tickfont": {"size": 10},
            **_ticks(kinds, size),
        },
        "yaxis2": {"autorange": "reversed", "anchor": "x2", **_ticks(blocks, size)},
    }
    return trace, axes


def _ticks(names: Sequence[str], size: int) -> dict[str, Any]:
    """Ticks in the middle of each tile."""
    middles = [(size + 1) * i + (size - 1) / 2 for i in range(len(names))]
    return {
        "tickmode": "array",
        "tickvals": middles,
        "ticktext": list(names),
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }
