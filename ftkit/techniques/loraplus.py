"""LoRA+: LoRA whose B moves faster than its A."""

from dataclasses import dataclass

from torch import nn

from ftkit.model.change import Change
from ftkit.model.low_rank import LowRank, Matrix, alpha_over_rank, check_rank, matrices


@dataclass(frozen=True)
class LoRAPlus:
    """LoRA with `ratio` times the learning rate for B.

    Hayou et al. 2024, arXiv:2402.12354: A starts at random and B at 0, and in wide networks one rate for both cannot suit both.

    Args:
        rank: at least 1.
        alpha: scales the change by alpha / rank, above 0; `None` stands for 2 * rank.
        ratio: of B's learning rate to A's, above 0; 1 is LoRA.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank below 1, alpha or ratio not above 0; from `changes`, if `where` fits no weight of a linear layer.
    """

    rank: int = 8
    alpha: float | None = 16.0
    ratio: float = 16.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, "LoRAPlus")
        if self.ratio <= 0:
            raise ValueError(
                f"ratio must be above 0, got {self.ratio:g}; 1 moves A and B at one rate, as LoRA does"
            )

    def changes(self, model: nn.Module) -> dict[str, Change]:
        scale = alpha_over_rank(self.alpha, self.rank)
        return {
            name: FasterB(matrix, self.rank, scale, self.ratio)
            for name, matrix in matrices(model, self.where, "LoRAPlus").items()
        }


class FasterB(LowRank):
    """A low-rank change whose B has `ratio` times the learning rate."""

    def __init__(self, matrix: Matrix, rank: int, scale: float, ratio: float) -> None:
        super().__init__(matrix, rank, scale)
        self.ratio = ratio

    def lr_factor(self, parameter: str) -> float:
        return self.ratio if parameter == "b" else 1.0
