"""Figures: values in, plotly JSON out.

Each technique has one colour everywhere (Okabe and Ito 2008, safe for colour-blind readers).

A figure is a `Spec`, `{"data": [trace, ...], "layout": {...}}`. It is not a
`plotly.graph_objects.Figure`, because that checks every property, which takes too long for a plot
that is repainted nine times a second. The tests let plotly check the specs.
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
    "trainable": "trainable parameters",
    "flops": "FLOPs a step",
    "activations": "bytes of activations",
}
"""The costs that the horizontal axis of the trade-off plot may have, by their names in `Cost`."""

Band = Mapping[str, Sequence[float]]
"""A curve with its interval: `step`, `mean`, `low` and `high`, equally long."""

Curve = Sequence[tuple[int, float]]
"""(step, value) pairs."""


def faded(colour: str, alpha: float) -> str:
    """The colour "#rrggbb" with an opacity in [0, 1].

    >>> faded("#0072b2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def scatter(**properties: Any) -> dict[str, Any]:
    """Make a trace of points or lines."""
    return {"type": "scatter", **properties}


def layout(height: int, **others: Any) -> dict[str, Any]:
    """Make the layout that all figures share: small margins, and the legend above.

    A reader's zoom stays when the figure is drawn again.
    """
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
    """Replace nan by None, which is not drawn: a single run has no interval.

    >>> known([0.5, float("nan")])
    [0.5, None]
    """
    return [None if math.isnan(value) else value for value in values]


def interval_bars(
    means: Sequence[float], lows: Sequence[float], highs: Sequence[float], **style: Any
) -> dict[str, Any]:
    """Make the error bars of points from the ends of their intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": known([high - mean for mean, high in zip(means, highs, strict=True)]),
        "arrayminus": known([mean - low for mean, low in zip(means, lows, strict=True)]),
        **style,
    }


def band(curve: Band, name: str, colour: str, axis: str = "y") -> list[Any]:
    """Make the traces of a curve and its interval: a shaded strip, and a dashed mean line."""
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


def learning(
    accuracy: Sequence[Curve],
    loss: Curve,
    recorded: Band | None,
    colour: str,
    steps: int | None,
    baseline: float | None = None,
    note: str = "",
) -> Spec:
    """Draw the learning curve: validation accuracy, and under it the loss on training batches.

    Args:
        accuracy: a curve for each seed, values in [0, 1].
        loss: one curve, in nats.
        recorded: the interval of recorded runs, drawn behind the curves.
        colour: the colour of the technique.
        steps: the steps of a whole run, which fix the horizontal axis; None where not known.
        baseline: the accuracy of the majority-class baseline, in [0, 1]; drawn as a dotted line.
        note: what the reader would miss, in the lower right corner; "" for nothing.
    """
    traces = band(recorded, "recorded runs, 95 % interval", GREY) if recorded else []
    traces += _seeds(accuracy, colour)
    # Without a point the trace of the loss would not have an axis.
    loss_steps, losses = _columns(loss) if loss else ([0], [None])
    end = max(steps or 0, loss_steps[-1])
    if baseline is not None:
        traces.append(_majority_baseline([0, end], baseline))
    traces.append(
        scatter(
            x=loss_steps,
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
            "title": {"text": "validation accuracy"},
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
    return {"data": traces, "layout": layout(380, annotations=_corner_note(note), **axes)}


def _seeds(curves: Sequence[Curve], colour: str) -> list[Any]:
    """The traces of one run, or of several seeds, which share one entry of the legend."""
    single = len(curves) == 1
    traces = []
    for index, curve in enumerate(curves):
        x, y = _columns(curve)
        line = {"color": colour if single else faded(colour, 0.45), "width": 3 if single else 1.5}
        traces.append(
            scatter(
                x=x,
                y=y,
                name="this run" if single else f"{len(curves)} seeds",
                mode="lines+markers",
                line=line,
                marker={"size": 8, "color": colour},
                showlegend=index == 0,
            )
        )
    return traces


def _majority_baseline(ends: Sequence[float], accuracy: float) -> Any:
    return scatter(
        x=list(ends),
        y=[accuracy, accuracy],
        mode="lines",
        line={"color": GREY, "width": 1.5, "dash": "dot"},
        name="majority-class baseline",
    )


def _corner_note(text: str) -> list[Any]:
    """The annotations of a figure with a note in the lower right corner of its upper plot.

    Curves of accuracy rise, and methods that cost more are seldom worse: the corner is free.
    """
    if not text:
        return []
    place = {"x": 1, "xref": "paper", "xanchor": "right", "y": 0, "yref": "y domain"}
    return [{"text": text, "showarrow": False, "font": {"size": 11}, "yanchor": "bottom", **place}]


def _columns(curve: Curve) -> tuple[list[int], list[float | None]]:
    return [step for step, _ in curve], [value for _, value in curve]


def trade_off(
    points: Sequence[Mapping[str, Any]],
    axis: str,
    here: Mapping[str, float] | None,
    colour: str,
    note: str = "",
) -> Spec:
    """Draw the validation accuracy over one of the costs.

    Args:
        points: the recorded runs: `name` (of the method), `label`, `mean`, `low`, `high`, and the
            costs by their names in `Cost`.
        axis: the cost on the horizontal axis, one of `AXES`.
        here: the live run, if there is one: `accuracy` and the costs.
        colour: the colour of the live run, and of methods that are not in `COLOURS`.
        note: what the reader would miss, in the lower right corner; "" for nothing.
    """
    means = [point["mean"] for point in points]
    height = max(means, default=0.0) - min(means, default=0.0)
    traces: list[Any] = []
    for name in dict.fromkeys(point["name"] for point in points):
        of_method = [point for point in points if point["name"] == name]
        traces.append(_method(of_method, axis, height, COLOURS.get(name, colour)))
    if here is not None:
        border = {"width": 1, "color": "white"}
        traces.append(
            scatter(
                x=[here[axis]],
                y=[here["accuracy"]],
                mode="markers",
                marker={"size": 15, "color": colour, "symbol": "star", "line": border},
                name="this run",
            )
        )
    axes = {
        "xaxis": {"type": "log", "title": {"text": AXES[axis]}, "exponentformat": "SI", "dtick": 1},
        "yaxis": {"title": {"text": "validation accuracy"}, "tickformat": ".0%"},
    }
    return {"data": traces, "layout": layout(340, annotations=_corner_note(note), **axes)}


def _method(points: Sequence[Mapping[str, Any]], axis: str, height: float, colour: str) -> Any:
    """The trace of all recorded points of one method."""
    means, lows, highs = ([point[name] for point in points] for name in ("mean", "low", "high"))
    return scatter(
        x=[point[axis] for point in points],
        y=means,
        text=_labels_apart(points, axis, height),
        hovertext=[point["label"] for point in points],
        error_y=interval_bars(means, lows, highs, thickness=1.2, width=3),
        mode="lines+markers+text" if len(points) > 1 else "markers",
        textposition="top left",  # off the interval, and off the line of a curve that rises
        textfont={"size": 10},
        cliponaxis=False,  # the label of a point at the edge is drawn whole
        line={"color": faded(colour, 0.5), "width": 1},
        marker={"size": 8, "color": colour},
        name=points[0]["name"],
    )


def _labels_apart(points: Sequence[Mapping[str, Any]], axis: str, height: float) -> list[str]:
    """The labels of points; "" where a label would cover that of a better point.

    Labels cover each other at nearly the same cost, and within a twentieth of the plot's height.
    """
    shown: list[Mapping[str, Any]] = []
    for point in sorted(points, key=lambda point: -point["mean"]):
        covers = any(
            abs(math.log(point[axis] / other[axis])) < 0.1
            and other["mean"] - point["mean"] < height / 20
            for other in shown
        )
        if not covers:
            shown.append(point)
    return [str(point["label"]) if point in shown else "" for point in points]


def plot_title(text: str, x: float) -> dict[str, Any]:
    """Place a title above one of several plots of a figure, centred at `x`, in [0, 1]."""
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
