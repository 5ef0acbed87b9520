"""The explorer, with fake trials: headless, on a thread, and as in Colab."""

import gc
import io
import math
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from helpers.fake_trials import cost_event, train_event, valid_event
from PIL import Image

from ftkit.experiments.sweep import MEASURED, grid, sweep
from ftkit.experiments.tables import replay, where
from ftkit.figures.comparisons import differences, rates
from ftkit.figures.plots import COLOURS, learning, trade_off
from ftkit.lessons import Lesson, lessons
from ftkit.lessons.lora.picture import spectra
from ftkit.panel import explorer, front_end, plot
from ftkit.panel.controls import Ordered, Several
from ftkit.panel.cost_table import ROWS, cost_table
from ftkit.panel.explorer import Explorer
from ftkit.panel.plot import Plot, plain
from ftkit.panel.recorded_runs import Recorded
from ftkit.panel.still_image import packed
from ftkit.panel.worker import THREAD, Job, JobEnd
from ftkit.teaching import display
from ftkit.training.events import Event

CALLS: list[dict[str, Any]] = []


def trial(rank: int, lr: float, bench: str = "text", seed: int = 0) -> Iterator[Event]:
    CALLS.append({"rank": rank, "lr": lr, "bench": bench, "seed": seed})
    if lr == 9.0:
        raise ValueError("the loss is <nan>")
    for step in range(1, 5):
        yield train_event(step, 1 / step)
        if step in (2, 4):
            yield valid_event(step, min(1.0, 0.1 * step + 0.01 * rank))
            singular_values = [1.0 / (i + 1) for i in range(rank)]
            yield Event(step, "probe", {"probe/change/body.0.weight": singular_values})
    yield cost_event(4, 100.0 * rank)


def one_step(of: str, seed: int, depth: str = "") -> Iterator[Event]:
    CALLS.append({"of": of, "seed": seed})
    yield train_event(1)


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
    ("text", "message"),
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
    panel: Explorer, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        panel.load(text)
    panel.panel._share.value = f"bench=<b>&{text}"
    status = panel.panel._status.value
    assert "Not understood" in status and "'<b>'" not in status
    assert "&lt;b&gt;" in status
    assert len(CALLS) == 1 and panel.settings["rank"] == 1


def test_the_end_of_a_run_that_was_replaced_is_not_painted(panel: Explorer) -> None:
    before = panel.panel._status.value
    panel._on_end(JobEnd(Job(7, {"bench": "text", "rank": 16, "lr": 0.1}, (0,)), "replaced"))
    assert panel.panel._status.value == before and panel.runs[0].settings["rank"] == 1


