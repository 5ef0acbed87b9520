"""The picture of lesson 02: the singular values of the change of each matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, layout, scatter
from ftkit.figures.weight_names import short

NEGLIGIBLE = 1e-6
"""A singular value below this share of the largest one is rounding and is not drawn."""

SingularValues = Mapping[str, Sequence[float]]
"""For each weight its singular values, largest first."""


def spectra(values: SingularValues, most: int = 40) -> Spec:
    """Draw the spectra of the changes.

    Left, a row a matrix: the singular values of its change, as shares of the largest of all. Right,
    for the matrix that changed most: the singular values of its weight before and after, and of its
    change.

    Args:
        values: from `spectrum`, `probe/<change, before or after>/<weight>`, largest first.
        most: the number of directions that are drawn.
    """
    change = _of_kind(values, "change")
    largest = max((row[0] for row in change.values()), default=0.0) or 1.0
    most_changed = next(iter(_of_kind(values, "after")), "")
    title = f"{short(most_changed)}: changed most" if most_changed else ""
    curves = {
        kind: list(_of_kind(values, kind).get(most_changed, []))[:most]
        for kind in ("before", "after", "change")
    }
    legend = {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": 1.02,
        "yanchor": "bottom",
        "font": {"size": 11},
    }
    axes = {
        "xaxis": {
            "title": {"text": "direction of the change"},
            "domain": [0, 0.46],
            "range": [0.5, most + 0.5],
            "showgrid": False,
        },
        "yaxis": {"autorange": "reversed", "tickfont": {"size": 9}, "dtick": 1, "showgrid": False},
        "xaxis2": {
            "title": {"text": title},
            "domain": [0.58, 1],
            "range": [0, most + 1],
            "anchor": "y2",
        },
        "yaxis2": {"title": {"text": "singular value"}, "anchor": "x2", "rangemode": "tozero"},
    }
    frame = {"l": 128, "r": 14, "t": 34, "b": 40}
    return {
        "data": [_heatmap(change, largest, most), *_lines(curves, NEGLIGIBLE * largest)],
        "layout": layout(320, margin=frame, legend=legend, **axes),
    }


def _of_kind(values: SingularValues, kind: str) -> dict[str, Sequence[float]]:
    """The values of one kind, by the name of the weight."""
    prefix = f"probe/{kind}/"
    return {key.removeprefix(prefix): row for key, row in values.items() if key.startswith(prefix)}


def _heatmap(change: SingularValues, largest: float, most: int) -> Any:
    """A row a matrix and a column a direction; a negligible value stays empty."""
    negligible = NEGLIGIBLE * largest
    rows = [
        [value / largest if value > negligible else None for value in row[:most]]
        for row in change.values()
    ]
    return {
        "type": "heatmap",
        "z": rows,
        "y": [short(name) for name in change],
        "x": list(range(1, most + 1)),
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "hovertemplate": "%{y}, direction %{x}: %{z:.2f}<extra></extra>",
    }


def _lines(curves: SingularValues, negligible: float) -> list[Any]:
    """A line for the weight before, the weight after and the change."""
    styles = {
        "before": (GREY, "weight before"),
        "after": (COLOURS["sparse"], "weight after"),
        "change": (COLOURS["LoRA"], "change"),
    }
    traces = []
    for kind, (colour, name) in styles.items():
        drawn = [value if value > negligible else None for value in curves[kind]]
        traces.append(
            scatter(
                x=list(range(1, len(drawn) + 1)),
                y=drawn,
                name=name,
                mode="lines+markers",
                xaxis="x2",
                yaxis="y2",
                line={"color": colour},
                marker={"size": 4},
            )
        )
    return traces
