"""Pictures of lesson 01: the network with its frozen part, and the interpolation of its change."""

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Band, Spec, band, layout, scatter

FROZEN_COLOUR = "#c8c8c8"
MOVED_SHADES = ("#fdf0d0", "#f8d58a", "#e69f00", "#a86f00", "#5f3d00")
"""Light to dark, for parts whose change is below 1 %, 5 %, 20 %, 100 % of their norm, and above."""
MOVED_BOUNDS = (0.01, 0.05, 0.2, 1.0)
DARK_TEXT, LIGHT_TEXT = "#222222", "#ffffff"


def network(values: Mapping[str, float]) -> Spec:
    """Draw the network as a column of boxes, the input at the bottom and the head on top.

    A frozen part is grey. A trainable one is darker the larger its change is, relative to its
    weights; the bars on the right show how large.

    Args:
        values: from `movement_by_part`, `probe/moved/<part>` and `probe/frozen/<part>`.
    """
    names, fills, texts = [], [], []
    for key, movement in values.items():
        _, state, name = key.split("/")
        names.append(name)
        fills.append(FROZEN_COLOUR if state == "frozen" else shade(movement))
        texts.append("frozen" if state == "frozen" else f"moved {movement:.1%}")
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "text": texts,
    }
    text_colours = [LIGHT_TEXT if fill in MOVED_SHADES[3:] else DARK_TEXT for fill in fills]
    boxes = {
        **bar,
        "x": [1] * len(names),
        "marker": {"color": fills, "line": {"color": GREY, "width": 1}},
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textfont": {"size": 12, "color": text_colours},
    }
    lengths = {
        **bar,
        "x": [float(movement) for movement in values.values()],
        "marker": {"color": fills},
        "textposition": "none",
        "xaxis": "x2",
        "yaxis": "y2",
    }
    axes = {
        "xaxis": {"domain": [0, 0.42], "visible": False, "range": [0, 1]},
        "yaxis": {"automargin": True, "showgrid": False, "ticks": ""},
        "xaxis2": {
            "title": {"text": "norm of the change / of the weights"},
            "domain": [0.5, 1],
            "type": "log",
            "range": [-3, 1],
            "dtick": 1,
        },
        "yaxis2": {"anchor": "x2", "showticklabels": False, "showgrid": False},
    }
    frame = {"l": 90, "r": 14, "t": 10, "b": 44}
    height = 70 + 42 * len(names)
    return {
        "data": [boxes, lengths],
        "layout": layout(height, showlegend=False, bargap=0.22, margin=frame, **axes),
    }


def shade(movement: float) -> str:
    """Return the colour of a part by the norm of its change over the norm of its weights.

    >>> shade(0.0) == MOVED_SHADES[0], shade(0.3) == MOVED_SHADES[3], shade(7.0) == MOVED_SHADES[-1]
    (True, True, True)
    """
    return MOVED_SHADES[sum(movement >= bound for bound in MOVED_BOUNDS)]


def interpolation(inside: Band, outside: Band) -> Spec:
    """Draw accuracy over the share of the learned change, in and out of distribution.

    A slider moves a mark along both curves.

    Args:
        inside, outside: accuracies in [0, 1]; `step` holds the shares.
    """
    shares = list(inside["step"])
    curves = (inside, outside)
    colours = (COLOURS["LoRA"], COLOURS["sparse"])
    names = ("in distribution", "out of distribution")
    traces: list[Any] = []
    for curve, colour, name in zip(curves, colours, names, strict=True):
        traces += band(curve, name, colour)
    first_mark = len(traces)
    for curve, colour in zip(curves, colours, strict=True):
        traces.append(_mark(shares[-1], list(curve["mean"])[-1], colour))
    slider = {
        "active": len(shares) - 1,
        "steps": [_stop(i, share, curves, first_mark) for i, share in enumerate(shares)],
        "currentvalue": {"prefix": "a = "},
        "pad": {"t": 42},
    }
    axes = {
        "xaxis": {
            "title": {"text": "share a of the learned change: 0 the linear probe, 1 fine-tuned"},
            "range": [-0.05, 1.05],
        },
        "yaxis": {"title": {"text": "accuracy"}, "tickformat": ".0%"},
    }
    frame = {"l": 60, "r": 20, "t": 34, "b": 110}
    return {"data": traces, "layout": layout(430, sliders=[slider], margin=frame, **axes)}


def _mark(share: float, accuracy: float, colour: str) -> dict[str, Any]:
    """A labelled point on a curve."""
    return scatter(
        x=[share],
        y=[accuracy],
        text=[f"{accuracy:.1%}"],
        mode="markers+text",
        textposition="top center",
        marker={"size": 13, "color": colour, "line": {"width": 1, "color": "white"}},
        showlegend=False,
    )


def _stop(i: int, share: float, curves: Sequence[Band], first_mark: int) -> dict[str, Any]:
    """A stop of the slider: it moves the marks, which are the last traces, to the i-th points."""
    heights = [float(list(curve["mean"])[i]) for curve in curves]
    moved = {
        "x": [[share]] * len(curves),
        "y": [[height] for height in heights],
        "text": [[f"{height:.1%}"] for height in heights],
    }
    marks = list(range(first_mark, first_mark + len(curves)))
    return {"label": f"{share:g}", "method": "restyle", "args": [moved, marks]}
