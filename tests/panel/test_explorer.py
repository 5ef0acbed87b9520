"""The explorer, with fake trials: headless, on a thread, and as in Colab."""

import io
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from ftkit.experiments.sweep import MEASURED, grid, sweep
from ftkit.experiments.tables import replay, where
from ftkit.figures.comparisons import differences, rates
from ftkit.figures.plots import COLOURS, learning, trade_off
from ftkit.lessons import Lesson, lessons
from ftkit.lessons.lora.picture import spectra
from ftkit.panel import explorer
from ftkit.panel.controls import Ordered, Several
from ftkit.panel.cost_table import ROWS, bill
from ftkit.panel.explorer import Explorer
from ftkit.panel.plot import Plot, plain
from ftkit.panel.recorded_runs import Recorded
from ftkit.panel.still_image import packed
from ftkit.panel.worker import Ended, Job
from ftkit.training.events import Event

CALLS: list[dict[str, Any]] = []


def trial(rank: int, lr: float, bench: str = "text", seed: int = 0) -> Iterator[Event]:
    CALLS.append({"rank": rank, "lr": lr, "bench": bench, "seed": seed})
    if lr == 9.0:
        raise ValueError("the loss is <nan>")
    for step in range(1, 5):
        yield Event(step, "train", {"train/loss": 1 / step})
        if step in (2, 4):
            yield Event(
                step,
                "valid",
                {"valid/accuracy": min(1.0, 0.1 * step + 0.01 * rank), "valid/loss": 1.0},
            )
            yield Event(
                step,
                "probe",
                {"probe/change/body.0.weight": [1.0 / (i + 1) for i in range(rank)]},
            )
    costs = (
        "trainable",
        "flops",
        "weights",
        "gradients",
        "optimizer",
        "activations",
        "disk",
        "seconds",
    )
    yield Event(4, "cost", {f"cost/{name}": 100.0 * rank for name in costs})


SETTINGS: dict[str, Any] = {
    "bench": ["text", "vision"],
    "rank": [1, 4, 16],
    "lr": [0.001, 0.1, 9.0],
}


def make(**others: Any) -> Explorer:
    return Explorer(
        trial,
        steps=4,
        picture=spectra,
        title=others.pop("title", "a panel"),
        **{**SETTINGS, **others},
    )


@pytest.fixture(params=["headless", "thread", "blocking"])
def panel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explorer]:
    CALLS.clear()
    monkeypatch.setattr(explorer, "mode", lambda: request.param)
    made = make()
    made.wait(5)
    yield made
    made.close()


def test_it_runs_once_when_it_is_made(panel: Explorer) -> None:
    assert CALLS == [{"bench": "text", "rank": 1, "lr": 0.001, "seed": 0}]
    assert [run.accuracy for run in panel.runs] == [pytest.approx(0.41)]
    assert panel.runs[0].cost["flops"] == 100.0 and panel.runs[0].losses[-1] == (4, 0.25)


def test_a_move_runs_the_new_settings(panel: Explorer) -> None:
    panel.panel._controls["rank"].value = 16
    panel.wait(5)
    assert CALLS[-1]["rank"] == 16 and panel.runs[0].accuracy == pytest.approx(0.56)
    assert "Done" in panel.panel._status.value and "56.0 %" in panel.panel._status.value


def test_set_moves_several_controls_and_runs_once(panel: Explorer) -> None:
    panel.set(rank=4, bench="vision", seed=3)
    panel.wait(5)
    assert CALLS[1:] == [{"bench": "vision", "rank": 4, "lr": 0.001, "seed": 3}]


def test_the_share_text_brings_the_state_back(panel: Explorer) -> None:
    panel.set(rank=16, lr=0.1, seed=5)
    text = panel.share
    panel.set(rank=1, lr=0.001, seed=0)
    panel.load(text)
    panel.wait(5)
    assert panel.settings == {"bench": "text", "rank": 16, "lr": 0.1} and panel.panel.seed == 5
    assert CALLS[-1] == {"bench": "text", "rank": 16, "lr": 0.1, "seed": 5}
    assert panel.panel._share.value == text


