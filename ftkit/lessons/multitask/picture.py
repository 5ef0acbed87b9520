"""Multi-task learning's pictures: how two tasks' gradients lie to each other, and what each mix of them reaches."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, faded, layout, scatter

SIDES = {"pair": "the two tasks", "itself": "the target and more of itself"}
SHADES = ("#f0e442", "#d55e00", "#cc79a7", "#56b4e9")
SYMBOLS = ("diamond", "square", "triangle-up", "cross")


def conflicts(values: Mapping[str, float]) -> Spec:
    """Two tables, a row a block of the body and a column a step, from readings `probe/<pair or itself>/<block>/<step>`: the cosine between
    two gradients, in [-1, 1]. Left of the two tasks, right of the target and more rows of it. Blue agrees,
    orange opposes."""
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
        _title(f"cosine of {words}", x)
        for words, x in zip(SIDES.values(), (0.23, 0.77), strict=True)
    ]
    probe = layout(300, margin={"l": 96, "r": 14, "t": 34, "b": 44}, annotations=titles, **axes)
    return {
        "data": [_cells(values, side, axis) for side, axis in zip(SIDES, ("", "2"), strict=True)],
        "layout": probe,
    }


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


def _cells(values: Mapping[str, float], side: str, axis: str) -> dict[str, Any]:
    """Numbers on colour; a block that one of the two would not move stays empty."""
    found = {
        tuple(key.split("/")[2:]): value
        for key, value in values.items()
        if key.startswith(f"probe/{side}/")
    }
    blocks = list(dict.fromkeys(block for block, _ in found))
    steps = sorted({step for _, step in found}, key=int)
    table = [[found.get((block, step)) for step in steps] for block in blocks]
    return {
        "type": "heatmap",
        "x": steps,
        "y": blocks,
        "z": table,
        "text": [["" if value is None else f"{value:+.2f}" for value in row] for row in table],
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
    """The accuracy of the other task over that of the target: a line through fixed weights of the target, and a point a method.

    What is seen at first is where no task is left out; weights 0 and 1 lie far off, at the ends of the line.

    Args:
        weights: the target's part of each point of the line, in [0, 1].
        methods: the points beside it, four at most.
        names: of the target and of the other task.
    """
    text = [f"{weight:g}" for weight in weights]
    line = {"color": faded(COLOURS["LoRA"], 0.5), "width": 2}
    points = _points("fixed weights", target, other, COLOURS["LoRA"], "circle")
    traces = [
        {
            **points,
            "mode": "lines+markers+text",
            "text": text,
            "textposition": "top right",
            "line": line,
            "textfont": {"size": 11},
        }
    ]
    for (name, (its_target, its_other)), colour, symbol in zip(
        methods.items(), SHADES, SYMBOLS, strict=False
    ):
        traces.append({**_points(name, its_target, its_other, colour, symbol), "mode": "markers"})
    inside = [i for i, weight in enumerate(weights) if 0 < weight < 1] or list(range(len(weights)))
    axes = {}
    for axis, name, on_line, i in (("xaxis", names[0], target, 0), ("yaxis", names[1], other, 1)):
        near = [on_line[at] for at in inside] + [
            span for spans in methods.values() for span in spans[i]
        ]
        title = {"text": f"{escape(name)}: accuracy on test"}
        axes[axis] = {
            "title": title,
            "tickformat": ".1~%",
            "range": _around(near),
            "automargin": True,
        }
    return {"data": traces, "layout": layout(420, **axes)}


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
    low, high = min(low for _, low, _ in spans), max(high for _, _, high in spans)
    room = 0.12 * max(high - low, 0.01)
    return [low - room, high + room]


def _whiskers(spans: Spans) -> dict[str, Any]:
    up, down = [high - mean for mean, _, high in spans], [mean - low for mean, low, _ in spans]
    return {
        "type": "data",
        "symmetric": False,
        "array": up,
        "arrayminus": down,
        "thickness": 1.2,
        "width": 3,
        "color": GREY,
    }
