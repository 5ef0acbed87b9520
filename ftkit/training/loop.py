"""`train`: a generator that fine-tunes; and `evaluate`.

`train` prints, plots and saves nothing. Stop it with `break`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit import checks
from ftkit.model.adapted import Adapted, evaluation_mode
from ftkit.model.change import at_least_float32
from ftkit.model.objective import Objective, check_objective, check_terms, supervised
from ftkit.tasks.task import Batch, stratified
from ftkit.training.background_validation import BackgroundValidation
from ftkit.training.events import Diverged, Event

LearningRate = float | Callable[[str], float]
"""A learning rate, or a function from a weight's name to one."""

Probe = Callable[[Adapted], Mapping[str, Any]]
"""A function from a model to values for a technique's picture, named `probe/...`.

See `Event` for what a value may be.
"""

HEAD_LR = 3e-2
"""The head's own learning rate, the same for every technique.

It is high because a head starts from nothing. At a tenth of it, a body with many trainable
parameters makes up for the slow head and one with few does not, so the head's learning rate would
favour one technique over another.
"""

MOST_STEPS, MOST_VALIDATIONS = 10**9, 10**5
"""More validations than that take longer to list than any run takes."""

_EVALUATION_ROWS = 64
"""The number of rows in a forward pass without gradients."""

_features: "WeakKeyDictionary[Any, WeakKeyDictionary[Any, Tensor]]" = WeakKeyDictionary()
"""The features of whole splits, by frozen body and split, while both live."""


class Data(Protocol):
    """The data slot: what arrives. A `Task` is one.

    `batches` has no end, and its batches are of a kind that the objective reads. The other methods
    give the splits that `evaluate` reads.
    """

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Any]: ...
    def batch(self, stage: str, rows: Tensor) -> Batch: ...
    def labels(self, stage: str) -> Tensor: ...
    def split(self, stage: str) -> Any: ...


@dataclass(frozen=True)
class Evaluation:
    """The result of a model on one split.

    Args:
        accuracy: in [0, 1].
        loss: the mean cross-entropy, in nats.
        correct: 0 or 1 for each row, uint8 (rows,).
    """

    accuracy: float
    loss: float
    correct: Tensor


