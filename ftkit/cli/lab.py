"""`ftkit lab`: JupyterLab on the learner's own copies of the lessons."""

import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from ftkit.cli.lesson_copies import copy_lessons
from ftkit.processes import end_with_parent

FIRST = "00_the_picture.ipynb"
# JupyterLab asks no question and needs no network: its news and update checks are off, unless the
# learner's own settings say otherwise.
DEFAULTS = Path(__file__).parent / "jupyter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ftkit lab`."""
    parser.add_argument(
        "--folder",
        default=os.environ.get("FTKIT_LESSONS") or "~/ftkit-lessons",
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
    parser.add_argument("--end-with-parent", action="store_true", help=argparse.SUPPRESS)


def lessons_folder(text: str) -> Path:
    """Return the folder that the learner names, with the home folder in place of "~".

    Raises:
        ValueError: the text is empty, or names a home folder that is not known.
    """
    if not text.strip():
        raise ValueError(
            f"the folder of the lessons must have a name, got {text!r}; "
            "name one with --folder or $FTKIT_LESSONS"
        )
    expanded = os.path.expanduser(text)
    if text.startswith("~") and (expanded.startswith("~") or not _home_is_known()):
        raise ValueError(
            f"the home folder in the name of the lessons' folder must be known, got {text!r}; "
            "name the whole path with --folder or $FTKIT_LESSONS"
        )
    return Path(expanded).absolute()


def _home_is_known() -> bool:
    """Whether "~" stands for a folder; with an empty $HOME, Python takes the root for it."""
    return os.environ.get("HOME") != "" and os.path.isabs(os.path.expanduser("~"))


def command(folder: Path, browser: bool = True) -> list[str]:
    """Return the command that starts JupyterLab on `folder` and shows the first lesson.

    The server listens on this machine alone, with a token that Jupyter draws for itself.
    """
    arguments = [
        sys.executable,
        "-m",
        "ftkit.cli.lab_server",
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


def places(folder: Path) -> dict[str, str]:
    """Return, by the variable that names it, where to keep what the home folder cannot keep.

    Jupyter, IPython and the kit's cache write into the home folder. What cannot be written there
    goes into a hidden folder beside the lessons.
    """
    from jupyter_core import paths

    usual = {
        "JUPYTER_CONFIG_DIR": paths.jupyter_config_dir(),
        "JUPYTER_DATA_DIR": paths.jupyter_data_dir(),
        "JUPYTER_RUNTIME_DIR": paths.jupyter_runtime_dir(),
        "IPYTHONDIR": os.environ.get("IPYTHONDIR") or "~/.ipython",
        "HF_HOME": os.environ.get("HF_HOME") or user_cache_path("huggingface", appauthor=False),
        "FTKIT_CACHE": os.environ.get("FTKIT_CACHE") or user_cache_path("ftkit", appauthor=False),
    }
    return {
        name: str(folder / ".jupyter" / name.lower())
        for name, place in usual.items()
        if not (_home_is_known() and _can_be_made(Path(os.path.expanduser(place))))
    }


def _can_be_made(folder: Path) -> bool:
    """Whether a folder is there or can be made, and can be written."""
    there = next(
        each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each)
    )
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=".ftkit-"):
            return True
    except OSError:
        return False


def open_lab(options: argparse.Namespace) -> int:
    """Update the copies, serve them until the learner stops the server, and return its exit status.

    Raises:
        ValueError: JupyterLab is not installed, or the folder cannot be written.
    """
    from ftkit.cli.lab_server import PORT
    from ftkit.paths import kit_path

    if importlib.util.find_spec("jupyterlab") is None:
        raise ValueError(
            "JupyterLab must be installed, got no package of that name; "
            "install it with: pip install 'ftkit[lab]'"
        )
    if options.end_with_parent:
        end_with_parent()
    folder = lessons_folder(options.folder)
    print(copy_lessons(kit_path("notebooks"), folder, options.fresh), flush=True)
    with (
        # The server is connected to this socket, and stops when the system closes it.
        socket.create_server(("127.0.0.1", 0)) as alive,
        subprocess.Popen(
            command(folder, not options.no_open),
            env={**environment(), **places(folder), PORT: str(alive.getsockname()[1])},
        ) as server,
    ):
        # To end this command means to end the server.
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:
                continue  # the server got it too, and asks whether to stop
