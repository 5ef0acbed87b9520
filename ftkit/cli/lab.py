"""`ftkit lab`: JupyterLab on the learner's own copies of the lessons."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

from ftkit.cli.lesson_copies import copy_lessons

FIRST = "00_the_picture.ipynb"
DEFAULTS = (
    Path(__file__).parent / "jupyter"
)  # JupyterLab's news and update checks off, for who has not chosen otherwise: no question, no network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ftkit lab`."""
    default = Path(os.environ.get("FTKIT_LESSONS") or "~/ftkit-lessons")
    parser.add_argument(
        "--folder",
        type=Path,
        default=default,
        help="where your copies of the lessons lie (default: %(default)s)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="new copies of all lessons; edited ones are kept beside, under another name",
    )
    parser.add_argument(
        "--no-open", action="store_true", help="start the server and open no browser"
    )


def command(folder: Path, browser: bool = True) -> list[str]:
    """The JupyterLab that shows the first lesson of `folder`, on this machine alone, with the token that Jupyter draws for itself."""
    arguments = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--ip=127.0.0.1",
        f"--ServerApp.root_dir={folder}",
    ]
    arguments.append(f"--LabApp.default_url=/lab/tree/{FIRST}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append(
            "--allow-root"
        )  # containers run as root; the server listens on this machine alone and asks for its token
    return arguments + ["--no-browser"] * (not browser)


def environment() -> dict[str, str]:
    """This process's environment, fit for kernels and for a JupyterLab that starts with the kit's `DEFAULTS`."""
    defaults = os.pathsep.join(filter(None, [str(DEFAULTS), os.environ.get("JUPYTER_CONFIG_PATH")]))
    # One thread a kernel: two that wait for each other on cores that a browser or a second notebook keeps busy are many times slower.
    return {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "JUPYTER_CONFIG_PATH": defaults,
    }


def open_lab(options: argparse.Namespace) -> int:
    """Brings the copies up to date and serves them until the learner stops the server; the server's exit status."""
    from ftkit.paths import kit_path

    if importlib.util.find_spec("jupyterlab") is None:
        raise ValueError(
            "JupyterLab must be installed, got no package of that name; pip install 'ftkit[lab]' brings it"
        )
    folder = options.folder.expanduser().absolute()
    print(copy_lessons(kit_path("notebooks"), folder, options.fresh), flush=True)
    with subprocess.Popen(command(folder, not options.no_open), env=environment()) as server:
        signal.signal(
            signal.SIGTERM, lambda *_: server.terminate()
        )  # who ends this command means the server
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:
                continue  # it reached the server too, which asks whether to stop
