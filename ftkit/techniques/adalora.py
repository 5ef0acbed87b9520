"""AdaLoRA: directions of all matrices compete, and the least important are pruned while the run goes on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit.model.adapted import Adapted
from ftkit.model.change import Change, LinearChange
from ftkit.model.low_rank import Matrix, alpha_over_rank, check_rank, matrices


@dataclass(frozen=True)
class AdaLoRA:
    """W + s P diag(l) Q for every linear layer of the body: the form of a singular value decomposition, each direction with its strength.

    Zhang et al. 2023, arXiv:2303.10512. `Pruning` takes directions away between steps; without it all stay. The strengths start at 0. The
    authors' penalty that holds P and Q orthogonal is left out: here their columns and rows are drawn with length 1 in the mean and stay
    nearly at right angles over a short run. So is a factor of theirs for how uncertain an importance is.

    Args:
        rank: the directions of every matrix at first, at least 1.
        alpha: s = alpha / rank, above 0; `None` stands for 2 * rank.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank below 1, alpha not above 0; from `changes`, if `where` fits no weight of a linear layer.
    """

    rank: int = 12
    alpha: float | None = 16.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, "AdaLoRA")

    def changes(self, model: nn.Module) -> dict[str, Change]:
        scale = alpha_over_rank(self.alpha, self.rank)
        return {
            name: Directions(matrix, self.rank, scale)
            for name, matrix in matrices(model, self.where, "AdaLoRA").items()
        }


class Directions(LinearChange):
    """weight + scale * P diag(l) Q, with P (out, rank), l (rank,) and Q (rank, in)."""

    def __init__(self, matrix: Matrix, rank: int, scale: float) -> None:
        super().__init__()
        self.scale, self.transposed = scale, matrix.transposed
        self.p = nn.Parameter(matrix.weight.new_zeros(matrix.out_features, rank))
        self.q = nn.Parameter(matrix.weight.new_zeros(rank, matrix.in_features))
        self.l = nn.Parameter(matrix.weight.new_zeros(rank))

    def draw(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            for factor, width in ((self.p, len(self.p)), (self.q, self.q.shape[1])):
                factor.copy_(torch.empty(factor.shape).normal_(0, width**-0.5, generator=generator))

    def forward(self, weight: Tensor) -> Tensor:
        change = self.scale * (self.p * self.l) @ self.q
        return weight + (change.t() if self.transposed else change)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        answer = F.linear(x, weight.t() if self.transposed else weight, bias)
        return answer + F.linear(self.scale * self.l * F.linear(x, self.q), self.p)

    def importance(self) -> Tensor:
        """What the loss would change by, at first order, without each direction, (rank,): |l g| and the means of |p g| and |q g|."""
        of_p, of_q, of_l = (
            torch.zeros_like(w) if w.grad is None else (w * w.grad).detach().abs()
            for w in (self.p, self.q, self.l)
        )
        return of_l + of_p.mean(0) + of_q.mean(1)


class Pruning:
    """Call it after every step of a run, with the number of the step: it sets the strengths of the least important directions to 0.

    How many are left falls from all to `keep` between the shares `begin` and `end` of the run, by the authors' cubic schedule. A direction
    that was taken away may come back while others are weaker; from `end` on exactly `keep` are there after every step.

    Args:
        model: adapted with `AdaLoRA`.
        keep: how many directions are left at the end, in all matrices together.
        steps: of the run.
        smoothing: how much of an importance is the mean of the past, in [0, 1).

    Raises:
        ValueError: a model without directions, or fewer than 0 or more than all to keep.
    """

    def __init__(
        self,
        model: Adapted,
        keep: int,
        steps: int,
        begin: float = 0.1,
        end: float = 0.6,
        smoothing: float = 0.85,
    ) -> None:
        self.found = [change for change in model.changes.values() if isinstance(change, Directions)]
        if not self.found:
            raise ValueError(
                f"the model must have directions to prune, got {model}; adapt with AdaLoRA first"
            )
        self.all = sum(len(change.l) for change in self.found)
        if not 0 <= keep <= self.all:
            raise ValueError(
                f"keep must be from 0 to {self.all}, the directions there are, got {keep}"
            )
        self.keep, self.begin, self.end, self.smoothing = (
            keep,
            begin * steps,
            end * steps,
            smoothing,
        )
        self._mean: Tensor | None = None

    def left(self, step: int) -> int:
        """How many directions are left after a step."""
        done = min(1.0, max(0.0, (step - self.begin) / (self.end - self.begin)))
        return self.keep + round((self.all - self.keep) * (1 - done) ** 3)

    def __call__(self, step: int) -> None:
        now = torch.cat([change.importance() for change in self.found])
        self._mean = (
            now if self._mean is None else self.smoothing * self._mean + (1 - self.smoothing) * now
        )
        gone = torch.ones(self.all, dtype=torch.bool, device=now.device)
        gone[self._mean.topk(self.left(step)).indices] = False
        with torch.no_grad():
            for change, part in zip(
                self.found, gone.split([len(change.l) for change in self.found]), strict=True
            ):
                change.l[part] = 0.0
