"""VeRA: one random A and B for all layers, and two learned vectors per layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit import checks
from ftkit.model.change import Change, LinearChange, at_least_float32
from ftkit.model.low_rank import MOST_SCALE, Matrix, check_rank, matrices
from ftkit.seeding import stream


@dataclass(frozen=True)
class VeRA:
    """W + diag(b) B diag(d) A for every linear layer of the body, with trainable b and d.

    Kopiczko et al. 2024, arXiv:2310.11454. A and B are random, frozen and shared. A layer uses the
    first columns of A and rows of B, one per input and output. A and B belong to the space, not to
    the learned change: the same `seed` draws the same ones. b starts at 0. Starts at the base
    exactly; merges.

    Args:
        rank: at least 1; it costs one parameter per layer, so it is large where LoRA's is small.
        start: the value at which every d starts.
        seed: draws A and B.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank is below 1; from `changes`, if `where` matches no weight of a linear layer.
    """

    rank: int = 64
    start: float = 0.1
    seed: int = 0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, None, self.where, "VeRA")
        checks.number("start", self.start, -MOST_SCALE, MOST_SCALE, advice="0.1 is usual")
        checks.seed(self.seed)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        selected = matrices(model, self.where, "VeRA")
        widest_in = max(matrix.in_features for matrix in selected.values())
        widest_out = max(matrix.out_features for matrix in selected.values())
        a = kaiming((self.rank, widest_in), stream(self.seed, "A"))
        b = kaiming((widest_out, self.rank), stream(self.seed, "B"))
        return {name: Vectors(matrix, a, b, self.start) for name, matrix in selected.items()}


def kaiming(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw U(-sqrt(6/in), sqrt(6/in)) for a matrix (out, in): Kaiming's start for ReLU networks."""
    bound = (6 / shape[1]) ** 0.5
    return torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=generator)


class Vectors(LinearChange):
    """weight + diag(b) B diag(d) A, with d (rank,), b (out,) and the layer's part of A and B.

    Its part of the shared A is (rank, in), that of B (out, rank).
    """

    shared_a: Tensor
    shared_b: Tensor

    def __init__(self, matrix: Matrix, a: Tensor, b: Tensor, start: float) -> None:
        super().__init__()
        self.transposed = matrix.transposed
        like = at_least_float32(matrix.weight)
        self.register_buffer("shared_a", a[:, : matrix.in_features].to(like), persistent=False)
        self.register_buffer("shared_b", b[: matrix.out_features].to(like), persistent=False)
        self.d = nn.Parameter(like.new_full((len(a),), start))
        self.b = nn.Parameter(matrix.weight.new_zeros(matrix.out_features))

    def forward(self, weight: Tensor) -> Tensor:
        change = self.b.unsqueeze(1) * (self.shared_b @ (self.d.unsqueeze(1) * self.shared_a))
        return weight + (change.t() if self.transposed else change)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        answer = F.linear(x, weight.t() if self.transposed else weight, bias)
        b, d, shared_b, shared_a = (
            factor.to(x.dtype) for factor in (self.b, self.d, self.shared_b, self.shared_a)
        )
        return answer + b * F.linear(d * F.linear(x, shared_a), shared_b)
