"""A parser that raises its complaints as errors of one sentence, and typed values from texts."""

import argparse
import math
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Union, get_args, get_origin

Convert = Callable[[str], Any]


class Parser(argparse.ArgumentParser):
    """A parser that raises its complaints and takes no abbreviated options."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **how})

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """Parse a command line.

        Raises:
            ValueError: an argument is unknown, missing, or has a wrong value.
        """
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            command = " ".join([self.prog, *(each for each in arguments[:2] if each[0] != "-")])
            raise ValueError(
                f"every argument must be one that `{command}` has, got {' '.join(unknown)}; "
                f"`{command} --help` lists them"
            )
        return options

    def error(self, message: str) -> NoReturn:
        """Raise ValueError with the complaint."""
        message = re.sub(r"^argument (\S+): (?=must |expected )", r"\1 ", message)
        message = re.sub(
            r"^the following arguments are required: (.*)", r"\1 must be given", message
        )
        raise ValueError(f"{message}; `{self.prog} --help` lists the options")


def printable(text: str) -> str:
    r"""Escape what a terminal would obey: every character that is not printed, but for newlines.

    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(
        each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text
    )


def whole(text: str) -> int:
    """Convert a text to a whole number.

    >>> whole("16")
    16
    """
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None


def number(text: str) -> float:
    """Convert a text to a number.

    >>> number("3e-3")
    0.003
    """
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def learning_rate(text: str) -> float | None:
    """Convert a text to a learning rate above 0; None for "auto".

    >>> learning_rate("3e-3"), learning_rate("auto")
    (0.003, None)
    """
    if text.strip().lower() == "auto":
        return None
    value = number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be auto or a number above 0, got {text!r}")
    return value


def names(text: str) -> tuple[str, ...]:
    """Convert a text to names, which have commas between them.

    >>> names("docs-area, docs")
    ('docs-area', 'docs')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str, convert: Convert = number) -> tuple[Any, ...]:
    """Convert a text to numbers, which have commas between them.

    >>> numbers("1,0.5"), numbers("0,2", whole)
    ((1.0, 0.5), (0, 2))
    """
    try:
        return tuple(convert(part) for part in text.split(","))
    except argparse.ArgumentTypeError:
        kind = "whole numbers" if convert is whole else "numbers"
        raise argparse.ArgumentTypeError(
            f"must be {kind} with commas between them, got {text!r}"
        ) from None


def whole_numbers(text: str) -> tuple[int, ...]:
    """Convert a text to whole numbers, which have commas between them."""
    return numbers(text, whole)


_SIMPLE: dict[Any, Convert] = {int: whole, float: number, str: str}


def converter(annotation: Any) -> Convert | None:
    """Return the function that converts a text to a value of the annotated type; None if none can.

    It knows int, float, str, `X | None` (the text "none"), tuples of one of them, and mappings from
    names to numbers, of which a command line gives the numbers alone.

    >>> converter(float | None)("none"), converter(tuple[int, ...])("0,2"), converter(bytes)
    (None, (0, 2), None)
    """
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kept = [kind for kind in inner if kind is not types.NoneType]
        return _or_none(_SIMPLE[kept[0]]) if len(kept) == 1 and kept[0] in _SIMPLE else None
    if origin is tuple and inner[1:] == (...,):
        return {int: whole_numbers, float: numbers, str: names}.get(inner[0])
    if is_mapping(annotation):
        return numbers
    return None


def is_mapping(annotation: Any) -> bool:
    """Whether the annotation is a mapping from names to numbers."""
    origin = get_origin(annotation)
    is_class = isinstance(origin, type)
    return is_class and issubclass(origin, Mapping) and get_args(annotation) == (str, float)


def _or_none(convert: Convert) -> Convert:
    return lambda text: None if text.lower() == "none" else convert(text)
