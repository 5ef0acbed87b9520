"""The worker of a panel, with fake trials: the newest request wins, and no thread is left."""

import threading
import time
from collections.abc import Iterator

import pytest
from helpers.fake_trials import train_event

from ftkit.panel.worker import THREAD, Job, JobEnd, Worker
from ftkit.training.events import Event


class Diary:
    """A worker, and a list of all its calls."""

    def __init__(self, pause: float = 0.001, steps: int = 30) -> None:
        self.pause, self.steps = pause, steps
        self.started: list[int] = []
        self.jobs: list[Job] = []
        self.events: list[tuple[int, int, int]] = []
        self.ends: list[JobEnd] = []
        self.worker = Worker(self.trial, self.jobs.append, self.on_event, self.ends.append)

    def trial(self, x: int, seed: int) -> Iterator[Event]:
        self.started.append(x)
        for step in range(1, self.steps + 1):
            if x < 0:
                raise ValueError("x must be at least 0")
            time.sleep(self.pause)
            yield train_event(step)

    def on_event(self, job: Job, seed: int, event: Event) -> None:
        self.events.append((job.number, seed, event.step))


def threads() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


def test_a_request_runs_to_its_end_and_leaves_no_thread() -> None:
    diary = Diary()
    job = diary.worker.request({"x": 1}, [7])
    assert diary.worker.wait(5)
    assert [end.how for end in diary.ends] == ["finished"]
    assert diary.ends[0].job == job and diary.jobs == [job]
    assert diary.events == [(1, 7, step) for step in range(1, 31)]
    assert threads() == 0


def test_a_hundred_quick_requests_end_in_one_finished_run_of_the_last() -> None:
    diary = Diary()
    for x in range(100):
        diary.worker.request({"x": x}, [0])
        time.sleep(0.0005)
    assert diary.worker.wait(10)
    finished = [end.job.settings["x"] for end in diary.ends if end.how == "finished"]
    assert finished == [99]
    assert threads() == 0
    stale = [event for event in diary.events if event[0] != 100]
    most = 2 * len(set(diary.started))
    assert len(stale) <= most, "a run that was replaced ends at its next step"


def test_a_run_sends_no_event_after_a_newer_request() -> None:
    diary = Diary(pause=0.005)
    diary.worker.request({"x": 1}, [0])
    time.sleep(0.03)
    newer = diary.worker.request({"x": 2}, [0])
    time.sleep(0.01)  # the current step may still end
    older = len([event for event in diary.events if event[0] < newer.number])
    assert diary.worker.wait(5)
    assert len([event for event in diary.events if event[0] < newer.number]) == older
    assert [end.how for end in diary.ends] == ["replaced", "finished"]


def test_stop_ends_the_run_and_says_so() -> None:
    diary = Diary(pause=0.01)
    diary.worker.request({"x": 1}, [0])
    time.sleep(0.05)
    diary.worker.stop()
    assert diary.worker.wait(1)
    assert [end.how for end in diary.ends] == ["stopped"] and len(diary.events) < 30


def test_seeds_run_one_after_another_and_a_request_replaces_them_all() -> None:
    diary = Diary()
    diary.worker.request({"x": 1}, [3, 4])
    assert diary.worker.wait(5)
    assert [seed for _, seed, step in diary.events if step == 30] == [3, 4]
    diary.worker.request({"x": 1}, range(100))
    time.sleep(0.02)
    diary.worker.request({"x": 2}, [0])
    assert diary.worker.wait(5)
    assert [end.how for end in diary.ends] == ["finished", "replaced", "finished"]


def test_an_error_ends_the_run_and_the_worker_goes_on() -> None:
    diary = Diary()
    diary.worker.request({"x": -1}, [0])
    assert diary.worker.wait(5)
    assert diary.ends[0].how == "failed" and str(diary.ends[0].error) == "x must be at least 0"
    diary.worker.request({"x": 1}, [0])
    assert diary.worker.wait(5) and diary.ends[1].how == "finished"


def test_run_works_on_the_callers_thread() -> None:
    diary = Diary()
    diary.worker.run({"x": 1}, [0])
    assert len(diary.events) == 30 and threads() == 0


def test_a_closed_worker_stops_and_takes_no_more() -> None:
    diary = Diary(pause=0.01)
    diary.worker.request({"x": 1}, [0])
    diary.worker.close()
    assert diary.worker.wait(1)
    with pytest.raises(RuntimeError, match="run its cell again"):
        diary.worker.request({"x": 1}, [0])
