"""The picture of distillation: the answers of teacher and student, and how often they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ftkit.figures.plots import COLOURS, GREY, Spec, layout

MODELS = {"teacher": GREY, "student": COLOURS["distillation"]}
WRONG = COLOURS["sparse"]
LONGEST = 46
"""The number of letters of a sentence that are shown."""


@dataclass(frozen=True)
class Example:
    """A row of valid.

    Args:
        content: a text; or an image, as rows of pixels in [0, 1].
        label: the index of its class.
        classes: the names of all classes.
    """

    content: str | Sequence[Sequence[float]]
    label: int
    classes: tuple[str, ...]


Answers = Mapping[str, Sequence[float]]
"""The probabilities of all classes, by "teacher" and "student"."""
Row = tuple[Example, Answers]


def teaching(values: Mapping[str, Any], examples: Mapping[str, Sequence[Example]]) -> Spec:
    """Draw some rows and the answers of teacher and student.

    A text has two bars a class; an image has the most probable class of each model.

    Args:
        values: `probe/teacher/<bench>/<row>` and `probe/student/<bench>/<row>`, lists of
            probabilities; for the headline `probe/accuracy/<model>` and `probe/agreement/both`. See
            `trial.probe_answers`.
        examples: by benchmark all rows of which `<row>` is the index.
    """
    answers: dict[tuple[str, int], dict[str, Sequence[float]]] = {}
    for key, value in values.items():
        _, model, bench, *row = key.split("/")
        if model in MODELS:
            answers.setdefault((bench, int(row[0])), {})[model] = value
    rows = [(examples[bench][row], both) for (bench, row), both in answers.items()]
    if not rows:
        return {"data": [], "layout": layout(120, annotations=[_headline(values)])}
    draw = _texts if isinstance(rows[0][0].content, str) else _images
    return draw(rows, _headline(values))


def _headline(values: Mapping[str, Any]) -> dict[str, Any]:
    shares = {
        "teacher right": values.get("probe/accuracy/teacher"),
        "student right": values.get("probe/accuracy/student"),
        "the same answer": values.get("probe/agreement/both"),
    }
    figures = [f"{name}: {share:.1%}" for name, share in shares.items() if share is not None]
    text = "   ".join(["on valid", *figures]) if figures else ""
    return {**_annotation(text, 0.5, 1.0), "yshift": 34, "font": {"size": 13}}


def _annotation(text: str, x: float, y: float) -> dict[str, Any]:
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
    """Cut a text for a title, and escape what plotly would read as markup or as a formula.

    >>> plain("Return <b>$x$</b> & more"), plain("one two three", longest=9)
    ('Return &lt;b&gt;&#36;x&#36;&lt;/b&gt; &amp; more', 'one two …')
    """
    flat = " ".join(text.split())
    cut = flat if len(flat) <= longest else flat[: longest - 1] + "…"
    return escape(cut, quote=False).replace("$", "&#36;")


Cell = tuple[list[float], list[float]]
"""The (x, y) domains of one plot of several."""


def _grid(count: int, columns: int, gap: tuple[float, float]) -> list[Cell]:
    """The cells of a grid, row by row from the top.

    Args:
        count: the number of cells.
        columns: the number of columns.
        gap: between columns and between rows, as shares of the whole.
    """
    rows = -(-count // columns)
    width = (1 - gap[0] * (columns - 1)) / columns
    height = (1 - gap[1] * (rows - 1)) / rows
    cells = []
    for i in range(count):
        left = i % columns * (width + gap[0])
        bottom = (rows - 1 - i // columns) * (height + gap[1])
        cells.append(([left, left + width], [bottom, bottom + height]))
    return cells


def _texts(rows: Sequence[Row], headline: dict[str, Any]) -> Spec:
    """A bar chart for each text, below the text."""
    traces: list[Any] = []
    titles = [headline]
    axes: dict[str, Any] = {}
    cells = _grid(len(rows), 2, (0.09, 0.3))
    for i, ((example, answers), (x_domain, y_domain)) in enumerate(zip(rows, cells, strict=True)):
        axis = str(i + 1) if i else ""
        names = [escape(name) for name in example.classes]
        names[example.label] = f"<b>{names[example.label]}</b>"
        positions = list(range(len(names)))
        traces += [
            {
                "type": "bar",
                "x": positions,
                "y": list(answers[model]),
                "name": model,
                "marker": {"color": colour},
                "showlegend": not i,
                "hovertemplate": f"{model} %{{y:.1%}}<extra></extra>",
                "xaxis": f"x{axis}",
                "yaxis": f"y{axis}",
            }
            for model, colour in MODELS.items()
        ]
        axes[f"xaxis{axis}"] = {
            "domain": x_domain,
            "anchor": f"y{axis}",
            "showgrid": False,
            "zeroline": False,
            "tickvals": positions,
            "ticktext": names,
            "tickangle": -40,
            "tickfont": {"size": 10},
        }
        axes[f"yaxis{axis}"] = {
            "domain": y_domain,
            "anchor": f"x{axis}",
            "range": [0, 1],
            "tickformat": ".0%",
            "nticks": 3,
        }
        title = _annotation(plain(str(example.content)), sum(x_domain) / 2, y_domain[1])
        titles.append({**title, "font": {"size": 11}})
    legend = {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": 0,
        "yanchor": "bottom",
        "yref": "container",
    }
    margin = {"l": 44, "r": 10, "t": 62, "b": 92}
    more = {"barmode": "group", "bargap": 0.25, "legend": legend}
    return {
        "data": traces,
        "layout": layout(480, margin=margin, annotations=titles, **more, **axes),
    }


def _images(rows: Sequence[Row], headline: dict[str, Any]) -> Spec:
    """Each image, below the answers of both models."""
    traces: list[Any] = []
    titles = [headline]
    axes: dict[str, Any] = {}
    cells = _grid(len(rows), 4, (0.02, 0.13))
    for i, ((example, answers), (x_domain, y_domain)) in enumerate(zip(rows, cells, strict=True)):
        axis = str(i + 1) if i else ""
        traces.append(
            {
                "type": "heatmap",
                "z": [list(line) for line in example.content],
                "colorscale": "Greys",
                "showscale": False,
                "zmin": 0,
                "zmax": 1,
                "xaxis": f"x{axis}",
                "yaxis": f"y{axis}",
                "hoverinfo": "skip",
            }
        )
        text = "<br>".join(_answer(model, example, answers[model]) for model in MODELS)
        title = _annotation(text, sum(x_domain) / 2, y_domain[1])
        titles.append({**title, "font": {"size": 11}})
        axes[f"xaxis{axis}"] = {"domain": x_domain, "anchor": f"y{axis}", "visible": False}
        axes[f"yaxis{axis}"] = {
            "domain": y_domain,
            "anchor": f"x{axis}",
            "visible": False,
            "autorange": "reversed",
            "scaleanchor": f"x{axis}",
        }
    margin = {"l": 10, "r": 10, "t": 76, "b": 10}
    return {"data": traces, "layout": layout(560, margin=margin, annotations=titles, **axes)}


def _answer(model: str, example: Example, probabilities: Sequence[float]) -> str:
    """A model's most probable class; if it is wrong, with a cross, in colour, and the right one."""
    answer = max(range(len(probabilities)), key=probabilities.__getitem__)
    text = f"{model}: {escape(example.classes[answer])}"
    share = f"({probabilities[answer]:.0%})"
    if answer == example.label:
        return f"{text} {share}"
    right = escape(example.classes[example.label])
    return f'<span style="color:{WRONG}">✗ {text} {share}, is {right}</span>'
