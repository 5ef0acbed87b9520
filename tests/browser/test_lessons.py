"""The shipped lessons in a browser: without a kernel, run to the end, and with a slider moved."""

from pathlib import Path

import pytest

from browser.pages import Lab
from browser.panels import PanelOnPage
from browser.servers import Server

FIND = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .findIndex(cell => cell.model.sharedModel.source.includes('= Explorer('))"""
LESSONS = sorted((Path(__file__).parent.parent.parent / "notebooks").glob("*.ipynb"))


def reveal_panel(notebook: Lab) -> None:
    notebook.reveal(int(notebook.page.evaluate(FIND)))


# One is enough: the other lessons are made of the same parts.
CLASSIC = [path for path in LESSONS if path.stem == "02_lora"]


@pytest.mark.parametrize(
    ("name", "path"),
    [*(("lab", path) for path in LESSONS), *(("classic", path) for path in CLASSIC)],
    ids=lambda each: each if isinstance(each, str) else each.stem,
)
def test_a_lesson_runs_and_its_slider_moves(
    name: str, path: Path, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(name)
    server.add(path)
    with server.open(path.name, height=1300) as notebook:
        notebook.run_all(180)
        if name == "lab":
            reveal_panel(notebook)
        panel = PanelOnPage(notebook)
        first = panel.wait("finished")
        notebook.screenshot(f"{path.stem}-{name}.png")
        assert panel.cut_short() == []
        top, drawn = panel.sliders()[0], panel.picture()
        panel.press(top)
        panel.wait("finished", first)
        assert panel.repainted(drawn), "the technique's picture shows the new run"
        assert panel.python(f"panel.runs[0].settings['{top}'] == panel.settings['{top}']") == "True"
        assert notebook.console_errors == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_cold_lesson_shows_a_picture_of_its_panel(path: Path, lab: Server) -> None:
    lab.add(path)
    with lab.open(path.name, height=1300) as notebook:
        reveal_panel(notebook)
        pictures = notebook.page.locator(".jp-OutputArea-output img")
        pictures.last.wait_for()
        heights = pictures.evaluate_all("images => images.map(image => image.naturalHeight)")
        # Curves, the technique's picture and the trade-off: not only a figure next to the panel.
        assert max(heights) > 600
        assert notebook.page.get_by_text("Error displaying widget").count() == 0
        notebook.screenshot(f"{path.stem}-cold.png")
