"""Multi-task learning, the objective slot: how the losses of several tasks become one gradient.

Each objective here reads a batch of one task, or a joint batch: anything that can be iterated for one batch of each task. It gives one
term for each task, under its name. That a plain sum with tuned weights does as well as the rest is the finding of Kurin et al. 2022,
arXiv:2201.04122, and of Xin et al. 2022, arXiv:2209.11379.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.seeding import stream
from ftkit.tasks.task import Batch, Task

Batches = Batch | Iterable[Batch]


def parts(batch: Batches) -> tuple[Batch, ...]:
    """The batches of each task; a plain batch is a joint batch of one."""
    return (batch,) if isinstance(batch, Batch) else tuple(batch)


def losses(model: Any, batch: Batches) -> dict[str, Tensor]:
    """`{task name: mean cross-entropy}`, in nats. The body reads the rows of all tasks in one pass: cheaper, for the same numbers."""
    found, net = parts(batch), getattr(model, "net", model)
    if len(found) > 1 and found[0].features is None and hasattr(net, "features"):
        features = net.features(*found).split([len(part) for part in found])
        found = tuple(
            replace(part, features=own) for part, own in zip(found, features, strict=True)
        )
    return {part.task: supervised(model, part)["labels"] for part in found}


@dataclass(frozen=True)
class Weighted:
    """The sum of w L over the tasks, w fixed; `Weighted()` is the plain sum.

    A sum, not a mean: with more tasks the gradient of the body grows.

    Args:
        weights: `{task name: weight}`, at least 0; empty stands for 1 for every task.

    Raises:
        ValueError: weights that are no such weights; from the call, if they leave out a task that came.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(0 <= weight < math.inf for weight in self.weights.values()):
            raise ValueError(
                f"every weight must be at least 0 and finite, got {dict(self.weights)}; 0 leaves a task out"
            )

    def __call__(self, model: Any, batch: Batches) -> dict[str, Tensor]:
        return {task: self._of(task) * loss for task, loss in losses(model, batch).items()}

    def _of(self, task: str) -> float:
        if self.weights and task not in self.weights:
            raise ValueError(
                f"every task must have a weight, got none for {task!r}; weights are given for {', '.join(self.weights)}"
            )
        return self.weights[task] if self.weights else 1.0


class Uncertainty(nn.Module):
    """The sum of exp(-s) L + s / 2 over the tasks, with one learned s for each, the log of its variance.

    Kendall, Gal and Cipolla 2018, arXiv:1705.07115, in the form for classification. Every s starts at 0, where this is the plain sum, and
    may go below 0. Where L stands still it is best at log(2 L), so a task counts for less the higher its loss is, whatever the reason.
    What is learned stays in the object: give each run its own.

    Args:
        tasks: the tasks that will come.

    Raises:
        ValueError: from the call, if another task came.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    def __init__(self, tasks: Iterable[Task]) -> None:
        super().__init__()
        self.names = tuple(task.name for task in tasks)
        self.s = nn.Parameter(torch.zeros(len(self.names)))

    @property
    def weights(self) -> dict[str, float]:
        """`{task name: exp(-s)}` as it is now."""
        return dict(zip(self.names, (-self.s.detach()).exp().tolist(), strict=True))

    def forward(self, model: Any, batch: Batches) -> dict[str, Tensor]:
        return {
            task: self._s(task).neg().exp() * loss + self._s(task) / 2
            for task, loss in losses(model, batch).items()
        }

    def _s(self, task: str) -> Tensor:
        if task not in self.names:
            raise ValueError(
                f"every task must have its s, got none for {task!r}; Uncertainty was given {', '.join(self.names)}"
            )
        return self.s[self.names.index(task)]


def steered(
    model: Adapted, batch: Batches, turn: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """`{task name: loss}`, whose values are the plain losses, and whose gradients at the body are what `turn` makes of them.

    `turn` takes the losses (tasks,) and their gradients at the body's numbers that train (tasks, numbers), and answers with new gradients.
    Whatever else trains, such as heads, gets the loss's own gradient. Each task costs a forward and a backward pass of its own.
    """
    plain = {
        part.task: supervised(model, part)["labels"] for part in parts(batch)
    }  # one pass each: their gradients come apart
    body = model.trainable("body.")
    other = [p for p in model.trainable() if id(p) not in set(map(id, body))]
    own = [torch.autograd.grad(loss, [*body, *other], allow_unused=True) for loss in plain.values()]
    values = torch.stack([loss.detach() for loss in plain.values()])
    at_body = torch.stack([_flat(body, grads[: len(body)], values) for grads in own])
    here = _flat(body, body, values)
    terms = {}
    for (task, loss), row, grads in zip(plain.items(), turn(values, at_body), own, strict=True):
        pulls = [
            (p * g).sum() for p, g in zip(other, grads[len(body) :], strict=True) if g is not None
        ]
        # A sum whose gradient is `row` at the body and g elsewhere, and that adds exactly 0 to the value.
        pull = torch.stack([here @ row, *pulls]).sum()
        terms[task] = loss.detach() + (pull - pull.detach())
    return terms


def _flat(weights: Sequence[Tensor], values: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """`values` in one row, (numbers,), with zeros for a weight that has none; empty where no weight is."""
    rows = [torch.zeros_like(w) if v is None else v for w, v in zip(weights, values, strict=True)]
    return torch.cat([like.new_zeros(0), *(row.flatten() for row in rows)])


@dataclass(frozen=True)
class PCGrad:
    """The sum of the losses, where each task's gradient at the body gives up what opposes the gradient of another ("gradient surgery").

    Yu et al. 2020, arXiv:2001.06782. Of two tasks, neither opposes the other afterwards; of more that is not certain. A conflict may be
    noise: two small batches of one and the same task have conflicts too.

    Args:
        seed: with the rows of the batch it decides the order in which a task meets the others, so that a step is the same each time.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    seed: int = 0

    def __call__(self, model: Adapted, batch: Batches) -> dict[str, Tensor]:
        rows = [part.rows.tolist() for part in parts(batch)]
        generator = stream(self.seed, f"the order of {rows}")
        orders = [torch.randperm(len(rows), generator=generator).tolist() for _ in rows]
        return steered(model, batch, lambda _, gradients: projected(gradients, orders))


