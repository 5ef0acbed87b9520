"""What learners hand in may be a stub, raise, or never end; here that becomes words about their own code, never a traceback of ours."""

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

_INSTALLED = [
    sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")
]
_NOT_THEIRS = (
    *(folder + os.sep for folder in [str(Path(ftkit.__file__).parent), *_INSTALLED]),
    "<frozen",
    "<string>",
    "<__array",
)
_NOTHING = {
    "RESUME",
    "NOP",
    "CACHE",
    "LOAD_CONST",
    "RETURN_CONST",
    "RETURN_VALUE",
    "COPY_FREE_VARS",
}


class TooLong(BaseException):
    """The learner's code did not end in time. Not an Exception, so that their `except Exception` lets it through."""


def is_stub(function: Any) -> bool:
    """Whether the body of `function` is only a docstring, `...`, `pass`, or the return of None or `...`."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    steps = list(dis.get_instructions(code)) if code else []
    values = [step.argval for step in steps if step.opname.endswith("_CONST")]
    return (
        bool(steps)
        and all(step.opname in _NOTHING for step in steps)
        and all(value is None or value is ... for value in values)
    )


def theirs(error: BaseException) -> traceback.FrameSummary | None:
    """The last line of the learner's own code that `error` went through: not ours, not an installed library's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)]
    return own[-1] if own else None


def raised_by_them(error: BaseException) -> bool:
    """Whether the `raise` itself stands in the learner's code."""
    own, frames = theirs(error), traceback.extract_tb(error.__traceback__)
    return own is not None and (own.filename, own.lineno) == (
        frames[-1].filename,
        frames[-1].lineno,
    )


def line_of(error: BaseException) -> str:
    """The learner's line that `error` went through, with its number; empty if none did."""
    own = theirs(error)
    if own is None or own.lineno is None:
        return ""
    return f"line {own.lineno}: {linecache.getline(own.filename, own.lineno).strip()}"


def message_of(error: BaseException) -> str:
    """The exception's type and message, at most 300 characters of it."""
    try:
        said = str(error)
    except Exception:  # the learner's own exception class may be broken too
        said = ""
    said = said if len(said) <= 300 else said[:300] + " ..."
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `TooLong` in the thread that is inside after `seconds`; it cannot end a single call of C code that never returns."""
    thread, gate, over = ctypes.c_ulong(threading.get_ident()), threading.Lock(), threading.Event()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def stop() -> None:
        with gate:
            if not over.is_set():
                raise_in(thread, ctypes.py_object(TooLong))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with (
            gate
        ):  # what was sent and has not arrived yet is called back: it must not strike after the end
            over.set()
            raise_in(thread, None)
        timer.cancel()
