"""Claims about multi-task learning, judged by the recorded runs of lesson 07."""

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE, STEPS
from ftkit.experiments.tables import last, summary, where
from ftkit.lessons.multitask.gradient_conflicts import ITSELF
from ftkit.lessons.multitask.study import BALANCE, CONFLICT, DELTAS, JUDGED_PAIRS, TRANSFER, by_size
from ftkit.lessons.multitask.task_deltas import PROBE_EVERY
from ftkit.lessons.multitask.trial import (
    ALTERNATING,
    FIXED_WEIGHTS,
    HELPS,
    HURTS,
    MULTITASK,
    ROWS_PER_TASK,
)
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.recorded_evidence import RecordedRuns
from ftkit.teaching.verdicts import judge_differences

MTDNN = "Liu et al. 2019, arXiv:1901.11504"
KENDALL = "Kendall, Gal and Cipolla 2018, arXiv:1705.07115"
GRADNORM = "Chen et al. 2018, arXiv:1711.02257"
PCGRAD = "Yu et al. 2020, arXiv:2001.06782"
ARITHMETIC = "after Ilharco et al. 2023, arXiv:2212.04089, who add changes of full fine-tuning"
PLAIN = "Xin et al. 2022, arXiv:2209.11379"
PROBES = STEPS // PROBE_EVERY
"""How often the gradients of a run are compared."""


