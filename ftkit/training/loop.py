"""`train`: a generator that fine-tunes. It prints, plots and saves nothing; stop it with `break`. And `evaluate`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit.model.adapted import Adapted
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Batch
from ftkit.training.background_validation import BackgroundValidation
from ftkit.training.events import Diverged, Event

Rate = float | Callable[[str], float]
"""A learning rate, or a function from a weight's name to one."""

Probe = Callable[[Adapted], Mapping[str, float]]
"""What a technique's picture sees of a model: numbers by name, `probe/...`."""

HEAD_LR = 3e-2
"""The head's own learning rate, the same for every technique. High, since a head starts from nothing: at a tenth of it a body that moves
freely makes up for a slow head, and one that can move little does not, so the rate would favour one technique over another."""

_features: "WeakKeyDictionary[Any, WeakKeyDictionary[Any, Tensor]]" = WeakKeyDictionary()


class Data(Protocol):
    """What arrives: batches without end, of a kind that the objective reads, and the splits that readings read. A `Task` is one."""

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Any]: ...
    def batch(self, stage: str, rows: Tensor) -> Batch: ...
    def labels(self, stage: str) -> Tensor: ...
    def split(self, stage: str) -> Any: ...


@dataclass(frozen=True)
class Evaluation:
    """How a model does on one split: `accuracy` in [0, 1], mean `loss` in nats, and `correct`, 0 or 1 for each row, uint8 (rows,)."""

    accuracy: float
    loss: float
    correct: Tensor


