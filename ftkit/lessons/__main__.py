"""`python -m ftkit.lessons 02`: run one lesson's recorded experiments again.

With `--seeds 2` only a part of them is run, and written next to the record.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from time import sleep

from ftkit.experiments.recording import kept_in, made_by, one_thread, standing
from ftkit.lessons import Lesson, lessons


def main(asked: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    every = lessons()
    parser = _parser(list(every))
    given = parser.parse_args(asked)
    if unknown := set(given.lessons) - set(every):
        parser.error(f"LESSON must be one of {', '.join(every)}, got {min(unknown)}")
    chosen = [every[number] for number in given.lessons or every]
    most = min(len(lesson.seeds) for lesson in chosen)
    if given.seeds is not None and not 2 <= given.seeds <= most:
        parser.error(f"SEEDS must be from 2 to {most}, got {given.seeds}; without it all are run")
    if given.every is not None and not (given.standing and given.every > 0):
        parser.error(f"--every must be above 0 and come with --standing, got {given.every:g}")
    for lesson in chosen:
        if given.standing:
            try:
                show(lesson.path, lesson.number, given.every)
            except ValueError as error:
                parser.error(str(error))
        else:
            with dask(given.dask) if given.dask else nullcontext():
                _record(lesson, given.seeds)


def _parser(numbers: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make results",
        description="Run the recorded experiments. A run that is already there is not repeated.",
    )
    parser.add_argument(
        "lessons", nargs="*", metavar="LESSON", help=f"{', '.join(numbers)}; all by default"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="only the first N seeds, written next to the record"
    )
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help='the scheduler of a Dask cluster that does the runs, or "local" to start one here',
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
    return parser


def _record(lesson: Lesson, seeds: int | None) -> None:
    if seeds is None:
        lesson.make()
    else:
        lesson.make(part(lesson.path, seeds), range(seeds))


def show(path: Path, lesson: str, every: float | None = None) -> None:
    """Prints what the study of a lesson has found so far; with `every` again after so many seconds, until it is interrupted.

    Raises:
        ValueError: no run has been kept.
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
    """Within it the runs are made by a Dask cluster: the one at `address`, or with "local" one of two processes here."""
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
    """Where a record of the first seeds goes: beside the whole one, which stays as it is."""
    return path.with_name(f"{path.stem}.first-{seeds}-seeds{path.suffix}")


if __name__ == "__main__":
    main()
