"""A notebook that is open in a browser: what a person does there, and what the tests read."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page, WebSocket

SECOND = 1000  # Playwright counts in milliseconds
_MATHJAX = "the classic Notebook's own MathJax asks for a font that its package does not hold, and draws the mathematics with another"
HARMLESS = {  # a pattern of a console message, and why it is no fault of the kit
    r"cdn\.jsdelivr\.net/npm/@fortawesome": "Voila's own page asks a CDN for icons; without a network it shows none",
    r"(?s)RUNTIME-012.*@jupyterlab/docregistry": "Voila loads Notebook 7's extension for JupyterLab and cannot use it",
    r"MathJax_AMS-Regular": _MATHJAX,
    r"^Access to font at 'about:blank'": _MATHJAX,
    r"ERR_FAILED \(about:blank\)": _MATHJAX,
    r"(?s)reading 'schema'.*/notebook/notebook_core": "Notebook 7 looks up a setting of its own that it does not have",
}


class Open:
    """A notebook in a page of its own.

    `page` is Playwright's page. `console_errors` are messages of level error and uncaught exceptions, less those that are known to be
    harmless. `bytes_received` counts what came through web sockets: widget state, plots, outputs.
    """

    address: ClassVar[str]
    ready: ClassVar[str]  # in the page: is the kernel there, idle, and nothing of it waiting?
    run: ClassVar[str]
    failures: ClassVar[str]  # in the page: what failed in the cells, as strings
    execute: ClassVar[str]

    def __init__(self, url: str, token: str, page: "Page", screenshots: Path) -> None:
        self.url, self.token, self.page, self.screenshots = url, token, page, screenshots
        self.bytes_received = 0
        self.messages: list[str] = []
        page.on("console", self._hear)
        page.on(
            "pageerror", lambda error: self.messages.append(f"uncaught: {error.stack or error}")
        )
        page.on("websocket", self._count)

    def _hear(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.messages.append(
                f"{message.text} ({message.location.get('url', '').split('?')[0]})"
            )

    def _count(self, socket: "WebSocket") -> None:
        def add(payload: str | bytes) -> None:
            self.bytes_received += len(payload if isinstance(payload, bytes) else payload.encode())

        socket.on("framereceived", add)

    @property
    def console_errors(self) -> list[str]:
        return [
            said
            for said in self.messages
            if not any(re.search(pattern, said) for pattern in HARMLESS)
        ]

    def load(self, name: str) -> None:
        """Opens the notebook and waits for its kernel."""
        self.page.goto(f"{self.url}/{self.address}/{name}?token={self.token}")
        self.wait_idle(90)

    def wait_idle(self, seconds: float = 60) -> None:
        """Waits until the kernel has done all it was asked for."""
        self.page.wait_for_function(
            f"() => {{ try {{ return {self.ready} }} catch {{ return false }} }}",
            timeout=seconds * SECOND,
        )

    def start_all(self) -> None:
        """Runs every cell and does not wait."""
        self.page.evaluate(f"() => {{ {self.run} }}")

    def run_all(self, seconds: float = 120) -> None:
        """Runs every cell to its end; a cell that fails is an AssertionError with its exception."""
        self.start_all()
        self.wait_idle(seconds)
        failed = self.page.evaluate(f"() => {self.failures}")
        assert not failed, "\n".join(failed)

    def kernel(self, code: str) -> str:
        """What `code` prints, run in the notebook's kernel after whatever runs there; an exception is an AssertionError."""
        text, failed = self.page.evaluate(self.execute, code)
        assert not failed, failed
        return str(text)

    def slider(self, css: str) -> "Locator":
        """The handle of the slider in the element that `css` selects, which takes the keyboard."""
        return self.page.locator(f"{css} .noUi-handle, {css} .ui-slider-handle").first

    def move(self, css: str, key: str = "ArrowRight") -> None:
        """Presses a key on that slider until its number has changed: a front end may take the focus back right after a run."""
        number = self.page.locator(f"{css} .widget-readout").first
        before, end = number.inner_text(), time.monotonic() + 10
        while time.monotonic() < end:
            self.slider(css).press(key)
            for _ in range(20):
                if number.inner_text() != before:
                    return
                time.sleep(0.01)
        raise AssertionError(
            f"the slider {css} must take the key {key}, but its number is still {before}"
        )

    def screenshot(self, name: str | Path) -> Path:
        """A picture of the page, in the folder of the screenshots unless the path is absolute."""
        path = self.screenshots / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
        return path

    def resize(self, width: int, height: int = 900) -> None:
        self.page.set_viewport_size({"width": width, "height": height})