def test_eight_seeds(panel: Explorer) -> None:
    panel.panel._many.click()
    runs = panel.wait(5)
    assert [run.seed for run in runs] == list(range(8))
    assert "8 seeds" in panel.panel._status.value
    assert panel.panel._progress.value == panel.panel._progress.max == 32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rank=3", "rank must be one of 1, 4, 16, got '3'"),
        ("ranks=4", "a setting must be one of bench, rank, lr, seed, got 'ranks'"),
        ("seed=-1", "seed must be a whole number from 0 to 9999"),
        (
            "gibberish",
            "a share text must look like bench=text&rank=1&lr=0.001&seed=0, got 'gibberish'",
        ),
    ],
)
def test_a_share_text_that_does_not_fit_is_refused_and_moves_nothing(
    panel: Explorer, text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        panel.load(text)
    panel.panel._share.value = f"bench=<b>&{text}"
    assert (
        "Not understood" in panel.panel._status.value and "'<b>'" not in panel.panel._status.value
    )
    assert "&lt;b&gt;" in panel.panel._status.value
    assert len(CALLS) == 1 and panel.settings["rank"] == 1


def test_the_end_of_a_run_that_was_replaced_is_not_painted(panel: Explorer) -> None:
    said = panel.panel._status.value
    panel._ended(Ended(Job(7, {"bench": "text", "rank": 16, "lr": 0.1}, (0,)), "replaced"))
    assert panel.panel._status.value == said and panel.runs[0].settings["rank"] == 1


def test_an_error_is_said_and_raised_by_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "thread")
    panel = make()
    panel.set(lr=9.0)
    with pytest.raises(ValueError, match="the loss is <nan>"):
        panel.wait(5)
    assert "Failed" in panel.panel._status.value and "&lt;nan&gt;" in panel.panel._status.value
    panel.set(lr=0.1)
    assert panel.wait(5)[0].accuracy > 0
    panel.close()


def test_an_error_fails_the_cell_where_there_is_no_front_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    with pytest.raises(ValueError, match="the loss is <nan>"):
        make(lr=[9.0])


def test_a_panel_of_the_same_cell_replaces_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "thread")
    one = make(title="same")
    two, other = make(title="same"), make(title="other")
    with pytest.raises(RuntimeError, match="run its cell again"):
        one.set(rank=4)
    two.set(rank=4), other.set(rank=4)
    assert two.wait(5) and other.wait(5)
    two.close(), other.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ftkit session"]


def test_where_panels_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FTKIT_HEADLESS", raising=False)
    assert explorer.mode() == "headless", "no kernel"
    monkeypatch.setattr(explorer, "_shell", lambda: types.SimpleNamespace(kernel=object()))
    assert explorer.mode() == "thread"
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert explorer.mode() == "blocking"
    monkeypatch.setenv("FTKIT_HEADLESS", "1")
    assert explorer.mode() == "headless"


