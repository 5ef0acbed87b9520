"""PiSSA: LoRA that starts from the largest singular vectors of the weight."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ftkit.model.change import Change, at_least_float32
from ftkit.model.low_rank import Matrix, check_rank, matrices


@dataclass(frozen=True)
class PiSSA:
    """W + s (B A - B0 A0), where s B0 A0 is the best approximation of W with that rank.

    So W's own principal part is trainable. Meng et al. 2024, arXiv:2404.02948. They replace s B0 A0
    in W by s B A. Here W stays and the difference is added, which is the same weight, and exactly W
    at the start. Starts at the base exactly; merges. A step forms the whole weight; an SVD of every
    matrix is needed once.

    Args:
        rank: at least 1, at most min(in, out) of every matrix.
        alpha: s = alpha / rank, above 0; `None` means alpha = rank, s = 1, as in the paper.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank is below 1, or alpha is not above 0; from `changes`, if `where` matches no
            weight of a linear layer, or the rank is too high.
    """

    rank: int = 8
    alpha: float | None = None
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, self.where, "PiSSA")

    def changes(self, model: nn.Module) -> dict[str, Change]:
        scale = 1.0 if self.alpha is None else self.alpha / self.rank
        selected = matrices(model, self.where, "PiSSA")
        small = [
            name
            for name, matrix in selected.items()
            if min(matrix.out_features, matrix.in_features) < self.rank
        ]
        if small:
            raise ValueError(
                f"rank must be at most min(in, out) of every matrix, got {self.rank} for "
                f"{small[0]!r}; narrow where"
            )
        return {name: Principal(matrix, self.rank, scale) for name, matrix in selected.items()}


class Principal(Change):
    """weight + scale * B A - start, where start is scale * B A before training.

    A is (rank, in), B is (out, rank).
    """

    start: Tensor

    def __init__(self, matrix: Matrix, rank: int, scale: float) -> None:
        super().__init__()
        self.scale, self.transposed = scale, matrix.transposed
        weight = at_least_float32(matrix.weight.detach())  # no SVD in half precision
        u, s, v = torch.linalg.svd(weight.t() if matrix.transposed else weight, full_matrices=False)
        root = (s[:rank] / scale).sqrt()
        self.a = nn.Parameter((root.unsqueeze(1) * v[:rank]).contiguous())
        self.b = nn.Parameter((u[:, :rank] * root).contiguous())
        with torch.no_grad():
            self.register_buffer("start", scale * (self.b @ self.a), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        change = self.scale * (self.b @ self.a) - self.start
        return weight + (change.t() if self.transposed else change)
