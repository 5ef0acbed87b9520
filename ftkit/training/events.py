"""`Event`: what a run reports while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Event:
    """One report of a run. Two events are equal if all their values are, exactly.

    Args:
        step: the number of updates so far; 0 is before the first.
        stage: what was measured. "train": the step itself. "valid": the validation split. "probe":
            the technique's learned change so far, for a picture. "after": the model that the run
            leaves behind. "cost": the cost of a step. "test": the test split, once, at the end.
        values: from `split/quantity` to a number: losses in nats, accuracies in [0, 1], gradient
            norms before clipping. With the stage "probe" a value may also be a list of numbers, or
            nested lists such as the rows of a matrix: plain lists, which compare with `==` and can
            be written as JSON.
        items: for an accuracy of the same name, which items were right, `packed`.

    >>> Event(3, "train", {"train/loss": 1.5}).values["train/loss"]
    1.5
    """

    step: int
    stage: str
    values: Mapping[str, Any]
    items: Mapping[str, str] = field(default_factory=dict)


def packed(right: Sequence[int] | np.ndarray) -> str:
    """Pack a 0 or 1 for each item into text, eight items a byte.

    The text is the number of items, a colon, and hexadecimal digits.

    >>> packed([1, 0, 1, 1])
    '4:b0'
    """
    bits = np.asarray(right, dtype=np.uint8)
    return f"{len(bits)}:{np.packbits(bits).tobytes().hex()}"


def unpacked(text: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Undo `packed`: a 0 or 1 for each item, uint8 (items,).

    >>> unpacked("4:b0").tolist()
    [1, 0, 1, 1]
    """
    count, digits = text.split(":")
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), dtype=np.uint8), count=int(count))


class Diverged(RuntimeError):
    """The loss of a run is no longer a finite number."""
