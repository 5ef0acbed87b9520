"""The `ftkit` command."""

import argparse
import sys

from ftkit.cli import lab
from ftkit.training.events import Diverged


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a mistake in what was asked for is said in one line, with exit status 2."""
    parser = argparse.ArgumentParser(
        prog="ftkit", description="A teaching kit about fine-tuning beyond LoRA."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    lab.add_arguments(
        commands.add_parser("lab", help="open your copies of the lessons in JupyterLab")
    )
    runner = commands.add_parser(
        "run", help="fine-tune a base on a task, beside full fine-tuning and the frozen head"
    )
    asked = sys.argv[1:] if arguments is None else arguments
    if asked[:1] == ["run"]:
        from ftkit.cli import run

        run.add_arguments(runner)
    options = parser.parse_args(asked)
    try:
        if options.command == "lab":
            return lab.open_lab(options)
        run.run(options)
    except (ValueError, Diverged) as error:
        print(f"ftkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ftkit: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
