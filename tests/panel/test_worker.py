"""The session behind a panel, with fake trials: the newest request wins, nothing is left over."""

import threading
import time
from collections.abc import Iterator

import pytest

from ftkit.panel.worker import Ended, Job, Session
from ftkit.training.events import Event


class Book:
    """A session that writes down what it is told."""

    def __init__(self, pause: float = 0.001, steps: int = 30) -> None:
        self.pause, self.steps = pause, steps
        self.begun: list[int] = []
        self.jobs: list[Job] = []
        self.events: list[tuple[int, int, int]] = []
        self.ends: list[Ended] = []
        self.session = Session(self.trial, self.jobs.append, self.heard, self.ends.append)

    def trial(self, x: int, seed: int) -> Iterator[Event]:
        self.begun.append(x)
        for step in range(1, self.steps + 1):
            if x < 0:
                raise ValueError("x must be at least 0")
            time.sleep(self.pause)
            yield Event(step, "train", {"train/loss": 1.0})

    def heard(self, job: Job, seed: int, event: Event) -> None:
        self.events.append((job.number, seed, event.step))


def others() -> int:
    return sum(thread.name == "ftkit session" for thread in threading.enumerate())


def test_a_request_runs_to_its_end_and_leaves_no_thread() -> None:
    book = Book()
    job = book.session.request({"x": 1}, [7])
    assert book.session.wait(5)
    assert (
        [end.how for end in book.ends] == ["finished"]
        and book.ends[0].job == job
        and book.jobs == [job]
    )
    assert book.events == [(1, 7, step) for step in range(1, 31)]
    assert others() == 0


def test_a_hundred_quick_requests_end_in_one_finished_run_of_the_last() -> None:
    book = Book()
    for x in range(100):
        book.session.request({"x": x}, [0])
        time.sleep(0.0005)
    assert book.session.wait(10)
    assert [(end.how, end.job.settings["x"]) for end in book.ends if end.how == "finished"] == [
        ("finished", 99)
    ]
    assert others() == 0
    wasted = [event for event in book.events if event[0] != 100]
    assert len(wasted) <= 2 * len(set(book.begun)), (
        "a run that was replaced is left at its next step"
    )


def test_nothing_is_heard_of_a_run_after_a_newer_request() -> None:
    book = Book(pause=0.005)
    book.session.request({"x": 1}, [0])
    time.sleep(0.03)
    newer = book.session.request({"x": 2}, [0])
    time.sleep(0.01)  # the step that was under way may still end
    settled = len([event for event in book.events if event[0] < newer.number])
    assert book.session.wait(5)
    assert len([event for event in book.events if event[0] < newer.number]) == settled
    assert [end.how for end in book.ends] == ["replaced", "finished"]


def test_stop_leaves_the_run_and_says_so() -> None:
    book = Book(pause=0.01)
    book.session.request({"x": 1}, [0])
    time.sleep(0.05)
    book.session.stop()
    assert book.session.wait(1)
    assert [end.how for end in book.ends] == ["stopped"] and len(book.events) < 30


def test_seeds_run_one_after_another_and_a_request_replaces_them_all() -> None:
    book = Book()
    book.session.request({"x": 1}, [3, 4])
    assert book.session.wait(5)
    assert [seed for _, seed, step in book.events if step == 30] == [3, 4]
    book.session.request({"x": 1}, range(100))
    time.sleep(0.02)
    book.session.request({"x": 2}, [0])
    assert book.session.wait(5)
    assert [end.how for end in book.ends] == ["finished", "replaced", "finished"]


def test_an_error_ends_the_run_and_the_session_goes_on() -> None:
    book = Book()
    book.session.request({"x": -1}, [0])
    assert book.session.wait(5)
    assert book.ends[0].how == "failed" and str(book.ends[0].error) == "x must be at least 0"
    book.session.request({"x": 1}, [0])
    assert book.session.wait(5) and book.ends[1].how == "finished"


def test_run_works_on_the_callers_thread() -> None:
    book = Book()
    book.session.run({"x": 1}, [0])
    assert len(book.events) == 30 and others() == 0


def test_a_closed_session_stops_and_takes_no_more() -> None:
    book = Book(pause=0.01)
    book.session.request({"x": 1}, [0])
    book.session.close()
    assert book.session.wait(1)
    with pytest.raises(RuntimeError, match="run its cell again"):
        book.session.request({"x": 1}, [0])
