"""A trial for the tests of resumable runs.

Each run writes a line to a file when it begins, so that runs of all processes can be counted.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from ftkit.training.events import Event

LOG = "FTKIT_TEST_LOG"


def begun(log: Path) -> list[str]:
    """The lines of the runs that have begun."""
    return log.read_text().split("\n")[:-1] if log.exists() else []


def counted(rank: int, lr: float, seed: int = 0) -> Iterator[Event]:
    """A run of a tenth of a second that writes to the log; with rank 13 it fails."""
    with open(os.environ[LOG], "a") as file:
        file.write(f"{rank} {lr} {seed}\n")
    time.sleep(0.1)
    if rank == 13:
        raise OSError("no such disk")
    yield Event(1, "valid", {"valid/accuracy": 0.1 * rank - lr / 3 + 0.001 * seed})
    yield Event(2, "valid", {"valid/accuracy": 0.2 * rank - lr / 3 + 0.001 * seed})
