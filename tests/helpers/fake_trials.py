"""Events of runs without a network, for tests of what listens to a run."""

from dataclasses import fields

from ftkit.training.cost import Cost
from ftkit.training.events import Event


def train_event(step: int, loss: float = 1.0) -> Event:
    """The training loss of a step."""
    return Event(step, "train", {"train/loss": loss})


def valid_event(step: int, accuracy: float) -> Event:
    """A validation, with loss 1."""
    return Event(step, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})


def cost_event(step: int, amount: float) -> Event:
    """A cost of which every entry is the same amount."""
    return Event(step, "cost", {f"cost/{entry.name}": amount for entry in fields(Cost)})
