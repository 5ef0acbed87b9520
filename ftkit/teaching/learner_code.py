"""Run learners' code safely.

Stubs, exceptions and endless loops become messages about the learner's code, never a traceback of
the kit.
"""

import ctypes
import dis
import inspect
import linecache
import os
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ftkit

_KIT = str(Path(ftkit.__file__).parent)
_INSTALLED = [
    sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")
]
_NOT_THEIRS = (
    *(folder + os.sep for folder in [_KIT, *_INSTALLED]),
    "<frozen",
    "<string>",
    "<__array",
)
"""How the file names of code begin that no learner wrote."""

_STUB_INSTRUCTIONS = {
    "RESUME",
    "NOP",
    "CACHE",
    "LOAD_CONST",
    "RETURN_CONST",
    "RETURN_VALUE",
    "COPY_FREE_VARS",
}
"""The bytecode of a function that only returns a constant."""

_LONGEST_MESSAGE = 300


class TooLong(BaseException):
    """The learner's code did not end in time.

    It is not an Exception, so that an `except Exception` of theirs does not catch it.
    """


def is_stub(function: Any) -> bool:
    """Return whether the body of `function` does nothing.

    It may be a docstring, `...`, `pass`, or the return of None or `...`.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return False
    instructions = list(dis.get_instructions(code))
    constants = [step.argval for step in instructions if step.opname.endswith("_CONST")]
    does_nothing = all(step.opname in _STUB_INSTRUCTIONS for step in instructions)
    return does_nothing and all(value is None or value is ... for value in constants)


def theirs(error: BaseException) -> traceback.FrameSummary | None:
    """Return the last frame of the learner's own code that `error` went through, if any.

    Frames of the kit and of installed libraries do not count.
    """
    frames = traceback.extract_tb(error.__traceback__)
    learners = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)]
    return learners[-1] if learners else None


def raised_by_them(error: BaseException) -> bool:
    """Return whether the `raise` statement itself is in the learner's code."""
    learners = theirs(error)
    if learners is None:
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (learners.filename, learners.lineno) == (last.filename, last.lineno)


def line_of(error: BaseException) -> str:
    """Return the learner's line that `error` went through, with its number; empty if none did."""
    frame = theirs(error)
    if frame is None or frame.lineno is None:
        return ""
    return f"line {frame.lineno}: {linecache.getline(frame.filename, frame.lineno).strip()}"


def message_of(error: BaseException) -> str:
    """Return the exception's type and message, cut at 300 characters."""
    try:
        message = str(error)
    except Exception:  # the learner's own exception class may be broken too
        message = ""
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " ..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TooLong` inside the block after `seconds`.

    Python has no timeout for a thread, and signals reach only the main thread, which a kernel may
    not run us in. So another thread asks the interpreter to raise an exception in this one:

    1. A timer thread waits for `seconds`.
    2. It calls `PyThreadState_SetAsyncExc`, which marks this thread. The interpreter raises the
       exception before one of the next bytecodes, also in the middle of an endless loop.
    3. A single call of C code that never returns executes no bytecode, so it cannot be ended.

    If the block ends just when the timer fires, the exception may be marked but not raised yet. It
    must not be raised after the block. So both hold a lock: either the timer marks first, and the
    end of the block withdraws the mark; or the block is over first, and the timer does nothing.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    lock, is_over = threading.Lock(), threading.Event()

    def fire() -> None:
        with lock:
            if not is_over.is_set():
                raise_in(thread, ctypes.py_object(TooLong))

    timer = threading.Timer(seconds, fire)
    timer.daemon = True  # a kernel that shuts down does not wait for it
    timer.start()
    try:
        yield
    finally:
        with lock:
            is_over.set()
            raise_in(thread, None)  # NULL withdraws an exception that is marked but not raised
        timer.cancel()
