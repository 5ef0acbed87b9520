"""Checks of parameters, in the kit's form: `<what must hold>, got <value>; <what to do>`.

Each raises a ValueError. A boolean is no number here: `rank=True` is a mistake.
"""

import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from numbers import Integral, Number, Rational, Real
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
    if type(value).__module__ == "numpy" and type(value).__name__ != "ndarray":
        value = value.item()  # numpy's scalars, such as np.float64(0.5), are numbers too
    if not isinstance(value, str | bytes | Number | None | list | tuple | set | Mapping):
        return type(value).__name__
    try:
        text = " ".join(repr(value).split())
    except Exception:  # Python refuses to write an integer of more than 4,300 digits
        return f"a very long {type(value).__name__}"
    if isinstance(value, float):
        short = f"{value:g}"
        text = text if math.isfinite(value) and float(short) != value else short
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
    is_fraction = isinstance(value, Rational) and not isinstance(value, Integral)
    if not isinstance(value, Real) or isinstance(value, bool) or is_fraction:
        return False  # torch reads no fractions
    if isinstance(value, Integral):
        return abs(int(value)) <= int(sys.float_info.max)
    return math.isfinite(value)


def whole(
    name: str, value: Any, least: int, most: int | None = None, advice: str = "choose such a number"
) -> None:
    """Refuse what is no whole number of at least `least` and at most `most`.

    Raises:
        ValueError: as the summary says.

    >>> whole("steps", 2.5, least=1)
    Traceback (most recent call last):
    ValueError: steps must be a whole number, got 2.5; choose such a number
    """
    if not is_whole(value):
        got = repr(float(value)) if isinstance(value, float) else shown(value)
        raise ValueError(f"{name} must be a whole number, got {got}; {advice}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}; {advice}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, got {shown(value)}; {advice}")


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
    """Refuse what is no finite number, or not above `above`, at least `least` and at most `most`.

    Raises:
        ValueError: as the summary says.

    >>> number("alpha", -8, above=0, advice="it scales the change")
    Traceback (most recent call last):
    ValueError: alpha must be above 0, got -8; it scales the change
    """
    if not is_number(value):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}; {advice}")
    if above is not None and value <= above:
        raise ValueError(f"{name} must be above {above:g}, got {shown(value)}; {advice}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least:g}, got {shown(value)}; {advice}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most:g}, got {shown(value)}; {advice}")


def share(name: str, value: Any, advice: str) -> None:
    """Refuse what is no share, a number from 0 to 1.

    Raises:
        ValueError: as the summary says.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {shown(value)}; {advice}")


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


def iterated(name: str, values: Any, what: str, advice: str) -> Iterator[Any]:
    """Iterate over the values; refuse what cannot be, and a text, which would be taken apart.

    Raises:
        ValueError: as the summary says.
    """
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        return iter(values)
    except TypeError:
        raise ValueError(f"{name} must be {what}, got {shown(values)}; {advice}") from None


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
