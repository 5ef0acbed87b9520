"""`python -m ftkit.lessons 02`: one lesson's recorded experiments anew; with `--seeds 2` a part of them, beside the record."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from time import sleep

from ftkit.experiments.recording import kept_in, made_by, one_thread, standing
from ftkit.lessons.bitfit import study as bitfit
from ftkit.lessons.can_lora_be_beaten import study as board
from ftkit.lessons.distillation import study as distill_record
from ftkit.lessons.limits_of_lora import study as distance_record
from ftkit.lessons.lora import study as lora
from ftkit.lessons.multitask import study as multitask_record
from ftkit.lessons.sparse import study as sparse_record
from ftkit.lessons.the_lora_family import study as family
from ftkit.lessons.the_picture import study as transfer
from ftkit.lessons.transfer_learning import study as freezing_record
from ftkit.paths import kit_path

STUDIES = {
    "00": (transfer, "00_the_picture.parquet"),
    "01": (freezing_record, "01_transfer_learning.parquet"),
    "02": (lora, "02_lora.parquet"),
    "03": (distance_record, "03_limits_of_lora.parquet"),
    "04": (bitfit, "04_bitfit.parquet"),
    "05": (sparse_record, "05_sparse.parquet"),
    "06": (distill_record, "06_distillation.parquet"),
    "07": (multitask_record, "07_multitask.parquet"),
    "08": (family, "08_the_lora_family.parquet"),
    "09": (board, "09_can_lora_be_beaten.parquet"),
}


def main(asked: list[str] | None = None) -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="make results", description="The recorded experiments anew; no run is made twice."
    )
    parser.add_argument(
        "lessons", nargs="*", metavar="LESSON", help=f"{', '.join(STUDIES)}; all by default"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="only the first N seeds, written beside the record"
    )
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help='the scheduler of a Dask cluster that makes the runs, or "local" for one here',
    )
    parser.add_argument(
        "--standing",
        action="store_true",
        help="only show what has been found so far; may be asked while runs are made",
    )
    parser.add_argument(
        "--every",
        type=float,
        metavar="SECONDS",
        help="with --standing: show it again and again, until Ctrl-C",
    )
    given = parser.parse_args(asked)
    if unknown := set(given.lessons) - set(STUDIES):
        parser.error(f"LESSON must be one of {', '.join(STUDIES)}, got {min(unknown)}")
    most = min(len(STUDIES[lesson][0].SEEDS) for lesson in given.lessons or STUDIES)
    if given.seeds is not None and not 2 <= given.seeds <= most:
        parser.error(f"SEEDS must be from 2 to {most}, got {given.seeds}; without it all are run")
    if given.every is not None and not (given.standing and given.every > 0):
        parser.error(f"--every must be above 0 and come with --standing, got {given.every:g}")
    for lesson in given.lessons or STUDIES:
        study, name = STUDIES[lesson]
        path = kit_path("data", "results", name)
        if given.standing:
            try:
                show(path, lesson, given.every)
            except ValueError as error:
                parser.error(str(error))
        else:
            with dask(given.dask) if given.dask else nullcontext():
                study.main(path) if given.seeds is None else study.main(
                    part(path, given.seeds), seeds=range(given.seeds)
                )


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
