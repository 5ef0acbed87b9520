"""The study of lesson 07: fixed weights, other methods, and the effect on the target."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.experiments.rate_search import chosen, tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid, sweep
from ftkit.lessons.multitask import task_deltas, trial
from ftkit.lessons.multitask.trial import (
    ALTERNATING,
    EXAMPLES,
    FIXED_WEIGHTS,
    HELPS,
    HURTS,
    IMAGES,
    LEARNED,
    MULTITASK,
    SHARES,
    WAYS,
    draw_tasks,
)
from ftkit.techniques.task_mixing import proportional
from ftkit.training.events import Event

LRS = (3e-4, 1e-3, 3e-3)
HEAD_LRS = (3e-3, 1e-2, 3e-2, 1e-1)
LORA_LRS = (3e-3, 1e-2, 3e-2)
JUDGED_PAIRS = (HELPS, HURTS)
"""The pairs that claims are about; the third is shown in the panel, with four seeds and no test."""
SEEDS = tuple(range(8))

BALANCE, TRANSFER, DELTAS, CONFLICT = "balance", "transfer", "deltas", "conflict"
"""The parts of the study, in the table's column `part`.

Learning rates are chosen by the mean of both tasks in "balance", by the target alone in "transfer".
"""


def balanced(
    pair: str,
    way: str,
    share: float,
    lr: float,
    examples: int = EXAMPLES,
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    """Run the trial; its last validation also has `valid/both`, the mean over the trained tasks.

    A task with a fixed weight of 0 is not trained, and does not count.
    """
    for event in trial.trial(pair, way, share, lr, examples, seed, test):
        if "valid/other" in event.values:
            target, other = event.values["valid/accuracy"], event.values["valid/other"]
            accuracies = [
                accuracy
                for accuracy, weight in ((target, share), (other, 1 - share))
                if way != FIXED_WEIGHTS or weight > 0
            ]
            both = sum(accuracies) / len(accuracies)
            event = replace(event, values={**event.values, "valid/both": both})
        yield event


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid with half of the seeds; the chosen ones run with all seeds
    and are evaluated on test once.
    """
    transfer = _transfer(executor, seeds)
    both_tasks = [
        _balance(executor, seeds).assign(part=BALANCE),
        transfer.assign(part=TRANSFER),
        _conflict(executor, seeds, transfer).assign(part=CONFLICT),
    ]
    others = [
        _controls(executor, seeds).assign(part=TRANSFER),
        _deltas(executor, seeds).assign(part=DELTAS),
    ]
    tables = [*(table.assign(method=MULTITASK) for table in both_tasks), *others]
    return pd.concat(tables, ignore_index=True).fillna({"way": "", "share": 0.5})


def _balance(executor: Executor | None, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Every fixed weight and every method, at the learning rate that is best for both tasks."""
    common: dict[str, Any] = {"examples": [EXAMPLES], "lr": LRS, "seed": tuning_seeds(seeds)}
    jobs = grid(pair=JUDGED_PAIRS, way=[FIXED_WEIGHTS], share=SHARES, **common)
    jobs += grid(pair=JUDGED_PAIRS, way=LEARNED, share=[0.5], **common)
    by = ["pair", "way", "share"]
    return tune_and_test(balanced, jobs, by, seeds, executor, choose_by="valid/both")


def _transfer(executor: Executor | None, seeds: tuple[int, ...]) -> pd.DataFrame:
    """The plain sum, and turns, at the learning rate that is best for the target."""
    common: dict[str, Any] = {"examples": [EXAMPLES], "lr": LRS, "seed": tuning_seeds(seeds)}
    jobs = grid(pair=JUDGED_PAIRS, way=[FIXED_WEIGHTS], share=[0.5], **common)
    jobs += grid(pair=[HELPS], way=[ALTERNATING], share=[0.5, by_size(HELPS)], **common)
    # The panel's third pair is shown at one learning rate, and is not tuned.
    shown = grid(pair=[IMAGES], way=WAYS, share=[0.5], **{**common, "lr": LRS[1:2]})
    tuned = tune_and_test(trial.trial, jobs, ["pair", "way", "share"], seeds, executor)
    return pd.concat([tuned, sweep(trial.trial, shown, executor)], ignore_index=True)


def _controls(executor: Executor | None, seeds: tuple[int, ...]) -> pd.DataFrame:
    """The target alone: full fine-tuning and a frozen body."""
    pairs, half = [HELPS, IMAGES], tuning_seeds(seeds)
    jobs = grid(pair=pairs, method=[FULL], examples=[EXAMPLES], lr=LRS, seed=half)
    jobs += grid(pair=pairs, method=[FROZEN], examples=[EXAMPLES], lr=HEAD_LRS, seed=half)
    return for_every_pair(
        tune_and_test(trial.single_task, jobs, ["pair", "method"], seeds, executor)
    )


def _deltas(executor: Executor | None, seeds: tuple[int, ...]) -> pd.DataFrame:
    """The sum of two separately trained LoRAs."""
    jobs = grid(pair=[HELPS], examples=[EXAMPLES], lr=LORA_LRS, seed=tuning_seeds(seeds))
    return tune_and_test(task_deltas.mixing, jobs, ["pair"], seeds, executor).assign(method="LoRA")


def _conflict(
    executor: Executor | None, seeds: tuple[int, ...], transfer: pd.DataFrame
) -> pd.DataFrame:
    """How often gradients were opposed, on the plain sum.

    Every pair runs at the learning rates that were chosen for any of them: pairs that are compared
    must not differ in their learning rate.
    """
    rates = {chosen(transfer, pair=pair, way=FIXED_WEIGHTS, share=0.5) for pair in JUDGED_PAIRS}
    jobs = grid(pair=JUDGED_PAIRS, lr=sorted(rates), seed=seeds)
    table = sweep(task_deltas.conflict, jobs, executor, keep=("pull",))
    return table.assign(way=FIXED_WEIGHTS, examples=EXAMPLES)


def by_size(pair: str) -> float:
    """The target's share of the steps if tasks come in proportion to their training rows."""
    return round(proportional(draw_tasks(pair, EXAMPLES, 0), 1.0)[0], 4)


def for_every_pair(controls: pd.DataFrame) -> pd.DataFrame:
    """Repeat the controls of a target, which have no other task, for each pair with that target."""
    copies = controls[controls["pair"] == HELPS].assign(pair=HURTS)
    return pd.concat([controls, copies], ignore_index=True)


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """Prepare the recorded runs for the panel: each run once, and the controls.

    Methods that ignore the share are repeated under every share.
    """
    is_shown = table["quantity"].str.contains("^valid/accuracy$|^valid/loss$|^cost/")
    runs = table[table["part"].isin([BALANCE, TRANSFER]) & is_shown].drop(columns="part")
    runs = runs.drop_duplicates([name for name in runs if name != "value"])
    ignores_share = runs["way"].isin(LEARNED)
    copies = [runs[ignores_share].assign(share=share) for share in SHARES]
    return pd.concat([runs[~ignores_share], *copies], ignore_index=True)
