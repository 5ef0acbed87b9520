"""LoRA: a change of low rank for each linear layer."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from ftkit.adapted import Change, LinearChange, linear_layers, select


@dataclass(frozen=True)
class LoRA:
    """W + (alpha / rank) B A for every linear layer of the body: attention and feed-forward alike ("all-linear").

    Hu et al. 2022, arXiv:2106.09685. A (rank, in) starts as U(-1/sqrt(in), 1/sqrt(in)), the initialisation of the authors' code (their
    text says Gaussian); B (out, rank) starts at 0, so that nothing changes at first.

    Args:
        rank: at least 1; above min(in, out) it adds numbers but no expressiveness.
        alpha: scales the change by alpha / rank; constant over ranks by default, which keeps the best learning rate nearly free of the
            rank. `None` stands for 2 * rank.
        where: glob patterns over the names of the weights, with commas between; of what fits, the weights of linear layers change.

    Raises:
        ValueError: rank below 1, alpha not above 0; from `changes`, if `where` fits no weight of a linear layer.

    >>> LoRA(rank=4).scale
    4.0
    """

    rank: int = 8
    alpha: float | None = 16.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}; for no change at all, leave LoRA out")
        if self.rank != int(self.rank):
            raise ValueError(f"rank must be a whole number, got {self.rank:g}; it counts directions")
        if self.alpha is not None and self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, got {self.alpha:g}; use None for 2 * rank")

    @property
    def scale(self) -> float:
        """alpha / rank, the factor before B A."""
        return 2.0 if self.alpha is None else self.alpha / self.rank

    def changes(self, model: nn.Module) -> dict[str, Change]:
        layers = linear_layers(model)
        found = {name: weight for name, weight in select(model, self.where).items() if name in layers}
        if not found:
            some = ", ".join(list(layers)[:3]) or "none"
            raise ValueError(f"LoRA's where must fit the weight of a linear layer, got {self.where!r}; linear layers here: {some}")
        return {name: LowRank(weight, self.rank, self.scale, isinstance(layers[name], Conv1D)) for name, weight in found.items()}


class LowRank(LinearChange):
    """weight + scale * B A, with A (rank, in) and B (out, rank); `transposed` says that the weight is stored as (in, out)."""

    def __init__(self, weight: Tensor, rank: int, scale: float, transposed: bool = False) -> None:
        super().__init__()
        out, into = reversed(weight.shape) if transposed else weight.shape
        self.scale, self.transposed = scale, transposed
        self.a = nn.Parameter(weight.new_zeros(rank, into))
        self.b = nn.Parameter(weight.new_zeros(out, rank))

    def draw(self, generator: torch.Generator) -> None:
        bound = 1 / math.sqrt(self.a.shape[1])
        with torch.no_grad():
            self.a.copy_(torch.empty(self.a.shape).uniform_(-bound, bound, generator=generator))

    def forward(self, weight: Tensor) -> Tensor:
        change = self.scale * (self.b @ self.a)
        return weight + (change.t() if self.transposed else change)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if bias is not None and bias.requires_grad:  # another space moves the bias: leave its gradient to autograd
            return _Beside.apply(x, weight.t() if self.transposed else weight, None, self.a, self.b, self.scale) + bias
        return _Beside.apply(x, weight.t() if self.transposed else weight, bias, self.a, self.b, self.scale)


class _Beside(torch.autograd.Function):
    """x W' + bias + scale (x A') B', for W and bias that are frozen: B A is never formed, and every sum happens inside a product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        answer = F.linear(x, weight, bias)
        inner = F.linear(x, a).view(-1, len(a))
        answer.view(-1, len(weight)).addmm_(inner, b.t(), alpha=scale)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale = scale
        return answer

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        g = gradients[0].reshape(-1, len(weight))
        g_inner = (g @ b).mul_(ctx.scale)
        g_x = (g @ weight).addmm_(g_inner, a).view(x.shape) if ctx.needs_input_grad[0] else None
        return g_x, None, None, g_inner.t() @ x.reshape(-1, x.shape[-1]), (g.t() @ inner).mul_(ctx.scale), None
