"""The gradient of a loss at the body, and how two of them lie to each other."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.tasks.task import Batch


def block(name: str) -> str:
    """The block of the body that a weight belongs to, or the module beside the blocks.

    >>> block("body.encoder.layer.3.output.dense.bias"), block("body.embeddings.LayerNorm.weight")
    ('body.encoder.layer.3', 'body.embeddings')
    """
    path = name.split(".")
    end = next((i for i, part in enumerate(path) if part.isdigit()), 1)
    return ".".join(path[: end + 1])


Gradient = list[tuple[str, Tensor]]
"""The gradient of a loss at the numbers of the body that train, each with the name of its weight."""


def body_gradient(model: Adapted, batch: Batch) -> Gradient:
    """The gradient of the loss of one batch at the body."""
    named = [
        (name, p)
        for name, change in model.changes.items()
        if name.startswith("body.")
        for p in change.parameters()
    ]
    if not named:
        return []
    found = torch.autograd.grad(
        supervised(model, batch)["labels"], [p for _, p in named], materialize_grads=True
    )
    return [(name, gradient) for (name, _), gradient in zip(named, found, strict=True)]


def cosines_between(
    one: Gradient, other: Gradient, group: Callable[[str], str] = block
) -> dict[str, float]:
    """The cosine between two gradients of one model, in [-1, 1], for each group of weights, as in `cosines`."""
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(3, dtype=torch.float64))
    for (name, a), (_, b) in zip(one, other, strict=True):
        sums[group(name)] += (
            torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()]).double().cpu()
        )
    return {
        key: (dot / (aa * bb).sqrt()).item() for key, (dot, aa, bb) in sums.items() if aa * bb > 0
    }