def test_in_colab_the_panel_says_that_a_run_cannot_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "blocking")
    body = make().panel._shown.children[1].children[0]
    assert any(
        "a run cannot be left" in getattr(child, "value", "")
        for child in body.children
        if isinstance(getattr(child, "value", ""), str)
    )


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"rank": []}, "must have at least one value, got none for rank"),
        ({"start": {"rank": 5}}, "start must be among the settings' values, got rank=5"),
        ({"start": {"ranks": 4}}, "got ranks=4; the settings are bench, rank, lr"),
    ],
)
def test_bad_settings_are_refused(others: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(**others)


def test_a_typed_number_moves_to_the_nearest_stop(panel: Explorer) -> None:
    stops = panel.panel._controls["rank"]
    stops.box.value = "11"
    assert panel.settings["rank"] == 16 and stops.box.value == "16"
    stops.box.value = "many"
    assert panel.settings["rank"] == 16 and stops.box.value == "16"


def recorded() -> Recorded:
    table = sweep(trial, grid(bench=["text"], rank=[1, 4, 16], lr=[0.1], seed=[0, 1])).assign(
        method="LoRA"
    )
    full = sweep(trial, grid(bench=["text"], rank=[40], lr=[0.1], seed=[0, 1])).assign(
        method="full fine-tuning", rank=0
    )
    return Recorded(
        pd.concat([table, full], ignore_index=True), "LoRA", "rank", floors={"text": 0.25}
    )


def test_what_was_recorded_stands_behind_the_live_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    panel = make(recorded=recorded(), start={"lr": 0.1})
    assert "Recorded, 2 seeds: 41.0 % [41.0, 41.0]" in panel.panel._status.value
    names = [trace.name for trace in panel.panel.curves.figure.data]
    assert "recorded, 95 % interval" in names and "this run" in names
    floor = panel.panel.curves.figure.data[names.index("always the most frequent answer")]
    assert list(floor.y) == [0.25, 0.25] and floor.x[0] == 0 < floor.x[1]
    assert [trace.name for trace in panel.panel.costs.figure.data] == [
        "LoRA",
        "full fine-tuning",
        "this run",
    ]
    assert "measured in this run" in panel.panel._bill.value and "2.5 %" in panel.panel._bill.value
    panel.set(lr=0.001)
    assert "not recorded" in panel.panel._status.value
    panel.panel._axis.value = "flops"
    assert panel.panel.costs.figure.layout.xaxis.title.text == "FLOPs a step"
    panel.close()


def test_a_bill_compares_no_seconds() -> None:
    here, full = dict.fromkeys(ROWS, 2.0), dict.fromkeys(ROWS, 4.0)
    assert bill(here, full, True).count("50 %") == len(ROWS) - 1
    assert bill(here, full, True).split("time a step")[1].count(
        "<td></td>"
    ) == 2 and "%" not in bill(here, None, False)


def test_several_values_are_one_text_and_never_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    seen = []

    def heard(of: str, seed: int) -> Iterator[Event]:
        seen.append(of)
        yield Event(1, "train", {"train/loss": 1.0})

    panel = Explorer(heard, of=Several(["a", "b", "c"]))
    first, second, third = panel.panel._controls["of"].buttons
    first.value = False
    third.value = False
    second.value = False
    assert second.value and seen == ["a+b+c", "b+c", "b"], "one stays pressed, and that is no move"
    panel.load("of=a%2Bc&seed=0")
    assert [button.value for button in (first, second, third)] == [True, False, True] and seen[
        -1
    ] == "a+c"
    panel.set(of="b")
    assert [button.value for button in (first, second, third)] == [False, True, False] and seen[
        -2:
    ] == ["a+c", "b"]
    panel.set(of="c+a")
    assert panel.settings["of"] == "a+c" and seen[-1] == "a+c", "in any order"
    with pytest.raises(ValueError, match="of must be some, joined by \\+, of a, b, c, got 'c\\+z'"):
        panel.set(of="c+z")
    with pytest.raises(ValueError, match="start must be among"):
        Explorer(heard, of=Several(["a", "b"]), start={"of": "z"})
    panel.close()


def test_texts_in_a_line_are_a_slider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")

    def heard(of: str, seed: int) -> Iterator[Event]:
        yield Event(1, "train", {"train/loss": 1.0})

    panel = Explorer(heard, of=Ordered(["near", "far"]))
    slider = panel.panel._controls["of"]
    assert (
        isinstance(slider, ipywidgets.SelectionSlider)
        and slider.value == "near"
        and not slider.continuous_update
    )
    slider.index = 1
    assert panel.settings == {"of": "far"}
    panel.load("of=near&seed=0")
    assert slider.index == 0
    panel.close()


def test_the_page_asks_for_plotly_and_gets_it() -> None:
    sent = []
    plot = Plot("words")
    plot.send = lambda content, buffers: sent.append((content, len(buffers[0])))
    plot._answer(plot, {"plotly": "wanted"}, [])
    plot._answer(plot, {"other": 1}, [])
    assert [content for content, _ in sent] == [{"plotly": "here"}] and sent[0][1] > 500_000


def test_only_the_first_plot_carries_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plot, "_carried", False)
    assert [len(Plot().library) > 500_000 for _ in range(3)] == [True, False, False]


def test_a_spec_is_plain_lists() -> None:
    import numpy as np

    assert plain({"a": (np.arange(2), [np.float64(1.5)])}) == {"a": [[0, 1], [1.5]]}


def test_figures_say_what_they_are_given() -> None:
    figure = go.Figure(
        learning([[(1, 0.1), (2, 0.3)], [(1, 0.2), (2, 0.4)]], [(1, 2.0)], None, "#0072b2", 10)
    )
    assert [list(trace.y) for trace in figure.data] == [[0.1, 0.3], [0.2, 0.4], [2.0]]
    assert list(figure.layout.xaxis.range) == [0, 10]
    assert learning([], [], None, "#0072b2", 10)["data"][-1]["y"] == [None], "an axis needs a point"
    assert learning([], [], None, "#0072b2", None, 0.5)["data"][0]["x"] == [0, 0], (
        "a floor needs no point"
    )
    point = {"name": "LoRA", "label": "4", "mean": 0.5, "low": 0.4, "high": 0.7, "trainable": 10.0}
    trade = go.Figure(
        trade_off([point], "trainable", {"trainable": 20.0, "accuracy": 0.6}, "#0072b2")
    )
    assert trade.data[0].error_y.array == pytest.approx([0.2]) and trade.data[
        0
    ].error_y.arrayminus == pytest.approx([0.1])
    assert (trade.data[1].x, trade.data[1].y) == ((20.0,), (0.6,))


def test_labels_that_would_stand_on_each_other_are_left_to_the_pointer() -> None:
    ends = {"name": "LoRA", "low": 0.0, "high": 1.0}
    four = [(0.5, 10.0), (0.501, 10.2), (0.7, 10.0), (0.702, 100.0)]
    points = [
        {**ends, "label": str(i), "mean": mean, "trainable": cost}
        for i, (mean, cost) in enumerate(four)
    ]
    line = go.Figure(trade_off(points, "trainable", None, "#0072b2")).data[0]
    assert list(line.text) == ["", "1", "2", "3"] and list(line.hovertext) == ["0", "1", "2", "3"]


