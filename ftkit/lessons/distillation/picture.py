"""Distillation's picture: what teacher and student say to real rows, and how often they say the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, layout

WHO = {"teacher": GREY, "student": COLOURS["distillation"]}
WRONG = COLOURS["sparse"]
LONGEST = 46
"""Letters of a sentence that are shown."""


@dataclass(frozen=True)
class Example:
    """A row of valid: a text, or an image as rows of numbers in [0, 1]; the number of its class, and what all classes are called."""

    given: str | Sequence[Sequence[float]]
    label: int
    classes: tuple[str, ...]


def teaching(values: Mapping[str, float], examples: Mapping[str, Sequence[Example]]) -> Spec:
    """Some rows and what is said of them, from readings `probe/<teacher or student>/<on>/<row>/<class>`, probabilities.

    A text is shown with a bar a class for both; an image with the class that each of them finds most probable. Above it the readings
    `probe/accuracy/<who>` and `probe/agreement/both`. `examples[on][row]` is the row itself.
    """
    said: dict[tuple[str, int], dict[str, list[float]]] = {}
    for key, value in values.items():
        who, bench, *rest = key.split("/")[1:]
        if who in WHO:
            said.setdefault((bench, int(rest[0])), {}).setdefault(who, []).append(value)
    rows = [(examples[bench][row], both) for (bench, row), both in said.items()]
    if not rows:
        return {"data": [], "layout": layout(120, annotations=[_headline(values)])}
    draw = _texts if isinstance(rows[0][0].given, str) else _images
    return draw(rows, _headline(values))


Row = tuple[Example, Mapping[str, Sequence[float]]]


def _headline(values: Mapping[str, float]) -> dict[str, Any]:
    figures = {
        "teacher right": values.get("probe/accuracy/teacher"),
        "student right": values.get("probe/accuracy/student"),
        "the same answer": values.get("probe/agreement/both"),
    }
    words = "   ".join(
        f"{name}: {share:.1%}" for name, share in figures.items() if share is not None
    )
    return {**_words(words and f"on valid   {words}", 0.5, 1.0), "yshift": 34, "font": {"size": 13}}


def _words(text: str, x: float, y: float) -> dict[str, Any]:
    return {
        "text": text,
        "x": x,
        "xanchor": "center",
        "xref": "paper",
        "y": y,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
    }


def plain(text: str, longest: int = LONGEST) -> str:
    """A text as a title may carry it: cut, and with nothing in it that would be read as markup or as a formula.

    >>> plain("Return <b>$x$</b> & more"), plain("one two three", longest=9)
    ('Return &lt;b&gt;&#36;x&#36;&lt;/b&gt; &amp; more', 'one two …')
    """
    flat = " ".join(text.split())
    cut = flat if len(flat) <= longest else flat[: longest - 1] + "…"
    return escape(cut, quote=False).replace("$", "&#36;")


def _grid(
    count: int, columns: int, gap: tuple[float, float]
) -> list[tuple[list[float], list[float]]]:
    """The (x, y) domains of `count` places, row by row from the top."""
    lines = -(-count // columns)
    wide, high = (1 - gap[0] * (columns - 1)) / columns, (1 - gap[1] * (lines - 1)) / lines
    places = []
    for i in range(count):
        left, bottom = i % columns * (wide + gap[0]), (lines - 1 - i // columns) * (high + gap[1])
        places.append(([left, left + wide], [bottom, bottom + high]))
    return places


def _texts(rows: Sequence[Row], headline: dict[str, Any]) -> Spec:
    traces: list[Any] = []
    titles, axes = [headline], dict[str, Any]()
    for i, ((example, both), (across, up)) in enumerate(
        zip(rows, _grid(len(rows), 2, (0.09, 0.3)), strict=True)
    ):
        at = str(i + 1) if i else ""
        names = [
            f"<b>{escape(name)}</b>" if j == example.label else escape(name)
            for j, name in enumerate(example.classes)
        ]
        for who, colour in WHO.items():
            bars = {
                "type": "bar",
                "x": list(range(len(names))),
                "y": list(both[who]),
                "name": who,
                "marker": {"color": colour},
            }
            probe = {"showlegend": not i, "hovertemplate": f"{who} %{{y:.1%}}<extra></extra>"}
            traces.append({**bars, **probe, "xaxis": f"x{at}", "yaxis": f"y{at}"})
        ticks = {
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "tickangle": -40,
            "tickfont": {"size": 10},
        }
        axes[f"xaxis{at}"] = {
            "domain": across,
            "anchor": f"y{at}",
            "showgrid": False,
            "zeroline": False,
            **ticks,
        }
        axes[f"yaxis{at}"] = {
            "domain": up,
            "anchor": f"x{at}",
            "range": [0, 1],
            "tickformat": ".0%",
            "nticks": 3,
        }
        titles.append(
            {**_words(plain(str(example.given)), sum(across) / 2, up[1]), "font": {"size": 11}}
        )
    frame = {"l": 44, "r": 10, "t": 62, "b": 92}
    legend = {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": 0,
        "yanchor": "bottom",
        "yref": "container",
    }
    return {
        "data": traces,
        "layout": layout(
            480,
            margin=frame,
            annotations=titles,
            barmode="group",
            bargap=0.25,
            legend=legend,
            **axes,
        ),
    }


def _images(rows: Sequence[Row], headline: dict[str, Any]) -> Spec:
    traces, titles, axes = [], [headline], dict[str, Any]()
    for i, ((example, both), (across, up)) in enumerate(
        zip(rows, _grid(len(rows), 4, (0.02, 0.13)), strict=True)
    ):
        at, first = (
            str(i + 1) if i else "",
            {who: max(range(len(p)), key=p.__getitem__) for who, p in both.items()},
        )
        picture = {
            "type": "heatmap",
            "z": [list(line) for line in example.given],
            "colorscale": "Greys",
            "showscale": False,
        }
        traces.append(
            {
                **picture,
                "zmin": 0,
                "zmax": 1,
                "xaxis": f"x{at}",
                "yaxis": f"y{at}",
                "hoverinfo": "skip",
            }
        )
        words = "<br>".join(
            _verdict(who, example, first[who], both[who][first[who]]) for who in WHO
        )
        titles.append({**_words(words, sum(across) / 2, up[1]), "font": {"size": 11}})
        axes[f"xaxis{at}"] = {"domain": across, "anchor": f"y{at}", "visible": False}
        axes[f"yaxis{at}"] = {
            "domain": up,
            "anchor": f"x{at}",
            "visible": False,
            "autorange": "reversed",
            "scaleanchor": f"x{at}",
        }
    return {
        "data": traces,
        "layout": layout(
            560, margin={"l": 10, "r": 10, "t": 76, "b": 10}, annotations=titles, **axes
        ),
    }


def _verdict(who: str, example: Example, answer: int, probability: float) -> str:
    """What one of them says of an image; what is wrong has a cross, the right class and a colour of its own."""
    words = f"{who}: {escape(example.classes[answer])}"
    if answer == example.label:
        return f"{words} ({probability:.0%})"
    return f'<span style="color:{WRONG}">✗ {words} ({probability:.0%}), is {escape(example.classes[example.label])}</span>'
