"""An executor that caches runs: each is written to a file when it is done, and never made twice.

The life of a run:

1. `sweep` submits a trial with its settings. Trial, settings, code and data make a key.
2. If a run with that key is in the file, its answer comes from there. If one was submitted before
   and is not done, both share one future.
3. Otherwise the executor underneath makes the run.
4. When it is done, a callback writes its row in one transaction. Only then the caller gets the
   answer: what a caller has seen is in the file.
5. `shutdown` cancels the runs that nobody waits for, waits for those in progress, and closes the
   file.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from threading import Condition
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from ftkit.experiments.code_version import trial_name, version

TABLE = """CREATE TABLE IF NOT EXISTS runs
(key TEXT PRIMARY KEY, trial TEXT, settings TEXT, more TEXT, code TEXT, data TEXT, answer TEXT)"""


class CachedExecutor(Executor):
    """An executor that keeps the runs of another one in a file (SQLite), and makes none twice.

    A run is identified by its trial's name, its settings, the version of the code
    (`ftkit.experiments.code_version.version`) and the fingerprint of the data. It is one row,
    written in one transaction, so `kill -9` loses the runs in progress and no others. Other
    processes may read the file meanwhile (`runs`); one process at a time may write.

    Args:
        path: the file; it is created if it does not exist.
        executor: makes the runs, any `concurrent.futures.Executor`; without one they are made in
            this thread, one after another.
        data: a fingerprint of what the trials read.

    Raises:
        ValueError: another process writes this file.
    """

    def __init__(self, path: Path, executor: Executor | None = None, data: str = "") -> None:
        self._executor, self._data = executor, data
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{path}.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(
                f"{path.name} must have one writer, got a second; "
                "wait for the other sweep, or name another file"
            ) from None
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
        self._file.execute(TABLE)
        self._file_turn = Condition()  # callbacks come from threads of the executor underneath
        self._answers = dict[str, Future[Any]]()  # by key: every run that was asked for
        self._in_progress = dict[Future[Any], Future[Any]]()  # from underneath to the answer
        self._codes = dict[Any, str]()  # by trial: hashing the code once is enough

    def submit(  # type: ignore[override]
        self, run: Callable[..., Any], trial: Any, settings: Mapping[str, Any], /, *more: Any
    ) -> Future[Any]:
        """The future answer of `run(trial, settings, *more)`.

        The answer is a dictionary that JSON can hold: numbers, strings, lists and dictionaries.

        Raises:
            ValueError: JSON cannot hold a setting.
        """
        identity = self._identity(trial, settings, more)
        key = hashlib.blake2b("\n".join(identity).encode(), digest_size=16).hexdigest()
        if key in self._answers:
            return self._answers[key]
        self._answers[key] = answer = Future[Any]()
        with self._file_turn:
            row = self._file.execute("SELECT answer FROM runs WHERE key = ?", (key,)).fetchone()
        if row:
            answer.set_result(json.loads(row[0]))
            return answer
        if self._executor:
            made = self._executor.submit(run, trial, settings, *more)
        else:
            made = _in_this_thread(run, trial, settings, *more)
        self._in_progress[made] = answer
        made.add_done_callback(lambda done: self._write(done, answer, key, identity))
        return answer

    @property
    def code(self) -> dict[str, str]:
        """The version of the code of every trial that was submitted so far, by the trial's name."""
        return {trial_name(trial): version for trial, version in self._codes.items()}

    def _identity(
        self, trial: Any, settings: Mapping[str, Any], more: tuple[Any, ...]
    ) -> tuple[str, ...]:
        """What decides a run, as text: all columns of its row but `key` and `answer`."""
        if trial not in self._codes:
            self._codes[trial] = version(trial)
        try:
            settings_text, more_text = json.dumps(dict(sorted(settings.items()))), json.dumps(more)
        except TypeError as error:
            raise ValueError(
                f"settings must be numbers and strings, got {dict(settings)!r} ({error}); "
                "pass a name and let the trial make the object"
            ) from None
        return trial_name(trial), settings_text, more_text, self._codes[trial], self._data

    def _write(
        self, done: "Future[Any]", answer: "Future[Any]", key: str, identity: tuple[str, ...]
    ) -> None:
        """Write a run that is done, and then give its answer to the caller."""
        try:
            text = json.dumps(done.result(timeout=0))
            with self._file_turn:
                self._file.execute(
                    "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", (key, *identity, text)
                )
        except BaseException as error:  # whatever it is, a caller that waits must get it
            if answer.set_running_or_notify_cancel():
                answer.set_exception(error)
        else:
            if answer.set_running_or_notify_cancel():
                answer.set_result(json.loads(text))
        with self._file_turn:
            # Without a reference, or a cluster that loses the result would make it again.
            del self._in_progress[done]
            self._file_turn.notify_all()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what nobody waits for, wait for what is in progress, and close the file.

        The executor underneath is not shut down; that is up to its owner.
        """
        for made, answer in list(self._in_progress.items()):
            if cancel_futures or answer.cancelled():
                made.cancel()
        with self._file_turn:
            self._file_turn.wait_for(lambda: not (wait and self._in_progress))
            self._file.close()
        self._lock.release()


def _in_this_thread(run: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """Call a function now, and put its result or its error into a future."""
    made = Future[Any]()
    try:
        made.set_result(run(*arguments))
    except Exception as error:
        made.set_exception(error)
    return made


def runs(path: Path) -> pd.DataFrame:
    """Every run in a file, one row each, in the order in which they were done.

    The columns are `trial`, its settings, `code`, `data`, and the entries of its answer. A sweep
    may write the file meanwhile.
    """
    select = "SELECT trial, settings, code, data, answer FROM runs ORDER BY rowid"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        # A sweep that has just begun has a file, but no table yet.
        has_table = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone()
        rows = file.execute(select).fetchall() if has_table else []
    return pd.DataFrame(
        [
            {
                "trial": trial,
                **json.loads(settings),
                "code": code,
                "data": data,
                **json.loads(answer),
            }
            for trial, settings, code, data, answer in rows
        ]
    )
