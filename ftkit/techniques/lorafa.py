"""LoRA-FA: LoRA with a frozen random A."""

from dataclasses import dataclass

from torch import nn

from ftkit import checks
from ftkit.model.change import Change
from ftkit.model.low_rank import LowRank, alpha_over_rank, check_rank, matrices, uniform
from ftkit.seeding import stream


@dataclass(frozen=True)
class LoRAFA:
    """W + (alpha / rank) B A, where A is drawn once and frozen, and B alone is trainable.

    Zhang et al. 2023, arXiv:2308.03303. At most half of LoRA's parameters are trainable, and a
    layer's input need not be kept for A's gradient: only A x is, with `rank` values per token.
    PEFT's optimizer of this name also multiplies the gradient of B by (A A')^-1 / (alpha / rank)^2,
    so that the step of B A is the nearest to that of a free weight; here B has its plain gradient.
    A belongs to the space, not to the learned change: the same `seed` draws the same A. Starts at
    the base exactly; merges.

    Args:
        rank: at least 1.
        alpha: scales the change by alpha / rank, above 0; `None` means 2 * rank.
        seed: draws A.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank is below 1, or alpha is not above 0; from `changes`, if `where` matches no
            weight of a linear layer.
    """

    rank: int = 8
    alpha: float | None = 16.0
    seed: int = 0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, self.where, "LoRAFA")
        checks.seed(self.seed)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        scale = alpha_over_rank(self.alpha, self.rank)
        return {
            name: LowRank(
                matrix,
                self.rank,
                scale,
                fixed=uniform((self.rank, matrix.in_features), stream(self.seed, name)),
            )
            for name, matrix in matrices(model, self.where, "LoRAFA").items()
        }
