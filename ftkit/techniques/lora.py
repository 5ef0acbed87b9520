"""LoRA: add a change of low rank to each linear layer."""

from dataclasses import dataclass

from torch import nn

from ftkit.model.change import Change
from ftkit.model.low_rank import LowRank, alpha_over_rank, check_rank, matrices


@dataclass(frozen=True)
class LoRA:
    """W + (alpha / rank) B A for every linear layer of the body, attention and feed-forward.

    Hu et al. 2022, arXiv:2106.09685, with "all-linear" targets. A (rank, in) starts as
    U(-1/sqrt(in), 1/sqrt(in)), as in the authors' code (their text says Gaussian); B (out, rank)
    starts at 0. Starts at the base exactly; merges. A step never forms B A.

    Args:
        rank: at least 1; above min(in, out) it adds parameters but no expressiveness.
        alpha: scales the change by alpha / rank; by default it is constant over ranks, so the best
            learning rate hardly depends on the rank. `None` means 2 * rank.
        where: glob patterns over the names of the weights, separated by commas; of the matching
            weights, those of linear layers change.

    Raises:
        ValueError: rank is below 1, or alpha is not above 0; from `changes`, if `where` matches no
            weight of a linear layer.

    >>> LoRA(rank=4).scale
    4.0
    """

    rank: int = 8
    alpha: float | None = 16.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, self.where, "LoRA")

    @property
    def scale(self) -> float:
        """The factor before B A: alpha / rank."""
        return alpha_over_rank(self.alpha, self.rank)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        return {
            name: LowRank(matrix, self.rank, self.scale)
            for name, matrix in matrices(model, self.where, "LoRA").items()
        }
