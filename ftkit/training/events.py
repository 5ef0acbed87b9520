"""What a run says while it runs: a stream of `Event`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Event:
    """One reading of a run.

    `step` counts from 1; 0 is before the first update. `stage` is "train" or "valid"; "look", a technique's own picture of what it has
    learned so far; "after", what the run leaves behind; "cost", the bill; or "test", read once at the end. `values` maps `split/quantity`
    to a number: losses in nats, accuracies in [0, 1], gradient norms after no clipping. `items` says for an accuracy which items were
    right, `packed`.

    >>> Event(3, "train", {"train/loss": 1.5}).values["train/loss"]
    1.5
    """

    step: int
    stage: str
    values: Mapping[str, Any]
    items: Mapping[str, str] = field(default_factory=dict)


def packed(right: Sequence[int] | np.ndarray) -> str:
    """0 or 1 for each item as text, eight items a byte: their number, a colon, and hexadecimal digits.

    >>> packed([1, 0, 1, 1])
    '4:b0'
    """
    bits = np.asarray(right, dtype=np.uint8)
    return f"{len(bits)}:{np.packbits(bits).tobytes().hex()}"


def unpacked(text: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What was packed: 0 or 1 for each item, uint8 (items,).

    >>> unpacked("4:b0").tolist()
    [1, 0, 1, 1]
    """
    count, digits = text.split(":")
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), dtype=np.uint8), count=int(count))


class Diverged(RuntimeError):
    """The loss of a run is no longer a finite number."""
