"""What the papers say of sparse fine-tuning, and what the recorded runs of lesson 05 say to it."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL
from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import last, summary, where
from ftkit.lessons.sparse.study import AT, OVER, SPARSE
from ftkit.lessons.sparse.trial import BODY, LINEAR, ROWS
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import by_seed, judged

SUNG = "Sung, Nair and Raffel 2021 (FISH Mask), arXiv:2111.09839"
ANSELL = "Ansell et al. 2022 (LT-SFT), arXiv:2110.07560"
SPIEL = "Ansell et al. 2024 (SpIEL), arXiv:2401.16405"
XU = "Xu and Zhang 2024, “Random Masking Finds Winning Tickets”"
SUPER = "Super-Tuning 2026, arXiv:2607.09287"
S2FT = "Yang et al. 2024 (S²FT), arXiv:2412.06289"
TUNED = f"{AT:.0%} of the entries of the linear layers (or, where it says so, of the whole body), each at its best rate; test, points"


class Evidence:
    """The recorded table of lesson 05, asked as its claims need it. Rates were chosen on valid; accuracies are on test, one a seed."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.ours = table[table["method"] == SPARSE]

    def test(
        self, bench: str, criterion: str, density: float = AT, scope: str = LINEAR
    ) -> np.ndarray:
        """Accuracy on test of a mask, at the rate that was chosen for it."""
        return by_seed(self.ours, bench=bench, criterion=criterion, density=density, scope=scope)

    def reference(self, bench: str, method: str) -> np.ndarray:
        """Accuracy on test of full fine-tuning or the frozen body."""
        return by_seed(self.table, bench=bench, method=method)

    def rate(self, bench: str, criterion: str, density: float = AT, scope: str = LINEAR) -> float:
        """The rate that was chosen for a mask."""
        return chosen(self.ours, bench=bench, criterion=criterion, density=density, scope=scope)

    def cost(self, name: str, bench: str, **settings: Any) -> float:
        """One entry of the bill, the median over the runs."""
        return float(
            where(self.table, bench=bench, quantity=f"cost/{name}", **settings)["value"].median()
        )

    def compared(self, bench: str, scope: str = LINEAR) -> list[str]:
        """The criteria that were tried at one hundredth of the entries."""
        return [
            str(criterion)
            for criterion in where(self.ours, bench=bench, density=AT, scope=scope)[
                "criterion"
            ].unique()
        ]

    def random_densities(self) -> list[float]:
        """The densities of which random masks were tried, the smallest first."""
        return sorted(
            float(density)
            for density in where(self.ours, bench=OVER, criterion="random", scope=LINEAR)[
                "density"
            ].unique()
        )

    def at_one_rate(self, bench: str) -> dict[float, dict[str, float]]:
        """For each rate that every criterion was tried at: the mean accuracy on valid by criterion, best first."""
        rows = where(last(self.ours), bench=bench, density=AT, scope=LINEAR)
        means = (
            summary(rows, ["lr", "criterion"])
            .pivot(index="lr", columns="criterion", values="mean")
            .dropna()
        )
        found = {}
        for lr, row in means.iterrows():
            ranked = row.sort_values(ascending=False)
            found[float(str(lr))] = {str(name): float(value) for name, value in ranked.items()}
        return found


def gaps(
    found: Evidence, criterion: str, other: str, benches: tuple[str, ...] = ("opening", "digits")
) -> dict[str, np.ndarray]:
    """On each bench one criterion minus another; one hundredth of the entries of the linear layers."""
    return {bench: found.test(bench, criterion) - found.test(bench, other) for bench in benches}


def everywhere(found: Evidence, criterion: str, other: str) -> dict[str, np.ndarray]:
    """The same, and with the whole body to choose from where that was recorded."""
    body = {
        f"{OVER}, {BODY}": found.test(OVER, criterion, scope=BODY)
        - found.test(OVER, other, scope=BODY)
    }
    return {**gaps(found, criterion, other), **body}


def as_good_as_full(found: Evidence) -> Claim:
    """A mask by Fisher information does as well as full fine-tuning."""
    minus = {
        bench: found.test(bench, "Fisher") - found.reference(bench, FULL)
        for bench in ("opening", "digits")
    }
    minus[f"{OVER}, {BODY}"] = found.test(OVER, "Fisher", scope=BODY) - found.reference(OVER, FULL)
    claim = "A small share of the numbers (half a per cent in the paper), chosen by Fisher information, does as well as all of them."
    return Claim(
        claim, SUNG, f"Fisher minus full fine-tuning, {TUNED}", *judged(minus, {"ties", "beats"})
    )


