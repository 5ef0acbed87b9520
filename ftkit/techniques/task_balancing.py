"""Multi-task learning, the objective slot: how the losses of several tasks become one gradient.

Each objective here takes a batch of one task, or a joint batch: anything that can be iterated for
one batch per task. It returns one term per task, under the task's name. Two papers find that a sum
of the losses does as well as the other methods: Xin et al. 2022, arXiv:2209.11379, tune its
weights; Kurin et al. 2022, arXiv:2201.04122, keep them equal and regularise the training.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ftkit import checks
from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.seeding import stream
from ftkit.tasks.task import Batch, Task

Batches = Batch | Iterable[Batch]
Gradients = Sequence[Tensor | None]


def parts(batch: Batches) -> tuple[Batch, ...]:
    """Return the batch of each task; a plain batch is a joint batch of one."""
    return (batch,) if isinstance(batch, Batch) else tuple(batch)


def losses(model: Any, batch: Batches) -> dict[str, Tensor]:
    """Compute `{task name: mean cross-entropy}`, in nats.

    The body reads the rows of all tasks in one pass, which is cheaper and gives the same losses.
    """
    batches, net = parts(batch), getattr(model, "net", model)
    if len(batches) > 1 and batches[0].features is None and hasattr(net, "features"):
        features = net.features(*batches).split([len(part) for part in batches])
        batches = tuple(
            replace(part, features=own) for part, own in zip(batches, features, strict=True)
        )
    return {part.task: supervised(model, part)["labels"] for part in batches}


@dataclass(frozen=True)
class Weighted:
    """The sum of w L over the tasks with fixed weights w; `Weighted()` is the plain sum.

    It is a sum, not a mean: with more tasks the gradient of the body grows. The cost of a step is
    that of one pass over all rows.

    Args:
        weights: `{task name: weight}`, at least 0; empty means 1 for every task.

    Raises:
        ValueError: a weight is below 0 or not finite; from the call, if a task has no weight.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.instance(
            "weights", self.weights, Mapping, "{task name: weight}", "Weighted() is the plain sum"
        )
        if not all(checks.is_number(weight) and weight >= 0 for weight in self.weights.values()):
            raise ValueError(
                f"every weight must be at least 0 and finite, got {checks.shown(self.weights)}; "
                "0 leaves a task out"
            )

    def __call__(self, model: Any, batch: Batches) -> dict[str, Tensor]:
        return {task: self._weight(task) * loss for task, loss in losses(model, batch).items()}

    def _weight(self, task: str) -> float:
        if self.weights and task not in self.weights:
            raise ValueError(
                f"every task must have a weight, got none for {task!r}; "
                f"weights are given for {', '.join(self.weights)}"
            )
        return self.weights[task] if self.weights else 1.0


class Uncertainty(nn.Module):
    """The sum of exp(-s) L + s / 2 over the tasks, with one learned s per task: its log variance.

    Kendall, Gal and Cipolla 2018, arXiv:1705.07115, in the form for classification. Every s starts
    at 0, where this is the plain sum, and may go below 0. For a constant L the best s is log(2 L):
    the higher the loss of a task, the less it counts, whatever the reason. The learned s stay in
    the object, so each run needs an object of its own.

    Args:
        tasks: the tasks of the run.

    Raises:
        ValueError: there is no task; from the call, if a batch has another task.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    def __init__(self, tasks: Iterable[Task]) -> None:
        super().__init__()
        advice = "pass those of the run"
        listed = tuple(checks.iterated("tasks", tasks, "a list of tasks", advice))
        checks.each("tasks", listed, Task, "tasks", advice, least=1)
        self.names = tuple(task.name for task in listed)
        self.s = nn.Parameter(torch.zeros(len(self.names)))

    @property
    def weights(self) -> dict[str, float]:
        """The current weights, `{task name: exp(-s)}`."""
        return dict(zip(self.names, (-self.s.detach()).exp().tolist(), strict=True))

    def forward(self, model: Any, batch: Batches) -> dict[str, Tensor]:
        return {
            task: self._s(task).neg().exp() * loss + self._s(task) / 2
            for task, loss in losses(model, batch).items()
        }

    def _s(self, task: str) -> Tensor:
        if task not in self.names:
            raise ValueError(
                f"every task must have its s, got none for {task!r}; "
                f"Uncertainty was given {', '.join(self.names)}"
            )
        return self.s[self.names.index(task)]


def with_gradients(
    model: Adapted, batch: Batches, change: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Return `{task name: loss}` with the plain values, but with changed gradients at the body.

    Other trainable parameters, such as heads, get the plain gradient of the loss. Each task costs a
    forward and a backward pass of its own.

    Args:
        change: `change(losses (tasks,), gradients (tasks, n))` returns the new gradients
            (tasks, n), where n counts the trainable parameters of the body.
    """
    # One pass per task, since each task's gradient is needed by itself.
    plain = {part.task: supervised(model, part)["labels"] for part in parts(batch)}
    body = model.trainable("body.")
    in_body = {id(parameter) for parameter in body}
    other = [parameter for parameter in model.trainable() if id(parameter) not in in_body]
    values = torch.stack([loss.detach() for loss in plain.values()])
    at_body, at_other = _task_gradients(list(plain.values()), body, other)
    flat = torch.stack([_flat(body, gradients, values) for gradients in at_body])
    point = _flat(body, body, values)
    terms = {}
    for (task, loss), new, others in zip(
        plain.items(), change(values, flat), at_other, strict=True
    ):
        linear = [
            (parameter * gradient).sum()
            for parameter, gradient in zip(other, others, strict=True)
            if gradient is not None
        ]
        terms[task] = _surrogate(loss, [point @ new, *linear])
    return terms


