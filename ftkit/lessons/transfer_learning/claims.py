"""Claims of papers about freezing and unfreezing, judged by the recorded runs of lesson 01."""

from typing import Any

import numpy as np
import pandas as pd

from ftkit.lessons.transfer_learning.study import FREEZING
from ftkit.lessons.transfer_learning.trial import ALL_FROZEN
from ftkit.stats.paired import FEWEST, interval
from ftkit.teaching.claim_table import Claim, Finding
from ftkit.teaching.recorded_evidence import RecordedRuns
from ftkit.teaching.verdicts import judge_differences

ULMFIT = "Howard and Ruder 2018, arXiv:1801.06146"
ELSA = "Lee, Tang and Lin 2019, arXiv:1911.03090"
KUMAR = (
    "Kumar et al. 2022, arXiv:2202.10054, where pretrained features are good and the shift is large"
)
SURGICAL = "Lee, Chen et al. 2023, arXiv:2210.11466"
WISE = "after Wortsman et al. 2022, arXiv:2109.01903, who start from a zero-shot model"

SHIFT = (
    "out of distribution: the test sentences with a quarter of the distinct words exchanged; points"
)


class Evidence(RecordedRuns):
    """The recorded runs of lesson 01."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__(table)
        frozen_at_a_depth = table[table["method"] == FREEZING]
        self.benches = [str(bench) for bench in frozen_at_a_depth["bench"].unique()]

    def settings(
        self,
        bench: str | None = None,
        frozen: int = 0,
        body: str = "pretrained",
        method: str = FREEZING,
    ) -> dict[str, Any]:
        """Select `frozen` parts frozen, from the bottom up; or a recipe, which has no depth."""
        settings: dict[str, Any] = {"method": method}
        if bench is not None:
            settings["bench"] = bench
        if method == FREEZING:
            settings |= {"frozen": frozen, "body": body}
        return settings

    def frozen(self, bench: str, count: int, body: str = "pretrained") -> np.ndarray:
        """Return the accuracy on test with `count` parts frozen."""
        return self.test(bench, count, body)

    def recipe(self, method: str, bench: str = "library") -> np.ndarray:
        """Return the accuracy on test of a recipe."""
        return self.test(bench, method=method)

    def blend(self, share: float, side: str) -> np.ndarray:
        """Return the accuracy of the linear probe plus a share of what LP-FT changed after it.

        Args:
            share: in [0, 1].
            side: "in" or "out" of distribution.
        """
        return self.test(method="LP-FT", quantity=f"blend/{share:g}/{side}")

    def outside(self, method: str) -> np.ndarray:
        """Return the accuracy out of distribution.

        Args:
            method: "LP-FT", "full fine-tuning" or "frozen body".
        """
        if method == "frozen body":
            return self.blend(0.0, "out")
        return self.test(method=method, quantity="shift/accuracy")


def pretraining_pays(runs: Evidence) -> Claim:
    """Judge whether a pretrained start beats random weights."""
    gaps = {
        bench: runs.frozen(bench, 0) - runs.frozen(bench, 0, "random") for bench in runs.benches
    }
    return Claim(
        "With the same number of steps, a pretrained start beats random weights.",
        ULMFIT,
        "full fine-tuning from pretrained minus from random weights, "
        "each at its best learning rate; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def one_block_is_most(runs: Evidence) -> Claim:
    """Judge whether the last block alone reaches nine tenths of full fine-tuning's accuracy."""
    shares = {
        bench: runs.frozen(bench, ALL_FROZEN - 1) / runs.frozen(bench, 0) for bench in runs.benches
    }
    spans = {bench: interval(list(values)) for bench, values in shares.items()}
    results = [
        Finding(bench, f"{mean:.0%} [{low:.0%}, {high:.0%}]")
        for bench, (mean, low, high) in spans.items()
    ]
    if any(len(values) < FEWEST for values in shares.values()):
        says = "inconclusive"
    elif any(high < 0.9 for _, _, high in spans.values()):
        says = "does not hold"
    elif all(low >= 0.9 for _, low, _ in spans.values()):
        says = "holds"
    else:
        says = "inconclusive"
    return Claim(
        "Fine-tuning the last quarter of the blocks gets 90 % of the quality.",
        ELSA,
        "test accuracy with the last block (one of three) and the head, "
        "over that of full fine-tuning; paired seeds",
        results,
        says,
    )


