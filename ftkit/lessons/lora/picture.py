"""LoRA's picture: how strong the change is in each of its directions."""

from collections.abc import Mapping
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, layout, scatter
from ftkit.figures.weight_names import short


def spectra(values: Mapping[str, float], most: int = 40) -> Spec:
    """Singular values of a change, from readings named `probe/<which>/<weight>/<i>`.

    Left, a row a matrix: how strong the change is in each of its directions, strongest first, as a share of the strongest of all. Right,
    the matrix that changed most: singular values of its weight before and after, and of the change.
    """
    found = _by_matrix(values)
    change = found.get("change", {})
    top = max((row[0] for row in change.values()), default=0.0) or 1.0
    most_changed = next(iter(found.get("after", {})), "")
    rows = {
        which: found.get(which, {}).get(most_changed, [])[:most]
        for which in ("before", "after", "change")
    }
    legend = {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": 1.02,
        "yanchor": "bottom",
        "font": {"size": 11},
    }
    title = f"{short(most_changed)}: changed most" if most_changed else ""
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
    probe = layout(320, margin={"l": 128, "r": 14, "t": 34, "b": 40}, legend=legend, **axes)
    return {"data": [_heat(change, top, most), *_lines(rows, 1e-6 * top)], "layout": probe}


def _heat(change: Mapping[str, list[float]], top: float, most: int) -> Any:
    return {
        "type": "heatmap",
        "z": [
            [value / top if value > 1e-6 * top else None for value in row[:most]]
            for row in change.values()
        ],
        "y": [short(name) for name in change],
        "x": list(range(1, most + 1)),
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "hovertemplate": "%{y}, direction %{x}: %{z:.2f}<extra></extra>",
    }


def _lines(rows: Mapping[str, list[float]], least: float) -> list[Any]:
    probes = {
        "before": (GREY, "weight before"),
        "after": (COLOURS["sparse"], "weight after"),
        "change": (COLOURS["LoRA"], "change"),
    }
    traces = []
    for which, (colour, name) in probes.items():
        drawn = [value if value > least else None for value in rows[which]]
        style = {"line": {"color": colour}, "marker": {"size": 4}}
        traces.append(
            scatter(
                x=list(range(1, len(drawn) + 1)),
                y=drawn,
                name=name,
                mode="lines+markers",
                xaxis="x2",
                yaxis="y2",
                **style,
            )
        )
    return traces


def _by_matrix(values: Mapping[str, float]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for key, value in values.items():
        _, which, name, _ = key.split("/")
        found.setdefault(which, {}).setdefault(name, []).append(value)
    return found
