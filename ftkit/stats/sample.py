"""Values from outside as arrays: nothing but finite real numbers enters a statistic."""

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftkit.checks import shown

LARGEST = 1e50
"""The largest size of a value. Its fourth power is still a float: `crossed` squares a variance."""


def finite(name: str, values: Any, least: int = 1, dimensions: int = 1) -> NDArray[np.float64]:
    """Read values for a statistic.

    Args:
        name: what the values are, for the message.
        values: a list, a tuple, an array, a tensor or a column of a table, see `numbers`.
        least: the fewest values.
        dimensions: 1 for a list of values, 2 for a table.

    Raises:
        ValueError: there are too few values, or one of them is no finite real number; the message
            says which one, by its seed if the index of a column is named "seed".
    """
    array = numbers(name, values)
    if array.ndim != dimensions:
        form = "one list of numbers" if dimensions == 1 else "a table of numbers"
        raise ValueError(f"{name} must be {form}, got shape {array.shape}; pass one number a run")
    if len(array) < least:
        raise ValueError(
            f"{name} must hold at least {least} value{'s' * (least > 1)}, got {len(array)}; "
            "run more seeds"
        )
    if len(others := np.argwhere(~(np.abs(array) <= LARGEST))):
        first = tuple(others[0].tolist())
        raise ValueError(
            f"{name} must be finite and at most {LARGEST:g} in size, got {shown(array[first])}"
            f"{_place(values, first)}; find out why that run has no such number"
        )
    return array


def numbers(name: str, values: Any) -> NDArray[np.float64]:
    """Read numbers of any shape; nan and infinity may be among them.

    A missing value of pandas becomes nan. Booleans, texts and complex numbers are no numbers here.
    Whether an item is right, a boolean, is counted: see `proportion`.

    Raises:
        ValueError: a value is no real number; the message says which one.
    """
    if hasattr(values, "detach"):  # a tensor of any type, on any device
        values = values.detach().cpu().tolist()
    elif hasattr(values, "to_numpy"):
        values = values.to_numpy(na_value=np.nan)
    elif isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(object), np.nan)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(float)
    # One by one: numpy would read True as 1, and "1" as a number too.
    array = np.asarray(values, dtype=object)
    read = np.empty(array.shape)
    for position, value in np.ndenumerate(array):
        scalar = value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value
        if not isinstance(scalar, Real) or isinstance(scalar, bool):
            raise ValueError(
                f"{name} must be real numbers, got {shown(scalar)}{_place(values, position)}; "
                "pass a list of numbers, one a run"
            )
        read[position] = _as_float(scalar)
    return read


def _as_float(value: Real) -> float:
    """The nearest float; infinity for a whole number that is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _place(values: Any, position: tuple[int, ...]) -> str:
    """Where a value is: its seed if a column says so, else its position, counted from 0."""
    index: Any = getattr(values, "index", None)
    if getattr(index, "name", None) == "seed":
        return f" for seed {index[position[0]]}"
    if len(position) == 1:
        return f" at position {position[0]}"
    return f" at position {position}" if position else ""