def last_is_best(runs: Evidence) -> Claim:
    """Judge whether the last block is the one to train if only one is trained."""
    gap = {
        "opening": runs.frozen("opening", ALL_FROZEN - 1) - runs.recipe("first block", "opening")
    }
    return Claim(
        "If you train one block only, it should be the last.",
        f"often heard; for data that have shifted, {SURGICAL}, find that it depends on the shift",
        "the last block alone minus the first block alone, the same number of parameters, "
        "each at its best learning rate; test, points",
        *judge_differences(gap, {"beats", "ties"}),
    )


def unfreezing_helps(runs: Evidence) -> list[Claim]:
    """Judge whether gradual unfreezing and discriminative learning rates beat full fine-tuning."""
    sentences = {
        "gradual unfreezing": "Unfreezing one part after another beats unfreezing all at once.",
        "discriminative rates": (
            "Smaller learning rates for lower blocks beat one learning rate for all."
        ),
    }
    sources = {
        "gradual unfreezing": f"{ULMFIT}, who unfreeze a layer of an LSTM per epoch",
        "discriminative rates": ULMFIT,
    }
    claims = []
    for method, sentence in sentences.items():
        gap = {"library": runs.recipe(method) - runs.frozen("library", 0)}
        experiment = (
            f"{method} minus full fine-tuning, 80 steps, each at its best learning rate; "
            "test, points"
        )
        verdict = judge_differences(gap, {"beats"})
        claims.append(Claim(sentence, sources[method], experiment, *verdict))
    return claims


def out_of_distribution(runs: Evidence) -> list[Claim]:
    """Judge what Kumar et al. say about the linear probe, fine-tuning, and LP-FT."""
    full, probe, both = (
        runs.outside(method) for method in ("full fine-tuning", "frozen body", "LP-FT")
    )
    inside = runs.recipe("LP-FT") - runs.frozen("library", 0)
    return [
        Claim(
            "Out of distribution, the frozen body beats full fine-tuning.",
            KUMAR,
            SHIFT,
            *judge_differences({"out": probe - full}, {"beats"}),
        ),
        Claim(
            "First the head alone, then everything (LP-FT): "
            "better than fine-tuning, in and out of distribution.",
            KUMAR,
            "LP-FT minus full fine-tuning, 80 steps through the body in both; "
            f"in distribution, and {SHIFT}",
            *judge_differences({"in": inside, "out": both - full}, {"beats"}),
        ),
    ]


def half_way(runs: Evidence) -> Claim:
    """Judge whether half of the change helps out of distribution and costs nothing in it."""
    gaps = {side: runs.blend(0.5, side) - runs.blend(1.0, side) for side in ("in", "out")}
    outside, helps = judge_differences({"out": gaps["out"]}, {"beats"})
    inside, is_safe = judge_differences({"in": gaps["in"]}, {"beats", "ties"})
    if "does not hold" in (helps, is_safe):
        says = "does not hold"
    else:
        says = "holds" if helps == is_safe == "holds" else "inconclusive"
    return Claim(
        "Going only half of the way (WiSE-FT) helps out of distribution and costs nothing in it.",
        WISE,
        "the linear probe plus half of what LP-FT changed after it, minus all of it; test, points",
        [*outside, *inside],
        says,
    )


def transfer_claims(table: pd.DataFrame) -> list[Claim]:
    """Judge every claim of lesson 01 by its recorded runs."""
    runs = Evidence(table)
    return [
        pretraining_pays(runs),
        one_block_is_most(runs),
        last_is_best(runs),
        *unfreezing_helps(runs),
        *out_of_distribution(runs),
        half_way(runs),
    ]
