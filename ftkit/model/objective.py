"""The objective slot: what is minimised."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from ftkit.model.change import at_least_float32

Objective = Callable[[Any, Any], dict[str, Tensor]]
"""A function from (model, batch) to named terms, scalars; the loss is their sum."""


def supervised(model: Any, batch: Any) -> dict[str, Tensor]:
    """Compute the mean cross-entropy of the model's logits with the batch's labels, in nats.

    The logits are (n, classes), the labels (n,). There is one term, `labels`, in float32 or better.
    """
    logits = at_least_float32(model(batch))
    return {"labels": F.cross_entropy(logits, batch.labels.to(logits.device))}
