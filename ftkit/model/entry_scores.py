"""Scores from data: how much each entry of a weight matters.

Each function returns `{weight name: tensor of the weight's shape, at least 0}`; `top` of
`ftkit.model.entries` chooses the entries with the largest scores.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from ftkit import checks
from ftkit.model.adapted import select, twin
from ftkit.model.base import Net
from ftkit.model.change import at_least_float32
from ftkit.model.delta import Delta
from ftkit.model.objective import Objective, check_objective, check_terms, supervised
from ftkit.tasks.task import Batch, Task


def gradient(
    model: Net, batches: Iterable[Batch], where: str = "body.*", objective: Objective = supervised
) -> dict[str, Tensor]:
    """Score by |mean gradient over all examples of `batches`|: where the loss is steepest.

    Args:
        model: a base with heads; the heads may be random. Neither its weights nor their `.grad`
            are written.
        batches: some batches; `Task.batches` has no end, so take a few with `itertools.islice`.
        where: glob patterns over the names of the weights, with commas between.

    Raises:
        ValueError: no batches, or a pattern that fits no weight.

    Song et al. 2024 (SIFT), arXiv:2312.11875, choose the largest within each matrix.
    """
    examples, total = _sum(_gradients(model, batches, where, objective))
    return {name: (value / examples).abs() for name, value in total.items()}


def fisher(
    model: Net, batches: Iterable[Batch], where: str = "body.*", objective: Objective = supervised
) -> dict[str, Tensor]:
    """Score by the diagonal of the empirical Fisher information.

    This is the mean over examples of the squared gradient of one example. The square comes before
    the mean: in a batch's mean gradient, examples that disagree cancel, so its square is smaller.
    Each example therefore needs a forward and a backward pass of its own; a few hundred examples
    are enough. Arguments and errors are those of `gradient`.

    Sung, Nair and Raffel 2021 (FISH Mask), arXiv:2111.09839.
    """
    examples, total = _sum(_squares(_gradients(model, _one_by_one(batches), where, objective)))
    return {name: value / examples for name, value in total.items()}


def movement(delta: Delta, where: str = "body.*") -> dict[str, Tensor]:
    """Score by |theta_ft - theta_0|: how far full fine-tuning moved each entry.

    Training the entries that moved farthest, from theta_0 again, is a "lottery ticket":
    Ansell et al. 2022 (LT-SFT), arXiv:2110.07560.

    Raises:
        ValueError: nothing of `delta` fits `where`.
    """
    checks.instance("delta", delta, Mapping, "a Delta", "model.delta() is one")
    checks.patterns("where", where)
    patterns = [part.strip() for part in where.split(",")]
    scores = {
        name: value.abs()
        for name, value in delta.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    if not scores:
        some = ", ".join(list(delta)[:3]) or "nothing"
        raise ValueError(f"where must fit a weight that moved, got {where!r}; what moved is {some}")
    return scores


_SizedMean = tuple[int, dict[str, Tensor]]
"""A number of examples, and a mean over them for each weight."""


def _iterated(batches: Any, of_tasks: bool) -> Iterator[Any]:
    """The batches one by one.

    Args:
        batches: as many as there are.
        of_tasks: whether each must be a `Batch`; an objective of one's own may read others.
    """
    advice = "islice(task.batches(16, generator), 10) takes ten"
    if getattr(batches, "gi_code", None) is Task.batches.__code__:
        raise ValueError(f"batches must have an end, got all of Task.batches; {advice}")
    for batch in checks.iterated("batches", batches, "a list of batches", advice):
        is_batch = hasattr(batch, "labels") and hasattr(batch, "rows")
        if not is_batch and (of_tasks or not hasattr(batch, "__len__")):
            raise ValueError(f"batches must hold batches, got {checks.shown(batch)}; {advice}")
        yield batch


def _one_by_one(batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in _iterated(batches, of_tasks=True):
        for i in range(len(batch)):
            yield Batch(batch.data, batch.rows[i : i + 1], batch.labels[i : i + 1], batch.task)


def _squares(gradients: Iterable[_SizedMean]) -> Iterator[_SizedMean]:
    for count, by_name in gradients:
        yield count, {name: g.square() for name, g in by_name.items()}


def _gradients(
    model: Net, batches: Iterable[Batch], where: str, objective: Objective
) -> Iterator[_SizedMean]:
    """The gradient of the mean loss of each batch; 0 for a weight that takes no part in it."""
    checks.instance("model", model, nn.Module, "a network", "load_base('mini', task) is one")
    check_objective(objective)
    checks.patterns("where", where)
    net = twin(model, requires_grad=True)
    weights = select(net, where)
    for batch in _iterated(batches, of_tasks=objective is supervised):
        terms = objective(net, batch)
        check_terms(terms)
        loss = torch.stack(list(terms.values())).sum()
        gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        yield len(batch), dict(zip(weights, map(at_least_float32, gradients), strict=True))


def _sum(parts: Iterable[_SizedMean]) -> _SizedMean:
    """Sum the means, each weighted with its number of examples; also sum these numbers."""
    total: dict[str, Tensor] = {}
    examples = 0
    for count, part in parts:
        examples += count
        for name, value in part.items():
            if name in total:
                total[name].add_(value, alpha=count)
            else:
                total[name] = count * value
    if not examples:
        raise ValueError(
            "batches must hold at least one example, got none; "
            "an iterator that was read before is empty"
        )
    return examples, total
