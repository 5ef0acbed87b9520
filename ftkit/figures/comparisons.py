"""Figures that compare methods: over their learning rates, and by paired differences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Band, Spec, faded, interval_bars, layout, scatter
from ftkit.stats.paired import diverged, interval

SHADES = ("#b3cde3", "#8cb4d5", "#5f99c6", "#3580b5", "#0b62a0", "#063c66")
"""Light to dark, for a setting that grows, such as the rank."""


def rates(curves: Mapping[str, Band], colours: Sequence[str]) -> Spec:
    """Draw the validation accuracy over the learning rate, one line a method.

    The intervals are cut off at 0 and 1.

    Args:
        curves: by the method's name, equally long sequences `lr`, `mean`, `low`, `high`, and
            `best`: whether this learning rate is the best one, which gets a large dot.
        colours: the colours of the methods, in the same order.
    """
    traces: list[Any] = []
    for (name, curve), colour in zip(curves.items(), colours, strict=True):
        means = list(curve["mean"])
        lows = [max(low, 0.0) for low in curve["low"]]
        highs = [min(high, 1.0) for high in curve["high"]]
        sizes = [12 if best else 5 for best in curve["best"]]
        traces.append(
            scatter(
                x=list(curve["lr"]),
                y=means,
                name=name,
                error_y=interval_bars(means, lows, highs, thickness=1, width=2),
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": sizes, "color": colour},
            )
        )
    axes = {
        "xaxis": {
            "type": "log",
            "title": {"text": "learning rate"},
            "exponentformat": "power",
            "dtick": 1,
        },
        "yaxis": {"title": {"text": "validation accuracy"}, "tickformat": ".0%"},
    }
    return {"data": traces, "layout": layout(360, **axes)}


def differences(rows: Mapping[str, Sequence[float]], margin: float, against: str) -> Spec:
    """Draw paired differences in percentage points, one row a comparison.

    A row has a dot for each seed, and the mean with its 95 % interval. The margin is a strip. A
    comparison with a run that diverged, whose difference is nan, has no mean, and its name says so.

    Args:
        rows: by the name of the comparison, the differences in test accuracy, one a seed.
        margin: the largest difference that would not matter, such as 0.01.
        against: the name of the method that is subtracted.
    """
    traces: list[Any] = []
    for name, values in rows.items():
        is_complete = not diverged(values)
        name = name if is_complete else f"{name} (a run diverged)"
        points = [100 * value for value in values if not math.isnan(value)]
        traces.append(
            scatter(
                x=points,
                y=[name] * len(points),
                mode="markers",
                marker={"size": 6, "color": GREY, "opacity": 0.6},
            )
        )
        if not is_complete:
            continue
        mean, low, high = interval(points)
        traces.append(
            scatter(
                x=[mean],
                y=[name],
                mode="markers",
                error_x=interval_bars([mean], [low], [high], thickness=2.5, width=6),
                marker={"size": 11, "color": COLOURS["LoRA"], "symbol": "diamond"},
            )
        )
    full_height = {"yref": "paper", "y0": 0, "y1": 1}
    strip = {
        "type": "rect",
        **full_height,
        "x0": -100 * margin,
        "x1": 100 * margin,
        "fillcolor": faded(GREY, 0.15),
        "line": {"width": 0},
    }
    zero = {"type": "line", **full_height, "x0": 0, "x1": 0, "line": {"color": GREY, "width": 1}}
    axes = {
        "xaxis": {"title": {"text": f"test accuracy minus {against}, in percentage points"}},
        "yaxis": {"autorange": "reversed", "automargin": True},
    }
    frame = {"l": 60, "r": 14, "t": 14, "b": 44}
    height = 90 + 46 * len(rows)
    return {
        "data": traces,
        "layout": layout(height, showlegend=False, shapes=[strip, zero], margin=frame, **axes),
    }
