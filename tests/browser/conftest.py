"""One browser for all tests of this folder, and each front end, started when a test first needs it.

The fixtures live as long as the tests of this package, not as long as the session: Playwright keeps
an event loop running in this thread, and tests elsewhere must not meet it.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from browser.servers import Server, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent.parent
COLAB_PYTHON = ROOT / ".venv-colab" / "bin" / "python"
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-sandbox",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


def lacking(reason: str) -> NoReturn:
    """Skip the test, or fail it where a browser is required."""
    if os.environ.get("FTKIT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason}; FTKIT_REQUIRE_BROWSER=1 forbids to skip")
    pytest.skip(reason)


def find_chromium() -> str | None:
    """Return the path of Chromium: `$CHROME`, else the first of its names on the PATH."""
    for name in (os.environ.get("CHROME", ""), *NAMES):
        path = shutil.which(name) if name else None
        if path:
            return path
    return None


@pytest.fixture(scope="package")
def chromium() -> Iterator["Browser"]:
    path = find_chromium()
    if path is None:
        lacking(f"no Chromium: none of $CHROME, {', '.join(NAMES)} is there")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pictures: `$FTKIT_SCREENSHOTS`, else a temporary one."""
    named = os.environ.get("FTKIT_SCREENSHOTS")
    return Path(named).absolute() if named else tmp_path_factory.mktemp("screenshots")


def front_end(name: str) -> Any:
    """Return the fixture of a front end that runs in this environment."""

    @pytest.fixture(scope="package", name=name)
    def started(
        chromium: "Browser", tmp_path_factory: pytest.TempPathFactory, screenshots: Path
    ) -> Iterator[Server]:
        folder = tmp_path_factory.mktemp(name)
        with serve(name, Path(sys.executable), chromium, folder, screenshots) as server:
            yield server

    return started


lab, notebook7, voila = front_end("lab"), front_end("notebook7"), front_end("voila")


@pytest.fixture(scope="package")
def classic(
    chromium: "Browser", tmp_path_factory: pytest.TempPathFactory, screenshots: Path
) -> Iterator[Server]:
    """The classic Notebook on Colab's versions."""
    if not COLAB_PYTHON.exists():
        lacking("no .venv-colab: `make .venv-colab` installs Colab's versions")
    folder = tmp_path_factory.mktemp("classic")
    with serve("classic", COLAB_PYTHON, chromium, folder, screenshots) as server:
        yield server
