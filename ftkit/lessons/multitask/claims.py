"""What is said of multi-task learning, and what the recorded runs of lesson 07 say to it."""

from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE, STEPS
from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import last, summary, where
from ftkit.lessons.multitask.gradient_conflicts import CONTROL
from ftkit.lessons.multitask.study import BALANCE, CONFLICT, DELTAS, JUDGED, TRANSFER, by_size
from ftkit.lessons.multitask.task_deltas import EVERY
from ftkit.lessons.multitask.trial import ALTERNATING, FIXED, HALF, HELPS, HURTS, OWN
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import by_seed, judged

MTDNN = "Liu et al. 2019, arXiv:1901.11504"
KENDALL = "Kendall, Gal and Cipolla 2018, arXiv:1705.07115"
GRADNORM = "Chen et al. 2018, arXiv:1711.02257"
PCGRAD = "Yu et al. 2020, arXiv:2001.06782"
ARITHMETIC = "Ilharco et al. 2023, arXiv:2212.04089"
LOOKS = STEPS // EVERY
PLAIN = "Kurin et al. 2022, arXiv:2201.04122; Xin et al. 2022, arXiv:2209.11379"


class Evidence:
    """The recorded table of lesson 07, asked as its claims need it. Rates were chosen on valid; accuracies are on test, one a seed."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def test(self, quantity: str = "test/accuracy", **settings: Any) -> np.ndarray:
        """A quantity that is read once, for the rate that was chosen."""
        return by_seed(self.table, quantity, **settings)

    def sharing(self, pair: str, way: str = FIXED, share: float = 0.5) -> np.ndarray:
        """The target's accuracy beside the other task, at the rate that is best for the target; by default on the plain sum."""
        return self.test(part=TRANSFER, method=OWN, pair=pair, way=way, share=share)

    def alone(self, pair: str, rows: int) -> np.ndarray:
        """The target's accuracy alone: `rows` of it a step, 16 (equal rows in all) or 8 (equal rows of the target)."""
        if rows == SIZE:
            return self.test(part=TRANSFER, method=FULL, pair=pair)
        return self.test(part=BALANCE, pair=pair, way=FIXED, share=1.0)

    def one(self, pair: str, way: str, share: float, task: str = "accuracy") -> np.ndarray:
        """What one task, "accuracy" for the target or "other", reaches where rates are chosen for both."""
        return self.test(f"test/{task}", part=BALANCE, pair=pair, way=way, share=share)

    def both(self, pair: str, way: str, share: float = 0.5) -> np.ndarray:
        """The mean accuracy of the two tasks where rates are chosen for both."""
        return (self.one(pair, way, share) + self.one(pair, way, share, "other")) / 2

    def weight(self, pair: str) -> float:
        """The target's part in the fixed weights that was best for both tasks on valid, one of those that leave no task out."""
        rows = last(where(self.table, part=BALANCE, pair=pair, way=FIXED), "valid/both")
        rows = rows[(rows["share"] > 0) & (rows["share"] < 1)]
        means = summary(rows, ["share", "lr"])
        return float(means.sort_values("mean")["share"].iloc[-1])

    def rate(self, **settings: Any) -> float:
        """The rate that was chosen on valid."""
        return chosen(self.table, **settings)

    def opposed(self, pair: str, beside: str = "pair", lr: float | None = None) -> np.ndarray:
        """How often gradients opposed each other, in [0, 1]: those of the "pair", or of the target and more of "itself"; by default at the
        rate that is best for the target beside the other task."""
        lr = (
            self.rate(part=TRANSFER, method=OWN, pair=pair, way=FIXED, share=0.5)
            if lr is None
            else lr
        )
        return self.test(f"pull/{beside}", part=CONFLICT, pair=pair, lr=lr)

    def looked_at(self) -> list[float]:
        """The rates of the runs whose gradients were looked at, rising; each pair ran at all of them."""
        return sorted(where(self.table, part=CONFLICT)["lr"].unique().tolist())

    def mixed(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """A task's accuracy, "accuracy" for the target or "other", with both tasks' LoRAs on one base, and with its own alone."""
        names = {"accuracy": "test/mixed", "other": "test/mixed other"}
        return self.test(names[task], part=DELTAS), self.test(f"test/{task}", part=DELTAS)


def sharing_helps(found: Evidence) -> Claim:
    """A related task helps one with few examples, with the rows of the target or all rows made equal."""
    shared = found.sharing(HELPS)
    gaps = {
        "as many rows of the target": shared - found.alone(HELPS, HALF),
        "as many rows in all": shared - found.alone(HELPS, SIZE),
    }
    experiment = f"{HELPS}, plain sum, minus the target alone, each at its best rate; test, points"
    return Claim(
        "A related task helps one with few examples.", MTDNN, experiment, *judged(gaps, {"beats"})
    )


def more_is_better(found: Evidence) -> Claim:
    """Any further task on the same sentences helps, since it brings data."""
    gaps = {pair: found.sharing(pair) - found.alone(pair, SIZE) for pair in JUDGED}
    experiment = (
        "plain sum minus the target alone, as many rows in all, each at its best rate; test, points"
    )
    return Claim(
        "More tasks are more data, and more data help.",
        "often heard",
        experiment,
        *judged(gaps, {"beats"}),
    )


def weights_are_enough(found: Evidence) -> list[Claim]:
    """Fixed weights, tuned as the methods' rates were, do as well as each of the methods that weigh for themselves."""
    sources = {"PCGrad": PCGRAD, "GradNorm": GRADNORM, "uncertainty": KENDALL}
    made = []
    for way, source in sources.items():
        gaps = {
            pair: found.both(pair, FIXED, found.weight(pair)) - found.both(pair, way)
            for pair in JUDGED
        }
        experiment = f"fixed weights minus {way}, mean of both tasks; rates, and the weights, chosen for it on valid; test, points"
        claim = f"Tuned fixed weights do as well as {way}."
        made.append(
            Claim(
                claim,
                f"{PLAIN}; of the method: {source}",
                experiment,
                *judged(gaps, {"beats", "ties"}),
            )
        )
    return made


def cosines_foretell(found: Evidence) -> Claim:
    """Tasks that hurt each other have opposed gradients more often: than tasks that help, and than a task and itself."""
    gaps = {}
    for lr in found.looked_at():
        hurting = found.opposed(HURTS, lr=lr)
        gaps[f"than in {HELPS}, rate {lr:g}"] = hurting - found.opposed(HELPS, lr=lr)
        gaps[f"than a task and more of itself, rate {lr:g}"] = hurting - found.opposed(
            HURTS, CONTROL, lr
        )
    experiment = (
        f"how often, in hundredths, the two gradients of a run on {HURTS} are at more than a right angle: whole body, {LOOKS} looks a run, "
        f"{HALF} rows each; both at the rate that is best for either"
    )
    claim = "Gradients are opposed more often where tasks hurt each other."
    return Claim(claim, PCGRAD, experiment, *judged(gaps, {"beats"}))


def by_size_is_best(found: Evidence) -> Claim:
    """Tasks should take turns in proportion to their rows, rather than evenly."""
    gap = {
        HELPS: found.sharing(HELPS, ALTERNATING, by_size(HELPS)) - found.sharing(HELPS, ALTERNATING)
    }
    turns = f"as often as they have rows, which leaves the target {STEPS * by_size(HELPS):.1f} of {STEPS} steps, minus evenly"
    experiment = f"the target, tasks in turns: {turns}, each at its best rate; test, points"
    return Claim(
        "Draw from each task as often as it has rows.",
        "often heard",
        experiment,
        *judged(gap, {"beats", "ties"}),
    )


def deltas_add(found: Evidence) -> Claim:
    """Two LoRAs learned apart and added keep what each had learned."""
    mixed = {"target": found.mixed("accuracy"), "other": found.mixed("other")}
    gaps = {name: both - single for name, (both, single) in mixed.items()}
    experiment = f"{HELPS}: both LoRAs on one base, scaled as is best on valid, minus each alone; test, points"
    return Claim(
        "What was learned apart can be added: the sum does both tasks.",
        ARITHMETIC,
        experiment,
        *judged(gaps, {"beats", "ties"}),
    )


def multitask_claims(table: pd.DataFrame) -> list[Claim]:
    """Every claim of lesson 07, judged by the recorded runs."""
    found = Evidence(table)
    ends = cosines_foretell(found), by_size_is_best(found), deltas_add(found)
    return [sharing_helps(found), more_is_better(found), *weights_are_enough(found), *ends]
