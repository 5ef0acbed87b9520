"""What a run says while it runs: a stream of `Event`."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One reading of a run.

    `step` counts from 1; 0 is before the first update. `stage` is "train" or "valid"; "look", a technique's own picture of what it has
    learned so far; "cost", the bill; or "test", read once at the end. `values` maps `split/quantity` to a number: losses in nats,
    accuracies in [0, 1], gradient norms after no clipping.

    >>> Event(3, "train", {"train/loss": 1.5}).values["train/loss"]
    1.5
    """

    step: int
    stage: str
    values: Mapping[str, float]


class Diverged(RuntimeError):
    """The loss of a run is no longer a finite number."""
