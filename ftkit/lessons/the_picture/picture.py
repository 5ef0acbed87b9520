"""The picture of lesson 00 and of the README: test accuracy of each method with its interval."""

import math
from collections.abc import Mapping
from typing import Any

from ftkit.figures.plots import COLOURS, Spec, layout, scatter

CHANCE = 12.5
"""The accuracy of a random guess among the eight classes, in per cent."""
OTHER_COLOUR = COLOURS["BitFit"]
"""The colour of counting words, which is no technique of the kit; BitFit does not occur here."""


def accuracies(intervals: Mapping[str, Mapping[str, float]], seeds: int) -> Spec:
    """Test accuracy, a row a method and the best on top: a dot for the mean, a line for the
    interval.

    Args:
        intervals: for each method `mean`, `low` and `high`, in [0, 1].
        seeds: the number of runs that each interval summarises.
    """
    traces: list[Any] = []
    for name, row in sorted(intervals.items(), key=lambda item: item[1]["mean"]):
        mean, low, high = (100 * row[end] for end in ("mean", "low", "high"))
        colour = method_colour(name)
        line = scatter(
            x=[low, high], y=[name, name], mode="lines", line={"color": colour, "width": 3}
        )
        dot = scatter(x=[mean], y=[name], mode="markers", marker={"color": colour, "size": 12})
        # The figure is right of the interval, where no line crosses it.
        label = scatter(
            x=[high], y=[name], mode="text", text=[f"  {mean:.1f}"], textposition="middle right"
        )
        traces += [line, dot, {**label, "cliponaxis": False}]
    title = f"test accuracy, % (chance {CHANCE}), mean and 95 % interval of {seeds} seeds"
    lowest = min(row["low"] for row in intervals.values())
    highest = max(row["high"] for row in intervals.values())
    # Whole steps of ten below the lowest interval and above the highest.
    ends = [10 * math.floor(10 * lowest), 10 * math.ceil(10 * highest)]
    axes = {
        "xaxis": {
            "title": {"text": title, "font": {"size": 14}},
            "range": ends,
            "dtick": 10,
            "zeroline": False,
            "ticks": "",
        },
        "yaxis": {"automargin": True, "showgrid": False, "ticks": "", "ticklabelstandoff": 10},
    }
    frame = {"l": 20, "r": 62, "t": 12, "b": 56}
    font = {"size": 14, "color": "#222222"}
    height = 80 + 36 * len(intervals)
    return {
        "data": traces,
        "layout": layout(height, showlegend=False, margin=frame, font=font, **axes),
    }


def method_colour(name: str) -> str:
    """The colour of the technique that a method's name mentions.

    >>> method_colour("LoRA, rank 4") == COLOURS["LoRA"]
    True
    >>> method_colour("full fine-tuning of random weights") == COLOURS["random weights"]
    True
    """
    if name.endswith("random weights"):
        return COLOURS["random weights"]
    return COLOURS.get(name.split(",")[0], OTHER_COLOUR)