def _task_gradients(
    losses: Sequence[Tensor], body: Sequence[Tensor], other: Sequence[Tensor]
) -> tuple[list[Gradients], list[Gradients]]:
    """The gradients of each loss at the body, and at the other parameters; None where unused."""
    rows = [torch.autograd.grad(loss, [*body, *other], allow_unused=True) for loss in losses]
    return [row[: len(body)] for row in rows], [row[len(body) :] for row in rows]


def _surrogate(loss: Tensor, linear: Sequence[Tensor]) -> Tensor:
    """A scalar with the value of `loss` and the gradient of the sum of `linear`."""
    # 1. The sum of parameter * g, with g held constant, has the gradient g at the parameter.
    # 2. Minus its own detached value it is exactly 0, and keeps that gradient.
    # 3. So loss.detach() plus that 0 has the loss's value and the gradients g.
    pull = torch.stack(list(linear)).sum()
    return loss.detach() + (pull - pull.detach())


def _flat(weights: Sequence[Tensor], values: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """`values` in one row, (n,); zeros for a weight without a value, empty without weights."""
    rows = [torch.zeros_like(w) if v is None else v for w, v in zip(weights, values, strict=True)]
    return torch.cat([like.new_zeros(0), *(row.flatten() for row in rows)])


@dataclass(frozen=True)
class PCGrad:
    """The sum of the losses, with gradient surgery: opposed parts of gradients are removed.

    At the body, the gradient of each task loses its part that opposes the gradient of another. Yu
    et al. 2020, arXiv:2001.06782. With two tasks, neither opposes the other afterwards; with more
    that is not certain. A conflict may be noise: two small batches of the same task conflict too.
    Each task costs a forward and a backward pass of its own.

    Args:
        seed: together with the rows of the batch it decides the order in which a task is compared
            with the others, so that a step can be repeated.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    seed: int = 0

    def __post_init__(self) -> None:
        checks.seed(self.seed)

    def __call__(self, model: Adapted, batch: Batches) -> dict[str, Tensor]:
        rows = [part.rows.tolist() for part in parts(batch)]
        generator = stream(self.seed, f"the order of {rows}")
        orders = [torch.randperm(len(rows), generator=generator).tolist() for _ in rows]
        return with_gradients(model, batch, lambda _, gradients: projected(gradients, orders))


def projected(gradients: Tensor, orders: Sequence[Sequence[int]]) -> Tensor:
    """Apply PCGrad's rule to `gradients` (tasks, n): row i is compared with the rows `orders[i]`.

    Where g_i . g_j < 0, g_i loses its part along g_j: g_i - (g_i . g_j / g_j . g_j) g_j.

    >>> projected(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), [[1], [0]])
    tensor([[0.5000, 0.5000],
            [0.0000, 1.0000]])
    """
    out = gradients.clone()
    # At least the smallest float, so that a vanishing gradient does not divide by 0.
    squares = gradients.square().sum(1).clamp_min(torch.finfo(gradients.dtype).tiny)
    for i, order in enumerate(orders):
        for j in order:
            # The row as it is by now, against the other row as it was at the start.
            dot = out[i] @ gradients[j]
            if j != i and dot < 0:
                out[i] -= dot / squares[j] * gradients[j]
    return out


class GradNorm:
    """The sum of the losses, with weights that let all tasks learn at a similar pace.

    Chen et al. 2018, arXiv:1711.02257. Each task's gradient at the body has a weight w. With
    G = w |g| and r = L / L(first step), both divided by their means, a step on the weights reduces
    the sum of |G - r^alpha|, with r held constant; then they are scaled to sum to the number of
    tasks. Two differences from the paper: the step is in log w, so that no weight reaches 0, and g
    is the gradient at the whole body, not at the last shared layer. Heads learn without weights.
    `weights`, {task name: w}, stay in the object, so each run needs an object of its own. Each task
    costs a forward and a backward pass of its own.

    Args:
        alpha: how strongly slower tasks are favoured, from 0 to 100; 0 makes all norms equal.
        lr: the learning rate of the weights, from 0 to 10: the share by which a weight changes in a
            step where its gradient has the mean norm.

    Raises:
        ValueError: alpha or lr is outside its range; from the call, if the tasks differ from those
            of the first step.
    """

    needs = ("tasks",)  # see ftkit.cli.run_techniques

    def __init__(self, alpha: float = 1.5, lr: float = 0.025) -> None:
        if not all(checks.is_number(value) and value >= 0 for value in (alpha, lr)):
            raise ValueError(
                f"alpha and lr must be at least 0, got {checks.shown(alpha)} and "
                f"{checks.shown(lr)}; lr=0 keeps all weights at 1"
            )
        # Beyond them a weight is 0 or infinite after a step.
        checks.number("alpha", alpha, most=100, advice="1.5 is usual")
        checks.number("lr", lr, most=10, advice="0.025 is usual")
        self.alpha, self.lr = alpha, lr
        self.weights: dict[str, float] = {}
        self._first: Tensor | None = None

    def __call__(self, model: Adapted, batch: Batches) -> dict[str, Tensor]:
        tasks = [part.task for part in parts(batch)]
        self.weights = self.weights or dict.fromkeys(tasks, 1.0)
        if tasks != list(self.weights):
            raise ValueError(
                f"GradNorm must see the same tasks at every step, got {', '.join(tasks)} "
                f"after {', '.join(self.weights)}; train on Together"
            )
        return with_gradients(model, batch, self._weight)

    def _weight(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Weight the gradients; then update the weights for the next step."""
        if self._first is None:
            self._first = losses.clamp_min(torch.finfo(losses.dtype).tiny)
        now = losses.new_tensor(list(self.weights.values()))
        after = rebalanced(now, gradients.norm(dim=1), losses / self._first, self.alpha, self.lr)
        self.weights = dict(zip(self.weights, after.tolist(), strict=True))
        return now.unsqueeze(1) * gradients


def rebalanced(weights: Tensor, norms: Tensor, ratios: Tensor, alpha: float, lr: float) -> Tensor:
    """Apply GradNorm's rule: return the weights (tasks,) after a step.

    Args:
        weights: the weights w, (tasks,).
        norms: the norms |g| of the gradients, (tasks,).
        ratios: the losses over those of the first step, (tasks,).
        alpha: the exponent of the ratios.
        lr: the learning rate of the weights.

    >>> rebalanced(torch.ones(2), torch.ones(2), torch.tensor([0.5, 1.0]), alpha=1.0, lr=0.1)
    tensor([0.9003, 1.0997])
    """
    if not norms.any():
        return weights  # no parameter of the body is trainable
    # 1. How large each weighted gradient is, and how large it should be, relative to the mean.
    sizes = weights * norms / (weights * norms).mean()
    aims = (ratios / ratios.mean()) ** alpha
    # 2. A gradient step on |size - aim| in log w; size is proportional to w, so its slope is size.
    stepped = weights * torch.exp(-lr * sizes * (sizes - aims).sign())
    # 3. Only the proportions count: scale the sum back to the number of tasks.
    return stepped * len(stepped) / stepped.sum()
