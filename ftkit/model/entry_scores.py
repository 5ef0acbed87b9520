"""Scores from data: how much each entry of a weight matters, by gradients or by how far full fine-tuning moved it.

Each function answers `{weight name: tensor of the weight's shape, at least 0}`; `top` of `ftkit.model.entries` chooses by them.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from ftkit.model.adapted import select, twin
from ftkit.model.base import Net
from ftkit.model.delta import Delta
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Batch


def gradient(
    model: Net, batches: Iterable[Batch], where: str = "body.*", objective: Objective = supervised
) -> dict[str, Tensor]:
    """|mean gradient over all examples of `batches`|: where the loss is steepest.

    Args:
        model: a base with heads; the heads may be random. It is not written, nor is its `.grad`.
        batches: some batches; `Task.batches` has no end, so take a few with `itertools.islice`.
        where: glob patterns over the names of the weights, with commas between.

    Raises:
        ValueError: no batches, or a pattern that fits no weight.
    """
    total, examples = _sum(_gradients(model, batches, where, objective))
    return {name: (value / examples).abs() for name, value in total.items()}


def fisher(
    model: Net, batches: Iterable[Batch], where: str = "body.*", objective: Objective = supervised
) -> dict[str, Tensor]:
    """The diagonal of the empirical Fisher information: the mean over examples of the squared gradient of one example.

    Squared before the mean: the square of a batch's mean gradient is another, smaller quantity, in which examples that disagree cancel. So
    each example has a forward and a backward pass of its own; a few hundred examples are enough. Arguments and errors as for `gradient`.

    Sung, Nair and Raffel 2021 (FISH Mask), arXiv:2111.09839.
    """
    single = (
        Batch(b.data, b.rows[i : i + 1], b.labels[i : i + 1], b.task)
        for b in batches
        for i in range(len(b))
    )
    squares = (
        (count, {name: g.square() for name, g in one.items()})
        for count, one in _gradients(model, single, where, objective)
    )
    total, examples = _sum(squares)
    return {name: value / examples for name, value in total.items()}


def movement(delta: Delta, where: str = "body.*") -> dict[str, Tensor]:
    """|theta_ft - theta_0|: how far full fine-tuning moved each entry. Train the farthest alone, from theta_0 again: a "lottery ticket".

    Ansell et al. 2022 (LT-SFT), arXiv:2110.07560.

    Raises:
        ValueError: nothing of `delta` fits `where`.
    """
    patterns = [part.strip() for part in where.split(",")]
    found = {
        name: value.abs()
        for name, value in delta.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    if not found:
        some = ", ".join(list(delta)[:3]) or "nothing"
        raise ValueError(f"where must fit a weight that moved, got {where!r}; what moved is {some}")
    return found


def _gradients(
    model: Net, batches: Iterable[Batch], where: str, objective: Objective
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """For each batch, how many examples it has and the gradient of their mean loss; 0 for a weight that has no part in it."""
    net = twin(model, requires_grad=True)
    weights = select(net, where)
    for batch in batches:
        loss = torch.stack(list(objective(net, batch).values())).sum()
        found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        yield len(batch), dict(zip(weights, found, strict=True))


def _sum(parts: Iterable[tuple[int, dict[str, Tensor]]]) -> tuple[dict[str, Tensor], int]:
    """The sum of the parts, each as often as it has examples, and the number of examples."""
    total: dict[str, Tensor] = {}
    examples = 0
    for count, part in parts:
        examples += count
        total = {
            name: total[name].add_(value, alpha=count) if name in total else count * value
            for name, value in part.items()
        }
    if not examples:
        raise ValueError(
            "batches must hold at least one example, got none; an iterator that was read before is empty"
        )
    return total, examples