_PANEL = "window.jupyterapp.shell.currentWidget"
_KERNEL = f"{_PANEL}.context.sessionContext.session.kernel"


class Lab(Open):
    """JupyterLab 4: `view="doc"` shows the notebook alone, `view="lab"` the whole of JupyterLab around it."""

    address = "doc/tree"
    ready = f"""{_PANEL}.context.isReady && {_KERNEL}.status === 'idle' && window.ftkitRan !== null
        && document.querySelector('.jp-Notebook .jp-CodeCell') !== null && document.querySelector('#jupyterlab-splash') === null"""
    run = """window.ftkitRan = null;
        window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ftkitRan = true; });"""
    failures = f"""{_PANEL}.content.model.toJSON().cells.flatMap(cell => cell.outputs || [])
        .filter(output => output.output_type === 'error').map(output => `${{output.ename}}: ${{output.evalue}}`)"""
    execute = f"""async code => {{
        let text = '', failed = '';
        const future = {_KERNEL}.requestExecute({{code, store_history: false}});
        future.onIOPub = message => {{
            if (message.header.msg_type === 'stream' && message.content.name === 'stdout') text += message.content.text;
            if (message.header.msg_type === 'error') failed = message.content.ename + ': ' + message.content.evalue;
        }};
        await future.done;
        return [text, failed];
    }}"""

    def load(self, name: str, view: Literal["doc", "lab"] = "doc") -> None:
        self.page.goto(f"{self.url}/{view}/tree/{name}?token={self.token}&reset")
        self.wait_idle(90)

    def set_theme(self, theme: Literal["dark", "light"]) -> None:
        """Another theme, and the page drawn in it."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
            f"JupyterLab {theme.capitalize()}",
        )
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light",
            arg="true" if theme == "light" else "false",
            timeout=20 * SECOND,
        )
        self.wait_idle()  # the curtain that hides the change is gone

    def reveal(self, cell: int) -> None:
        """Scrolls to a cell; JupyterLab draws only those that are near the window."""
        self.page.evaluate(
            f"cell => {{ const {{content}} = {_PANEL}; content.activeCellIndex = cell; return content.scrollToItem(cell); }}",
            cell,
        )


class Notebook7(Lab):
    """Notebook 7: its slider handles do not take the arrow keys, `PageUp` and `PageDown` work."""

    def load(self, name: str) -> None:  # type: ignore[override]
        self.page.goto(f"{self.url}/notebooks/{name}?token={self.token}")
        self.wait_idle(90)


class Classic(Open):
    """The classic Notebook 6 with ipywidgets 7."""

    address = "notebooks"
    ready = """Jupyter.notebook._fully_loaded && Jupyter.notebook.kernel.is_connected() && !Jupyter.notebook.kernel_busy
        && document.querySelector('.code_cell.running') === null && require.defined('nbextensions/jupyter-js-widgets/extension')"""
    run = "Jupyter.notebook.execute_all_cells();"
    failures = """Jupyter.notebook.toJSON().cells.flatMap(cell => cell.outputs || [])
        .filter(output => output.output_type === 'error').map(output => `${output.ename}: ${output.evalue}`)"""
    execute = """code => new Promise(done => {
        const end = 'end-' + Math.random();  // the reply may come before the last output
        let text = '';
        const output = message => {
            if (message.msg_type === 'error') done([text, message.content.ename + ': ' + message.content.evalue]);
            if (message.msg_type === 'stream' && message.content.name === 'stdout') text += message.content.text;
            if (text.includes(end)) done([text.split(end)[0], '']);
        };
        Jupyter.notebook.kernel.execute(`${code}\\nprint('${end}')`, {iopub: {output}}, {silent: false, store_history: false});
    })"""

    def load(self, name: str) -> None:
        """Opens the notebook and waits for its kernel and for the widgets' front end.

        That asks the kernel for widgets from before, and with the answer it draws every view anew: a view that came meanwhile is lost.
        """
        with self.page.expect_console_message(
            lambda message: "jupyter.widget.control" in message.text, timeout=90 * SECOND
        ):
            super().load(name)
        before = -1
        while before != self.bytes_received:
            before = self.bytes_received
            self.page.wait_for_timeout(0.5 * SECOND)


class Voila(Open):
    """Voila: it runs the cells while it loads, shows no code, and runs no other."""

    address = "voila/render"
    ready = "document.readyState === 'complete' && document.querySelector('#loading') === null"
    run = ""
    failures = "[...document.querySelectorAll('.jp-RenderedText[data-mime-type=\"application/vnd.jupyter.stderr\"]')].map(o => o.innerText)"

    def kernel(self, code: str) -> str:
        raise NotImplementedError("Voila runs the notebook's cells alone; read what the page shows")