def test_a_comparison_marks_the_best_rate_and_the_mean_difference() -> None:
    curve = {
        "lr": [1e-3, 1e-2, 1e-1],
        "mean": [0.5, 0.7, 0.7],
        "low": [0.4, 0.6, 0.6],
        "high": [0.6, 0.9, 0.8],
    }
    curve["best"] = [False, True, False]
    line = go.Figure(rates({"rank 1": curve}, ["#0072b2"])).data[0]
    assert line.marker.size == (5, 12, 5) and line.error_y.array == pytest.approx([0.1, 0.2, 0.1])
    wide = go.Figure(
        rates({"rank 1": {**curve, "low": [-0.2, 0.6, 0.5], "high": [1.2, 0.9, 0.7]}}, ["#0072b2"])
    ).data[0]
    assert (wide.error_y.array[0], wide.error_y.arrayminus[0]) == (0.5, 0.5), (
        "no accuracy is below 0 or above 1"
    )
    figure = go.Figure(differences({"full": [0.01, 0.03]}, 0.02, "LoRA"))
    assert list(figure.data[0].x) == [1.0, 3.0] and list(figure.data[1].x) == [2.0]
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (-2.0, 2.0)


def test_a_figure_that_plotly_does_not_know_is_refused() -> None:
    plot = Plot("words")
    plot.show({"data": [{"type": "scatter", "colour": "red"}], "layout": {}})
    with pytest.raises(ValueError, match="Invalid property"):
        plot.figure  # noqa: B018


def test_a_stored_picture_keeps_the_colour_of_every_technique() -> None:
    shades = np.linspace(0, 255, 600 * 400).reshape(400, 600)
    image = np.stack([shades, np.roll(shades, 99, 1), shades[::-1]], -1).astype(np.uint8)
    wanted = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS.values()]
    for i, colour in enumerate(wanted):
        image[20 * i : 20 * i + 8, :8] = colour
    stored = np.asarray(
        Image.open(io.BytesIO(packed(Image.fromarray(image)))).convert("RGB")
    ).astype(int)
    assert np.abs(stored - image).mean() < 10
    for i, colour in enumerate(wanted):
        assert np.abs(stored[20 * i + 4, 4] - colour).max() < 12, list(COLOURS)[i]


def test_a_spectrum_stops_where_the_rank_does() -> None:
    values = {
        f"probe/{which}/body.layers.0.mlp.fc1.weight": [2.0, 1.0, 1e-9]
        for which in ("change", "after")
    }
    heat = go.Figure(spectra(values)).data[0]
    assert [list(row) for row in heat.z] == [[1.0, 0.5, None]] and heat.y == ("0 fc1",)


@pytest.mark.parametrize("lesson", lessons().values(), ids=lambda lesson: lesson.name)
def test_a_replayed_explorer_of_each_lesson_shows_its_record_and_says_so(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    table, _ = lesson.read()
    names = [name for name in table.columns if name not in (*MEASURED, "seed")]
    ends = table[table["quantity"] == "valid/accuracy"].drop_duplicates(
        [*names, "seed"], keep="last"
    )
    assert len(ends) > 100
    for _, row in ends.iloc[:: len(ends) // 7].iterrows():
        settings = {
            name: row[name] for name in names if row[name] == row[name]
        }  # rails have no rank
        own = table[table[[name for name in names if name not in settings]].isna().all(axis=1)]
        panel = Explorer(
            replay(own),
            name="LoRA",
            title=lesson.name,
            **{name: [value] for name, value in settings.items()},
        )
        panel.set(seed=int(row["seed"]))
        (run,) = panel.wait()
        rows = where(own, **settings, seed=row["seed"], quantity="valid/accuracy")
        assert (
            run.accuracies == list(zip(rows["step"], rows["value"], strict=True))
            and run.accuracy == row["value"]
        )
        assert (
            "Recorded." in panel.panel._status.value
            and "nothing was trained just now" in panel.panel._status.value
        )
        panel.close()


def test_a_live_explorer_does_not_say_recorded(panel: Explorer) -> None:
    assert "Recorded." not in panel.panel._status.value


def test_a_replayed_run_that_was_not_recorded_says_what_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "blocking")
    table = sweep(trial, grid(rank=[1], lr=[0.1], bench=["text"], seed=[0]))
    panel = Explorer(replay(table), rank=[1, 4], lr=[0.1], bench=["text"])
    panel.set(rank=4)
    assert (
        "a replayed run must be one that was recorded (rank, lr, bench, seed)"
        in panel.panel._status.value
    )
