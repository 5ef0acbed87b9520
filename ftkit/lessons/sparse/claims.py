"""Claims of papers about sparse fine-tuning, judged by the recorded runs of lesson 05."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL
from ftkit.experiments.tables import last, summary, where
from ftkit.lessons.sparse.study import MAIN_BENCH, MAIN_DENSITY, SPARSE
from ftkit.lessons.sparse.trial import BODY, LINEAR, WHOLE_ROWS
from ftkit.teaching.claim_table import Claim, Finding
from ftkit.teaching.recorded_evidence import RecordedRuns
from ftkit.teaching.verdicts import judge_differences, judge_shares

SUNG = "Sung, Nair and Raffel 2021 (FISH Mask), arXiv:2111.09839, who choose from the whole network"
ANSELL = "Ansell et al. 2022 (LT-SFT), arXiv:2110.07560"
SPIEL = (
    "after Evci et al. 2020 (RigL), arXiv:1911.11134, and Ansell et al. 2024 (SpIEL), "
    "arXiv:2401.16405"
)
XU = (
    "after Xu and Zhang 2024, “Random Masking Finds Winning Tickets”: "
    "random masks need large learning rates"
)
PEFT_DEFAULT = "the default of PEFT's tuner `supertuning`, which offers the smallest too"
S2FT = "after Yang et al. 2024 (S²FT), arXiv:2412.06289, who compare with LoRA"
TUNED = (
    f"{MAIN_DENSITY:.0%} of the entries of the linear layers "
    "(or, where it says so, of the whole body), each at its best learning rate; test, points"
)
BENCHES = ("opening", "digits")
"""Where all criteria were recorded."""


class Evidence(RecordedRuns):
    """The recorded runs of lesson 05."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__(table)
        self.masks = table[table["method"] == SPARSE]

    def settings(
        self,
        bench: str,
        criterion: str = "",
        density: float = MAIN_DENSITY,
        scope: str = LINEAR,
        method: str = SPARSE,
    ) -> dict[str, Any]:
        """Select a mask; or a reference method, which has none."""
        settings: dict[str, Any] = {"bench": bench, "method": method}
        if method == SPARSE:
            settings |= {"criterion": criterion, "density": density, "scope": scope}
        return settings

    def compared(self, bench: str, scope: str = LINEAR) -> list[str]:
        """Return the criteria that were tried at one hundredth of the entries."""
        rows = where(self.masks, bench=bench, density=MAIN_DENSITY, scope=scope)
        return [str(criterion) for criterion in rows["criterion"].unique()]

    def random_densities(self) -> list[float]:
        """Return the densities at which random masks were tried, the smallest first."""
        rows = where(self.masks, bench=MAIN_BENCH, criterion="random", scope=LINEAR)
        return sorted(float(density) for density in rows["density"].unique())

    def at_one_rate(self, bench: str) -> dict[float, dict[str, float]]:
        """Return the mean accuracy on valid by learning rate and criterion, best criterion first.

        Only learning rates at which every criterion was tried.
        """
        rows = where(last(self.masks), bench=bench, density=MAIN_DENSITY, scope=LINEAR)
        means = summary(rows, ["lr", "criterion"])
        means = means.pivot(index="lr", columns="criterion", values="mean").dropna()
        rankings = {}
        for lr, row in means.iterrows():
            ranked = row.sort_values(ascending=False)
            rankings[float(str(lr))] = {str(name): float(value) for name, value in ranked.items()}
        return rankings


def _gaps(runs: Evidence, criterion: str, other: str) -> dict[str, np.ndarray]:
    """Return one criterion minus another, on the linear layers."""
    return {bench: runs.test(bench, criterion) - runs.test(bench, other) for bench in BENCHES}


def _gaps_with_body(runs: Evidence, criterion: str, other: str) -> dict[str, np.ndarray]:
    """Return the same, and once more with the whole body to choose from."""
    body = runs.test(MAIN_BENCH, criterion, scope=BODY) - runs.test(MAIN_BENCH, other, scope=BODY)
    return {**_gaps(runs, criterion, other), f"{MAIN_BENCH}, {BODY}": body}