def test_an_error_is_shown_and_raised_by_wait(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert not [thread for thread in threading.enumerate() if thread.name == THREAD]


class Cell:
    """A stand-in for the shell: it says which execution of which cell is going on."""

    def __init__(self, cell: str = "cell-1") -> None:
        self.kernel, self.cell, self.execution = object(), cell, 0
        self.user_ns: dict[str, Any] = {"_oh": {}}

    def run(self) -> None:
        """Begin an execution of the cell."""
        self.execution += 1

    def show(self, value: Any) -> None:
        """Remember an output as IPython does."""
        number = len(self.user_ns["_oh"]) + 100 * self.execution
        self.user_ns["_oh"][number] = self.user_ns[f"_{number}"] = value

    def drop_by_id(self, variables: dict[str, Any]) -> None:
        """Remove variables as IPython does."""
        for name, value in variables.items():
            if self.user_ns[name] is value:
                del self.user_ns[name]

    def get_parent(self) -> dict[str, Any]:
        header = {"msg_id": f"message-{self.execution}"}
        return {"header": header, "metadata": {"cellId": self.cell} if self.cell else {}}


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    made = Cell()
    monkeypatch.setattr(explorer, "shell", lambda: made)
    monkeypatch.setattr(explorer, "mode", lambda: "thread")
    return made


def registered() -> int:
    """The number of widgets that ipywidgets knows, in versions 7 and 8."""
    try:
        from ipywidgets.widgets.widget import _instances as every
    except ImportError:
        every = ipywidgets.Widget.widgets
    return len(every)


def live_explorers() -> int:
    gc.collect()
    return sum(type(each) is Explorer for each in gc.get_objects())


def test_running_a_cell_again_leaves_no_widgets_and_no_explorers(cell: Cell) -> None:
    before, widgets = live_explorers(), registered()
    counts = set()
    for _ in range(8):
        cell.run()
        cell.show(make())
        cell.show(Explorer(one_step, of=Several(["a", "b", "c"]), depth=Ordered(["x", "y"])))
        for made in list(cell.user_ns["_oh"].values())[-2:]:
            made.wait(5)
        del made
        counts.add((live_explorers() - before, registered()))
    assert len(counts) == 1 and counts.pop()[0] == 2
    for made in list(cell.user_ns["_oh"].values()):
        made.close()
    del made
    assert (live_explorers(), registered()) == (before, widgets)
    assert not [name for name in cell.user_ns if name.strip("_").isdigit()]


@pytest.mark.parametrize("name", ["cell-1", ""])
def test_two_untitled_panels_of_one_execution_both_live(cell: Cell, name: str) -> None:
    cell.cell = name
    cell.run()
    one, two = make(title=""), make(title="")
    one.set(rank=4), two.set(rank=16)
    assert one.wait(5) and two.wait(5)
    cell.run()
    three = make(title="")
    for closed in (one, two):
        with pytest.raises(RuntimeError, match="run its cell again"):
            closed.set(rank=1)
    three.close()


def test_another_cell_keeps_its_panel_whatever_the_titles(cell: Cell) -> None:
    cell.run()
    one = make(title="same")
    cell.cell = "cell-2"
    cell.run()
    two = make(title="same")
    one.set(rank=4), two.set(rank=4)
    assert one.wait(5) and two.wait(5)
    cell.run()
    other = make(title="renamed")
    with pytest.raises(RuntimeError, match="run its cell again"):
        two.set(rank=1)
    one.close(), other.close()
    assert not [key for key in explorer._open if key[0].startswith("cell")]


def test_a_panel_that_is_closed_while_it_runs_is_let_go(cell: Cell) -> None:
    cell.run()
    started, go = threading.Event(), threading.Event()

    def waits(of: str, seed: int) -> Iterator[Event]:
        started.set()
        go.wait(5)
        yield train_event(1)

    made = Explorer(waits, of=["a"])
    assert started.wait(5)
    made.close()
    go.set()
    assert made._worker.wait(5)
    still = weakref.ref(made)
    del made
    gc.collect()
    assert still() is None


def test_where_panels_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FTKIT_HEADLESS", raising=False)
    assert explorer.mode() == "headless", "no kernel"
    monkeypatch.setattr(front_end, "shell", lambda: types.SimpleNamespace(kernel=object()))
    assert explorer.mode() == "thread"
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert explorer.mode() == "blocking"
    monkeypatch.setenv("FTKIT_HEADLESS", "1")
    assert explorer.mode() == "headless"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, False), ("", False), ("0", False), ("1", True), ("true", True), ("no", True)],
)
def test_any_value_but_nothing_and_0_means_headless_everywhere(
    value: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("FTKIT_HEADLESS", raising=False)
    else:
        monkeypatch.setenv("FTKIT_HEADLESS", value)
    for module in (front_end, display):
        monkeypatch.setattr(module, "shell", lambda: types.SimpleNamespace(kernel=object()))
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(plot, "display", lambda bundle, raw: shown.append(bundle))
    plot.draw({"data": [], "layout": {}}, "words")
    assert front_end.headless() == expected
    assert (explorer.mode() == "headless") == expected
    assert (display.controls() is None) == expected
    assert (display.VIEW not in shown[0]) == expected


def test_in_colab_the_panel_says_that_a_run_cannot_be_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "blocking")
    controls = make().panel._shown.children[1].children[0]
    texts = [str(getattr(child, "value", "")) for child in controls.children]
    assert any("a run cannot be interrupted" in text for text in texts)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"rank": []}, "must have at least one value, got none for rank"),
        ({"start": {"rank": 5}}, "start must be among the settings' values, got rank=5"),
        ({"start": {"ranks": 4}}, "got ranks=4; the settings are bench, rank, lr"),
    ],
)
def test_bad_settings_are_refused(others: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**others)


def test_the_values_of_a_setting_may_be_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    panel = make(lr=np.array([0.001, 0.1]))
    assert panel.settings["lr"] == 0.001 and type(panel.settings["lr"]) is float
    panel.close()


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
    both = pd.concat([table, full], ignore_index=True)
    return Recorded(both, "LoRA", "rank", baselines={"text": 0.25})


