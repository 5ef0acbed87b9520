"""rsLoRA: LoRA with a scale that falls with the root of the rank."""

import math
from dataclasses import dataclass

from torch import nn

from ftkit import checks
from ftkit.model.change import Change
from ftkit.model.low_rank import LowRank, check_rank, matrices


@dataclass(frozen=True)
class RsLoRA:
    """W + (alpha / sqrt(rank)) B A for every linear layer of the body; otherwise like LoRA.

    Kalajdzievski 2023, arXiv:2312.03732: with alpha / rank the change of each step shrinks as the
    rank grows, and high ranks learn no more than low ones. At one rank it *is* LoRA with another
    alpha, or another learning rate. Starts at the base exactly; merges; costs what LoRA costs.

    Args:
        rank: at least 1.
        alpha: scales the change by alpha / sqrt(rank), above 0; 8 gives the scale of LoRA's default
            at rank 4.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank is below 1, or alpha is not above 0; from `changes`, if `where` matches no
            weight of a linear layer.

    >>> RsLoRA(rank=4).scale
    4.0
    """

    rank: int = 8
    alpha: float = 8.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        checks.number(
            "alpha", self.alpha, above=0, advice="8 is the default; None is not taken here"
        )
        check_rank(self.rank, self.alpha, self.where, "RsLoRA")

    @property
    def scale(self) -> float:
        """The factor before B A: alpha / sqrt(rank)."""
        return self.alpha / math.sqrt(self.rank)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        return {
            name: LowRank(matrix, self.rank, self.scale)
            for name, matrix in matrices(model, self.where, "RsLoRA").items()
        }
