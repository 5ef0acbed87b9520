"""The picture of LoRA's relatives: how far the rows of each matrix have turned, and how much longer or shorter they are."""

from collections.abc import Mapping
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, layout, scatter
from ftkit.figures.weight_names import short

HALVES = {"attention": ("circle", COLOURS["LoRA"]), "feed-forward": ("diamond", COLOURS["sparse"])}


def turns(values: Mapping[str, float]) -> Spec:
    """Length against direction, a point a matrix, from readings named `probe/longer/<weight>` and `probe/turned/<weight>`.

    The axes of Liu et al. 2024, arXiv:2402.09353, figure 2, with the mean angle in degrees for direction: full fine-tuning and LoRA leave
    other clouds there. A method that scales rows and turns none lies on the left edge. Only the edges of a cloud are named: names overlap.
    """
    found: dict[str, dict[str, float]] = {"longer": {}, "turned": {}}
    for key, value in values.items():
        _, which, name = key.split("/", 2)
        found[which][name] = value
    halves: dict[str, list[str]] = {half: [] for half in HALVES}
    for name in found["turned"]:
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
        "data": [_cloud(half, names, found) for half, names in halves.items()],
        "layout": layout(320, **axes),
    }


def _cloud(half: str, names: list[str], found: Mapping[str, Mapping[str, float]]) -> Any:
    symbol, colour = HALVES[half]
    labels = [short(name) for name in names]
    edges = (
        {pick(names, key=found[axis].__getitem__) for axis in found for pick in (min, max)}
        if names
        else set()
    )
    return scatter(
        x=[found["turned"][name] for name in names],
        y=[found["longer"][name] for name in names],
        text=[label if name in edges else "" for name, label in zip(names, labels, strict=True)],
        hovertext=labels,
        name=half,
        mode="markers+text",
        textposition="top center",
        textfont={"size": 9, "color": GREY},
        marker={"size": 9, "symbol": symbol, "color": colour},
    )