def projected(gradients: Tensor, orders: Sequence[Sequence[int]]) -> Tensor:
    """PCGrad's rule for `gradients` (tasks, numbers): row i meets the other rows, as they were, in the order `orders[i]`.

    Where g_i . g_j < 0, g_i loses its part along g_j: g_i - (g_i . g_j / g_j . g_j) g_j.

    >>> projected(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), [[1], [0]])
    tensor([[0.5000, 0.5000],
            [0.0000, 1.0000]])
    """
    out = gradients.clone()
    squares = (
        gradients.square().sum(1).clamp_min(torch.finfo(gradients.dtype).tiny)
    )  # a vanishing gradient divides by no 0
    for i, order in enumerate(orders):
        for j in order:
            dot = out[i] @ gradients[j]
            if j != i and dot < 0:
                out[i] -= dot / squares[j] * gradients[j]
    return out


class GradNorm:
    """The sum of the losses, where each task's gradient at the body has a weight that lets all tasks learn at like pace.

    Chen et al. 2018, arXiv:1711.02257. With G = w |g| and r = L / L(first step), both over their means, the weights step down the slope of
    the sum of |G - r^alpha|, r held, and are scaled to sum to the number of tasks. The step is one of log w, so that no weight reaches 0,
    and g is the gradient at all of the body; the paper steps in w and takes the last shared layer. Heads learn without weights.
    `weights`, {task name: w}, stay in the object: give each run its own.

    Args:
        alpha: how strongly slower tasks are favoured, at least 0; 0 makes all norms alike.
        lr: of the weights, at least 0; the share by which a weight moves in a step where its gradient has the mean norm.

    Raises:
        ValueError: alpha or lr below 0; from the call, if other tasks came than at the first step.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    def __init__(self, alpha: float = 1.5, lr: float = 0.025) -> None:
        if alpha < 0 or lr < 0:
            raise ValueError(
                f"alpha and lr must be at least 0, got {alpha:g} and {lr:g}; lr=0 keeps all weights at 1"
            )
        self.alpha, self.lr = alpha, lr
        self.weights: dict[str, float] = {}
        self._first: Tensor | None = None

    def __call__(self, model: Adapted, batch: Batches) -> dict[str, Tensor]:
        came = [part.task for part in parts(batch)]
        self.weights = self.weights or dict.fromkeys(came, 1.0)
        if came != list(self.weights):
            before = ", ".join(self.weights)
            raise ValueError(
                f"GradNorm must see the same tasks at every step, got {', '.join(came)} after {before}; train on Together"
            )
        return steered(model, batch, self._weigh)

    def _weigh(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """The weighted gradients; then the weights take their step."""
        self._first = (
            losses.clamp_min(torch.finfo(losses.dtype).tiny) if self._first is None else self._first
        )
        now = losses.new_tensor(list(self.weights.values()))
        after = rebalanced(now, gradients.norm(dim=1), losses / self._first, self.alpha, self.lr)
        self.weights = dict(zip(self.weights, after.tolist(), strict=True))
        return now.unsqueeze(1) * gradients


def rebalanced(weights: Tensor, norms: Tensor, ratios: Tensor, alpha: float, lr: float) -> Tensor:
    """GradNorm's rule: the weights (tasks,) after a step, given the norms of the gradients and the ratios of the losses to their first.

    >>> rebalanced(torch.ones(2), torch.ones(2), torch.tensor([0.5, 1.0]), alpha=1.0, lr=0.1)
    tensor([0.9003, 1.0997])
    """
    if not norms.any():
        return weights  # nothing of the body moves
    sizes = weights * norms / (weights * norms).mean()
    aims = (ratios / ratios.mean()) ** alpha
    moved = weights * torch.exp(-lr * sizes * (sizes - aims).sign())
    return moved * len(moved) / moved.sum()