class Evidence(RecordedRuns):
    """The recorded runs of lesson 07; settings name a part of the study and a pair of tasks."""

    def sharing(self, pair: str, way: str = FIXED_WEIGHTS, share: float = 0.5) -> np.ndarray:
        """Return the target's accuracy when it is trained together with the other task.

        At the learning rate that is best for the target; by default on the plain sum of the losses.
        """
        return self.test(part=TRANSFER, method=MULTITASK, pair=pair, way=way, share=share)

    def alone(self, pair: str, rows: int) -> np.ndarray:
        """Return the target's accuracy when it is trained alone.

        Args:
            rows: of the target a step: 16 (equal rows in all) or 8 (equal rows of the target).
        """
        if rows == SIZE:
            return self.test(part=TRANSFER, method=FULL, pair=pair)
        return self.test(part=BALANCE, pair=pair, way=FIXED_WEIGHTS, share=1.0)

    def one(self, pair: str, way: str, share: float, task: str = "accuracy") -> np.ndarray:
        """Return one task's accuracy where learning rates are chosen for both tasks.

        Args:
            task: "accuracy" for the target, or "other".
        """
        return self.test(quantity=f"test/{task}", part=BALANCE, pair=pair, way=way, share=share)

    def both(self, pair: str, way: str, share: float = 0.5) -> np.ndarray:
        """Return the mean accuracy of the two tasks where learning rates are chosen for both."""
        return (self.one(pair, way, share) + self.one(pair, way, share, "other")) / 2

    def weight(self, pair: str) -> float:
        """Return the target's fixed weight that is best for both tasks on valid.

        Only weights that leave no task out, in (0, 1).
        """
        rows = last(where(self.table, part=BALANCE, pair=pair, way=FIXED_WEIGHTS), "valid/both")
        rows = rows[(rows["share"] > 0) & (rows["share"] < 1)]
        means = summary(rows, ["share", "lr"])
        return float(means.sort_values("mean")["share"].iloc[-1])

    def opposed(self, pair: str, other: str = "pair", lr: float | None = None) -> np.ndarray:
        """Return how often two gradients oppose each other, in [0, 1].

        Args:
            other: "pair" for the two tasks; "itself" for the target and more of its own rows.
            lr: by default the learning rate that is best for the target in training with the other.
        """
        if lr is None:
            lr = self.rate(part=TRANSFER, method=MULTITASK, pair=pair, way=FIXED_WEIGHTS, share=0.5)
        return self.test(quantity=f"pull/{other}", part=CONFLICT, pair=pair, lr=lr)

    def looked_at(self) -> list[float]:
        """Return the learning rates, rising, at which the gradients of every pair are compared."""
        return sorted(where(self.table, part=CONFLICT)["lr"].unique().tolist())

    def mixed(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a task's accuracy with both tasks' LoRAs on one base, and with its own alone.

        Args:
            task: "accuracy" for the target, or "other".
        """
        quantity = {"accuracy": "test/mixed", "other": "test/mixed other"}[task]
        together = self.test(quantity=quantity, part=DELTAS)
        return together, self.test(quantity=f"test/{task}", part=DELTAS)


def sharing_helps(runs: Evidence) -> Claim:
    """Judge whether a related task helps one with few examples."""
    shared = runs.sharing(HELPS)
    gaps = {
        "the same number of rows of the target": shared - runs.alone(HELPS, ROWS_PER_TASK),
        "the same number of rows in all": shared - runs.alone(HELPS, SIZE),
    }
    return Claim(
        "A related task helps one with few examples.",
        MTDNN,
        f"{HELPS}, plain sum, minus the target alone, each at its best learning rate; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def more_is_better(runs: Evidence) -> Claim:
    """Judge whether any further task on the same sentences helps, since it brings data."""
    gaps = {pair: runs.sharing(pair) - runs.alone(pair, SIZE) for pair in JUDGED_PAIRS}
    return Claim(
        "More tasks are more data, and more data help.",
        "often heard",
        "plain sum minus the target alone, the same number of rows in all, "
        "each at its best learning rate; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def weights_are_enough(runs: Evidence) -> list[Claim]:
    """Judge whether tuned fixed weights do as well as each method that sets its own weights."""
    sources = {"PCGrad": PCGRAD, "GradNorm": GRADNORM, "uncertainty": KENDALL}
    claims = []
    for way, source in sources.items():
        gaps = {
            pair: runs.both(pair, FIXED_WEIGHTS, runs.weight(pair)) - runs.both(pair, way)
            for pair in JUDGED_PAIRS
        }
        claims.append(
            Claim(
                f"Tuned fixed weights do as well as {way}.",
                f"{PLAIN}; of the method: {source}",
                f"fixed weights minus {way}, mean of both tasks; learning rates, and the weights, "
                "chosen for it on valid; test, points",
                *judge_differences(gaps, {"beats", "ties"}),
            )
        )
    return claims


def cosines_foretell(runs: Evidence) -> Claim:
    """Judge whether tasks that hurt each other have opposed gradients more often.

    More often than tasks that help each other, and than a task and more rows of itself.
    """
    gaps = {}
    for lr in runs.looked_at():
        hurting = runs.opposed(HURTS, lr=lr)
        helping, itself = runs.opposed(HELPS, lr=lr), runs.opposed(HURTS, ITSELF, lr)
        gaps[f"than in {HELPS}, learning rate {lr:g}"] = hurting - helping
        gaps[f"than a task and more of itself, learning rate {lr:g}"] = hurting - itself
    return Claim(
        "Gradients are opposed more often where tasks hurt each other.",
        f"often concluded from {PCGRAD}, who name two more conditions",
        f"how often, in hundredths, the two gradients of a run on {HURTS} are at more than a right "
        f"angle: whole body, {PROBES} probes a run, {ROWS_PER_TASK} rows each; "
        "both at the learning rate that is best for either",
        *judge_differences(gaps, {"beats"}),
    )


def by_size_is_best(runs: Evidence) -> Claim:
    """Judge whether tasks should take turns in proportion to their rows, rather than evenly."""
    in_proportion = runs.sharing(HELPS, ALTERNATING, by_size(HELPS))
    gap = {HELPS: in_proportion - runs.sharing(HELPS, ALTERNATING)}
    return Claim(
        "Draw from each task in proportion to its number of rows.",
        "often heard",
        "the target, tasks in turns: in proportion to their rows, which leaves the target "
        f"{STEPS * by_size(HELPS):.1f} of {STEPS} steps, minus evenly, "
        "each at its best learning rate; test, points",
        *judge_differences(gap, {"beats", "ties"}),
    )


def deltas_add(runs: Evidence) -> Claim:
    """Judge whether the sum of two separately trained LoRAs does both tasks."""
    gaps = {}
    for name, task in {"target": "accuracy", "other": "other"}.items():
        together, alone = runs.mixed(task)
        gaps[name] = together - alone
    return Claim(
        "Changes that were learned separately can be added: the sum does both tasks.",
        ARITHMETIC,
        f"{HELPS}: both LoRAs on one base, scaled as is best on valid, minus each alone; "
        "test, points",
        *judge_differences(gaps, {"beats", "ties"}),
    )


def multitask_claims(table: pd.DataFrame) -> list[Claim]:
    """Judge every claim of lesson 07 by its recorded runs."""
    runs = Evidence(table)
    return [
        sharing_helps(runs),
        more_is_better(runs),
        *weights_are_enough(runs),
        cosines_foretell(runs),
        by_size_is_best(runs),
        deltas_add(runs),
    ]
