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

A damaged file is rebuilt when it is opened. Each row has a digest, so the rows that are whole are
kept, and only the others are made again.
"""

import hashlib
import json
import os
import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing, suppress
from pathlib import Path
from threading import Condition
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from ftkit.experiments.code_version import trial_name, version
from ftkit.storage import set_aside

COLUMNS = "key, trial, settings, more, code, data, answer, digest"
TABLE = f"CREATE TABLE IF NOT EXISTS checked_runs ({COLUMNS}, PRIMARY KEY (key))"
SELECT = f"SELECT {COLUMNS} FROM checked_runs"
INSERT = "INSERT OR REPLACE INTO checked_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""What SQLite says of a file that is damaged, is no database, or has other columns."""
Row = tuple[str, ...]
"""The values of `COLUMNS`."""


class CachedExecutor(Executor):
    """An executor that keeps the runs of another one in a file (SQLite), and makes none twice.

    A run is identified by its trial's name, its settings, the version of the code
    (`ftkit.experiments.code_version.version`) and the fingerprint of the data. It is one row,
    written in one transaction, so `kill -9` loses the runs in progress and no others. Other
    processes may read the file meanwhile (`runs`); one process at a time may write.

    A damaged file is kept under another name; the runs in it that are whole are kept in the new
    one, and a warning says so.

    Args:
        path: the file; it is created if it does not exist.
        executor: makes the runs, any `concurrent.futures.Executor`; without one they are made in
            this thread, one after another.
        data: a fingerprint of what the trials read.

    Raises:
        ValueError: another process writes this file, or it cannot be written.
    """

    def __init__(self, path: Path, executor: Executor | None = None, data: str = "") -> None:
        self._executor, self._data = executor, data
        self._lock = FileLock(f"{path}.lock", timeout=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise ValueError(
                f"{path.name} must have one writer, got a second; "
                "wait for the other sweep, or name another file"
            ) from None
        except OSError as error:
            raise ValueError(
                f"the runs must be kept in a place that can be written, got {path} "
                f"({error.strerror}); name another place or change its permissions"
            ) from error
        try:
            self._file = _open_or_rebuild(path)
        except BaseException:
            self._lock.release()
            raise
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
            row = self._file.execute(f"{SELECT} WHERE key = ?", (key,)).fetchone()
        if row and _is_whole(row):
            answer.set_result(json.loads(row[COLUMNS.split(", ").index("answer")]))
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
                self._file.execute(INSERT, _with_digest((key, *identity, text)))
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


def _open_or_rebuild(path: Path) -> sqlite3.Connection:
    """Open the file of runs for writing; rebuild it from the rows that are whole if it is damaged.

    Raises:
        ValueError: it cannot be opened, for another reason than damage.
    """
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if not _is_damage(path, error):
            raise ValueError(
                f"the runs must be kept in a file that can be written, got {path} ({error}); "
                "name another file or change its permissions"
            ) from error
    rows = _whole_rows(path)
    aside = set_aside(path)
    for ending in ("-wal", "-shm"):  # they belong to the damaged file
        if os.path.lexists(f"{path}{ending}"):
            set_aside(Path(f"{path}{ending}"))
    file = _open(path)
    file.execute("BEGIN")
    file.executemany(INSERT, rows)
    file.execute("COMMIT")
    warnings.warn(
        f"{path.name} was damaged and is kept as {aside.name}; {len(rows)} whole runs of it are "
        "used, the others are made again",
        stacklevel=3,
    )
    return file


def _open(path: Path) -> sqlite3.Connection:
    """Open the file of runs for writing, and check it.

    Raises:
        sqlite3.DatabaseError: it is damaged, or cannot be opened.
    """
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
        file.execute(TABLE)
        file.execute(f"{SELECT} LIMIT 0")
        file.execute("BEGIN IMMEDIATE")  # an error if it cannot be written
        file.execute("COMMIT")
        (problem,) = file.execute("PRAGMA integrity_check(1)").fetchone()
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
    except BaseException:
        file.close()
        raise
    return file


def _is_damage(path: Path, error: sqlite3.DatabaseError) -> bool:
    """Whether the content of the file is to blame, not its permissions, a full disk or a lock."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in DAMAGE or path.is_dir()


def _whole_rows(path: Path) -> list[Row]:
    """The rows of a damaged file that are whole, in the order in which they were written.

    They are read from both ends, each time up to the damage.
    """
    rows = dict[int, Row]()
    for order in ("rowid", "rowid DESC"):
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA writable_schema = ON")  # read a file that is too short as well
            file.text_factory = lambda text: text.decode(errors="replace")
            for number, *row in file.execute(
                f"SELECT rowid, {COLUMNS} FROM checked_runs ORDER BY {order}"
            ):
                if _is_whole(row):
                    rows[number] = tuple(row)
    return [rows[number] for number in sorted(rows)]


def _with_digest(values: Row) -> Row:
    """The row with these values: its digest comes last."""
    return (*values, hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest())


def _is_whole(row: Sequence[Any]) -> bool:
    """Whether a row is as it was written."""
    *values, _ = row
    return all(isinstance(each, str) for each in row) and tuple(row) == _with_digest(tuple(values))


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
    may write the file meanwhile. Rows that are damaged are left out.

    Raises:
        ValueError: the file cannot be read or is damaged.
    """
    has_table = "SELECT 1 FROM sqlite_master WHERE name = 'checked_runs'"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            # A sweep that has just begun has a file, but no table yet.
            begun = file.execute(has_table).fetchone()
            rows = file.execute(f"{SELECT} ORDER BY rowid").fetchall() if begun else []
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"the runs must be in a file that can be read, got {path} ({error}); "
            "start make results again, which mends a damaged file"
        ) from error
    return pd.DataFrame(
        [
            {
                "trial": trial,
                **json.loads(settings),
                "code": code,
                "data": data,
                **json.loads(answer),
            }
            for _, trial, settings, _, code, data, answer, _ in filter(_is_whole, rows)
        ]
    )
