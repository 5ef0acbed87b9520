"""A change of low rank for a linear layer: what LoRA and its relatives are made of."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from ftkit.model.adapted import linear_layers, select
from ftkit.model.change import LinearChange


def per_rank(alpha: float | None, rank: int) -> float:
    """The factor before B A: alpha / rank, where `None` stands for alpha = 2 * rank."""
    return 2.0 if alpha is None else alpha / rank


@dataclass(frozen=True)
class Matrix:
    """The weight of a linear layer that is to change. `transposed` says that it is stored as (in, out)."""

    weight: nn.Parameter
    transposed: bool

    @property
    def out(self) -> int:
        """How many features the layer answers with."""
        return self.weight.shape[1 if self.transposed else 0]

    @property
    def into(self) -> int:
        """How many features the layer reads."""
        return self.weight.shape[0 if self.transposed else 1]


def matrices(model: nn.Module, where: str, who: str) -> dict[str, Matrix]:
    """Of what fits `where`, the weights of linear layers, by name.

    Raises:
        ValueError: nothing fits, or nothing of a linear layer; it names `who` asked.
    """
    layers = linear_layers(model)
    found = {
        name: Matrix(weight, isinstance(layers[name], Conv1D))
        for name, weight in select(model, where).items()
        if name in layers
    }
    if not found:
        some = ", ".join(list(layers)[:3]) or "none"
        raise ValueError(
            f"{who}'s where must fit the weight of a linear layer, got {where!r}; linear layers here: {some}"
        )
    return found


def checked(rank: float, alpha: float | None, who: str) -> None:
    """Refuses a rank or an alpha that cannot be.

    Raises:
        ValueError: rank below 1 or no whole number, alpha not above 0; it names `who` got them.
    """
    if not isinstance(rank, Real):
        raise ValueError(f"rank must be a whole number, got {rank!r}; it counts directions")
    if rank < 1:
        raise ValueError(
            f"rank must be at least 1, got {rank}; for no change at all, leave {who} out"
        )
    if rank != int(rank):
        raise ValueError(f"rank must be a whole number, got {rank:g}; it counts directions")
    if alpha is not None and alpha <= 0:
        raise ValueError(f"alpha must be above 0, got {alpha:g}; it scales the change")


class LowRank(LinearChange):
    """weight + scale * B A, with A (rank, in) and B (out, rank), which starts at 0.

    With `fixed`, A is that and does not train; it is no part of what was learned.
    """

    def __init__(
        self, matrix: Matrix, rank: int, scale: float, fixed: Tensor | None = None
    ) -> None:
        super().__init__()
        self.scale, self.transposed = scale, matrix.transposed
        self.a: Tensor
        if fixed is None:
            self.a = nn.Parameter(matrix.weight.new_zeros(rank, matrix.into))
        else:
            self.register_buffer("a", fixed.to(matrix.weight), persistent=False)
        self.b = nn.Parameter(matrix.weight.new_zeros(matrix.out, rank))

    def draw(self, generator: torch.Generator) -> None:
        if isinstance(self.a, nn.Parameter):
            with torch.no_grad():
                self.a.copy_(uniform(self.a.shape, generator))

    def forward(self, weight: Tensor) -> Tensor:
        change = self.scale * (self.b @ self.a)
        return weight + (change.t() if self.transposed else change)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if (
            bias is not None and bias.requires_grad
        ):  # another space moves the bias: leave its gradient to autograd
            return (
                _Beside.apply(
                    x, weight.t() if self.transposed else weight, None, self.a, self.b, self.scale
                )
                + bias
            )
        return _Beside.apply(
            x, weight.t() if self.transposed else weight, bias, self.a, self.b, self.scale
        )


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """U(-1/sqrt(in), 1/sqrt(in)) for a matrix (out, in): how A starts."""
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


class _Beside(torch.autograd.Function):
    """x W' + bias + scale (x A') B', for W and bias that are frozen: B A is never formed, and every sum happens inside a product."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        answer = F.linear(x, weight, bias)
        inner = F.linear(x, a).view(-1, len(a))
        answer.view(-1, len(weight)).addmm_(inner, b.t(), alpha=scale)
        ctx.save_for_backward(x if a.requires_grad else None, weight, a, b, inner)
        ctx.scale, ctx.shape = scale, x.shape
        return answer

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        g = gradients[0].reshape(-1, len(weight))
        g_inner = (g @ b).mul_(ctx.scale)
        g_x = (g @ weight).addmm_(g_inner, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        g_a = None if x is None else g_inner.t() @ x.reshape(-1, x.shape[-1])
        return g_x, None, None, g_a, (g.t() @ inner).mul_(ctx.scale), None
