"""A slider and a text that follows it, in every front end: a test of the harness itself."""

import re
from pathlib import Path

import pytest

from browser.conftest import find_chromium, lacking
from browser.servers import Server

CELLS = (
    "import ipywidgets as widgets",
    """\
slider = widgets.IntSlider(value=4, min=0, max=10, step=1, description="rank")
text = widgets.HTML("nothing yet")
slider.add_class("the-slider"), text.add_class("the-text")
slider.observe(lambda change: setattr(text, "value", f"rank is now {change['new']}"), "value")
widgets.VBox([slider, text])""",
)


@pytest.mark.parametrize("name", ["lab", "classic", "notebook7"])
def test_a_slider_moves_by_keyboard_and_the_text_follows(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(name)
    server.write("slider.ipynb", *CELLS)
    with server.open("slider.ipynb") as notebook:
        notebook.run_all()
        text = notebook.page.locator(".the-text")
        text.wait_for()
        assert "nothing yet" in text.inner_text()
        before = notebook.bytes_received
        key = "PageUp" if name == "notebook7" else "ArrowRight"
        notebook.move(".the-slider", key)
        notebook.page.wait_for_function(
            "() => /rank is now [5-9]/.test(document.querySelector('.the-text').innerText)"
        )
        assert notebook.kernel("print(slider.value)").strip() in text.inner_text()
        assert notebook.bytes_received > before > 1000
        assert notebook.console_errors == []
        notebook.screenshot(f"slider-{name}.png")


def test_voila_shows_the_slider_and_no_code(voila: Server) -> None:
    voila.write("slider.ipynb", *CELLS)
    with voila.open("slider.ipynb") as notebook:
        notebook.move(".the-slider")
        notebook.page.wait_for_function(
            "() => /rank is now 5/.test(document.querySelector('.the-text').innerText)"
        )
        assert notebook.page.get_by_text("import ipywidgets").count() == 0
        assert notebook.console_errors == []


@pytest.mark.parametrize("name", ["lab", "classic"])
def test_a_cell_that_fails_and_a_message_in_the_console_are_noticed(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(name)
    server.write("fails.ipynb", "1 + 1", "raise RuntimeError('planted')")
    with server.open("fails.ipynb") as notebook:
        with pytest.raises(AssertionError, match="RuntimeError: planted"):
            notebook.run_all()
        with pytest.raises(AssertionError, match="KeyError: 'planted too'"):
            notebook.kernel("{}['planted too']")
        assert notebook.kernel("print(1); print(2)") == "1\n2\n"
        assert notebook.console_errors == []
        notebook.page.evaluate(
            """() => {
                console.error('planted');
                setTimeout(() => { throw new Error('thrown'); }, 0);
            }"""
        )
        notebook.page.wait_for_timeout(200)
        starts = [re.split(r" \(|\n", message)[0] for message in notebook.console_errors]
        assert starts == ["planted", "uncaught: Error: thrown"]


def test_lab_changes_its_theme_and_width(lab: Server) -> None:
    lab.write("slider.ipynb", *CELLS)
    with lab.open("slider.ipynb", view="lab", width=1600) as notebook:
        notebook.run_all()
        ground = "() => getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor"
        light = notebook.page.evaluate(ground)
        notebook.set_theme("dark")
        assert notebook.page.evaluate(ground) != light
        notebook.resize(900)
        notebook.reveal(1)
        notebook.screenshot("lab-dark.png")
        assert notebook.page.evaluate("() => window.innerWidth") == 900
        notebook.set_theme("light")
        assert notebook.page.evaluate(ground) == light
        assert notebook.page.get_by_text("Jupyter news").count() == 0, "JupyterLab asks no question"


def test_without_a_chromium_the_tests_are_skipped_unless_one_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHROME", str(tmp_path / "chrome"))
    assert find_chromium() is None
    for name in ("google-chrome", "chrome"):
        (tmp_path / name).touch(mode=0o755)
        assert find_chromium() == str(tmp_path / name)
    monkeypatch.delenv("FTKIT_REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        lacking("no Chromium")
    monkeypatch.setenv("FTKIT_REQUIRE_BROWSER", "1")
    message = "no Chromium; FTKIT_REQUIRE_BROWSER=1 forbids to skip"
    with pytest.raises(pytest.fail.Exception, match=message):
        lacking("no Chromium")
