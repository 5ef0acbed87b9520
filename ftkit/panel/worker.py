"""The worker behind a panel: runs trials on a thread of its own and reads them on another. The newest request wins, at every step."""

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.experiments.sweep import Trial
from ftkit.training import background_validation as readings
from ftkit.training.events import Event


@dataclass(frozen=True)
class Job:
    """What was asked for: settings, and the seeds to run one after another. `number` counts the requests of a session."""

    number: int
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Ended:
    """How a job ended: `how` is "finished", "stopped", "replaced" (by a newer request) or "failed", with its `error`."""

    job: Job
    how: str
    error: Exception | None = None


Listener = Callable[[Job, int, Event], None]


class Session:
    """Runs `trial(**settings, seed=seed)` and tells `began(job)` of every beginning, `heard(job, seed, event)` of every event and
    `ended(Ended)` of every end.

    All are called on the worker's thread. After a newer request or a stop, nothing more is heard of the older job but its end. The
    thread lives while there is work, so a session at rest holds none.
    """

    def __init__(
        self,
        trial: Trial,
        began: Callable[[Job], None],
        heard: Listener,
        ended: Callable[[Ended], None],
    ) -> None:
        self._trial, self._began, self._heard, self._ended = trial, began, heard, ended
        self._lock = threading.Condition()
        self._newest = 0
        self._waiting: Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def request(self, settings: Mapping[str, Any], seeds: Sequence[int]) -> Job:
        """Asks for a job; whatever runs now is left at its next step. Never waits.

        Raises:
            RuntimeError: the session is closed.
        """
        with self._lock:
            job = self._next(settings, seeds)
            self._waiting = job
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="ftkit session", daemon=True
                )
                self._thread.start()
        return job

    def run(self, settings: Mapping[str, Any], seeds: Sequence[int]) -> None:
        """Does the job here and now, on the caller's thread."""
        with self._lock:
            job = self._next(settings, seeds)
        self._do(job)

    def stop(self) -> None:
        """Leaves what runs at its next step and forgets what waits."""
        with self._lock:
            self._newest += 1
            self._waiting = None

    def close(self) -> None:
        """Stops for good."""
        self.stop()
        self._closed = True

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the session is at rest; False if that took longer than `timeout` seconds."""
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
            self._began(job)
            with readings.in_background():
                finished = all(self._seed(job, seed) for seed in job.seeds)
            how = "finished" if finished else "stopped" if self._waiting is None else "replaced"
            end = Ended(job, how)
        except Exception as error:
            end = Ended(job, "failed", error)
        self._ended(end)

    def _seed(self, job: Job, seed: int) -> bool:
        """One trial, to its end; False if it was left before."""
        for event in self._trial(**job.settings, seed=seed):
            if self._newest != job.number:
                return False
            self._heard(job, seed, event)
        return self._newest == job.number


def _one_thread_on_small_machines() -> None:
    """Two torch threads on two cores that a browser keeps busy wait for each other: many times slower than one."""
    torch = sys.modules.get("torch")
    if torch is not None and (os.cpu_count() or 1) <= 2:
        torch.set_num_threads(1)
