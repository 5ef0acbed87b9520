"""Pictures of lesson 03: gaps over the distance of a task, forgetting over accuracy, and step
costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.comparisons import SHADES
from ftkit.figures.plots import COLOURS, GREY, Spec, layout, scatter

Interval = tuple[float, float, float]
"""(mean, low, high)."""
PALETTE = tuple(COLOURS.values())


def gaps_by_distance(
    benches: Sequence[str],
    curves: Mapping[str, Sequence[Interval]],
    against: str,
    shaded: bool = False,
) -> Spec:
    """Draw differences of test accuracy from benchmark to benchmark, a line with intervals a
    method.

    Args:
        benches: the names of the benchmarks, from near to far.
        curves: for each method an interval a benchmark; differences of accuracies in [-1, 1].
        against: the method that was subtracted.
        shaded: whether to colour the lines from light to dark, for a setting that grows.
    """
    colours = SHADES[-len(curves) :] if shaded else PALETTE
    traces: list[Any] = []
    for (name, intervals), colour in zip(curves.items(), colours, strict=False):
        error = {
            "type": "data",
            "symmetric": False,
            "array": [100 * (high - mean) for mean, _, high in intervals],
            "arrayminus": [100 * (mean - low) for mean, low, _ in intervals],
            "thickness": 1.2,
            "width": 3,
        }
        traces.append(
            scatter(
                x=list(benches),
                y=[100 * mean for mean, _, _ in intervals],
                name=name,
                error_y=error,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": 7, "color": colour},
            )
        )
    axes = {
        "xaxis": {"type": "category", "automargin": True},
        "yaxis": {"title": {"text": f"points of test accuracy, minus {against}"}},
    }
    frame = {"l": 60, "r": 14, "t": 56, "b": 70}
    zero = _dotted_line(0, width=1)
    return {"data": traces, "layout": layout(400, shapes=[zero], margin=frame, **axes)}


def _dotted_line(height: float, width: float) -> dict[str, Any]:
    """A horizontal line across the whole plot."""
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": height,
        "y1": height,
        "line": {"color": GREY, "width": width, "dash": "dot"},
    }


def forgetting_by_accuracy(
    curves: Mapping[str, Sequence[Mapping[str, float]]], start: float
) -> Spec:
    """Draw forgetting over accuracy, a line a method and a point a learning rate.

    Down and to the right is better.

    Args:
        curves: for each method its points: `lr`; `accuracy`, in [0, 1]; `words`, nats a hidden
            word.
        start: the nats a hidden word of the base.
    """
    traces: list[Any] = []
    for name, points in curves.items():
        colour = COLOURS.get(name.split(",")[0], GREY)
        by_lr = sorted(points, key=lambda point: point["lr"])
        traces.append(
            scatter(
                x=[point["accuracy"] for point in by_lr],
                y=[point["words"] - start for point in by_lr],
                text=[f"{point['lr']:g}" for point in by_lr],
                name=name,
                mode="lines+markers+text",
                textposition="top left",
                textfont={"size": 10, "color": colour},
                line={"color": colour, "width": 2},
                marker={"size": 8, "color": colour},
            )
        )
    axes = {
        "xaxis": {"title": {"text": "accuracy on valid"}, "tickformat": ".0%"},
        "yaxis": {"title": {"text": "forgetting, nats a hidden word"}, "rangemode": "tozero"},
    }
    return {"data": traces, "layout": layout(380, **axes)}


def cost_bars(shares: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> Spec:
    """Draw the costs of each method as shares of full fine-tuning's, a group of bars a kind.

    The dotted line is full fine-tuning.
    """
    traces: list[Any] = []
    for i, (name, costs) in enumerate(shares.items()):
        heights = [costs[kind] for kind in kinds]
        traces.append(
            {
                "type": "bar",
                "x": list(kinds),
                "y": heights,
                "name": name,
                "marker": {"color": _bar_colour(name, i)},
                "text": [f"{share:.0%}" if share >= 0.01 else f"{share:.1%}" for share in heights],
                "textposition": "outside",
                "textfont": {"size": 9},
                "cliponaxis": False,
            }
        )
    axes = {
        "yaxis": {
            "title": {"text": "share of full fine-tuning's"},
            "tickformat": ".0%",
            "rangemode": "tozero",
        }
    }
    full = _dotted_line(1, width=1.5)
    return {
        "data": traces,
        "layout": layout(360, barmode="group", bargap=0.25, shapes=[full], **axes),
    }


def _bar_colour(name: str, position: int) -> str:
    """The colour of a technique; shades of one colour for the ranks of LoRA."""
    if name in COLOURS:
        return COLOURS[name]
    if name.startswith("LoRA"):
        return SHADES[min(2 * position + 1, len(SHADES) - 1)]
    return COLOURS["frozen body"]