def as_good_as_full(runs: Evidence) -> Claim:
    """Judge whether a mask by Fisher information does as well as full fine-tuning."""
    gaps = {bench: runs.test(bench, "Fisher") - runs.reference(bench, FULL) for bench in BENCHES}
    body = runs.test(MAIN_BENCH, "Fisher", scope=BODY) - runs.reference(MAIN_BENCH, FULL)
    return Claim(
        "A small share of the parameters (half a per cent in the paper), chosen by Fisher "
        "information, does as well as all of them.",
        SUNG,
        f"Fisher minus full fine-tuning, {TUNED}",
        *judge_differences({**gaps, f"{MAIN_BENCH}, {BODY}": body}, {"ties", "beats"}),
    )


def fisher_beats_random(runs: Evidence) -> Claim:
    """Judge whether Fisher information chooses better entries than chance."""
    return Claim(
        "Fisher information chooses better entries than chance.",
        SUNG,
        f"Fisher minus random, {TUNED}",
        *judge_differences(_gaps_with_body(runs, "Fisher", "random"), {"beats"}),
    )


def ticket_beats_random(runs: Evidence) -> Claim:
    """Judge the lottery ticket: train the entries that full fine-tuning changed most."""
    return Claim(
        "The entries to train are those that full fine-tuning changed most, from the base again.",
        ANSELL,
        f"changed most minus random, {TUNED}; the full run before it is not counted",
        *judge_differences(_gaps(runs, "changed most", "random"), {"beats"}),
    )


def largest_entries(runs: Evidence) -> Claim:
    """Judge magnitude as a criterion: the entries to train are the largest."""
    gaps = {
        f"{MAIN_BENCH}: {other}": runs.test(MAIN_BENCH, "largest") - runs.test(MAIN_BENCH, other)
        for other in ("random", "smallest")
    }
    return Claim(
        "The entries to train are the largest.",
        PEFT_DEFAULT,
        f"largest minus random, and minus smallest, {TUNED}",
        *judge_differences(gaps, {"beats"}),
    )


def sparser_is_faster(runs: Evidence) -> Claim:
    """Judge whether a sparser random mask has a larger best learning rate."""
    rates = {
        density: runs.rate(MAIN_BENCH, "random", density) for density in runs.random_densities()
    }
    values = list(rates.values())
    never_rises = all(sparser >= denser for sparser, denser in pairwise(values))
    return Claim(
        "The sparser a random mask, the larger the learning rate that it needs.",
        XU,
        f"the learning rate chosen on valid for random masks on {MAIN_BENCH}, by density; "
        "it must not rise with density anywhere, and must fall from end to end",
        [Finding(f"{density:.2%}:", f"{lr:g}") for density, lr in rates.items()],
        "holds" if never_rises and values[0] > values[-1] else "does not hold",
    )


def rows_are_as_good(runs: Evidence) -> Claim:
    """Judge whether whole rows do as well as scattered entries."""
    return Claim(
        "Choosing whole rows, which saves operations, costs no accuracy "
        "compared with scattered entries.",
        S2FT,
        f"whole rows minus random entries, about the same number of parameters, {TUNED}",
        *judge_differences(_gaps(runs, WHOLE_ROWS, "random"), {"ties", "beats"}),
    )


def moving_masks(runs: Evidence) -> Claim:
    """Judge whether a mask that drops and regrows beats one that stays."""
    return Claim(
        "A mask that drops its smallest changes and regrows by the gradient beats one that stays.",
        SPIEL,
        f"drop and regrow minus random cut into the same four parts, {TUNED}",
        *judge_differences(_gaps(runs, "drop and regrow", "random, in parts"), {"beats"}),
    )


def share_of_cost(runs: Evidence) -> Claim:
    """Judge whether a hundredth of the parameters costs a hundredth."""
    shares = {
        bench: runs.share_of(
            {"bench": bench, "method": FULL}, {"bench": bench, "criterion": "random"}
        )
        for bench in BENCHES
    }
    return Claim(
        "The cost of sparse training falls with the density of its mask.",
        "often heard",
        "random entries over full fine-tuning: trainable parameters; "
        "bytes of weights, gradients, AdamW and activations; FLOPs; measured",
        *judge_shares(shares),
    )


def sparse_claims(table: pd.DataFrame) -> list[Claim]:
    """Judge every claim of lesson 05 by its recorded runs."""
    runs = Evidence(table)
    return [
        as_good_as_full(runs),
        fisher_beats_random(runs),
        ticket_beats_random(runs),
        largest_entries(runs),
        sparser_is_faster(runs),
        rows_are_as_good(runs),
        moving_masks(runs),
        share_of_cost(runs),
    ]
