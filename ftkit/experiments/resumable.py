"""An executor that remembers: each run is written to a file when it is done, and no run is ever made twice."""

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

from ftkit.experiments.code_version import named, version

TABLE = """CREATE TABLE IF NOT EXISTS runs
(key TEXT PRIMARY KEY, trial TEXT, settings TEXT, more TEXT, code TEXT, data TEXT, answer TEXT)"""


class CachedExecutor(Executor):
    """Runs of another executor, kept in a file (SQLite). A run that is there is not made again: its answer comes from the file.

    A run is found by its trial's name, its settings, the version of the code (`ftkit.experiments.code_version.version`) and the fingerprint of the data. It
    is one row, written in one transaction when it is done, so `kill -9` loses the runs under way and no other. Others may read meanwhile
    (`runs`); one process at a time may write.

    Args:
        path: the file; made if it is not there.
        executor: makes the runs, any `concurrent.futures.Executor`; without one they are made here, one after another.
        data: a fingerprint of what the trials read.

    Raises:
        ValueError: another process writes this file.
    """

    def __init__(self, path: Path, executor: Executor | None = None, data: str = "") -> None:
        self._executor, self._data = executor, data
        path.parent.mkdir(parents=True, exist_ok=True)
        self._alone = FileLock(f"{path}.lock", timeout=0)
        try:
            self._alone.acquire()
        except Timeout:
            raise ValueError(
                f"{path.name} must have one writer, got a second; wait for the other sweep, or name another file"
            ) from None
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute(TABLE)
        self._turn, self._under_way = Condition(), dict[str, Future[Any]]()
        self._codes, self._made = dict[Any, str](), dict[Future[Any], Future[Any]]()

    def submit(  # type: ignore[override]
        self, run: Callable[..., Any], trial: Any, settings: Mapping[str, Any], /, *more: Any
    ) -> Future[Any]:
        """The answer of `run(trial, settings, *more)`: a dictionary by text, of numbers, texts, and lists and dictionaries of such.

        Raises:
            ValueError: a setting is none of these.
        """
        about = self._about(trial, settings, more)
        key = hashlib.blake2b("\n".join(about).encode(), digest_size=16).hexdigest()
        if key in self._under_way:
            return self._under_way[key]
        self._under_way[key] = answer = Future[Any]()
        with self._turn:
            row = self._file.execute("SELECT answer FROM runs WHERE key = ?", (key,)).fetchone()
        if row:
            answer.set_result(json.loads(row[0]))
        else:
            made = (
                self._executor.submit(run, trial, settings, *more)
                if self._executor
                else _here(run, trial, settings, *more)
            )
            self._made[made] = answer
            made.add_done_callback(lambda done: self._write(done, answer, key, about))
        return answer

    @property
    def code(self) -> dict[str, str]:
        """The version of the code of every trial that was asked for so far, by the trial's name."""
        return {named(trial): version for trial, version in self._codes.items()}

    def _about(
        self, trial: Any, settings: Mapping[str, Any], more: tuple[Any, ...]
    ) -> tuple[str, ...]:
        if trial not in self._codes:
            self._codes[trial] = version(trial)
        try:
            return (
                named(trial),
                json.dumps(dict(sorted(settings.items()))),
                json.dumps(more),
                self._codes[trial],
                self._data,
            )
        except TypeError as error:
            raise ValueError(
                f"what decides a run must be numbers and texts, got {dict(settings)!r}: {error}"
            ) from None

    def _write(
        self, done: "Future[Any]", answer: "Future[Any]", key: str, about: tuple[str, ...]
    ) -> None:
        try:
            text = json.dumps(done.result(timeout=0))
            with self._turn:
                self._file.execute(
                    "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", (key, *about, text)
                )
        except (
            BaseException
        ) as error:  # whatever it is, whoever waits for the answer must hear of it
            if answer.set_running_or_notify_cancel():
                answer.set_exception(error)
        else:
            if answer.set_running_or_notify_cancel():
                answer.set_result(json.loads(text))
        with self._turn:
            del self._made[done]  # a cluster makes again what it has lost and somebody still holds
            self._turn.notify_all()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Waits for what is under way, writes it and closes the file; what nobody waits for any more is left undone. The other executor is
        its owner's."""
        for made, answer in list(self._made.items()):
            if cancel_futures or answer.cancelled():
                made.cancel()
        with self._turn:
            self._turn.wait_for(lambda: not (wait and self._made))
            self._file.close()
        self._alone.release()


def _here(run: Callable[..., Any], *given: Any) -> "Future[Any]":
    made = Future[Any]()
    try:
        made.set_result(run(*given))
    except Exception as error:
        made.set_exception(error)
    return made


def runs(path: Path) -> pd.DataFrame:
    """Every run in a file, one row each, in the order in which they were done: `trial`, its settings, `code`, `data` and what it answered.
    It may be read while a sweep writes, from the moment the file is there."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        begun = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone()
        rows = (
            file.execute(
                "SELECT trial, settings, code, data, answer FROM runs ORDER BY rowid"
            ).fetchall()
            if begun
            else []
        )
    return pd.DataFrame(
        [
            {
                "trial": row[0],
                **json.loads(row[1]),
                "code": row[2],
                "data": row[3],
                **json.loads(row[4]),
            }
            for row in rows
        ]
    )