def train(
    model: Adapted,
    data: Data,
    *,
    steps: int = 80,
    lr: Rate = 1e-3,
    head_lr: float = HEAD_LR,
    size: int = 16,
    objective: Objective = supervised,
    seed: int = 0,
    validations: int = 6,
    valid_rows: int = 200,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Fine-tunes `model` in place, one step between two `next()`.

    AdamW without weight decay; linear warm-up over 6 % of the steps, then linear decay to 0; the gradient of all trainable numbers
    together is clipped to norm 1. If nothing of the body may move, its features are computed once and only the head is trained on them.

    Args:
        model: what trains; only the numbers of its spaces move.
        data: a task, or whatever has `batches` and `batch` as a task does.
        steps: updates, at least 1.
        lr: the peak learning rate of everything but heads, or a function from a weight's name to it; `head_lr` is that of heads.
        size: examples a batch.
        objective: what is minimised; if it is a module, its own numbers train too, at `head_lr`.
        seed: decides the order of the data.
        readings: how many times the validation split is read, dense at first, the last one after the last step; 0 for never.
        valid_rows: how many validation rows a reading reads, the same every time.
        look: what else a reading says of the model, for a picture.

    Yields:
        `Event(step, "train", {"train/loss", "train/grad_norm", "train/<term>" ...})` each step, and
        `Event(step, "valid", {"valid/accuracy", "valid/loss"})` at each reading; then with `look` an `Event(step, "look", ...)`.

    Raises:
        ValueError: steps below 1, a rate below 0, or a model in which nothing may move.
        Diverged: the loss is no longer finite.
    """
    if steps < 1:
        raise ValueError(
            f"steps must be at least 1, got {steps}; leave train out to evaluate the base"
        )
    learned = list(objective.parameters()) if isinstance(objective, nn.Module) else []
    optimizer, peaks = _optimizer(model, learned, lr, head_lr)
    weights = [*model.trainable(), *learned]
    taken = BackgroundValidation(lambda model, step: _read(model, data, step, valid_rows, probe))
    stream = data.batches(size, torch.Generator().manual_seed(seed))
    marks = {max(1, round(steps * (i / validations) ** 1.5)) for i in range(1, validations + 1)}
    for step, batch in zip(range(1, steps + 1), stream, strict=False):
        batch = _with_features(model, batch)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(step, steps)
        terms = objective(model, batch)
        loss = (
            torch.stack(list(terms.values())).sum()
            if len(terms) > 1
            else next(iter(terms.values()))
        )
        values = {
            "train/loss": loss.item(),
            **({f"train/{k}": v.item() for k, v in terms.items()} if len(terms) > 1 else {}),
        }
        if not loss.isfinite():
            yield from taken.drain()
            tried = max(peaks) if callable(lr) else lr
            raise Diverged(
                f"the loss is {values['train/loss']} at step {step}; try a smaller lr than {tried:g}"
            )
        optimizer.zero_grad()
        loss.backward()
        values["train/grad_norm"] = torch.nn.utils.clip_grad_norm_(weights, 1.0).item()
        optimizer.step()
        yield Event(step, "train", values)
        if step in marks:
            yield from taken.request(model, step) if step < steps else taken.final(model, step)
        yield from taken.finished()


def _read(model: Adapted, data: Data, step: int, rows: int, probe: Probe | None) -> list[Event]:
    reading = evaluate(model, data, "valid", rows=rows)
    said = Event(step, "valid", {"valid/accuracy": reading.accuracy, "valid/loss": reading.loss})
    return [said, Event(step, "probe", probe(model))] if probe else [said]


def schedule(step: int, steps: int, warmup: float = 0.06) -> float:
    """The share of the peak learning rate at a step, 1 to `steps`: linear warm-up, then linear decay, never 0.

    >>> [round(schedule(step, 4, warmup=0.5), 2) for step in (1, 2, 3, 4)]
    [0.5, 1.0, 0.67, 0.33]
    """
    warm = max(1, round(warmup * steps))
    return step / warm if step <= warm else (steps - step + 1) / (steps - warm + 1)


def _optimizer(
    model: Adapted, learned: list[nn.Parameter], lr: Rate, head_lr: float
) -> tuple[torch.optim.AdamW, list[float]]:
    """The optimizer and the peak rate of each of its groups: the space's numbers, the heads', and those `learned` by the objective."""
    body: dict[float, list[nn.Parameter]] = {}
    for name, change in model.changes.items():
        if not name.startswith("heads."):
            for part, numbers in change.named_parameters():
                body.setdefault((lr(name) if callable(lr) else lr) * change.pace(part), []).append(
                    numbers
                )
    groups = [
        *((weights, peak) for peak, weights in body.items()),
        (model.trainable("heads."), head_lr),
    ]
    if wrong := [peak for peak in (*body, head_lr, *(() if callable(lr) else (lr,))) if peak < 0]:
        raise ValueError(
            f"lr and head_lr must be at least 0, got {wrong[0]:g}; leave a part out of the spaces to freeze it"
        )
    if not (filled := [(weights, peak) for weights, peak in groups if weights]):
        raise ValueError(
            "something must be able to move, got spaces without a single number; add a space, such as Only('heads.*')"
        )
    filled += [(learned, head_lr)] if learned else []
    optimizer = torch.optim.AdamW(
        [{"params": weights, "lr": peak} for weights, peak in filled], weight_decay=0.0, fused=True
    )
    return optimizer, [peak for _, peak in filled]


def _with_features(model: Adapted, batch: Batch) -> Batch:
    """The batch with the body's answers, computed once for a split, where the body cannot move."""
    if model.moves("body.") or not hasattr(model.base, "reader") or batch.features is not None:
        return batch
    return replace(batch, features=frozen_features(model.base, batch.data)[batch.rows])


def frozen_features(net: Any, data: Any) -> Tensor:
    """The features of every row of a split, (rows, width): computed at first, then kept while the body and the split live."""
    of_body = _features.setdefault(net.body, WeakKeyDictionary())
    if data not in of_body:
        out = torch.empty(len(data), net.width, device=net.device)
        with torch.no_grad():
            for rows in net.reader.order(data).split(64):
                out[rows] = net.features(Batch(data, rows, rows, ""))
        of_body[data] = out
    return of_body[data]


def evaluate(model: Any, data: Data, stage: str = "test", rows: int | None = None) -> Evaluation:
    """How `model` does on a split, or on its first `rows` rows."""
    split, labels = data.split(stage), data.labels(stage)
    order = (
        model.base.reader.order(split) if isinstance(model, Adapted) else model.reader.order(split)
    )
    order = order[order < rows] if rows is not None else order
    losses, correct = torch.zeros(len(labels)), torch.zeros(len(labels), dtype=torch.uint8)
    with torch.no_grad():
        for part in order.split(64):
            batch = data.batch(stage, part)
            logits = model(
                _with_features(model, batch) if isinstance(model, Adapted) else batch
            ).cpu()
            losses[part] = F.cross_entropy(logits, labels[part], reduction="none")
            correct[part] = (logits.argmax(-1) == labels[part]).to(torch.uint8)
    read = order.sort().values
    return Evaluation(
        float(correct[read].float().mean()), float(losses[read].mean()), correct[read]
    )
