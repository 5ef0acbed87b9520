"""The objective slot: what is minimised. An objective maps (model, batch) to named terms whose sum is the loss."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

Objective = Callable[[Any, Any], dict[str, Tensor]]


def supervised(model: Any, batch: Any) -> dict[str, Tensor]:
    """The mean cross-entropy of the model's logits (n, classes) with the batch's labels (n,), in nats: one term, `labels`."""
    logits = model(batch)
    return {"labels": F.cross_entropy(logits, batch.labels.to(logits.device))}
