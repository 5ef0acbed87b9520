"""`Change`: how one weight may change. `Space`: which weights change, and how."""

from collections.abc import Hashable
from typing import Protocol

import torch
from torch import Tensor, nn


class Change(nn.Module):
    """A change of one weight.

    Its parameters are the trainable ones; `forward(weight)` is the changed weight, of the same
    shape. Before training the changed weight equals `weight` bit for bit.
    """

    def draw(self, generator: torch.Generator) -> None:
        """Draw the starting values that are random; by default there are none."""

    def lr_factor(self, parameter: str) -> float:
        """The factor on the learning rate of the parameter of that name; 1 by default."""
        return 1.0


class LinearChange(Change):
    """A change of a linear layer's weight with a cheaper way to act than forming the weight."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's answer to x (..., in), shape (..., out); `weight` is as it is stored."""
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
        self.value = nn.Parameter(weight.detach().clone())

    def forward(self, weight: Tensor) -> Tensor:
        return self.value


class Space(Hashable, Protocol):
    """Where a change may live.

    A space is a value, such as a frozen dataclass: results measured for it can be cached under it.
    """

    def changes(self, model: nn.Module) -> dict[str, Change]:
        """A `Change` for each trainable weight, by its name in `model.named_parameters()`."""
