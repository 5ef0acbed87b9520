"""The `ftkit` command."""

import io
import sys

from ftkit.cli import lab
from ftkit.cli.arguments import Parser, printable
from ftkit.training.events import Diverged


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; a mistake is said in one line, with status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal cannot show is escaped and never ends the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except (ValueError, Diverged, OSError) as error:
        print(f"ftkit: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ftkit: stopped; nothing was written", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    parser = Parser(prog="ftkit", description="A teaching kit about fine-tuning beyond LoRA.")
    commands = parser.add_subparsers(dest="command", required=True)
    lab.add_arguments(
        commands.add_parser("lab", help="open your copies of the lessons in JupyterLab")
    )
    runner = commands.add_parser(
        "run",
        help="fine-tune a base on a task, and compare with full fine-tuning and the frozen body",
        description="Fine-tune a base on a task with one technique. "
        "Compare with full fine-tuning and the frozen body.",
    )
    if arguments[:1] == ["run"]:
        from ftkit.cli import run  # imports torch, which `ftkit lab` does not need

        run.add_techniques(runner)
        options = parser.parse(["run", *run.technique_first(arguments[1:])])
        run.run(options)
        return 0
    return lab.open_lab(parser.parse(arguments))


if __name__ == "__main__":
    sys.exit(main())
