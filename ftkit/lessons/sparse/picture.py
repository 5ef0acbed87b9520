"""The picture of a sparse change: what share of each part of the body moves, and where in each matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.plots import Spec, layout

Tiles = dict[tuple[str, str], list[list[float]]]


def mask(values: Mapping[str, float]) -> Spec:
    """Two maps, a row a block of the body and a column a kind of weight, from readings `probe/density/<block>/<kind>` and
    `probe/mask/<block>/<kind>/<row>/<column>`, all in [0, 1].

    Left, the share of the entries that move. Right, each matrix as a tile, its outputs downwards: the darker a cell, the fewer of its
    entries move.
    """
    shares = {
        tuple(key.split("/")[2:]): value
        for key, value in values.items()
        if key.startswith("probe/density/")
    }
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
    tiles = _tiles(values)
    mosaic, more = _mosaic(tiles)
    titles = [
        _title("share of the entries that move, in %", 0.21),
        _title("where in each matrix", 0.76),
    ]
    frame = {"l": 76, "r": 14, "t": 30, "b": 104}
    return {
        "data": [_table(shares), mosaic],
        "layout": layout(340, margin=frame, annotations=titles, **axes, **more),
    }


def percent(share: float) -> str:
    """A share as short as a cell of the table needs it.

    >>> percent(0.0), percent(0.0001), percent(0.0123), percent(0.2)
    ('', '0.01', '1.2', '20')
    """
    return f"{100 * share:.2g}" if share else ""


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


def _table(shares: Mapping[tuple[str, ...], float]) -> dict[str, Any]:
    """The shares in per cent on colour; what the body does not have stays empty."""
    blocks, kinds = (list(dict.fromkeys(key[at] for key in shares)) for at in (0, 1))
    table = [[shares.get((block, kind)) for kind in kinds] for block in blocks]
    return {
        "type": "heatmap",
        "x": kinds,
        "y": blocks,
        "z": table,
        "text": [["" if value is None else percent(value) for value in row] for row in table],
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": max(shares.values(), default=0.0) or 1.0,
        "showscale": False,
        "hovertemplate": "%{y}, %{x}: %{z:.3%}<extra></extra>",
    }


def _tiles(values: Mapping[str, float]) -> Tiles:
    """The cells of each matrix, row by row, as they come."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for key, value in values.items():
        if key.startswith("probe/mask/"):
            block, kind, row, _ = key.split("/")[2:]
            found.setdefault((block, kind), {}).setdefault(int(row), []).append(value)
    return {place: list(rows.values()) for place, rows in found.items()}


def _mosaic(tiles: Tiles) -> tuple[dict[str, Any], dict[str, Any]]:
    """All matrices as one map with gaps between the tiles, and its axes, which name rows and columns of tiles."""
    blocks, kinds = (list(dict.fromkeys(place[at] for place in tiles)) for at in (0, 1))
    size = max((len(tile) for tile in tiles.values()), default=0)
    cells: list[list[float | None]] = [
        [None] * ((size + 1) * len(kinds)) for _ in range((size + 1) * len(blocks))
    ]
    names = [[""] * len(row) for row in cells]
    for (block, kind), tile in tiles.items():
        top, left = ((size + 1) * of.index(name) for of, name in ((blocks, block), (kinds, kind)))
        for i, row in enumerate(tile):
            cells[top + i][left : left + len(row)] = row
            names[top + i][left : left + len(row)] = [f"{block}, {kind}"] * len(row)
    most = max((value for row in cells for value in row if value is not None), default=0.0)
    drawn = {
        "type": "heatmap",
        "z": cells,
        "text": names,
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": most or 1.0,
        "showscale": False,
        "xaxis": "x2",
        "yaxis": "y2",
        "hoverongaps": False,
        "hovertemplate": "%{text}: %{z:.2%} of the entries here<extra></extra>",
    }
    across, down = _ticks(kinds, size), _ticks(blocks, size)
    axes = {
        "xaxis2": {
            "domain": [0.52, 1],
            "tickangle": -40,
            "anchor": "y2",
            "tickfont": {"size": 10},
            **across,
        },
        "yaxis2": {"autorange": "reversed", "anchor": "x2", **down},
    }
    return drawn, axes


def _ticks(names: Sequence[str], size: int) -> dict[str, Any]:
    middles = [(size + 1) * i + (size - 1) / 2 for i in range(len(names))]
    return {
        "tickmode": "array",
        "tickvals": middles,
        "ticktext": list(names),
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }
