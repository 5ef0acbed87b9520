"""Runs trials on a thread of its own. The newest request wins, at every step."""

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.experiments.sweep import Trial
from ftkit.training import background_validation
from ftkit.training.events import Event

THREAD = "ftkit worker"
"""The name of the thread."""


@dataclass(frozen=True)
class Job:
    """A request: settings, and the seeds to run one after another.

    `number` counts the requests of a worker from 1.
    """

    number: int
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class JobEnd:
    """The end of a job.

    `how` is "finished", "stopped", "replaced" (by a newer request) or "failed", with the `error`.
    """

    job: Job
    how: str
    error: Exception | None = None


Listener = Callable[[Job, int, Event], None]
"""A function of the job, the seed and the event."""


class Worker:
    """Runs `trial(**settings, seed=seed)` on a thread, and calls back from it.

    After a newer request or a stop, an older job is heard of only once more: at its end. The thread
    lives while there is work, so a resting worker holds none.

    Args:
        trial: from settings and `seed` to an iterator of `Event`.
        on_start: called with the job when it starts.
        on_event: called with the job, the seed and each event.
        on_end: called with the `JobEnd`.
    """

    def __init__(
        self,
        trial: Trial,
        on_start: Callable[[Job], None],
        on_event: Listener,
        on_end: Callable[[JobEnd], None],
    ) -> None:
        self._trial = trial
        self._on_start, self._on_event, self._on_end = on_start, on_event, on_end
        self._lock = threading.Condition()
        self._newest = 0
        self._waiting: Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def request(self, settings: Mapping[str, Any], seeds: Sequence[int]) -> Job:
        """Ask for a job; the one that runs now ends at its next step. Never waits.

        Raises:
            RuntimeError: the worker is closed.
        """
        with self._lock:
            job = self._next(settings, seeds)
            self._waiting = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=THREAD, daemon=True)
                self._thread.start()
        return job

    def run(self, settings: Mapping[str, Any], seeds: Sequence[int]) -> None:
        """Do a job at once, on the caller's thread.

        Raises:
            RuntimeError: the worker is closed.
        """
        with self._lock:
            job = self._next(settings, seeds)
        self._do(job)

    def stop(self) -> None:
        """End the running job at its next step, and drop the waiting one."""
        with self._lock:
            self._newest += 1
            self._waiting = None

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._closed = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is no work; False if that takes longer than `timeout` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: self._thread is None, timeout)

    def _next(self, settings: Mapping[str, Any], seeds: Sequence[int]) -> Job:
        if self._closed:
            raise RuntimeError(
                "a closed panel must be shown again before it runs; run its cell again"
            )
        self._newest += 1
        return Job(self._newest, dict(settings), tuple(seeds))

    def _work(self) -> None:
        """Do the waiting job until none waits. Under the lock, a request or the end comes first."""
        _one_thread_on_small_machines()
        while True:
            with self._lock:
                job, self._waiting = self._waiting, None
                if job is None:
                    self._thread = None
                    self._lock.notify_all()
                    return
            self._do(job)

    def _do(self, job: Job) -> None:
        try:
            self._on_start(job)
            with background_validation.in_background():
                finished = all(self._run_seed(job, seed) for seed in job.seeds)
            left = "stopped" if self._waiting is None else "replaced"
            end = JobEnd(job, "finished" if finished else left)
        except Exception as error:
            end = JobEnd(job, "failed", error)
        self._on_end(end)

    def _run_seed(self, job: Job, seed: int) -> bool:
        """Run one trial to its end; False if it was left before."""
        for event in self._trial(**job.settings, seed=seed):
            if self._newest != job.number:
                return False
            self._on_event(job, seed, event)
        return self._newest == job.number


def _one_thread_on_small_machines() -> None:
    """Give torch one thread if there are at most two cores.

    If a browser keeps the cores busy, two threads wait for each other, and are many times slower
    than one.
    """
    torch = sys.modules.get("torch")
    if torch is not None and (os.cpu_count() or 1) <= 2:
        torch.set_num_threads(1)