def test_recorded_runs_are_drawn_behind_the_live_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    panel = make(recorded=recorded(), start={"lr": 0.1})
    status = panel.panel._status.value
    assert status.startswith("<b>Done:</b> 41.0 % on the validation set, one seed.")
    assert "Recorded (2 seeds): 41.0 %, 95 % interval 41.0 to 41.0." in status
    names = [trace.name for trace in panel.panel.curves.figure.data]
    assert "recorded runs, 95 % interval" in names and "this run" in names
    baseline = panel.panel.curves.figure.data[names.index("majority-class baseline")]
    assert list(baseline.y) == [0.25, 0.25] and baseline.x[0] == 0 < baseline.x[1]
    assert [trace.name for trace in panel.panel.costs.figure.data] == [
        "LoRA",
        "full fine-tuning",
        "this run",
    ]
    table = panel.panel._cost_table.value
    assert "measured in this run" in table and "2.5 %" in table
    panel.set(lr=0.001)
    assert "Recorded" not in panel.panel._status.value
    panel.panel._axis.value = "flops"
    assert panel.panel.costs.figure.layout.xaxis.title.text == "FLOPs a step"
    panel.close()


def test_both_plots_say_when_no_runs_are_recorded_however_the_live_run_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    panel = make(recorded=recorded(), start={"lr": 0.1})
    job = Job(7, {"bench": "text", "rank": 4, "lr": 0.001}, (0,))
    known = Job(8, {"bench": "text", "rank": 4, "lr": 0.1}, (0,))
    painter = panel._painter

    def notes() -> list[str]:
        plots = (panel.panel.curves, panel.panel.costs)
        return [note.text for plot in plots for note in plot.figure.layout.annotations]

    none = ["no recorded runs for these settings"] * 2
    assert notes() == []
    for how in ("finished", "stopped", "failed"):
        painter.start(job)
        assert notes() == none
        painter.add(job, 0, train_event(1))
        assert notes() == none
        painter.end(JobEnd(job, how, ValueError("no") if how == "failed" else None))
        assert notes() == none
        painter.start(known)
        assert notes() == []
    panel.close()
    alone = make()
    assert alone.panel.curves.figure.layout.annotations == (), "a panel without recorded runs"
    alone.close()


def test_the_trade_off_of_older_settings_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    panel = make(recorded=recorded(), start={"lr": 0.1})
    assert len(panel.panel.costs.figure.data) == 3
    panel._painter.start(Job(7, {"bench": "vision", "rank": 4, "lr": 0.1}, (0,)))
    assert len(panel.panel.costs.figure.data) == 0
    panel.close()


def test_a_cost_table_compares_no_seconds() -> None:
    here, full = dict.fromkeys(ROWS, 2.0), dict.fromkeys(ROWS, 4.0)
    compared = cost_table(here, full, True)
    assert compared.count("50 %") == len(ROWS) - 1
    assert compared.split("time per step (ms)")[1].count("<td></td>") == 2
    assert "%" not in cost_table(here, None, False)


def test_the_rows_of_a_cost_table_are_nouns_with_units() -> None:
    here = dict.fromkeys(ROWS, 4.16e6) | {"trainable": 16904, "seconds": 0.0237}
    table = cost_table(here, None, True)
    assert "<td>trainable parameters</td><td>16,904</td>" in table
    assert "<td>activation memory (MB)</td><td>4.16</td>" in table
    assert "<td>time per step (ms)</td><td>23.7</td>" in table


def test_several_values_are_one_text_and_never_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    CALLS.clear()

    def chosen() -> list[str]:
        return [call["of"] for call in CALLS]

    panel = Explorer(one_step, of=Several(["a", "b", "c"]))
    first, second, third = panel.panel._controls["of"].buttons
    first.value = False
    third.value = False
    second.value = False
    assert second.value, "one stays pressed"
    assert chosen() == ["a+b+c", "b+c", "b"], "and that is not a move"
    panel.load("of=a%2Bc&seed=0")
    assert [button.value for button in (first, second, third)] == [True, False, True]
    assert chosen()[-1] == "a+c"
    panel.set(of="b")
    assert [button.value for button in (first, second, third)] == [False, True, False]
    assert chosen()[-2:] == ["a+c", "b"]
    panel.set(of="c+a")
    assert panel.settings["of"] == "a+c" and chosen()[-1] == "a+c", "in any order"
    with pytest.raises(ValueError, match="of must be some, joined by \\+, of a, b, c, got 'c\\+z'"):
        panel.set(of="c+z")
    with pytest.raises(ValueError, match="start must be among"):
        Explorer(one_step, of=Several(["a", "b"]), start={"of": "z"})
    panel.close()


def test_texts_with_an_order_are_a_slider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "headless")
    panel = Explorer(one_step, of=Ordered(["near", "far"]))
    slider = panel.panel._controls["of"]
    assert isinstance(slider, ipywidgets.SelectionSlider)
    assert slider.value == "near" and not slider.continuous_update
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
    assert plain({"a": (np.arange(2), [np.float64(1.5)])}) == {"a": [[0, 1], [1.5]]}


