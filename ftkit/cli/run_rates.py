"""One run of a row of the comparison, and the choice of its learning rate.

A method that runs at another method's learning rate is no reference. Each row therefore has a
learning rate of its own, chosen on valid, unless one is given; then the table says "not tuned".
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ftkit.cli.run_arms import Arm, Setting
from ftkit.experiments.rate_search import WIDER, next_rate
from ftkit.training.cost import measure
from ftkit.training.events import Diverged
from ftkit.training.loop import HEAD_LR, evaluate, train

VALID_ROWS = 400
"""The most rows of valid by which learning rates are compared."""

Tick = Callable[[int], Any]
"""Called with the number of steps that were done."""


@dataclass(frozen=True)
class Rate:
    """The learning rate of a row.

    Args:
        lr: the peak learning rate.
        tried: the accuracy on valid, in [0, 1], by learning rate, ascending; nan for a run that
            diverged. Empty if the learning rate was given.
    """

    lr: float
    tried: dict[float, float] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        if not self.tried:
            return f"learning rate {self.lr:g}, given: not tuned"
        shown = ", ".join(
            f"{lr:g} diverged" if accuracy != accuracy else f"{lr:g} {accuracy:.1%}"
            for lr, accuracy in self.tried.items()
        )
        return f"learning rate {self.lr:g}, the best on valid with seed 0 of {shown}"


def choose_rate(arm: Arm, setting: Setting, tick: Tick) -> Rate:
    """Choose the learning rate of a row: one run each, with seed 0 and all steps.

    Where the best is the lowest or the highest that was tried, the next one outside is tried too,
    since a better one may be there. Of two that are equally good the lower one is chosen.

    Raises:
        Diverged: no run has a finite loss.
    """
    reasons: list[Diverged] = []
    tried = {lr: _accuracy(arm, lr, setting, tick, reasons) for lr in arm.grid}
    for _ in range(WIDER):
        lowest, highest, best = min(tried), max(tried), _best(tried)
        if lowest < best < highest:
            break
        outside = next_rate(best, up=best == highest)
        tried[outside] = _accuracy(arm, outside, setting, tick, reasons)
    if all(accuracy != accuracy for accuracy in tried.values()):
        raise Diverged(
            f"a run of {arm.name} must keep a finite loss, got none at the learning rates "
            f"{', '.join(f'{lr:g}' for lr in sorted(tried))}; the last said: {reasons[-1]}"
        )
    return Rate(_best(tried), dict(sorted(tried.items())))


def _best(tried: dict[float, float]) -> float:
    """The learning rate with the highest accuracy; a run that diverged has none."""
    return max(sorted(tried), key=lambda lr: -1.0 if tried[lr] != tried[lr] else tried[lr])


def _accuracy(arm: Arm, lr: float, setting: Setting, tick: Tick, reasons: list[Diverged]) -> float:
    """The accuracy on valid after a run with seed 0; nan if the run diverged, and why."""
    try:
        model, data, _, _ = _trained(arm, lr, setting, 0, tick)
    except Diverged as reason:
        reasons.append(reason)
        return float("nan")
    return evaluate(model, data, "valid", rows=VALID_ROWS).accuracy


def one_run(arm: Arm, lr: float, setting: Setting, seed: int, tick: Tick) -> dict[str, Any]:
    """Train one row with one seed and evaluate it on test.

    The seed decides the training examples, their order, the head, and the starting values of the
    change.
    """
    start = time.perf_counter()
    model, data, objective, losses = _trained(arm, lr, setting, seed, tick)
    seconds = time.perf_counter() - start
    test = evaluate(model, data, "test")
    # The cost comes last: an objective may learn, and what it learns here is not part of the run.
    batch = next(data.batches(setting.size, torch.Generator().manual_seed(0)))
    cost = measure(model, batch, objective)
    return {
        "arm": arm.name,
        "lr": lr,
        "seed": seed,
        "accuracy": test.accuracy,
        "loss": test.loss,
        "train_loss": losses[-1],
        "run_seconds": seconds,
        **dataclasses.asdict(cost),
    }


def _trained(
    arm: Arm, lr: float, setting: Setting, seed: int, tick: Tick
) -> tuple[Any, Any, Any, list[float]]:
    """Train one row; return its model, data and objective, and the losses of all steps."""
    model, data, objective = arm.slots(seed)
    events = train(
        model,
        data,
        steps=setting.steps,
        lr=lr,
        head_lr=lr if arm.trains_head_alone else HEAD_LR,
        size=setting.size,
        objective=objective,
        seed=seed,
        validations=0,
    )
    losses = []
    for event in events:
        losses.append(event.values["train/loss"])
        tick(1)
    return model, data, objective, losses
