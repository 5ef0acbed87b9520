"""Pictures of transfer: the network with its frozen part, and what lies between the base and the fine-tuned network."""

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Band, Spec, band, layout, scatter

FROZEN = "#c8c8c8"
SHADES = ("#fdf0d0", "#f8d58a", "#e69f00", "#a86f00", "#5f3d00")
"""Light to dark, for parts that moved by less than 1 %, 5 %, 20 %, 100 % of their length, and by more."""
BOUNDS = (0.01, 0.05, 0.2, 1.0)


def network(values: Mapping[str, float]) -> Spec:
    """The network as a column of boxes, the input below and the head on top, from readings `probe/moved/<part>` and `probe/frozen/<part>`.

    A frozen part is grey. One that may move is the darker, the longer its change is beside its weights; the bars say how long.
    """
    parts = [tuple(key.split("/")[1:]) for key in values]
    lengths = [float(value) for value in values.values()]
    names = [name for _, name in parts]
    fills = [
        FROZEN if how == "frozen" else shade(length)
        for (how, _), length in zip(parts, lengths, strict=True)
    ]
    words = [
        "frozen" if how == "frozen" else f"moved {length:.1%}"
        for (how, _), length in zip(parts, lengths, strict=True)
    ]
    box = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "text": words,
    }
    boxes = {
        **box,
        "x": [1] * len(names),
        "marker": _boxes(fills),
        "textposition": "inside",
        "insidetextanchor": "middle",
    }
    bars = {
        **box,
        "x": lengths,
        "marker": {"color": fills},
        "textposition": "none",
        "xaxis": "x2",
        "yaxis": "y2",
    }
    # Black or white, whichever the box lets one read.
    boxes["textfont"] = {
        "size": 12,
        "color": ["#ffffff" if fill in SHADES[3:] else "#222222" for fill in fills],
    }
    axes = {
        "xaxis": {"domain": [0, 0.42], "visible": False, "range": [0, 1]},
        "yaxis": {"automargin": True, "showgrid": False, "ticks": ""},
        "xaxis2": {
            "title": {"text": "length of change / of weights"},
            "domain": [0.5, 1],
            "type": "log",
            "range": [-3, 1],
            "dtick": 1,
        },
        "yaxis2": {"anchor": "x2", "showticklabels": False, "showgrid": False},
    }
    frame = {"l": 90, "r": 14, "t": 10, "b": 44}
    return {
        "data": [boxes, bars],
        "layout": layout(70 + 42 * len(names), showlegend=False, bargap=0.22, margin=frame, **axes),
    }


def shade(length: float) -> str:
    """The colour of a part by how far it moved.

    >>> shade(0.0) == SHADES[0], shade(0.3) == SHADES[3], shade(7.0) == SHADES[-1]
    (True, True, True)
    """
    return SHADES[sum(length >= bound for bound in BOUNDS)]


def _boxes(fills: Sequence[str]) -> dict[str, Any]:
    return {"color": list(fills), "line": {"color": GREY, "width": 1}}


def between(inside: Band, outside: Band) -> Spec:
    """Accuracy over the share a of what was learned, in and out of distribution; `step` holds a. A slider moves a mark along both."""
    shares, curves, colours = (
        list(inside["step"]),
        (inside, outside),
        (COLOURS["LoRA"], COLOURS["sparse"]),
    )
    traces: list[Any] = []
    for curve, colour, name in zip(
        curves, colours, ("in distribution", "out of distribution"), strict=True
    ):
        traces += band(curve, name, colour)
    steps = [_stop(i, share, curves, len(traces)) for i, share in enumerate(shares)]
    for curve, colour in zip(curves, colours, strict=True):
        last = list(curve["mean"])[-1]
        probe = {"size": 13, "color": colour, "line": {"width": 1, "color": "white"}}
        mark = {
            "mode": "markers+text",
            "textposition": "top center",
            "marker": probe,
            "showlegend": False,
        }
        traces.append(scatter(x=shares[-1:], y=[last], text=[f"{last:.1%}"], **mark))
    slider = {
        "active": len(shares) - 1,
        "steps": steps,
        "currentvalue": {"prefix": "a = "},
        "pad": {"t": 42},
    }
    axes = {
        "xaxis": {
            "title": {"text": "share a of what was learned: 0 the probe, 1 fine-tuned"},
            "range": [-0.05, 1.05],
        },
        "yaxis": {"title": {"text": "accuracy"}, "tickformat": ".0%"},
    }
    return {
        "data": traces,
        "layout": layout(
            430, sliders=[slider], margin={"l": 60, "r": 20, "t": 34, "b": 110}, **axes
        ),
    }


def _stop(i: int, share: float, curves: Sequence[Band], first: int) -> dict[str, Any]:
    """A stop of the slider: the marks, the traces from `first` on, go to the i-th point of their curves."""
    heights = [float(list(curve["mean"])[i]) for curve in curves]
    moved = {
        "x": [[share]] * len(curves),
        "y": [[y] for y in heights],
        "text": [[f"{y:.1%}"] for y in heights],
    }
    return {
        "label": f"{share:g}",
        "method": "restyle",
        "args": [moved, list(range(first, first + len(curves)))],
    }
