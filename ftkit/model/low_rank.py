"""A change of low rank for a linear layer: what LoRA and its relatives are made of."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from ftkit import checks
from ftkit.model.adapted import linear_layers, select
from ftkit.model.change import LinearChange, at_least_float32

MOST_RANK, MOST_SCALE = 2**16, 1e6
"""Above them, factors do not fit into memory, and changes not into half precision."""


def alpha_over_rank(alpha: float | None, rank: int) -> float:
    """The factor before B A: alpha / rank, where `None` means alpha = 2 * rank."""
    return 2.0 if alpha is None else alpha / rank


@dataclass(frozen=True)
class Matrix:
    """The weight of a linear layer that is to change.

    `transposed` says that it is stored as (in, out), as in GPT-2's `Conv1D`.
    """

    weight: nn.Parameter
    transposed: bool

    @property
    def out_features(self) -> int:
        """The number of features in the layer's answer."""
        return self.weight.shape[1 if self.transposed else 0]

    @property
    def in_features(self) -> int:
        """The number of features in the layer's input."""
        return self.weight.shape[0 if self.transposed else 1]


def matrices(model: nn.Module, where: str, technique: str) -> dict[str, Matrix]:
    """Select the weights of linear layers among those that match `where`, by name.

    Raises:
        ValueError: nothing matches, or no weight of a linear layer does; the message names the
            `technique`.
    """
    layers = linear_layers(model)
    selected = {
        name: Matrix(weight, isinstance(layers[name], Conv1D))
        for name, weight in select(model, where).items()
        if name in layers
    }
    if not selected:
        some = ", ".join(list(layers)[:3]) or "none"
        raise ValueError(
            f"{technique}'s where must fit the weight of a linear layer, got {where!r}; "
            f"linear layers here: {some}"
        )
    return selected


def check_rank(rank: int, alpha: float | None, where: str, technique: str) -> None:
    """Refuse an impossible rank, alpha or pattern.

    Raises:
        ValueError: the rank is no whole number from 1 to `MOST_RANK`, alpha is not above 0 and at
            most `MOST_SCALE`, or `where` is no string.
    """
    if checks.is_whole(rank) and rank < 1:
        raise ValueError(
            f"rank must be at least 1, got {rank}; for no change at all, leave {technique} out"
        )
    checks.whole("rank", rank, 1, MOST_RANK, "it counts directions")
    if alpha is not None:
        checks.number("alpha", alpha, above=0, most=MOST_SCALE, advice="it scales the change")
    checks.patterns("where", where)


class LowRank(LinearChange):
    """weight + scale * B A, with A (rank, in), and B (out, rank), which starts at 0.

    Args:
        fixed: the matrix to use as A. It is not trainable and not part of the learned change;
            without it, A is drawn at random and trained.
    """

    def __init__(
        self, matrix: Matrix, rank: int, scale: float, fixed: Tensor | None = None
    ) -> None:
        super().__init__()
        self.scale, self.transposed = scale, matrix.transposed
        self.a: Tensor
        if fixed is None:
            self.a = nn.Parameter(matrix.weight.new_zeros(rank, matrix.in_features))
        else:
            self.register_buffer("a", fixed.to(at_least_float32(matrix.weight)), persistent=False)
        self.b = nn.Parameter(matrix.weight.new_zeros(matrix.out_features, rank))

    def draw(self, generator: torch.Generator) -> None:
        if isinstance(self.a, nn.Parameter):
            with torch.no_grad():
                self.a.copy_(uniform(self.a.shape, generator))

    def forward(self, weight: Tensor) -> Tensor:
        change = self.scale * (self.b @ self.a)
        return weight + (change.t() if self.transposed else change)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        out_in = weight.t() if self.transposed else weight
        a, b = self.a.to(x.dtype), self.b.to(x.dtype)
        if bias is not None and bias.requires_grad:
            # Another space trains the bias. _LowRankLinear knows frozen biases alone, so add this
            # one outside and leave its gradient to autograd.
            return _LowRankLinear.apply(x, out_in, None, a, b, self.scale) + bias
        return _LowRankLinear.apply(x, out_in, bias, a, b, self.scale)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw a matrix (out, in) from U(-1/sqrt(in), 1/sqrt(in)), the starting values of A.

    It is drawn on the CPU in float32, so that it is the same for every device and dtype.
    """
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=generator)


class _LowRankLinear(torch.autograd.Function):
    """y = x W' + bias + scale (x A') B', where ' transposes, and W and bias are frozen.

    x is (..., in), W (out, in), A (rank, in), B (out, rank), y (..., out); n is the number of rows
    of x. Autograd would compute the same from this formula. By hand it is cheaper:

    - Each sum happens inside a matrix product (`addmm`), so the second term of y and of dL/dx gets
      no array of its own, and no pass over memory to add it.
    - x is saved for the backward pass only if A is trainable.

    B A, which is as large as W, is formed in neither way.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        # 1. The frozen layer: x W' + bias, (..., out).
        answer = F.linear(x, weight, bias)
        # 2. Down to the rank: x A', (n, rank).
        inner = F.linear(x, a).view(-1, len(a))
        # 3. Up again, added in place: answer += scale (x A') B'. With small rank, steps 2 and 3
        #    cost 2 n rank (in + out) operations, against 2 n in out of step 1.
        answer.view(-1, len(weight)).addmm_(inner, b.t(), alpha=scale)
        # x is needed for the gradient of A only. With a fixed A it is let free here.
        ctx.save_for_backward(x if a.requires_grad else None, weight, a, b, inner)
        ctx.scale, ctx.shape = scale, x.shape
        return answer

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        # g = dL/dy, (n, out).
        g = gradients[0].reshape(-1, len(weight))
        # The gradient of x A': scale g B, (n, rank). Both dL/dx and dL/dA go through it.
        g_inner = (g @ b).mul_(ctx.scale)
        # dL/dx = g W + (scale g B) A, (n, in). The product g W is the expensive one; the first
        # layer that changes has an input without a gradient and skips it.
        g_x = (g @ weight).addmm_(g_inner, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        # dL/dA = (scale g B)' x, (rank, in); not computed for a fixed A.
        g_a = None if x is None else g_inner.t() @ x.reshape(-1, x.shape[-1])
        # dL/dB = scale g' (x A'), (out, rank).
        g_b = (g.t() @ inner).mul_(ctx.scale)
        # Neither W nor bias gets a gradient. Full fine-tuning computes dL/dW = g' x, (out, in), a
        # third of its step: this is the third that LoRA saves.
        return g_x, None, None, g_a, g_b, None
