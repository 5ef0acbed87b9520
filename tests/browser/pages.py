"""A notebook that is open in a browser: what a person does there, and what the tests read."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page, WebSocket

SECOND = 1000  # Playwright counts in milliseconds
HARMLESS = (  # patterns of console messages that are not a fault of the kit
    # Voila's own page asks a CDN for icons; without a network it shows none.
    r"cdn\.jsdelivr\.net/npm/@fortawesome",
    # Voila loads Notebook 7's extension for JupyterLab and cannot use it.
    r"(?s)RUNTIME-012.*@jupyterlab/docregistry",
    # The MathJax of the classic Notebook asks for a font that its package does not have, and draws
    # the mathematics with another.
    r"MathJax_AMS-Regular",
    r"^Access to font at 'about:blank'",
    r"ERR_FAILED \(about:blank\)",
    # Notebook 7 looks up a setting of its own that it does not have.
    r"(?s)reading 'schema'.*/notebook/notebook_core",
)


class Open:
    """A notebook in a page of its own.

    Attributes:
        page: Playwright's page.
        console_errors: error messages and uncaught exceptions, without the harmless ones.
        bytes_received: the size of all that came through web sockets: widget state, plots, outputs.
    """

    # JavaScript that runs in the page of a front end.
    address: ClassVar[str]
    ready: ClassVar[str]  # true if the kernel is there and idle, and nothing waits for it
    run: ClassVar[str]  # starts all cells
    failures: ClassVar[str]  # the exceptions of the cells, as strings
    execute: ClassVar[str]  # runs code in the kernel; returns what it prints, and its exception

    def __init__(self, url: str, token: str, page: "Page", screenshots: Path) -> None:
        self.url, self.token, self.page, self.screenshots = url, token, page, screenshots
        self.bytes_received = 0
        self.messages: list[str] = []
        page.on("console", self._keep)
        page.on(
            "pageerror", lambda error: self.messages.append(f"uncaught: {error.stack or error}")
        )
        page.on("websocket", self._count)

    def _keep(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            address = message.location.get("url", "").split("?")[0]
            self.messages.append(f"{message.text} ({address})")

    def _count(self, socket: "WebSocket") -> None:
        def add(payload: str | bytes) -> None:
            self.bytes_received += len(payload if isinstance(payload, bytes) else payload.encode())

        socket.on("framereceived", add)

    @property
    def console_errors(self) -> list[str]:
        return [
            message
            for message in self.messages
            if not any(re.search(pattern, message) for pattern in HARMLESS)
        ]

    def load(self, name: str) -> None:
        """Open the notebook and wait for its kernel."""
        self.page.goto(f"{self.url}/{self.address}/{name}?token={self.token}")
        self.wait_idle(90)

    def wait_idle(self, seconds: float = 60) -> None:
        """Wait until the kernel has done all its work."""
        self.page.wait_for_function(
            f"() => {{ try {{ return {self.ready} }} catch {{ return false }} }}",
            timeout=seconds * SECOND,
        )

    def start_all(self) -> None:
        """Start every cell without waiting."""
        self.page.evaluate(f"() => {{ {self.run} }}")

    def run_all(self, seconds: float = 120) -> None:
        """Run every cell to its end; the exception of a cell is an AssertionError."""
        self.start_all()
        self.wait_idle(seconds)
        failed = self.page.evaluate(f"() => {self.failures}")
        assert not failed, "\n".join(failed)

    def kernel(self, code: str) -> str:
        """Run code in the kernel and return what it prints; an exception is an AssertionError."""
        text, failed = self.page.evaluate(self.execute, code)
        assert not failed, failed
        return str(text)

    def slider(self, css: str) -> "Locator":
        """Return the handle of the slider in the element `css`; the handle takes the keyboard."""
        return self.page.locator(f"{css} .noUi-handle, {css} .ui-slider-handle").first

    def move(self, css: str, key: str = "ArrowRight") -> None:
        """Press a key on that slider until its number has changed.

        A front end may take the focus back right after a run.
        """
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
        """Take a picture of the page; a relative path is below the folder of the screenshots."""
        path = self.screenshots / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
        return path

    def resize(self, width: int, height: int = 900) -> None:
        self.page.set_viewport_size({"width": width, "height": height})


_PANEL = "window.jupyterapp.shell.currentWidget"
_KERNEL = f"{_PANEL}.context.sessionContext.session.kernel"


class Lab(Open):
    """JupyterLab 4: `view="doc"` shows the notebook alone, `view="lab"` the whole JupyterLab."""

    address = "doc/tree"
    ready = f"""{_PANEL}.context.isReady && {_KERNEL}.status === 'idle'
        && window.ftkitRan !== null
        && document.querySelector('.jp-Notebook .jp-CodeCell') !== null
        && document.querySelector('#jupyterlab-splash') === null"""
    run = """window.ftkitRan = null;
        window.jupyterapp.commands.execute('notebook:run-all-cells')
            .finally(() => { window.ftkitRan = true; });"""
    failures = f"""{_PANEL}.content.model.toJSON().cells.flatMap(cell => cell.outputs || [])
        .filter(output => output.output_type === 'error')
        .map(output => `${{output.ename}}: ${{output.evalue}}`)"""
    execute = f"""async code => {{
        let text = '', failed = '';
        const future = {_KERNEL}.requestExecute({{code, store_history: false}});
        future.onIOPub = ({{header, content}}) => {{
            const printed = header.msg_type === 'stream' && content.name === 'stdout';
            if (printed) text += content.text;
            if (header.msg_type === 'error') failed = content.ename + ': ' + content.evalue;
        }};
        await future.done;
        return [text, failed];
    }}"""

    def load(self, name: str, view: Literal["doc", "lab"] = "doc") -> None:
        self.page.goto(f"{self.url}/{view}/tree/{name}?token={self.token}&reset")
        self.wait_idle(90)

    def set_theme(self, theme: Literal["dark", "light"]) -> None:
        """Choose a theme and wait until the page is drawn in it."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
            f"JupyterLab {theme.capitalize()}",
        )
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light",
            arg="true" if theme == "light" else "false",
            timeout=20 * SECOND,
        )
        self.wait_idle()  # until the curtain that hides the change is gone

    def reveal(self, cell: int) -> None:
        """Scroll to a cell; JupyterLab draws only the cells near the window."""
        self.page.evaluate(
            f"cell => {{ const {{content}} = {_PANEL}; content.activeCellIndex = cell; "
            "return content.scrollToItem(cell); }",
            cell,
        )


