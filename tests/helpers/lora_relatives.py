"""What the tests of LoRA's relatives share."""

from typing import Any

from helpers.laws import HEAD
from helpers.nets import net, small_task

from ftkit.model.adapted import Adapted
from ftkit.training.loop import train

QUERY = "body.encoder.layer.0.attention.self.query.weight"


def parameters(space: Any, name: str = "bert") -> int:
    """Count the trainable parameters of a space on a small net."""
    return sum(p.numel() for p in Adapted(net(name), space).parameters())


def losses(space: Any, steps: int = 6, lr: float = 1e-2, **given: Any) -> list[float]:
    """Return the training losses of a short run with a space and a head."""
    model = Adapted(net("bert"), space, HEAD, seed=2)
    return [
        event.values["train/loss"]
        for event in train(model, small_task(), steps=steps, lr=lr, size=6, validations=0, **given)
    ]
