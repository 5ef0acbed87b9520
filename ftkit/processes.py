"""A process that ends with the one that started it."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable

POLL = 0.5
"""Seconds between two looks at the parent, where the system does not tell of its end."""


def end_with_parent() -> None:
    """End this process at once when the process that started it has ended, however it ended.

    A process that is killed cannot end its children itself. Nothing is cleaned up here either, as
    if this process were killed too. A process of `multiprocessing` is told by the system. Any other
    one looks at the number of its parent; on Windows that number never changes, and this has no
    effect.
    """
    parent = multiprocessing.parent_process()
    wait = parent.join if parent else _wait_for_another_parent(os.getppid())
    threading.Thread(target=_end_after, args=(wait,), name="ftkit parent", daemon=True).start()


def _end_after(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)


def _wait_for_another_parent(number: int) -> Callable[[], None]:
    """A function that waits until the parent is not the process of this number any more."""

    def wait() -> None:
        while os.getppid() == number:
            time.sleep(POLL)

    return wait
