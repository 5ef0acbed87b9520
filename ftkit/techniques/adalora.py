"""AdaLoRA: the directions of all matrices compete; the least important are pruned in the run."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit import checks
from ftkit.model.adapted import Adapted
from ftkit.model.change import Change, LinearChange
from ftkit.model.low_rank import Matrix, alpha_over_rank, check_rank, matrices


@dataclass(frozen=True)
class AdaLoRA:
    """W + s P diag(l) Q for every linear layer of the body, in the form of an SVD.

    Zhang et al. 2023, arXiv:2303.10512. Each direction has a strength l, which starts at 0: starts
    at the base exactly; merges. `Pruning` removes directions between steps; without it all stay.
    Two parts of the paper are left out: the penalty that keeps P and Q orthogonal (here their
    columns and rows have length 1 on average, and stay nearly orthogonal over a short run), and the
    factor for the uncertainty of an importance.

    Args:
        rank: the number of directions of every matrix at the start, at least 1.
        alpha: s = alpha / rank, above 0; `None` means 2 * rank.
        where: glob patterns over the names of the weights, as in LoRA.

    Raises:
        ValueError: rank is below 1, or alpha is not above 0; from `changes`, if `where` matches no
            weight of a linear layer.
    """

    rank: int = 12
    alpha: float | None = 16.0
    where: str = "body.*"

    def __post_init__(self) -> None:
        check_rank(self.rank, self.alpha, self.where, "AdaLoRA")

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
                drawn = torch.empty(factor.shape, device="cpu")
                factor.copy_(drawn.normal_(0, width**-0.5, generator=generator))

    def forward(self, weight: Tensor) -> Tensor:
        change = self.scale * (self.p * self.l) @ self.q
        return weight + (change.t() if self.transposed else change)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        answer = F.linear(x, weight.t() if self.transposed else weight, bias)
        p, strengths, q = (factor.to(x.dtype) for factor in (self.p, self.l, self.q))
        return answer + F.linear(self.scale * strengths * F.linear(x, q), p)

    def importance(self) -> Tensor:
        """Estimate how much the loss would change without each direction, (rank,).

        To first order: |l g| plus the means of |p g| and |q g|, where g are the last gradients.
        """
        of_p, of_q, of_l = (
            torch.zeros_like(w) if w.grad is None else (w * w.grad).detach().abs()
            for w in (self.p, self.q, self.l)
        )
        return of_l + of_p.mean(0) + of_q.mean(1)


class Pruning:
    """Set the strengths of the least important directions to 0; call it after every step of a run.

    It is called with the number of the step. The number of directions falls from all to `keep`
    between the shares `begin` and `end` of the run, by the paper's cubic schedule. A pruned
    direction may come back while others are weaker; from `end` on, exactly `keep` remain after
    every step.

    Args:
        model: adapted with `AdaLoRA`.
        keep: the number of directions at the end, in all matrices together.
        steps: the number of steps of the run.
        begin, end: the shares of the run between which directions are pruned, in [0, 1].
        smoothing: the weight of the past in the running mean of an importance, in [0, 1).

    Raises:
        ValueError: the model has no directions, keep is below 0 or above their number, or another
            argument is outside its range.
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
        checks.instance("model", model, Adapted, "an Adapted", "write Adapted(base, AdaLoRA(4))")
        self.changes = [
            change for change in model.changes.values() if isinstance(change, Directions)
        ]
        if not self.changes:
            raise ValueError(
                f"the model must have directions to prune, got {model}; adapt with AdaLoRA first"
            )
        self.all = sum(len(change.l) for change in self.changes)
        if not checks.is_whole(keep) or not 0 <= keep <= self.all:
            raise ValueError(
                f"keep must be from 0 to {self.all}, the number of directions, "
                f"got {checks.shown(keep)}; keep some of them"
            )
        checks.whole("steps", steps, 1, 10**9, "it counts the steps of the run")
        for name, value in (("begin", begin), ("end", end), ("smoothing", smoothing)):
            checks.share(name, value, "the defaults are 0.1, 0.6 and 0.85")
        if begin >= end or smoothing == 1:
            raise ValueError(
                "begin must be below end, and smoothing below 1, got "
                f"{begin:g}, {end:g} and {smoothing:g}; the defaults are 0.1, 0.6 and 0.85"
            )
        self.keep, self.smoothing = keep, smoothing
        self.begin, self.end = begin * steps, end * steps
        self._mean: Tensor | None = None

    def left(self, step: int) -> int:
        """Return the number of directions that remain after a step."""
        checks.whole("step", step, 0, 10**9, "it counts the steps so far")
        done = min(1.0, max(0.0, (step - self.begin) / (self.end - self.begin)))
        return self.keep + round((self.all - self.keep) * (1 - done) ** 3)

    def __call__(self, step: int) -> None:
        now = torch.cat([change.importance() for change in self.changes])
        if self._mean is None:
            self._mean = now
        else:
            self._mean = self.smoothing * self._mean + (1 - self.smoothing) * now
        pruned = torch.ones(self.all, dtype=torch.bool, device=now.device)
        pruned[self._mean.topk(self.left(step)).indices] = False
        by_matrix = pruned.split([len(change.l) for change in self.changes])
        with torch.no_grad():
            for change, part in zip(self.changes, by_matrix, strict=True):
                change.l[part] = 0.0