def train(  # noqa: PLR0913 (the public API; all but two are keywords with defaults)
    model: Adapted,
    data: Data,
    *,
    steps: int = 80,
    lr: LearningRate = 1e-3,
    head_lr: float = HEAD_LR,
    size: int = 16,
    objective: Objective = supervised,
    seed: int = 0,
    validations: int = 6,
    valid_rows: int = 200,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Fine-tune `model` in place, one step per `next()`.

    AdamW without weight decay; linear warm-up over 6 % of the steps, then linear decay to 0; the
    gradient of all trainable parameters together is clipped to norm 1. If the body is frozen, its
    features are computed once, and only the head is trained on them.

    Args:
        model: only the parameters of its spaces are trained.
        data: a task, or any object with the same methods.
        steps: the number of updates, at least 1.
        lr: the peak learning rate of everything but the heads, or a function from a weight's name
            to it.
        head_lr: the peak learning rate of the heads.
        size: the number of examples in a batch.
        objective: what is minimised; if it is a module, its own parameters are trained too, at
            `head_lr`.
        seed: decides the order of the data.
        validations: the number of times that the model is validated, more often at the start, the
            last time after the last step; 0 for never.
        valid_rows: the number of rows in a validation: a stratified sample, the same for all runs.
        probe: computes further values in each validation, for a picture.

    Yields:
        `Event(step, "train", {"train/loss", "train/grad_norm", "train/<term>" ...})` for each step;
        `Event(step, "valid", {"valid/accuracy", "valid/loss"})` for each validation; and after it,
        with `probe`, an `Event(step, "probe", ...)`.

    Raises:
        ValueError: at the first step, for an argument of another kind or outside its range, or a
            model without trainable parameters.
        Diverged: the loss, or a parameter after the last step, is no longer finite.
    """
    _check_model(model)
    check_objective(objective)
    if probe is not None:
        checks.function("probe", probe, "leave it out for no picture")
    checks.whole("steps", steps, 1, MOST_STEPS, "leave train out to evaluate the base")
    checks.whole("size", size, 1, advice="it counts the rows of a batch")
    checks.whole("validations", validations, 0, MOST_VALIDATIONS, "0 is for never")
    _check_data(data, "batches", *(("batch", "labels", "split") if validations else ()))
    checks.whole("valid_rows", valid_rows, 1, advice="for no validation, pass validations=0")
    checks.seed(seed)
    of_objective = list(objective.parameters()) if isinstance(objective, nn.Module) else []
    optimizer, peaks = _optimizer(model, of_objective, lr, head_lr)
    parameters = [*model.trainable(), *of_objective]

    validation = BackgroundValidation(
        lambda model, step: _validate(model, data, step, valid_rows, probe)
    )
    # The power makes validations dense at the start, where the curve is steep.
    validated = {max(1, round(steps * (i / validations) ** 1.5)) for i in range(1, validations + 1)}

    # A generator of its own: no other random draw changes the order of the data.
    batches = data.batches(size, torch.Generator().manual_seed(int(seed)))
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(step, steps)
        loss, values = _loss(objective(model, _with_features(model, batch)))
        if not loss.isfinite():
            yield from validation.drain()
            raise _not_finite(values["train/loss"], step, lr, peaks)
        optimizer.zero_grad()
        loss.backward()
        values["train/grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        optimizer.step()
        yield Event(step, "train", values)
        if step == steps and not all(parameter.isfinite().all() for parameter in parameters):
            # No further step would show it: the loss of this one was finite.
            yield from validation.drain()
            raise _diverged(f"a parameter is not finite after step {step}", lr, peaks)
        if step == steps and step in validated:
            yield from validation.final(model, step)
        elif step in validated:
            yield from validation.request(model, step)
        yield from validation.finished()


def _not_finite(loss: float, step: int, lr: LearningRate, peaks: Iterable[float]) -> Diverged:
    if step == 1:
        return Diverged(
            f"the loss is {loss} before the first update, so that no learning rate is the cause; "
            "check the base, the rows and the objective"
        )
    return _diverged(f"the loss is {loss} at step {step}", lr, peaks)


def _diverged(what: str, lr: LearningRate, peaks: Iterable[float]) -> Diverged:
    tried = max(peaks) if callable(lr) else lr
    return Diverged(f"{what}; try a smaller lr than {tried:g}")


def _check_model(model: Any) -> None:
    checks.instance(
        "model", model, Adapted, "an Adapted", "write Adapted(base, LoRA(4), Only('heads.*'))"
    )


def _check_data(data: Any, *methods: str) -> None:
    """Refuse data without the methods that are called."""
    missing = [method for method in methods if not callable(getattr(data, method, None))]
    if isinstance(data, type) or missing:
        raise ValueError(
            f"data must be a task, or an object with its methods {', '.join(methods)}, "
            f"got {checks.shown(data)}; load_task('docs') is a task"
        )


def _loss(terms: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """The sum of the terms, and what an event says of them: the sum, and each if there are more."""
    check_terms(terms)
    if len(terms) == 1:
        (loss,) = terms.values()
        return loss, {"train/loss": loss.item()}
    loss = torch.stack(list(terms.values())).sum()
    values = {"train/loss": loss.item()}
    for name, term in terms.items():
        values[f"train/{name}"] = term.item()
    return loss, values


def _validate(model: Adapted, data: Data, step: int, rows: int, probe: Probe | None) -> list[Event]:
    result = evaluate(model, data, "valid", rows=rows)
    values = {"valid/accuracy": result.accuracy, "valid/loss": result.loss}
    events = [Event(step, "valid", values)]
    if probe is not None:
        events.append(Event(step, "probe", probe(model)))
    return events


def schedule(step: int, steps: int, warmup: float = 0.06) -> float:
    """The share of the peak learning rate at a step from 1 to `steps`.

    Linear warm-up over the share `warmup` of the steps, then linear decay; never 0.

    >>> [round(schedule(step, 4, warmup=0.5), 2) for step in (1, 2, 3, 4)]
    [0.5, 1.0, 0.67, 0.33]
    """
    warm = max(1, round(warmup * steps))
    return step / warm if step <= warm else (steps - step + 1) / (steps - warm + 1)


def _optimizer(
    model: Adapted, of_objective: list[nn.Parameter], lr: LearningRate, head_lr: float
) -> tuple[torch.optim.AdamW, list[float]]:
    """Build the optimizer, and list the peak learning rate of each of its groups."""
    body = [name for name in model.changes if not name.startswith("heads.")]
    if callable(lr):
        checks.function("lr", lr, "pass a number, or a function from a weight's name to one")
    lrs = {name: lr(name) for name in body} if callable(lr) else dict.fromkeys(body, lr)
    _check_learning_rates([*lrs.values(), head_lr] if callable(lr) else [lr, head_lr])

    # Parameters of the body with the same peak learning rate share a group: the fused step of AdamW
    # is one call per group.
    by_peak: dict[float, list[nn.Parameter]] = {}
    for name in body:
        change = model.changes[name]
        for part, parameter in change.named_parameters():
            by_peak.setdefault(lrs[name] * change.lr_factor(part), []).append(parameter)
    groups = [(parameters, peak) for peak, parameters in by_peak.items()]
    if heads := model.trainable("heads."):
        groups.append((heads, head_lr))
    if not groups:
        raise ValueError(
            "the model must have trainable parameters, got spaces without any; "
            "add a space, such as Only('heads.*')"
        )
    if of_objective:
        groups.append((of_objective, head_lr))
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "lr": peak} for parameters, peak in groups],
        weight_decay=0.0,
        fused=True,
    )
    return optimizer, [peak for _, peak in groups]


def _check_learning_rates(values: Iterable[float]) -> None:
    for value in values:
        checks.number(
            "lr and head_lr",
            value,
            least=0,
            advice="leave a part out of the spaces to freeze it",
        )


def _with_features(model: Adapted, batch: Batch) -> Batch:
    """Add the features of the body to the batch, if the body is frozen.

    They are computed once for the whole split. A body in training mode has no fixed features.
    """
    if model.trains("body.") or not hasattr(model.base, "reader") or batch.features is not None:
        return batch
    if model.base.body.training or model.net.body.training:
        return batch
    return replace(batch, features=frozen_features(model.base, batch.data)[batch.rows])


def frozen_features(net: Any, data: Any) -> Tensor:
    """The features of every row of a split, (rows, width).

    They are computed at the first call, then kept while the body and the split live, and the body
    stays on its device and in its dtype.
    """
    of_body = _features.setdefault(net.body, WeakKeyDictionary())
    like = next(net.body.parameters())
    kept = of_body.get(data)
    if kept is None or (kept.dtype, kept.device) != (like.dtype, like.device):
        kept = like.new_empty(len(data), net.width)
        with torch.no_grad():
            for rows in net.reader.order(data).split(_EVALUATION_ROWS):
                kept[rows] = net.features(Batch(data, rows, rows, ""))
        of_body[data] = kept
    return kept


def evaluate(model: Any, data: Data, stage: str = "test", rows: int | None = None) -> Evaluation:
    """Evaluate `model`, an `Adapted` or a `Net`, on a split; it is in evaluation mode meanwhile.

    Args:
        model: what answers.
        data: a task, or any object with the same methods.
        stage: the split.
        rows: the number of rows that are evaluated, drawn by `stratified`: the same rows in each
            call; None for all.

    Raises:
        ValueError: another kind of model or data, another stage, rows below 1, or an empty split.
    """
    adapted = isinstance(model, Adapted)
    reader = getattr(model.base if adapted else model, "reader", None)
    if reader is None or isinstance(model, type):
        raise ValueError(
            f"model must be an Adapted or a Net, got {checks.shown(model)}; "
            "load_base('mini', task) is a Net"
        )
    _check_data(data, "batch", "labels", "split")
    split, labels = data.split(stage), data.labels(stage)
    order = reader.order(split)
    if rows is not None:
        checks.whole("rows", rows, 1, advice="leave it out for all rows")
        order = order[torch.isin(order, stratified(labels, min(rows, len(order))))]
    if not len(order):
        raise ValueError(
            f"the split must hold a row, got none in {stage}; make the task with more rows"
        )
    cached = adapted and not model.moved_buffers()
    losses = torch.zeros(len(labels), device="cpu")
    correct = torch.zeros(len(labels), dtype=torch.uint8, device="cpu")
    with torch.no_grad(), evaluation_mode(model):
        for part in order.split(_EVALUATION_ROWS):
            batch = data.batch(stage, part)
            logits = model(_with_features(model, batch) if cached else batch)
            logits = at_least_float32(logits).cpu()
            losses[part] = F.cross_entropy(logits, labels[part], reduction="none")
            correct[part] = (logits.argmax(-1) == labels[part]).to(torch.uint8)
    evaluated = order.sort().values
    return Evaluation(
        accuracy=float(correct[evaluated].float().mean()),
        loss=float(losses[evaluated].mean()),
        correct=correct[evaluated],
    )
