"""The picture of LoRA's relatives: the change of direction and length of each matrix's rows."""

from collections.abc import Mapping
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, layout, scatter
from ftkit.figures.weight_names import short

HALVES = {"attention": ("circle", COLOURS["LoRA"]), "feed-forward": ("diamond", COLOURS["sparse"])}


def turns(values: Mapping[str, float]) -> Spec:
    """Draw the change of length against the change of direction, a point a matrix.

    A method that scales rows and turns none is on the left edge. Only the outermost points of each
    half are labelled, since labels would overlap.

    Args:
        values: `probe/longer/<weight>` and `probe/turned/<weight>`, see `study.row_changes`.

    Source: the axes are those of Liu et al. 2024, arXiv:2402.09353, figure 2, with the mean angle
    in degrees for the direction; in that figure full fine-tuning and LoRA have different clouds.
    """
    changes: dict[str, dict[str, float]] = {"longer": {}, "turned": {}}
    for key, value in values.items():
        _, quantity, name = key.split("/", 2)
        changes[quantity][name] = value
    halves: dict[str, list[str]] = {half: [] for half in HALVES}
    for name in changes["turned"]:
        halves["attention" if "attention" in name else "feed-forward"].append(name)
    axes = {
        "xaxis": {
            "title": {"text": "mean angle by which rows have turned, degrees"},
            "rangemode": "tozero",
        },
        "yaxis": {
            "title": {"text": "mean change of their length"},
            "rangemode": "tozero",
            "tickformat": ".1%",
        },
    }
    return {
        "data": [_cloud(half, names, changes) for half, names in halves.items()],
        "layout": layout(320, **axes),
    }


def _cloud(half: str, names: list[str], changes: Mapping[str, Mapping[str, float]]) -> Any:
    """The points of one half of the matrices, in its colour."""
    symbol, colour = HALVES[half]
    outermost: set[str] = set()
    for by_name in changes.values():
        if names:
            outermost |= {min(names, key=by_name.__getitem__), max(names, key=by_name.__getitem__)}
    labels = [short(name) for name in names]
    shown = [label if name in outermost else "" for name, label in zip(names, labels, strict=True)]
    return scatter(
        x=[changes["turned"][name] for name in names],
        y=[changes["longer"][name] for name in names],
        text=shown,
        hovertext=labels,
        name=half,
        mode="markers+text",
        textposition="top center",
        textfont={"size": 9, "color": GREY},
        marker={"size": 9, "symbol": symbol, "color": colour},
    )
