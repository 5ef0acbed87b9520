"""An explorer's panel on a page: what a person does with it, and what a test reads off it."""

import time
from typing import Any

from browser.pages import SECOND, Open

CURVES = ".ftkit-plot[data-how]"
PICTURE = '[aria-label="what the technique has learned so far"]'


class PanelOnPage:
    """The panel of an open notebook; `data-run`, `data-steps` and `data-how` of its curves say which run they show and how far it is."""

    def __init__(self, notebook: Open) -> None:
        self.notebook, self.page = notebook, notebook.page

    def wait(self, how: str, after: int = 0, seconds: float = 60) -> int:
        """Waits until the curves of a run after number `after` say `how` ("running", "finished", "stopped"); the run's number."""
        self.page.wait_for_function(
            "([css, how, after]) => { const d = document.querySelector(css)?.dataset; return d && d.how === how && +d.run > after; }",
            arg=[CURVES, how, after],
            timeout=seconds * SECOND,
        )
        return self.run

    @property
    def run(self) -> int:
        """The number of the run that is painted."""
        return int(self.page.locator(CURVES).get_attribute("data-run") or 0)

    def curve(self) -> str:
        """The accuracy curve as it is drawn, an SVG path."""
        return str(
            self.page.locator(f"{CURVES} .scatterlayer .trace path.js-line").last.get_attribute("d")
        )

    def picture(self) -> str:
        """The technique's own picture as it is drawn: of every mark its place, form and colour."""
        drawn: str = self.page.evaluate(
            "css => [...document.querySelectorAll(css + ' :is(path, rect, image, text)')]"
            ".map(e => [e.getAttribute('d'), e.getAttribute('style'), e.getAttribute('href'), e.getAttribute('height'), e.textContent])"
            ".join('|')",
            PICTURE,
        )
        return drawn

    def repainted(self, before: str, seconds: float = 10) -> bool:
        """Whether the picture becomes another one than `before`."""
        since = time.monotonic()
        while (now := self.picture()) == before and time.monotonic() - since < seconds:
            time.sleep(0.05)
        return now not in ("", before)

    def cut_short(self) -> list[str]:
        """The captions of controls that do not fit where they stand."""
        found: list[str] = self.page.evaluate(
            "() => [...document.querySelectorAll('.ftkit-controls .widget-label')].filter(e => e.scrollWidth > e.clientWidth)"
            ".map(e => e.textContent)"
        )
        return found

    def sliders(self) -> list[str]:
        """The settings that have a slider, from the top."""
        found: list[str] = self.page.evaluate(
            "() => [...document.querySelectorAll('[class*=ftkit-set-]')].filter(e => e.querySelector('.noUi-handle, .ui-slider-handle'))"
            ".map(e => /ftkit-set-(\\w+)/.exec(e.className)[1])"
        )
        return found

    def value(self, name: str) -> str:
        """What stands in the number box of a setting, or beside the slider of one whose values are no numbers."""
        box = self.page.locator(f".ftkit-set-{name} input[type=text]")
        return (
            box.input_value()
            if box.count()
            else self.page.locator(f".ftkit-set-{name} .widget-readout").inner_text()
        )

    def settled(self, name: str, seconds: float = 1.0) -> str:
        """The number box of a setting when it has stayed the same for a while: front ends hold back moves that come too fast."""
        value, since = self.value(name), time.monotonic()
        while time.monotonic() - since < seconds:
            self.notebook.wait_idle()
            if (now := self.value(name)) != value:
                value, since = now, time.monotonic()
            time.sleep(0.05)
        return value

    def press(self, name: str, key: str = "ArrowRight") -> None:
        """A key on the slider of a setting, until its number box follows: a front end may take the focus back right after a run."""
        before, handle = self.value(name), self.notebook.slider(f".ftkit-set-{name}")
        for _ in range(20):
            handle.press(key)
            for _ in range(25):
                if self.value(name) != before:
                    return
                time.sleep(0.01)
        raise AssertionError(
            f"the slider of {name} must take the key {key}, but its box still says {before}"
        )

    def click(self, button: str) -> None:
        """A click on "run", "stop" or "many"."""
        self.page.locator(f"button.ftkit-{button}").click()

    def status(self) -> str:
        """The line of status."""
        return self.page.locator(".ftkit-status").inner_text()

    def python(self, expression: str) -> Any:
        """What an expression about `panel` is in the kernel, as text."""
        return self.notebook.kernel(f"print({expression})").strip()
