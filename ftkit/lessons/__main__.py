"""Run the recorded experiments of lessons again: `python -m ftkit.lessons 02`.

With `--seeds 2` only the first two seeds run; their table is written next to the whole one.
"""

import argparse
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from time import sleep

from ftkit.experiments.recording import kept_in, made_by, one_thread, standing
from ftkit.lessons import Lesson, lessons
from ftkit.processes import end_with_parent


def main(arguments: list[str] | None = None) -> None:
    """Run or show the experiments that the command line asks for."""
    every = lessons()
    parser = _parser(list(every))
    options = parser.parse_args(arguments)
    _check(parser, options, every)
    if options.end_with_parent:
        end_with_parent()
    for lesson in _chosen(options, every):
        try:
            _run(lesson, options)
        except ValueError as error:
            # File and line help whoever writes a study and has made the mistake there.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            parser.error(f"{error} ({Path(frame.filename).name}, line {frame.lineno})")


def _run(lesson: Lesson, options: argparse.Namespace) -> None:
    """Show the results of a lesson so far, or record it."""
    if options.standing:
        show(lesson.path, lesson.number, options.every)
        return
    with dask(options.dask) if options.dask else nullcontext():
        _record(lesson, options.seeds)


def _parser(numbers: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make results",
        description="Run the recorded experiments. A run that is already there is not repeated.",
    )
    parser.add_argument(
        "lessons", nargs="*", metavar="LESSON", help=f"{', '.join(numbers)}; all by default"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="only the first N seeds, written next to the recorded runs",
    )
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help='the scheduler of a Dask cluster that makes the runs, or "local" to start one here',
    )
    parser.add_argument(
        "--standing",
        action="store_true",
        help="only show the results so far; works while runs are under way",
    )
    parser.add_argument(
        "--every",
        type=float,
        metavar="SECONDS",
        help="with --standing: show them again and again, until Ctrl-C",
    )
    parser.add_argument("--end-with-parent", action="store_true", help=argparse.SUPPRESS)
    return parser


def _chosen(options: argparse.Namespace, every: dict[str, Lesson]) -> list[Lesson]:
    return [every[number] for number in options.lessons or every]


def _check(
    parser: argparse.ArgumentParser, options: argparse.Namespace, every: dict[str, Lesson]
) -> None:
    """End with an error where options are impossible."""
    unknown = set(options.lessons) - set(every)
    if unknown:
        parser.error(f"LESSON must be one of {', '.join(every)}, got {min(unknown)}")
    most = min(len(lesson.seeds) for lesson in _chosen(options, every))
    if options.seeds is not None and not 2 <= options.seeds <= most:
        parser.error(f"SEEDS must be from 2 to {most}, got {options.seeds}; without it all are run")
    if options.every is not None and not (options.standing and options.every > 0):
        parser.error(f"--every must be above 0 and come with --standing, got {options.every:g}")


def _record(lesson: Lesson, seeds: int | None) -> None:
    if seeds is None:
        lesson.make()
    else:
        lesson.make(part(lesson.path, seeds), range(seeds))


def show(path: Path, lesson: str, every: float | None = None) -> None:
    """Print the results of a study so far.

    Args:
        path: of the study's table, which may not be there yet.
        lesson: its number.
        every: print them again after this number of seconds, until Ctrl-C.

    Raises:
        ValueError: no run is stored.
    """
    with suppress(KeyboardInterrupt):
        while True:
            print(standing(kept_in(path, lesson)).to_string(index=False), flush=True)
            if not every:
                return
            sleep(every)
            print()


@contextmanager
def dask(address: str) -> Iterator[None]:
    """Make runs on a Dask cluster: the one at `address`, or two processes here with "local"."""
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if address == "local":
            address = stack.enter_context(
                LocalCluster(
                    n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
                )
            )
        client = stack.enter_context(Client(address))
        client.run(one_thread)
        stack.enter_context(made_by(client.get_executor()))
        yield


def part(path: Path, seeds: int) -> Path:
    """Return the path for the table of the first seeds, next to the whole table at `path`."""
    return path.with_name(f"{path.stem}.first-{seeds}-seeds{path.suffix}")


if __name__ == "__main__":
    main()
