"""The `ftkit` command."""

import argparse
import os
import subprocess
import sys

from ftkit.events import Diverged


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a mistake in what was asked for is said in one line, with exit status 2."""
    parser = argparse.ArgumentParser(prog="ftkit", description="A teaching kit about fine-tuning beyond LoRA.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lab", help="open the lessons in JupyterLab")
    runner = commands.add_parser("run", help="fine-tune a base on a task, beside full fine-tuning and the frozen head")
    asked = sys.argv[1:] if arguments is None else arguments
    if asked[:1] == ["run"]:
        from ftkit import run

        run.add_arguments(runner)
    options = parser.parse_args(asked)
    try:
        if options.command == "lab":
            return _lab()
        run.run(options)
    except (ValueError, Diverged) as error:
        print(f"ftkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ftkit: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def _lab() -> int:
    from ftkit.bases import shared_folder

    lesson = shared_folder("notebooks", "00_the_picture.ipynb")
    command = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", str(lesson)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # containers run as root; the server listens on this machine alone and asks for its token
    # One thread a kernel: two that wait for each other on cores that a browser or a second notebook keeps busy are many times slower.
    return subprocess.call(command, env={"OMP_NUM_THREADS": "1", **os.environ, "TOKENIZERS_PARALLELISM": "false"})


if __name__ == "__main__":
    sys.exit(main())
