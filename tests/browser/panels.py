"""An explorer's panel on a page: what a person does with it, and what a test reads from it."""

import time
from typing import Any

from browser.pages import SECOND, Open

CURVES = ".ftkit-plot[data-how]"
PICTURE = '[aria-label="the learned change so far"]'


class PanelOnPage:
    """The panel of an open notebook.

    The attributes of its curves say which run they show (`data-run`) and how far it is
    (`data-steps`, `data-validations`, `data-how`).
    """

    def __init__(self, notebook: Open) -> None:
        self.notebook, self.page = notebook, notebook.page

    def wait(self, how: str, after: int = 0, seconds: float = 60) -> int:
        """Wait for the curves of a run after number `after`, and return the run's number.

        Args:
            how: "running", "finished" or "stopped".
        """
        self.page.wait_for_function(
            """([css, how, after]) => {
                const shown = document.querySelector(css)?.dataset;
                return shown && shown.how === how && +shown.run > after;
            }""",
            arg=[CURVES, how, after],
            timeout=seconds * SECOND,
        )
        return self.run

    @property
    def run(self) -> int:
        """The number of the painted run."""
        return int(self.page.locator(CURVES).get_attribute("data-run") or 0)

    def curve(self) -> str:
        """Return the accuracy curve as it is drawn, an SVG path."""
        return str(
            self.page.locator(f"{CURVES} .scatterlayer .trace path.js-line").last.get_attribute("d")
        )

    def picture(self) -> str:
        """Return the technique's picture as it is drawn: position, form and colour of each mark."""
        drawn: str = self.page.evaluate(
            """css => [...document.querySelectorAll(css + ' :is(path, rect, image, text)')]
                .map(mark => ['d', 'style', 'href', 'height'].map(name => mark.getAttribute(name))
                    .concat(mark.textContent))
                .join('|')""",
            PICTURE,
        )
        return drawn

    def repainted(self, before: str, seconds: float = 10) -> bool:
        """Whether the picture changes from `before` within some seconds."""
        end = time.monotonic() + seconds
        now = self.picture()
        while now == before and time.monotonic() < end:
            time.sleep(0.05)
            now = self.picture()
        return now not in ("", before)

    def cut_short(self) -> list[str]:
        """Return the captions of controls that do not fit into their space."""
        captions: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll('.ftkit-controls .widget-label')]
                .filter(caption => caption.scrollWidth > caption.clientWidth)
                .map(caption => caption.textContent)"""
        )
        return captions

    def sliders(self) -> list[str]:
        """Return the settings that have a slider, from the top."""
        names: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll('[class*=ftkit-set-]')]
                .filter(control => control.querySelector('.noUi-handle, .ui-slider-handle'))
                .map(control => /ftkit-set-(\\w+)/.exec(control.className)[1])"""
        )
        return names

    def value(self, name: str) -> str:
        """Return the value of a setting: the text of its number box, or next to its slider."""
        box = self.page.locator(f".ftkit-set-{name} input[type=text]")
        if box.count():
            return box.input_value()
        return self.page.locator(f".ftkit-set-{name} .widget-readout").inner_text()

    def settled(self, name: str, seconds: float = 1.0) -> str:
        """Return the value of a setting after it has stayed the same for some seconds.

        Front ends hold back moves that come too fast.
        """
        value, since = self.value(name), time.monotonic()
        while time.monotonic() - since < seconds:
            self.notebook.wait_idle()
            now = self.value(name)
            if now != value:
                value, since = now, time.monotonic()
            time.sleep(0.05)
        return value

    def press(self, name: str, key: str = "ArrowRight") -> None:
        """Press a key on the slider of a setting until its value has changed.

        A front end may take the focus back right after a run.
        """
        before, handle = self.value(name), self.notebook.slider(f".ftkit-set-{name}")
        for _ in range(20):
            handle.press(key)
            for _ in range(25):
                if self.value(name) != before:
                    return
                time.sleep(0.01)
        raise AssertionError(
            f"the slider of {name} must take the key {key}, but its value is still {before}"
        )

    def click(self, button: str) -> None:
        """Click "run", "stop" or "many"."""
        self.page.locator(f"button.ftkit-{button}").click()

    def status(self) -> str:
        """Return the status line."""
        return self.page.locator(".ftkit-status").inner_text()

    def python(self, expression: str) -> Any:
        """Evaluate an expression about `panel` in the kernel, and return it as text."""
        return self.notebook.kernel(f"print({expression})").strip()
