"""LoRA: a change of low rank for each linear layer."""

from dataclasses import dataclass

from torch import nn

from ftkit.model.change import Change
from ftkit.model.low_rank import LowRank, alpha_over_rank, check_rank, matrices


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
        check_rank(self.rank, self.alpha, "LoRA")

    @property
    def scale(self) -> float:
        """alpha / rank, the factor before B A."""
        return alpha_over_rank(self.alpha, self.rank)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        found = matrices(model, self.where, "LoRA")
        return {name: LowRank(matrix, self.rank, self.scale) for name, matrix in found.items()}