def test_figures_show_the_values_they_are_given() -> None:
    figure = go.Figure(
        learning([[(1, 0.1), (2, 0.3)], [(1, 0.2), (2, 0.4)]], [(1, 2.0)], None, "#0072b2", 10)
    )
    assert [list(trace.y) for trace in figure.data] == [[0.1, 0.3], [0.2, 0.4], [2.0]]
    assert list(figure.layout.xaxis.range) == [0, 10]
    assert learning([], [], None, "#0072b2", 10)["data"][-1]["y"] == [None], "an axis needs a point"
    alone = learning([], [], None, "#0072b2", None, 0.5)["data"][0]
    assert alone["x"] == [0, 0], "a baseline needs no point"
    point = {"name": "LoRA", "label": "4", "mean": 0.5, "low": 0.4, "high": 0.7, "trainable": 10.0}
    trade = go.Figure(
        trade_off([point], "trainable", {"trainable": 20.0, "accuracy": 0.6}, "#0072b2")
    )
    interval = trade.data[0].error_y
    assert interval.array == pytest.approx([0.2])
    assert interval.arrayminus == pytest.approx([0.1])
    assert (trade.data[1].x, trade.data[1].y) == ((20.0,), (0.6,))


def test_labels_that_would_overlap_are_left_to_the_pointer() -> None:
    ends = {"name": "LoRA", "low": 0.0, "high": 1.0}
    four = [(0.5, 10.0), (0.501, 10.2), (0.7, 10.0), (0.702, 100.0)]
    points = [
        {**ends, "label": str(i), "mean": mean, "trainable": cost}
        for i, (mean, cost) in enumerate(four)
    ]
    line = go.Figure(trade_off(points, "trainable", None, "#0072b2")).data[0]
    assert list(line.text) == ["", "1", "2", "3"] and list(line.hovertext) == ["0", "1", "2", "3"]


def test_a_comparison_marks_the_best_learning_rate_and_the_mean_difference() -> None:
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


def test_a_comparison_with_a_run_that_diverged_has_dots_and_no_mean() -> None:
    rows = {"full": [0.01, math.nan, 0.03], "LoRA": [0.01, 0.02]}
    figure = go.Figure(differences(rows, 0.02, "LoRA"))
    assert [list(trace.x) for trace in figure.data] == [[1.0, 3.0], [1.0, 2.0], [1.5]]
    assert figure.data[0].y[0] == "full (a run diverged)" and figure.data[1].y[0] == "LoRA"


def nothing(seed: int = 0, **settings: Any) -> Iterator[Event]:
    yield from ()


def not_validated(seed: int = 0, **settings: Any) -> Iterator[Event]:
    yield train_event(1)


@pytest.mark.parametrize("trial", [nothing, not_validated])
def test_a_run_without_a_validation_says_so(trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_HEADLESS", "1")
    panel = Explorer(trial, rank=[1], title="unvalidated")
    assert "No accuracy: a run was not validated." in panel.panel._status.value


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
    accuracies = table[table["quantity"] == "valid/accuracy"]
    ends = accuracies.drop_duplicates([*names, "seed"], keep="last")
    assert len(ends) > 100
    for _, row in ends.iloc[:: len(ends) // 7].iterrows():
        # A reference method has no rank: a setting without a value is left out.
        settings = {name: row[name] for name in names if pd.notna(row[name])}
        without_value = [name for name in names if name not in settings]
        runs = table[table[without_value].isna().all(axis=1)]
        choices = {name: [value] for name, value in settings.items()}
        panel = Explorer(replay(runs), name="LoRA", title=lesson.name, **choices)
        panel.set(seed=int(row["seed"]))
        (run,) = panel.wait()
        rows = where(runs, **settings, seed=row["seed"], quantity="valid/accuracy")
        assert run.accuracies == list(zip(rows["step"], rows["value"], strict=True))
        assert run.accuracy == row["value"]
        status = panel.panel._status.value
        assert "<b>Recorded:</b>" in status and "This run was not trained just now." in status
        panel.close()


def test_a_live_explorer_does_not_say_recorded(panel: Explorer) -> None:
    assert "Recorded:" not in panel.panel._status.value


def test_a_replayed_run_without_recorded_runs_says_what_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explorer, "mode", lambda: "blocking")
    table = sweep(trial, grid(rank=[1], lr=[0.1], bench=["text"], seed=[0]))
    panel = Explorer(replay(table), rank=[1, 4], lr=[0.1], bench=["text"])
    panel.set(rank=4)
    message = "a replayed run must be one that was recorded (rank, lr, bench, seed)"
    assert message in panel.panel._status.value
