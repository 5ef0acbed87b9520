"""Trials for the tests of what is kept: each says in a file when it begins, so that runs can be counted, whichever process makes them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from ftkit.training.events import Event

LOG = "FTKIT_TEST_LOG"


def begun(log: Path) -> list[str]:
    """The runs that have begun, one line each."""
    return log.read_text().split("\n")[:-1] if log.exists() else []


def counted(rank: int, lr: float, seed: int = 0) -> Iterator[Event]:
    """A run of a tenth of a second."""
    with open(os.environ[LOG], "a") as file:
        file.write(f"{rank} {lr} {seed}\n")
    time.sleep(0.1)
    if rank == 13:
        raise OSError("no such disk")
    yield Event(1, "valid", {"valid/accuracy": 0.1 * rank - lr / 3 + 0.001 * seed})
    yield Event(2, "valid", {"valid/accuracy": 0.2 * rank - lr / 3 + 0.001 * seed})
