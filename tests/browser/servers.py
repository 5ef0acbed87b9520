"""The front ends that notebooks are tested in, each started in a folder and with settings of its own."""

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
    """A front end: its command, after the name of the Python, the option that names the folder, and the page object of its notebooks."""

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
    """A running front end that shows the notebooks of `folder`."""

    front: FrontEnd
    browser: "Browser"
    folder: Path
    places: Path
    screenshots: Path
    url: str
    token: str

    def write(self, name: str, *cells: str) -> None:
        """A notebook of these code cells, in the folder."""
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
        """A copy of a notebook, in the folder."""
        shutil.copy(path, self.folder / path.name)

    @contextlib.contextmanager
    def open(self, name: str, width: int = 1280, height: int = 900, **how: Any) -> Iterator[Any]:
        """The notebook in a new page, its kernel ready; whoever leaves ends the kernel. A test that fails leaves a picture."""
        shutil.rmtree(
            self.places / "settings", ignore_errors=True
        )  # the theme that another test chose
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
            return  # it ends the kernel of a page that is left
        for kernel in json.loads(self.ask("GET", "/api/kernels")):
            self.ask("DELETE", f"/api/kernels/{kernel['id']}")

    def ask(self, method: str, path: str) -> bytes:
        """What the server answers to one request."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())


def isolated(places: Path, token: str) -> dict[str, str]:
    """What `ftkit lab` gives to its server, but nothing of the tester's own Jupyter; the data cache is the tester's."""
    own = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
        "IPYTHONDIR",
    )
    inherited = {name: value for name, value in environment().items() if name != "FTKIT_HEADLESS"}
    return {
        **inherited,
        **{name: str(places / name.lower()) for name in own},
        "JUPYTERLAB_SETTINGS_DIR": str(places / "settings"),
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_PATH": str(DEFAULTS),
        "OMP_NUM_THREADS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


@contextlib.contextmanager
def serve(
    name: str, python: Path, browser: "Browser", root: Path, screenshots: Path
) -> Iterator[Server]:
    """The front end `name`, run by `python`, with an empty folder below `root`; it ends with the block."""
    front, folder, places = FRONT_ENDS[name], root / "notebooks", root / "places"
    folder.mkdir()
    places.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(
        front,
        browser,
        folder,
        places,
        screenshots,
        f"http://127.0.0.1:{port}",
        secrets.token_hex(16),
    )
    command = [str(python), "-m", *front.command, f"--port={port}", f"{front.folder}{folder}"]
    log = places / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=isolated(places, server.token),
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
    """Waits until the server answers; one that ended or never answers fails with the end of its log."""
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
