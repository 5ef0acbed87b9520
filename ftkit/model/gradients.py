"""The gradient of a loss with respect to the body, and the angle between two gradients."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.tasks.task import Batch

Gradient = list[tuple[str, Tensor]]
"""The gradient of a loss with respect to the trainable parameters of the body.

One pair (name of the weight, gradient) for each parameter.
"""


def block_path(name: str) -> str:
    """The path of the block that a weight belongs to; outside the blocks, of its module.

    >>> block_path("body.encoder.layer.3.output.dense.bias")
    'body.encoder.layer.3'
    >>> block_path("body.embeddings.LayerNorm.weight")
    'body.embeddings'
    """
    path = name.split(".")
    end = next((i for i, part in enumerate(path) if part.isdigit()), 1)
    return ".".join(path[: end + 1])


def body_gradient(model: Adapted, batch: Batch) -> Gradient:
    """Compute the gradient of the loss of one batch with respect to the body.

    It is empty if the body is frozen.
    """
    named = [
        (name, parameter)
        for name, change in model.changes.items()
        if name.startswith("body.")
        for parameter in change.parameters()
    ]
    if not named:
        return []
    loss = supervised(model, batch)["labels"]
    gradients = torch.autograd.grad(
        loss, [parameter for _, parameter in named], materialize_grads=True
    )
    return [(name, gradient) for (name, _), gradient in zip(named, gradients, strict=True)]


def cosines_between(
    one: Gradient, other: Gradient, group: Callable[[str], str] = block_path
) -> dict[str, float]:
    """Compute the cosine between two gradients of one model, for each group of weights.

    Args:
        group: from the name of a weight to the name of its group.

    Returns:
        `{group: cosine}`, in [-1, 1]; a group in which a gradient is 0 is left out.
    """
    # For each group: a . b, a . a, b . b, summed over its weights in float64.
    products: dict[str, Tensor] = defaultdict(lambda: torch.zeros(3, dtype=torch.float64))
    for (name, a), (_, b) in zip(one, other, strict=True):
        of_weight = torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()])
        products[group(name)] += of_weight.double().cpu()
    return {
        key: (ab / (aa * bb).sqrt()).item() for key, (ab, aa, bb) in products.items() if aa * bb > 0
    }
