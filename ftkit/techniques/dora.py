"""DoRA: train the length and the direction of each row of a weight separately."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ftkit.model.change import Change, at_least_float32
from ftkit.model.low_rank import Matrix, alpha_over_rank, check_rank, matrices, uniform


@dataclass(frozen=True)
class DoRA:
    """m V / |V| with V = W + (alpha / rank) B A, for every linear layer of the body.

    LoRA turns each row of W, and m sets its length. Liu et al. 2024, arXiv:2402.09353. A row makes
    one output feature (the paper transposes W and says column). As section 4.3 of the paper
    proposes, the length |V| counts as a constant in the gradient. Starts at the base up to
    rounding; merges. A step forms the whole weight and its gradient, since here DoRA is a change of
    the weight; a layer that computes on activations, such as PEFT's, needs no such gradient.

    Args:
        rank: at least 1; m adds one parameter per output feature, which is a lot at low rank.
        alpha: scales the change by alpha / rank, above 0; `None` means 2 * rank.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank is below 1, or alpha is not above 0; from `changes`, if `where` matches no
            weight of a linear layer.
    """

    rank: int = 8
    alpha: float | None = 16.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, self.where, "DoRA")

    def changes(self, model: nn.Module) -> dict[str, Change]:
        scale = alpha_over_rank(self.alpha, self.rank)
        return {
            name: Decomposed(matrix, self.rank, scale)
            for name, matrix in matrices(model, self.where, "DoRA").items()
        }


class Decomposed(Change):
    """m V / |V|, row by row, with V = weight + scale * B A.

    m (out,) starts at |weight|, so nothing changes at the start.
    """

    def __init__(self, matrix: Matrix, rank: int, scale: float) -> None:
        super().__init__()
        self.scale, self.transposed = scale, matrix.transposed
        self.a = nn.Parameter(matrix.weight.new_zeros(rank, matrix.in_features))
        self.b = nn.Parameter(matrix.weight.new_zeros(matrix.out_features, rank))
        weight = at_least_float32(matrix.weight.detach())  # as `forward` gets it
        self.m = nn.Parameter(self._rows(weight).norm(dim=1))

    def draw(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.a.copy_(uniform(self.a.shape, generator))

    def forward(self, weight: Tensor) -> Tensor:
        turned = self._rows(weight) + self.scale * (self.b @ self.a)
        lengths = turned.detach().norm(dim=1)
        return self._rows(
            (self.m / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)).unsqueeze(1) * turned
        )

    def _rows(self, weight: Tensor) -> Tensor:
        """Turn the stored form into (out, in), and back."""
        return weight.t() if self.transposed else weight
