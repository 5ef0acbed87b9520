"""LoRA+: LoRA with a larger learning rate for B than for A."""

from dataclasses import dataclass

from torch import nn

from ftkit import checks
from ftkit.model.change import Change
from ftkit.model.low_rank import MOST_SCALE, LowRank, Matrix, alpha_over_rank, check_rank, matrices


@dataclass(frozen=True)
class LoRAPlus:
    """LoRA with `ratio` times the learning rate for B.

    Hayou et al. 2024, arXiv:2402.12354: A starts at random and B at 0, and in wide networks one
    learning rate cannot be right for both. Starts at the base exactly; merges; costs what LoRA
    costs.

    Args:
        rank: at least 1.
        alpha: scales the change by alpha / rank, above 0; `None` means 2 * rank.
        ratio: B's learning rate divided by A's, above 0; 1 is LoRA.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank is below 1, or alpha or ratio is not above 0; from `changes`, if `where`
            matches no weight of a linear layer.
    """

    rank: int = 8
    alpha: float | None = 16.0
    ratio: float = 16.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, self.where, "LoRAPlus")
        one = "1 gives A and B one learning rate, as in LoRA"
        checks.number("ratio", self.ratio, above=0, most=MOST_SCALE, advice=one)

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
