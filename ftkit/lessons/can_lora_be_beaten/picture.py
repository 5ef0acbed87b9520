"""The picture of the public table: each row minus LoRA, and the two yardsticks around 0."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ftkit.figures.plots import COLOURS, GREY, Spec, faded, layout, scatter

LOWEST = -5.0
"""Rows farther below LoRA, in points, are not drawn: by re-runs, all of them differ from it."""
ROW, FRAME = 17, 100
"""The height of a row, and of the legend and the axis together, in pixels."""
VERDICTS = {
    "differs from LoRA by neither": "circle-open",
    "by re-runs alone": "circle",
    "by both": "square",
}
"""What a symbol says, with Holm's p below 0.05."""


def yardsticks(tested: pd.DataFrame, bands: Mapping[str, float]) -> Spec:
    """Draw each row's difference from LoRA, and the bands in which one row alone does not differ.

    Rows that are LoRA themselves have LoRA's colour.

    Args:
        tested: from `peft_table.against`.
        bands: from `peft_table.critical_differences`, in points.
    """
    rows = tested[tested["difference"] > LOWEST]
    by_reruns = rows["reruns_holm"] < 0.05
    by_both = by_reruns & (rows["questions_holm"] < 0.05)
    groups = dict(zip(VERDICTS, (~by_reruns, by_reruns & ~by_both, by_both), strict=True))
    axes = {
        "xaxis": {"title": {"text": "accuracy minus LoRA's, in points"}},
        "yaxis": {
            "autorange": "reversed",
            "automargin": True,
            "dtick": 1,
            "showgrid": False,
            "tickfont": {"size": 11},
            "categoryorder": "array",
            "categoryarray": rows["method"].tolist(),
        },
    }
    marks = {"shapes": _strips(bands), "annotations": _names(bands)}
    return {
        "data": [_points(rows[of], verdict) for verdict, of in groups.items() if of.any()],
        "layout": layout(FRAME + ROW * len(rows), **marks, **axes),
    }


def _points(rows: pd.DataFrame, verdict: str) -> Any:
    colours = [COLOURS["LoRA"] if is_lora else GREY for is_lora in rows["is_lora"]]
    line = {"width": 2, "color": colours}
    return scatter(
        x=rows["difference"].tolist(),
        y=rows["method"].tolist(),
        name=verdict,
        mode="markers",
        marker={"size": 9, "symbol": VERDICTS[verdict], "color": colours, "line": line},
    )


def _strips(bands: Mapping[str, float]) -> list[Any]:
    """A shaded strip for each band; where two lie on each other it is darker."""
    place = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    style = {"line": {"width": 0}, "fillcolor": faded(COLOURS["LoRA"], 0.12)}
    return [{**place, **style, "x0": -half, "x1": half} for half in bands.values()]


def _names(bands: Mapping[str, float]) -> list[Any]:
    """The names of the bands, one above the other at the bottom: there are no points."""
    return [
        {
            "text": f"{name}: ± {half:.1f}",
            "showarrow": False,
            "font": {"size": 11},
            "x": 0,
            "y": 0.04 * line,
            "yref": "paper",
            "yanchor": "bottom",
        }
        for line, (name, half) in enumerate(bands.items())
    ]