def fisher_beats_random(found: Evidence) -> Claim:
    """Fisher information chooses better than chance."""
    claim, experiment = (
        "Fisher information chooses better entries than chance.",
        f"Fisher minus random, {TUNED}",
    )
    return Claim(claim, SUNG, experiment, *judged(everywhere(found, "Fisher", "random"), {"beats"}))


def ticket_beats_random(found: Evidence) -> Claim:
    """The lottery ticket: what full fine-tuning moved most is what should train."""
    claim = "The entries that full fine-tuning moved furthest are the ones to train, from the base again."
    experiment = f"changed most minus random, {TUNED}; the full run before it is not counted"
    return Claim(
        claim, ANSELL, experiment, *judged(gaps(found, "changed most", "random"), {"beats"})
    )


def largest_entries(found: Evidence) -> Claim:
    """Magnitude as a criterion: the largest entries are the ones to train."""
    claim, experiment = (
        "The entries to train are the largest.",
        f"largest minus random, and minus smallest, {TUNED}",
    )
    minus = {
        f"{OVER}: {other}": found.test(OVER, "largest") - found.test(OVER, other)
        for other in ("random", "smallest")
    }
    return Claim(claim, SUPER, experiment, *judged(minus, {"beats"}))


def sparser_is_faster(found: Evidence) -> Claim:
    """The sparser a random mask, the larger its best rate."""
    rates = {density: found.rate(OVER, "random", density) for density in found.random_densities()}
    values = list(rates.values())
    falls = all(one >= other for one, other in pairwise(values))
    says = "holds" if falls and values[0] > values[-1] else "does not hold"
    figures = "; ".join(f"{density:.2%}: {lr:g}" for density, lr in rates.items())
    experiment = f"the rate chosen on valid for random masks on {OVER}, by density; it may not rise with density and must fall over all"
    return Claim(
        "The sparser a random mask, the larger the learning rate that it needs.",
        XU,
        experiment,
        figures,
        says,
    )


def rows_are_as_good(found: Evidence) -> Claim:
    """Whole rows do as well as scattered entries."""
    claim = (
        "Choosing whole rows, which saves operations, costs no accuracy beside scattered entries."
    )
    experiment = f"whole rows minus random entries, about as many numbers, {TUNED}"
    return Claim(claim, S2FT, experiment, *judged(gaps(found, ROWS, "random"), {"ties", "beats"}))


def moving_masks(found: Evidence) -> Claim:
    """A mask that drops and regrows beats one that stays."""
    claim = (
        "A mask that drops its smallest changes and regrows by the gradient beats one that stays."
    )
    experiment = f"drop and regrow minus random cut into the same four parts, {TUNED}"
    return Claim(
        claim,
        SPIEL,
        experiment,
        *judged(gaps(found, "drop and regrow", "random, in parts"), {"beats"}),
    )


def share_of_cost(found: Evidence) -> Claim:
    """A hundredth of the numbers is a hundredth of the cost."""
    kinds, parts, off = ("weights", "gradients", "optimizer", "activations"), [], []
    for bench in ("opening", "digits"):
        mine, full = {"criterion": "random", "density": AT, "scope": LINEAR}, {"method": FULL}
        numbers, flops = (
            found.cost(name, bench, **mine) / found.cost(name, bench, **full)
            for name in ("trainable", "flops")
        )
        memory = sum(found.cost(kind, bench, **mine) for kind in kinds) / sum(
            found.cost(kind, bench, **full) for kind in kinds
        )
        parts.append(
            f"{bench} {numbers:.1%} of the numbers, {memory:.0%} of the bytes, {flops:.0%} of the FLOPs"
        )
        off.append(min(memory, flops) / numbers)
    experiment = "random entries over full fine-tuning: numbers; bytes of weights, gradients, AdamW and activations; FLOPs; measured"
    says = "does not hold" if min(off) > 2 else "holds"
    return Claim(
        "Sparse training costs as little as its mask is thin.",
        "often heard",
        experiment,
        "; ".join(parts),
        says,
    )


def sparse_claims(table: pd.DataFrame) -> list[Claim]:
    """Every claim of lesson 05, judged by the recorded runs."""
    found = Evidence(table)
    judges = (
        as_good_as_full,
        fisher_beats_random,
        ticket_beats_random,
        largest_entries,
        sparser_is_faster,
        rows_are_as_good,
        moving_masks,
        share_of_cost,
    )
    return [judge(found) for judge in judges]
