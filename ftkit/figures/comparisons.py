"""Figures that compare methods: over their learning rates, and by paired differences."""

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Band, Spec, faded, known, layout, scatter
from ftkit.stats.paired import interval

SHADES = ("#b3cde3", "#8cb4d5", "#5f99c6", "#3580b5", "#0b62a0", "#063c66")
"""Light to dark, for a setting that grows, such as the rank."""


def rates(curves: Mapping[str, Band], colours: Sequence[str]) -> Spec:
    """Accuracy over the learning rate, a line a method with its colour: `lr`, `mean`, `low`, `high`, and `best`, which is large.

    An interval ends where accuracies do, at 0 and 1.
    """
    traces: list[Any] = []
    for (name, curve), colour in zip(curves.items(), colours, strict=True):
        x, y = list(curve["lr"]), list(curve["mean"])
        up = [min(high, 1.0) - mean for high, mean in zip(curve["high"], y, strict=True)]
        down = [mean - max(low, 0.0) for low, mean in zip(curve["low"], y, strict=True)]
        error = {
            "type": "data",
            "symmetric": False,
            "array": known(up),
            "arrayminus": known(down),
            "thickness": 1,
            "width": 2,
        }
        sizes = [12 if best else 5 for best in curve["best"]]
        style = {"line": {"color": colour, "width": 2}, "marker": {"size": sizes, "color": colour}}
        traces.append(scatter(x=x, y=y, name=name, error_y=error, mode="lines+markers", **style))
    axes = {
        "xaxis": {
            "type": "log",
            "title": {"text": "learning rate"},
            "exponentformat": "power",
            "dtick": 1,
        },
        "yaxis": {"title": {"text": "accuracy on valid"}, "tickformat": ".0%"},
    }
    return {"data": traces, "layout": layout(360, **axes)}


def differences(rows: Mapping[str, Sequence[float]], margin: float, against: str) -> Spec:
    """Paired differences in points, a row a comparison: a dot a seed, the mean and its 95 % interval, and the margin as a strip."""
    traces: list[Any] = []
    for name, values in rows.items():
        mean, low, high = interval([100 * value for value in values])
        traces.append(
            scatter(
                x=[100 * value for value in values],
                y=[name] * len(values),
                mode="markers",
                marker={"size": 6, "color": GREY, "opacity": 0.6},
            )
        )
        error = {
            "type": "data",
            "symmetric": False,
            "array": [high - mean],
            "arrayminus": [mean - low],
            "thickness": 2.5,
            "width": 6,
        }
        traces.append(
            scatter(
                x=[mean],
                y=[name],
                mode="markers",
                error_x=error,
                marker={"size": 11, "color": COLOURS["LoRA"], "symbol": "diamond"},
            )
        )
    strip = {
        "type": "rect",
        "yref": "paper",
        "x0": -100 * margin,
        "x1": 100 * margin,
        "y0": 0,
        "y1": 1,
        "fillcolor": faded(GREY, 0.15),
        "line": {"width": 0},
    }
    zero = {
        "type": "line",
        "yref": "paper",
        "x0": 0,
        "x1": 0,
        "y0": 0,
        "y1": 1,
        "line": {"color": GREY, "width": 1},
    }
    axes = {
        "xaxis": {"title": {"text": f"points of test accuracy, minus {against}"}},
        "yaxis": {"autorange": "reversed", "automargin": True},
    }
    frame = {"l": 60, "r": 14, "t": 14, "b": 44}
    return {
        "data": traces,
        "layout": layout(
            90 + 46 * len(rows), showlegend=False, shapes=[strip, zero], margin=frame, **axes
        ),
    }
