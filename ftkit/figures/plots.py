"""Figures: values in, plotly JSON out. One colour a technique, everywhere (Okabe and Ito 2008, safe for colour-blind readers).

A figure is a `Spec`, `{"data": [trace, ...], "layout": {...}}`, and not a `plotly.graph_objects.Figure`: that checks every property, which
takes too long for a plot that is repainted nine times a second. The tests have plotly check them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
"""Plotly JSON: `data`, a list of traces, and `layout`."""

COLOURS = {
    "full fine-tuning": "#009e73",
    "frozen body": "#e69f00",
    "LoRA": "#0072b2",
    "BitFit": "#cc79a7",
    "sparse": "#d55e00",
    "distillation": "#56b4e9",
    "multi-task": "#7b5ea7",
    "labels alone": "#8c6d31",
    "pseudo-labels": "#6a51a3",
    "true labels": "#d55e00",
    "random weights": "#999999",
}
GREY = "#888888"
AXES = {
    "trainable": "numbers that train",
    "flops": "FLOPs a step",
    "activations": "bytes of activations",
}
"""What the trade-off plot may put on its horizontal axis: names of `Cost`."""

Band = Mapping[str, Sequence[float]]
"""A curve with its interval: `step`, `mean`, `low` and `high`, equally long."""


def faded(colour: str, alpha: float) -> str:
    """The colour "#rrggbb" with that opacity.

    >>> faded("#0072b2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def scatter(**properties: Any) -> dict[str, Any]:
    """A trace of points or lines."""
    return {"type": "scatter", **properties}


def layout(height: int, **others: Any) -> dict[str, Any]:
    """What all figures share: little margin, the legend above, no surprise on redrawing."""
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 52, "r": 14, "t": 34, "b": 40},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 11},
        },
        "font": {"size": 12},
        "hovermode": "closest",
        "uirevision": "keep",
        **others,
    }


def known(values: Sequence[float]) -> list[float | None]:
    """The values, with None, which is not drawn, for what is no number: a single run has no interval.

    >>> known([0.5, float("nan")])
    [0.5, None]
    """
    return [value if value == value else None for value in values]


def band(curve: Band, name: str, colour: str, axis: str = "y") -> list[Any]:
    """An interval as a shaded strip and its mean as a dashed line."""
    steps, low, high = list(curve["step"]), list(curve["low"]), list(curve["high"])
    strip = scatter(
        x=steps + steps[::-1],
        y=known(high + low[::-1]),
        fill="toself",
        fillcolor=faded(colour, 0.18),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        yaxis=axis,
    )
    mean = scatter(
        x=steps,
        y=list(curve["mean"]),
        name=name,
        mode="lines",
        line={"color": colour, "width": 1.5, "dash": "dash"},
        yaxis=axis,
    )
    return [strip, mean]


Curve = Sequence[tuple[int, float]]
"""(step, value) pairs."""


def learning(
    accuracy: Sequence[Curve],
    loss: Curve,
    recorded: Band | None,
    colour: str,
    steps: int | None,
    floor: float | None = None,
) -> Spec:
    """Accuracy on valid over the steps, a curve a seed, on the recorded band; under it the loss on the training batches.

    `floor` is the accuracy of one answer for all rows, in [0, 1].
    """
    single, (steps_done, losses) = len(accuracy) == 1, _columns(loss)
    traces = band(recorded, "recorded, 95 % interval", GREY) if recorded else []
    for i, (x, y) in enumerate(map(_columns, accuracy)):
        line = {"color": colour if single else faded(colour, 0.45), "width": 3 if single else 1.5}
        marker = {"size": 8, "color": colour}
        name = "this run" if single else f"{len(accuracy)} seeds"
        traces.append(
            scatter(
                x=x,
                y=y,
                name=name,
                mode="lines+markers",
                line=line,
                marker=marker,
                showlegend=i == 0,
            )
        )
    steps_done, losses = (
        steps_done or [0],
        losses or [None],
    )  # without a point the trace would take its axis with it
    end = max(steps or 0, steps_done[-1])
    if floor is not None:
        traces.append(_floor([0, end], floor))
    traces.append(
        scatter(
            x=steps_done,
            y=losses,
            mode="lines",
            line={"color": colour, "width": 1.5},
            showlegend=False,
            yaxis="y2",
        )
    )
    axes = {
        "xaxis": {
            "title": {"text": "step"},
            "rangemode": "tozero",
            "anchor": "y2",
            **({"range": [0, end]} if steps else {}),
        },
        "yaxis": {
            "title": {"text": "accuracy on valid"},
            "range": [0, 1],
            "domain": [0.36, 1],
            "tickformat": ".0%",
        },
        "yaxis2": {
            "title": {"text": "loss"},
            "rangemode": "tozero",
            "domain": [0, 0.24],
            "anchor": "x",
        },
    }
    return {"data": traces, "layout": layout(380, **axes)}