class Notebook7(Lab):
    """Notebook 7: its slider handles take `PageUp` and `PageDown`, not the arrow keys."""

    def load(self, name: str) -> None:  # type: ignore[override]
        self.page.goto(f"{self.url}/notebooks/{name}?token={self.token}")
        self.wait_idle(90)


class Classic(Open):
    """The classic Notebook 6 with ipywidgets 7."""

    address = "notebooks"
    ready = """Jupyter.notebook._fully_loaded && Jupyter.notebook.kernel.is_connected()
        && !Jupyter.notebook.kernel_busy && document.querySelector('.code_cell.running') === null
        && require.defined('nbextensions/jupyter-js-widgets/extension')"""
    run = "Jupyter.notebook.execute_all_cells();"
    failures = """Jupyter.notebook.toJSON().cells.flatMap(cell => cell.outputs || [])
        .filter(output => output.output_type === 'error')
        .map(output => `${output.ename}: ${output.evalue}`)"""
    execute = """code => new Promise(done => {
        const end = 'end-' + Math.random();  // the reply may come before the last output
        let text = '';
        const output = ({msg_type, content}) => {
            if (msg_type === 'error') done([text, content.ename + ': ' + content.evalue]);
            if (msg_type === 'stream' && content.name === 'stdout') text += content.text;
            if (text.includes(end)) done([text.split(end)[0], '']);
        };
        const how = {silent: false, store_history: false};
        Jupyter.notebook.kernel.execute(`${code}\\nprint('${end}')`, {iopub: {output}}, how);
    })"""

    def load(self, name: str) -> None:
        """Open the notebook and wait for its kernel and for the front end of its widgets.

        That front end asks the kernel for older widgets. At the answer it draws every view again,
        and a view that came meanwhile is lost.
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
    """Voila: it runs the cells while it loads, shows no code, and runs no other code."""

    address = "voila/render"
    ready = "document.readyState === 'complete' && document.querySelector('#loading') === null"
    run = ""
    failures = """[...document.querySelectorAll(
        '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]')]
        .map(output => output.innerText)"""

    def kernel(self, code: str) -> str:
        raise NotImplementedError("Voila runs the notebook's cells alone; read what the page shows")
