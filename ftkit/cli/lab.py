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
# JupyterLab asks no question and needs no network: its news and update checks are off, unless the
# learner's own settings say otherwise.
DEFAULTS = Path(__file__).parent / "jupyter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ftkit lab`."""
    default = Path(os.environ.get("FTKIT_LESSONS") or "~/ftkit-lessons")
    parser.add_argument(
        "--folder",
        type=Path,
        default=default,
        help="the folder of your copies of the lessons (default: %(default)s)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="make new copies of all lessons; edited copies are kept under another name",
    )
    parser.add_argument(
        "--no-open", action="store_true", help="start the server without opening a browser"
    )


def command(folder: Path, browser: bool = True) -> list[str]:
    """Return the command that starts JupyterLab on `folder` and shows the first lesson.

    The server listens on this machine alone, with a token that Jupyter draws for itself.
    """
    arguments = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--ip=127.0.0.1",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Containers run as root. The server listens on this machine alone and asks for its token.
        arguments.append("--allow-root")
    return arguments if browser else [*arguments, "--no-browser"]


def environment() -> dict[str, str]:
    """Return the environment for JupyterLab and its kernels: this process's, with `DEFAULTS`."""
    defaults = os.pathsep.join(filter(None, [str(DEFAULTS), os.environ.get("JUPYTER_CONFIG_PATH")]))
    # One thread a kernel: on cores that a browser or a second notebook keeps busy, two threads wait
    # for each other and are many times slower.
    return {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "JUPYTER_CONFIG_PATH": defaults,
    }


def open_lab(options: argparse.Namespace) -> int:
    """Update the copies, serve them until the learner stops the server, and return its exit status.

    Raises:
        ValueError: JupyterLab is not installed, or the folder cannot be written.
    """
    from ftkit.paths import kit_path

    if importlib.util.find_spec("jupyterlab") is None:
        raise ValueError(
            "JupyterLab must be installed, got no package of that name; "
            "install it with: pip install 'ftkit[lab]'"
        )
    folder = options.folder.expanduser().absolute()
    print(copy_lessons(kit_path("notebooks"), folder, options.fresh), flush=True)
    with subprocess.Popen(command(folder, not options.no_open), env=environment()) as server:
        # To end this command means to end the server.
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:
                continue  # the server got it too, and asks whether to stop
