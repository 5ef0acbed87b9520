"""Pictures of LoRA's limits: how far behind over the distance of a task, what is forgotten for what is learned, and the bill."""

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.figures.comparisons import SHADES
from ftkit.figures.plots import COLOURS, GREY, Spec, layout, scatter

Spans = Sequence[tuple[float, float, float]]
"""(mean, low, high), one after the other."""
PALETTE = (*COLOURS.values(),)


def gaps_by_distance(
    places: Sequence[str], curves: Mapping[str, Spans], against: str, shaded: bool = False
) -> Spec:
    """Differences in points to `against` from place to place, a line with intervals for each of `curves`; `shaded` from light to dark."""
    colours = SHADES[-len(curves) :] if shaded else PALETTE
    traces: list[Any] = []
    for (name, spans), colour in zip(curves.items(), colours, strict=False):
        means = [100 * mean for mean, _, _ in spans]
        up = [100 * (high - mean) for mean, _, high in spans]
        down = [100 * (mean - low) for mean, low, _ in spans]
        error = {
            "type": "data",
            "symmetric": False,
            "array": up,
            "arrayminus": down,
            "thickness": 1.2,
            "width": 3,
        }
        style = {"line": {"color": colour, "width": 2}, "marker": {"size": 7, "color": colour}}
        traces.append(
            scatter(
                x=list(places), y=means, name=name, error_y=error, mode="lines+markers", **style
            )
        )
    zero = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 0,
        "y1": 0,
        "line": {"color": GREY, "width": 1, "dash": "dot"},
    }
    axes = {
        "xaxis": {"type": "category", "automargin": True},
        "yaxis": {"title": {"text": f"points of test accuracy, minus {against}"}},
    }
    return {
        "data": traces,
        "layout": layout(400, shapes=[zero], margin={"l": 60, "r": 14, "t": 56, "b": 70}, **axes),
    }


def forgetting_by_accuracy(curves: Mapping[str, Sequence[Mapping[str, float]]], start: float) -> Spec:
    """What was forgotten over what was learned: a point a learning rate with `accuracy`, `words` (nats a hidden word) and `lr`.

    `start` is what a hidden word costs before any training. Down and to the right is better.
    """
    traces: list[Any] = []
    for name, points in curves.items():
        colour = COLOURS.get(name.split(",")[0], GREY)
        along = sorted(points, key=lambda point: point["lr"])
        traces.append(
            scatter(
                x=[point["accuracy"] for point in along],
                y=[point["words"] - start for point in along],
                text=[f"{point['lr']:g}" for point in along],
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
        "yaxis": {"title": {"text": "forgotten: nats a hidden word more"}, "rangemode": "tozero"},
    }
    return {"data": traces, "layout": layout(380, **axes)}


def cost_bars(shares: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> Spec:
    """Each method's bill as shares of full fine-tuning's, a group of bars a kind; the dotted line is full fine-tuning."""
    traces: list[Any] = []
    for i, (name, bill) in enumerate(shares.items()):
        colour = COLOURS.get(
            name,
            SHADES[min(2 * i + 1, len(SHADES) - 1)]
            if name.startswith("LoRA")
            else COLOURS["frozen body"],
        )
        heights = [bill[kind] for kind in kinds]
        text = [f"{height:.0%}" if height >= 0.01 else f"{height:.1%}" for height in heights]
        bar = {
            "type": "bar",
            "x": list(kinds),
            "y": heights,
            "name": name,
            "marker": {"color": colour},
        }
        traces.append(
            {
                **bar,
                "text": text,
                "textposition": "outside",
                "textfont": {"size": 9},
                "cliponaxis": False,
            }
        )
    line = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 1,
        "y1": 1,
        "line": {"color": GREY, "width": 1.5, "dash": "dot"},
    }
    axes = {
        "yaxis": {
            "title": {"text": "share of full fine-tuning's"},
            "tickformat": ".0%",
            "rangemode": "tozero",
        }
    }
    return {
        "data": traces,
        "layout": layout(360, barmode="group", bargap=0.25, shapes=[line], **axes),
    }