def _floor(ends: Sequence[float], floor: float) -> Any:
    line = {"color": GREY, "width": 1.5, "dash": "dot"}
    return scatter(
        x=list(ends),
        y=[floor, floor],
        mode="lines",
        line=line,
        name="always the most frequent answer",
    )


def _columns(curve: Curve) -> tuple[list[int], list[float | None]]:
    return [step for step, _ in curve], [value for _, value in curve]


def trade_off(
    points: Sequence[Mapping[str, Any]], axis: str, here: Mapping[str, float] | None, colour: str
) -> Spec:
    """Accuracy against one entry of the bill.

    `points` are recorded: `name` (the method), `label`, `mean`, `low`, `high`, and the bill; `here` is the live run: `accuracy` and the
    bill.
    """
    traces: list[Any] = []
    means = [point["mean"] for point in points]
    height = max(means, default=0.0) - min(means, default=0.0)
    for name in dict.fromkeys(point["name"] for point in points):
        own = [point for point in points if point["name"] == name]
        shade = COLOURS.get(name, colour)
        traces.append(
            scatter(
                x=[point[axis] for point in own],
                y=[point["mean"] for point in own],
                text=_apart(own, axis, height),
                hovertext=[point["label"] for point in own],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": known([point["high"] - point["mean"] for point in own]),
                    "arrayminus": known([point["mean"] - point["low"] for point in own]),
                    "thickness": 1.2,
                    "width": 3,
                },
                mode="lines+markers+text" if len(own) > 1 else "markers",
                textposition="top left",  # off the interval, and off the line of a curve that rises
                textfont={"size": 10},
                cliponaxis=False,  # so that the label of a point at the edge is whole
                line={"color": faded(shade, 0.5), "width": 1},
                marker={"size": 8, "color": shade},
                name=name,
            )
        )
    if here is not None:
        marker = {
            "size": 15,
            "color": colour,
            "symbol": "star",
            "line": {"width": 1, "color": "white"},
        }
        traces.append(
            scatter(
                x=[here[axis]], y=[here["accuracy"]], mode="markers", marker=marker, name="this run"
            )
        )
    axes = {
        "xaxis": {"type": "log", "title": {"text": AXES[axis]}, "exponentformat": "SI", "dtick": 1},
        "yaxis": {"title": {"text": "accuracy on valid"}, "tickformat": ".0%"},
    }
    return {"data": traces, "layout": layout(340, **axes)}


def _apart(points: Sequence[Mapping[str, Any]], axis: str, height: float) -> list[str]:
    """The labels of points, best first; what would stand on a better one's, at its cost and within a twentieth of the height, has none."""
    shown: list[Mapping[str, Any]] = []
    for point in sorted(points, key=lambda point: -point["mean"]):
        if not any(
            abs(math.log(point[axis] / other[axis])) < 0.1
            and other["mean"] - point["mean"] < height / 20
            for other in shown
        ):
            shown.append(point)
    return [str(point["label"]) if point in shown else "" for point in points]
