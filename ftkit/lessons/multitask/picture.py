"""The pictures of multi-task learning: angles between gradients, and the front of fixed weights."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, faded, layout, plot_title, scatter

SIDES = {"pair": "the two tasks", "itself": "the target and more of itself"}
SHADES = ("#f0e442", "#d55e00", "#cc79a7", "#56b4e9")
SYMBOLS = ("diamond", "square", "triangle-up", "cross")


def conflicts(values: Mapping[str, float]) -> Spec:
    """Draw two tables of cosines between gradients, a row a block of the body and a column a step.

    Left, between the two tasks; right, between the target and more rows of it. Blue agrees, orange
    opposes.

    Args:
        values: `probe/<pair or itself>/<block>/<step>`, in [-1, 1], see `trial.trial`.
    """
    axes = {
        "xaxis": {
            "domain": [0, 0.46],
            "type": "category",
            "title": {"text": "step"},
            "showgrid": False,
        },
        "yaxis": {"type": "category", "showgrid": False},
        "xaxis2": {
            "domain": [0.54, 1],
            "type": "category",
            "title": {"text": "step"},
            "anchor": "y2",
            "showgrid": False,
        },
        "yaxis2": {"type": "category", "anchor": "x2", "showticklabels": False, "showgrid": False},
    }
    titles = [
        plot_title(f"cosine of {SIDES['pair']}", 0.23),
        plot_title(f"cosine of {SIDES['itself']}", 0.77),
    ]
    margin = {"l": 96, "r": 14, "t": 34, "b": 44}
    return {
        "data": [_table(values, "pair", ""), _table(values, "itself", "2")],
        "layout": layout(300, margin=margin, annotations=titles, **axes),
    }


def _table(values: Mapping[str, float], side: str, axis: str) -> dict[str, Any]:
    """The cosines of one side on colour; a block that only one of the two changes stays empty."""
    prefix = f"probe/{side}/"
    cosines: dict[tuple[str, str], float] = {}
    for key, value in values.items():
        if key.startswith(prefix):
            block, step = key.removeprefix(prefix).split("/")
            cosines[block, step] = value
    blocks = list(dict.fromkeys(block for block, _ in cosines))
    steps = sorted({step for _, step in cosines}, key=int)
    table = [[cosines.get((block, step)) for step in steps] for block in blocks]
    text = [["" if value is None else f"{value:+.2f}" for value in row] for row in table]
    return {
        "type": "heatmap",
        "x": steps,
        "y": blocks,
        "z": table,
        "text": text,
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "colorscale": [[0, "#d55e00"], [0.5, "#ffffff"], [1, "#56b4e9"]],
        "zmin": -1,
        "zmax": 1,
        "showscale": False,
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "hovertemplate": "%{y}, step %{x}: %{z:+.2f}<extra></extra>",
    }


Spans = Sequence[tuple[float, float, float]]
"""(mean, low, high) of an accuracy, in [0, 1], for each point."""


def front(
    weights: Sequence[float],
    target: Spans,
    other: Spans,
    methods: Mapping[str, tuple[Spans, Spans]],
    names: tuple[str, str],
) -> Spec:
    """Draw the accuracy of the other task over that of the target.

    Fixed weights are a line, each method is a point. The axes show the region where no task is left
    out; the weights 0 and 1, at the ends of the line, are far outside it.

    Args:
        weights: the target's share at each point of the line, in [0, 1].
        target: the target's accuracies along the line.
        other: the other task's accuracies along the line.
        methods: the accuracies of both tasks by method, four methods at most.
        names: of the target and of the other task.
    """
    line = {
        **_points("fixed weights", target, other, COLOURS["LoRA"], "circle"),
        "mode": "lines+markers+text",
        "text": [f"{weight:g}" for weight in weights],
        "textposition": "top right",
        "line": {"color": faded(COLOURS["LoRA"], 0.5), "width": 2},
        "textfont": {"size": 11},
    }
    traces = [line]
    styles = zip(methods.items(), SHADES, SYMBOLS, strict=False)
    for (name, (on_target, on_other)), colour, symbol in styles:
        points = _points(name, on_target, on_other, colour, symbol)
        traces.append({**points, "mode": "markers"})
    inside = [i for i, weight in enumerate(weights) if 0 < weight < 1]
    shown = inside or range(len(weights))
    of_target = [target[i] for i in shown]
    of_other = [other[i] for i in shown]
    for on_target, on_other in methods.values():
        of_target += on_target
        of_other += on_other
    axes = {"xaxis": _axis(names[0], of_target), "yaxis": _axis(names[1], of_other)}
    return {"data": traces, "layout": layout(420, **axes)}


def _axis(task: str, spans: Spans) -> dict[str, Any]:
    """An axis of one task's accuracy that holds these intervals."""
    return {
        "title": {"text": f"{escape(task)}: accuracy on test"},
        "tickformat": ".1~%",
        "range": _around(spans),
        "automargin": True,
    }


def _points(name: str, target: Spans, other: Spans, colour: str, symbol: str) -> dict[str, Any]:
    marker = {"size": 11, "color": colour, "symbol": symbol, "line": {"width": 1, "color": GREY}}
    return scatter(
        x=[mean for mean, _, _ in target],
        y=[mean for mean, _, _ in other],
        error_x=_whiskers(target),
        error_y=_whiskers(other),
        name=escape(name),
        marker=marker,
    )


def _around(spans: Spans) -> list[float]:
    """The range of an axis that holds all intervals, with some room."""
    low = min(low for _, low, _ in spans)
    high = max(high for _, _, high in spans)
    room = 0.12 * max(high - low, 0.01)
    return [low - room, high + room]


def _whiskers(spans: Spans) -> dict[str, Any]:
    """Error bars of the intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - mean for mean, _, high in spans],
        "arrayminus": [mean - low for mean, low, _ in spans],
        "thickness": 1.2,
        "width": 3,
        "color": GREY,
    }
