"""The explorer in real front ends: a slider trains a real network, and the newest move wins."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.panels import PanelOnPage
from browser.servers import Server
from ftkit.panel.worker import THREAD

LESSONS = Path(__file__).parent.parent.parent / "notebooks"
CELLS = (
    """\
from functools import partial
from ftkit import Explorer
from ftkit.lessons.lora.picture import spectra
from ftkit.experiments.benchmark import STEPS, load_benchmark
from ftkit.lessons.lora.study import LRS, RANKS
from ftkit.lessons.lora.trial import spectrum, trial
load_benchmark("digits")""",
    """\
panel = Explorer(
    partial(trial, probe=spectrum), steps=STEPS, picture=spectra, bench=["digits"], rank=RANKS,
    lr=LRS, start={"rank": 4, "lr": 3e-3}, title="in a browser",
)
panel""",
)
THREADS = f"sum(t.name == {THREAD!r} for t in __import__('threading').enumerate())"
ENDS = """
ends, on_end = [], panel._worker._on_end

def keep_end(end):
    ends.append((end.how, end.job.settings["rank"]))
    on_end(end)

panel._worker._on_end = keep_end
"""


@pytest.fixture(params=["lab", "classic"])
def shown(request: pytest.FixtureRequest) -> Iterator[PanelOnPage]:
    """A panel whose first run is done, in JupyterLab and on Colab's versions."""
    server: Server = request.getfixturevalue(request.param)
    server.write("panel.ipynb", *CELLS)
    with server.open("panel.ipynb", height=1300) as notebook:
        notebook.run_all()
        panel = PanelOnPage(notebook)
        panel.wait("finished")
        yield panel
        assert notebook.console_errors == []


def test_a_slider_trains_again_and_the_newest_move_wins(shown: PanelOnPage) -> None:
    first, drawn = shown.run, shown.curve()
    assert "Done:" in shown.status() and "% on the validation set" in shown.status()
    shown.press("rank")
    assert shown.value("rank") == "8"
    second = shown.wait("finished", first)
    assert shown.curve() != drawn, "the plot follows"
    assert shown.python("panel.settings['rank'], panel.runs[0].settings['rank']") == "8 8"
    shown.notebook.kernel(ENDS)
    shown.press("rank")
    shown.wait("running", second)
    shown.press("rank")
    shown.wait("finished", second)
    ends = "[('replaced', 16), ('finished', 32)]"
    assert shown.python("ends") == ends, "the older run ends before its last step"
    assert shown.python(THREADS) == "0"


def test_stop_ends_the_run(shown: PanelOnPage) -> None:
    first = shown.run
    shown.click("run")
    shown.wait("running", first)
    shown.click("stop")
    shown.wait("stopped", first)
    assert "Stopped" in shown.status()
    assert shown.python("len(panel.runs[0].losses) < 80") == "True"
    shown.click("run")
    shown.wait("finished", first)


def test_a_hundred_quick_moves_end_in_one_finished_run_of_the_last(shown: PanelOnPage) -> None:
    shown.notebook.kernel(ENDS)
    shown.press("rank", "ArrowLeft")
    for turn in range(99):
        shown.page.keyboard.press("ArrowRight" if turn % 10 < 5 else "ArrowLeft")
    last = shown.settled("rank")
    assert shown.python("panel.wait()[0].settings['rank']") == last
    assert shown.python("[rank for how, rank in ends if how == 'finished']") == f"[{last}]"
    assert shown.python(THREADS) == "0"


def test_eight_seeds_draw_eight_curves(shown: PanelOnPage) -> None:
    shown.click("many")
    shown.page.wait_for_function(
        "() => document.querySelector('.ftkit-status').innerText.includes('8 seeds')",
        timeout=90_000,
    )
    traces = shown.page.locator(".ftkit-plot[data-how] .scatterlayer .trace").count()
    assert traces == 9, "eight seeds and the loss"


def test_a_page_that_is_loaded_again_shows_the_panel_again(lab: Server) -> None:
    lab.write("panel.ipynb", *CELLS)
    with lab.open("panel.ipynb", height=1300) as notebook:
        notebook.run_all()
        PanelOnPage(notebook).wait("finished")
        notebook.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        notebook.page.wait_for_timeout(1000)
        notebook.page.reload()
        notebook.wait_idle(90)
        PanelOnPage(notebook).wait("finished")
        assert notebook.page.locator(".ftkit-plot .main-svg").count() > 0, "plotly came again"


@pytest.mark.parametrize("name", ["notebook7", "voila"])
def test_other_front_ends(name: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(name)
    server.write("panel.ipynb", *CELLS)
    with server.open("panel.ipynb", height=1300) as notebook:
        if name != "voila":
            notebook.run_all()
        panel = PanelOnPage(notebook)
        first = panel.wait("finished")
        box = notebook.page.locator(".ftkit-set-rank input[type=text]")
        box.fill("16")
        box.press("Enter")
        panel.wait("finished", first)
        assert "rank=16" in notebook.page.locator(".ftkit-share input").input_value()
        assert notebook.console_errors == []


def test_a_figure_that_is_drawn_out_of_sight_takes_the_colours_of_a_dark_page(lab: Server) -> None:
    figure = {"data": [{"y": [1, 2]}], "layout": {"height": 300, "xaxis": {}, "yaxis": {}}}
    drawn = f"from ftkit import draw\ndraw({figure}, 'two points')"
    filler = "print('line\\n' * 60)"
    lab.write("far.ipynb", drawn, *[filler] * 12, drawn, *[filler] * 12)
    with lab.open("far.ipynb", view="lab", width=1000, height=700) as notebook:
        notebook.set_theme("dark")
        notebook.run_all()
        notebook.reveal(13)
        tick = notebook.page.locator(".ftkit-plot .xtick text").last
        tick.wait_for()
        colours = (
            "e => [getComputedStyle(e.closest('.ftkit-plot')).color, getComputedStyle(e).fill]"
        )
        for _ in range(100):
            text, fill = (re.findall(r"\d+", colour)[:3] for colour in tick.evaluate(colours))
            if text == fill:
                break
            notebook.page.wait_for_timeout(100)
        assert text == fill == ["255"] * 3, "the text of the page, and of the figure"
        notebook.screenshot("far-dark.png")
        assert notebook.console_errors == []
