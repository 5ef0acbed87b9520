"""Checks of parameters, in the kit's form: `<what must hold>, got <value>; <what to do>`.

Each raises a ValueError. A boolean is no number here: `rank=True` is a mistake.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Number, Real
from typing import Any

MOST_SEED = 2**63 - 1
"""The largest seed that every random generator of the kit takes."""
_WIDTH = 80
"""Of a value in a message, in characters."""


def shown(value: Any) -> str:
    """Write a value for a message, in one short line: a tensor or a model is its type's name.

    >>> shown(1.0), shown(0.1), shown("x"), shown(object())
    ('1', '0.1', "'x'", 'object')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a scalar of numpy or torch
    if not isinstance(value, str | bytes | Number | None | list | tuple | set | Mapping):
        return type(value).__name__
    try:
        text = " ".join(repr(value).split())
    except Exception:  # Python refuses to write an integer of more than 4,300 digits
        return f"a very long {type(value).__name__}"
    if isinstance(value, Real) and not isinstance(value, Integral):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(float(value))
        text = text if value == value else "nan"
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number by its type: 4, but neither 4.0 nor True.

    >>> is_whole(4), is_whole(4.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is one finite real number that a float can hold.

    >>> is_number(4), is_number(float("nan")), is_number(True), is_number("4")
    (True, False, False, False)
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def whole(
    name: str, value: Any, least: int, most: int | None = None, advice: str = "choose such a number"
) -> None:
    """Refuse what is no whole number from `least` to `most`.

    Raises:
        ValueError: as the summary says.

    >>> whole("steps", 2.5, least=1)
    Traceback (most recent call last):
    ValueError: steps must be a whole number, got 2.5; choose such a number
    """
    if not is_whole(value):
        got = repr(value) if isinstance(value, float) else shown(value)
        raise ValueError(f"{name} must be a whole number, got {got}; {advice}")
    if value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {span}, got {shown(value)}; {advice}")


def seed(value: Any, name: str = "seed") -> None:
    """Refuse what is no seed: a whole number from 0 to `MOST_SEED`.

    Raises:
        ValueError: as the summary says.
    """
    whole(name, value, 0, MOST_SEED, "0, 1, 2 are usual seeds")


def number(
    name: str,
    value: Any,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    advice: str = "choose such a number",
) -> None:
    """Refuse what is no finite number from `least`, or above `above`, to `most`.

    Raises:
        ValueError: as the summary says.

    >>> number("level", 95, above=0, most=1, advice="0.95 is usual")
    Traceback (most recent call last):
    ValueError: level must be above 0 and at most 1, got 95; 0.95 is usual
    """
    if not is_number(value):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}; {advice}")
    is_low = (least is not None and value < least) or (above is not None and value <= above)
    if is_low or (most is not None and value > most):
        raise ValueError(
            f"{name} must be {_span(least, most, above)}, got {shown(value)}; {advice}"
        )


def _span(least: float | None, most: float | None, above: float | None) -> str:
    """The range in words."""
    if least is not None and most is not None:
        return f"from {shown(least)} to {shown(most)}"
    low = f"above {shown(above)}" if above is not None else f"at least {shown(least)}"
    return low if most is None else f"{low} and at most {shown(most)}"


def one_of(name: str, value: Any, choices: Collection[str], advice: str = "choose one") -> None:
    """Refuse what is none of the texts.

    Raises:
        ValueError: as the summary says.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {shown(value)}; {advice}"
        )


def text(name: str, value: Any, advice: str = "write it in quotes") -> None:
    """Refuse what is no string.

    Raises:
        ValueError: as the summary says.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {shown(value)}; {advice}")


def patterns(name: str, value: Any) -> None:
    """Refuse what cannot be glob patterns over the names of weights.

    Raises:
        ValueError: as the summary says.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{name} must be a string of patterns with commas between, got {shown(value)}; "
            "'body.*' is the whole body"
        )


def function(name: str, value: Any, advice: str) -> None:
    """Refuse what cannot be called, and a class, which somebody forgot to call.

    Raises:
        ValueError: as the summary says.
    """
    if isinstance(value, type):
        advice = f"make an object of it first, such as {value.__name__}(...)"
    if isinstance(value, type) or not callable(value):
        raise ValueError(
            f"{name} must be a function or a callable object, got {shown(value)}; {advice}"
        )


def instance(name: str, value: Any, kind: Any, what: str, advice: str) -> None:
    """Refuse what is no `what`: no instance of the class, or of one of the classes, `kind`.

    Raises:
        ValueError: as the summary says.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be {what}, got {shown(value)}; {advice}")


def each(name: str, values: Any, kind: Any, what: str, advice: str, least: int = 0) -> None:
    """Refuse what is no list or tuple of at least `least` values of the class `kind`.

    Raises:
        ValueError: as the summary says; it names the position of the first other value.
    """
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence):
        raise ValueError(f"{name} must be a list or tuple of {what}, got {shown(values)}; {advice}")
    if len(values) < least:
        raise ValueError(
            f"{name} must hold at least {least} of {what}, got {len(values)}; {advice}"
        )
    for position, value in enumerate(values):
        if not isinstance(value, kind):
            raise ValueError(
                f"{name} must hold {what}, got {shown(value)} at position {position}; {advice}"
            )
