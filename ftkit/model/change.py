"""What may change: a `Change` of one weight, and a `Space`, which names the weights that may change and gives each its change."""

from collections.abc import Hashable
from typing import Protocol

import torch
from torch import Tensor, nn


class Change(nn.Module):
    """A change of one weight. Its parameters are the numbers that train; `forward(weight)` is the changed weight, of the same shape.

    Before training the changed weight equals `weight` bit for bit.
    """

    def draw(self, generator: torch.Generator) -> None:
        """Draws the starting values of what starts at random; by default nothing does."""

    def pace(self, parameter: str) -> float:
        """The factor on the learning rate of the parameter of that name; 1 by default."""
        return 1.0


class LinearChange(Change):
    """A change of a linear layer's weight that knows a cheaper way to act than forming the weight."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's answer to x (..., in), shape (..., out), for `weight` as it is stored."""
        raise NotImplementedError


class EmbeddingChange(Change):
    """A change of an embedding's weight that knows a cheaper way to look rows up than forming the whole table."""

    def embedding(self, ids: Tensor, weight: Tensor, padding: int | None) -> Tensor:
        """The changed rows of the table `weight` (V, d) for `ids` (...), shape (..., d); row `padding` passes no gradient on."""
        raise NotImplementedError


class Dense(Change):
    """Every entry of the weight may move. Holds the changed weight itself, so that training it is training the weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(weight.detach().clone())

    def forward(self, weight: Tensor) -> Tensor:
        return self.value


class Space(Hashable, Protocol):
    """Where a change may live; a value, such as a frozen dataclass, so that what was measured for it can be kept."""

    def changes(self, model: nn.Module) -> dict[str, Change]:
        """A `Change` for each weight of `model` that may move, by the weight's name in `model.named_parameters()`."""
