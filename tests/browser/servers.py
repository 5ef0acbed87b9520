"""The front ends that notebooks are tested in, each with a folder and settings of its own."""

import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from browser.pages import Classic, Lab, Notebook7, Open, Voila
from ftkit.cli.lab import DEFAULTS, environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SERVER = [
    "--no-browser",
    "--ip=127.0.0.1",
    "--allow-root",
    "--ServerApp.port_retries=0",
    "--ServerApp.terminals_enabled=False",
]


@dataclass(frozen=True)
class FrontEnd:
    """A front end.

    Args:
        command: its command, after `python -m`.
        folder: the option that names the folder.
        page: the class of its open notebooks.
    """

    command: tuple[str, ...]
    folder: str
    page: type[Open]


FRONT_ENDS = {
    "lab": FrontEnd(
        ("jupyterlab", *SERVER, "--LabApp.extension_manager=readonly", "--expose-app-in-browser"),
        "--ServerApp.root_dir=",
        Lab,
    ),
    "notebook7": FrontEnd(
        ("notebook", *SERVER, "--expose-app-in-browser"), "--ServerApp.root_dir=", Notebook7
    ),
    "classic": FrontEnd(
        (
            "notebook",
            "--no-browser",
            "--ip=127.0.0.1",
            "--allow-root",
            "--NotebookApp.port_retries=0",
        ),
        "--notebook-dir=",
        Classic,
    ),
    "voila": FrontEnd(("voila", "--no-browser", "--Voila.ip=127.0.0.1"), "", Voila),
}


@dataclass
class Server:
    """A running front end that shows the notebooks of `folder`; `state` holds its settings."""

    front: FrontEnd
    browser: "Browser"
    folder: Path
    state: Path
    screenshots: Path
    url: str
    token: str

    def write(self, name: str, *cells: str) -> None:
        """Write a notebook of these code cells to the folder."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
        )
        notebook.metadata.kernelspec = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, self.folder / name)

    def add(self, path: Path) -> None:
        """Copy a notebook to the folder."""
        shutil.copy(path, self.folder / path.name)

    @contextlib.contextmanager
    def open(self, name: str, width: int = 1280, height: int = 900, **how: Any) -> Iterator[Any]:
        """Open the notebook in a new page, with its kernel ready.

        The end of the block ends the kernel. A test that fails leaves a picture.
        """
        # The theme that another test chose must not stay.
        shutil.rmtree(self.state / "settings", ignore_errors=True)
        context = self.browser.new_context(viewport={"width": width, "height": height})
        opened = self.front.page(self.url, self.token, context.new_page(), self.screenshots)
        try:
            opened.load(name, **how)
            yield opened
        except BaseException:
            with contextlib.suppress(Exception):
                opened.screenshot(f"failed-{type(opened).__name__.lower()}-{Path(name).stem}.png")
            raise
        finally:
            context.close()
            self._end_kernels()

    def _end_kernels(self) -> None:
        if self.front.page is Voila:
            return  # it ends the kernel of a closed page itself
        for kernel in json.loads(self.ask("GET", "/api/kernels")):
            self.ask("DELETE", f"/api/kernels/{kernel['id']}")

    def ask(self, method: str, path: str) -> bytes:
        """Send one request, and return the answer of the server."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())


def isolated(state: Path, token: str) -> dict[str, str]:
    """Return the environment that `ftkit lab` gives to its server.

    Nothing of the tester's own Jupyter is in it; the data cache is the tester's.
    """
    folders = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
        "IPYTHONDIR",
    )
    inherited = {name: value for name, value in environment().items() if name != "FTKIT_HEADLESS"}
    return {
        **inherited,
        **{name: str(state / name.lower()) for name in folders},
        "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"),
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_PATH": str(DEFAULTS),
        "OMP_NUM_THREADS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


@contextlib.contextmanager
def serve(
    name: str, python: Path, browser: "Browser", root: Path, screenshots: Path
) -> Iterator[Server]:
    """Run the front end `name` until the block ends, in an empty folder below `root`."""
    front, folder, state = FRONT_ENDS[name], root / "notebooks", root / "state"
    folder.mkdir()
    state.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    server = Server(front, browser, folder, state, screenshots, url, token)
    command = [str(python), "-m", *front.command, f"--port={port}", f"{front.folder}{folder}"]
    log = state / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=isolated(state, server.token),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(server, process, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path, limit: float = 90) -> None:
    """Wait until the server answers; if it never does, fail with the end of its log."""
    end = time.monotonic() + limit
    while time.monotonic() < end and process.poll() is None:
        try:
            server.ask("GET", "/" if server.front.page is Voila else "/api/status")
            return
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.2)
    raise AssertionError(
        f"the server must answer within {limit:g} s, got:\n{log.read_text()[-3000:]}"
    )
