"""`Change`: how one weight may change. `Space`: which weights change, and how."""

from collections.abc import Hashable
from typing import Protocol

import torch
from torch import Tensor, nn

from ftkit import checks


def float32_or_better(dtype: torch.dtype) -> torch.dtype:
    """The type itself, or float32 if it has fewer bits.

    >>> float32_or_better(torch.bfloat16), float32_or_better(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


def at_least_float32(value: Tensor) -> Tensor:
    """The tensor in float32 if its type has fewer bits.

    In half precision the sum of a weight and a small change is often the weight again.
    """
    return value.to(float32_or_better(value.dtype))


class Change(nn.Module):
    """A change of one weight.

    Its parameters are the trainable ones; `forward(weight)` is the changed weight, of the same
    shape. Before training the changed weight equals `weight` bit for bit.

    `Adapted` keeps the parameters and buffers of a change in float32 or better, whatever the dtype
    of the weight, and gives `forward` the weight in that type. In half precision an optimizer would
    lose its steps: with 8 bits for the digits, 1 + 0.003 is 1 again.
    """

    def rounded(self, weight: Tensor) -> Tensor:
        """The changed weight, formed in float32 or better and rounded to the dtype of `weight`."""
        now: Tensor = self(at_least_float32(weight))
        return now.to(weight.dtype)

    def draw(self, generator: torch.Generator) -> None:
        """Draw the starting values that are random; by default there are none."""

    def lr_factor(self, parameter: str) -> float:
        """The factor on the learning rate of the parameter of that name; 1 by default."""
        return 1.0


class LinearChange(Change):
    """A change of a linear layer's weight with a cheaper way to act than forming the weight."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's answer to x (..., in), shape (..., out); `weight` is as it is stored.

        x, the weight and the answer have the dtype of the base. The parameters of the change may
        have more bits; `.to(x.dtype)` rounds them for the product.
        """
        raise NotImplementedError


class EmbeddingChange(Change):
    """A change of an embedding's weight with a cheaper way to act than forming the whole table."""

    def embedding(self, ids: Tensor, weight: Tensor, padding: int | None) -> Tensor:
        """The changed rows of the table `weight` (V, d) for `ids` (...), shape (..., d).

        Row `padding` gets no gradient.
        """
        raise NotImplementedError


class Dense(Change):
    """A change without restriction: every entry of the weight is trainable.

    It holds the changed weight itself, so that training it is training the weight.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise ValueError(
                f"weight must be a tensor of floating-point numbers, got {checks.shown(weight)}; "
                "model.named_parameters() has some"
            )
        self.value = nn.Parameter(weight.detach().clone())

    def forward(self, weight: Tensor) -> Tensor:
        return self.value


class Space(Hashable, Protocol):
    """Where a change may live.

    A space is a value, such as a frozen dataclass: results measured for it can be cached under it.
    """

    def changes(self, model: nn.Module) -> dict[str, Change]:
        """A `Change` for each trainable weight, by its name in `model.named_parameters()`."""
