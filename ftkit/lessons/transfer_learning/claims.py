"""What the papers say of freezing and unfreezing, and what the recorded runs of lesson 01 say to it."""

from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import where
from ftkit.lessons.transfer_learning.study import FREEZING
from ftkit.lessons.transfer_learning.trial import ALL
from ftkit.stats.paired import interval
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import by_seed, judged

ULMFIT = "Howard and Ruder 2018, arXiv:1801.06146"
ELSA = "Lee, Tang and Lin 2019, arXiv:1911.03090"
KUMAR = "Kumar et al. 2022, arXiv:2202.10054"
SURGICAL = "Lee, Chen et al. 2023, arXiv:2210.11466"
WISE = "Wortsman et al. 2022, arXiv:2109.01903"


class Evidence:
    """The recorded table of lesson 01, asked as its claims need it. Rates were chosen on valid; accuracies are on test, one a seed."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.benches = [
            str(bench) for bench in table[table["method"] == FREEZING]["bench"].unique()
        ]

    def test(self, quantity: str = "test/accuracy", **settings: Any) -> np.ndarray:
        """A quantity that is read once, for the rate that was chosen."""
        return by_seed(self.table, quantity, **settings)

    def frozen(self, bench: str, count: int, body: str = "pretrained") -> np.ndarray:
        """Accuracy on test with `count` parts frozen."""
        return self.test(method=FREEZING, bench=bench, frozen=count, body=body)

    def rate(self, bench: str, count: int, body: str = "pretrained") -> float:
        """The rate that was chosen with `count` parts frozen."""
        return chosen(self.table, method=FREEZING, bench=bench, frozen=count, body=body)

    def recipe(self, method: str, bench: str = "library") -> np.ndarray:
        """Accuracy on test of a recipe."""
        return self.test(method=method, bench=bench)

    def blend(self, share: float, side: str) -> np.ndarray:
        """Accuracy on test of the probe plus a share of what fine-tuning it taught, "in" or "out" of distribution."""
        return self.test(f"blend/{share:g}/{side}", method="LP-FT")

    def outside(self, method: str) -> np.ndarray:
        """Accuracy out of distribution: of "LP-FT", of "full fine-tuning", or of the "frozen body"."""
        return (
            self.blend(0.0, "out")
            if method == "frozen body"
            else self.test("shift/accuracy", method=method)
        )

    def cost(self, name: str, bench: str, count: int) -> float:
        """One entry of the bill with `count` parts frozen, the median over the runs."""
        rows = where(
            self.table,
            method=FREEZING,
            bench=bench,
            frozen=count,
            body="pretrained",
            quantity=f"cost/{name}",
        )
        return float(rows["value"].median())


def pretraining_pays(found: Evidence) -> Claim:
    """A pretrained start beats random weights."""
    gaps = {
        bench: found.frozen(bench, 0) - found.frozen(bench, 0, "random") for bench in found.benches
    }
    experiment = "full fine-tuning from pretrained minus from random weights, each at its best rate; test, points"
    return Claim(
        "With the same steps, a pretrained start beats random weights.",
        ULMFIT,
        experiment,
        *judged(gaps, {"beats"}),
    )


def one_block_is_most(found: Evidence) -> Claim:
    """The last block alone gets nine tenths of what everything gets."""
    shares = {
        bench: found.frozen(bench, ALL - 1) / found.frozen(bench, 0) for bench in found.benches
    }
    spans = {bench: interval(list(values)) for bench, values in shares.items()}
    figures = "; ".join(
        f"{bench} {m:.0%} [{low:.0%}, {high:.0%}]" for bench, (m, low, high) in spans.items()
    )
    says = "inconclusive"
    if all(len(values) >= 8 for values in shares.values()):
        says = "holds" if all(low >= 0.9 for _, low, _ in spans.values()) else says
        says = "does not hold" if any(high < 0.9 for _, _, high in spans.values()) else says
    experiment = "test accuracy with the last block (one of three) and the head, over that of full fine-tuning; paired seeds"
    return Claim(
        "Fine-tuning the last quarter of the blocks gets 90 % of the quality.",
        ELSA,
        experiment,
        figures,
        says,
    )


def last_is_best(found: Evidence) -> Claim:
    """If one block may move, it should be the last."""
    gap = {"opening": found.frozen("opening", ALL - 1) - found.recipe("first block", "opening")}
    experiment = "the last block alone minus the first block alone, as many numbers, each at its best rate; test, points"
    source = f"often heard; doubted by {SURGICAL}"
    return Claim(
        "If one block may move, it should be the last.",
        source,
        experiment,
        *judged(gap, {"beats", "ties"}),
    )


def unfreezing_helps(found: Evidence) -> list[Claim]:
    """Gradual unfreezing and discriminative rates, each better than plain fine-tuning."""
    words = {
        "gradual unfreezing": "Unfreezing one part after another beats letting all go at once.",
        "discriminative rates": "Smaller rates for lower blocks beat one rate for all.",
    }
    made = []
    for method, claim in words.items():
        gap = {"library": found.recipe(method) - found.frozen("library", 0)}
        made.append(
            Claim(
                claim,
                ULMFIT,
                f"{method} minus full fine-tuning, 80 steps, each at its best rate; test, points",
                *judged(gap, {"beats"}),
            )
        )
    return made


def out_of_distribution(found: Evidence) -> list[Claim]:
    """What Kumar et al. say of the probe, of fine-tuning, and of one after the other."""
    full, probe, both = (
        found.outside(method) for method in ("full fine-tuning", "frozen body", "LP-FT")
    )
    place = "out of distribution: the test sentences with a quarter of the distinct words exchanged; points"
    inside = {"in": found.recipe("LP-FT") - found.frozen("library", 0), "out": both - full}
    return [
        Claim(
            "Out of distribution, the frozen body beats full fine-tuning.",
            KUMAR,
            place,
            *judged({"out": probe - full}, {"beats"}),
        ),
        Claim(
            "First the head alone, then everything (LP-FT): better than fine-tuning, in and out of distribution.",
            KUMAR,
            f"LP-FT minus full fine-tuning, 80 steps through the body in both; in distribution, and {place}",
            *judged(inside, {"beats"}),
        ),
    ]


def half_way(found: Evidence) -> Claim:
    """Half-way between the probe and the fine-tuned network: better out of distribution, no worse in it."""
    gaps = {side: found.blend(0.5, side) - found.blend(1.0, side) for side in ("in", "out")}
    figures, says = judged({"out": gaps["out"]}, {"beats"})
    inside, safe = judged({"in": gaps["in"]}, {"beats", "ties"})
    both = (
        "does not hold"
        if "does not hold" in (says, safe)
        else ("holds" if says == safe == "holds" else "inconclusive")
    )
    experiment = "the probe plus half of what LP-FT learned after it, minus all of it; test, points"
    claim = (
        "Going only half of the way (WiSE-FT) helps out of distribution and costs nothing in it."
    )
    return Claim(claim, WISE, experiment, f"{figures}; {inside}", both)


def transfer_claims(table: pd.DataFrame) -> list[Claim]:
    """Every claim of lesson 01, judged by the recorded runs."""
    found = Evidence(table)
    return [
        pretraining_pays(found),
        one_block_is_most(found),
        last_is_best(found),
        *unfreezing_helps(found),
        *out_of_distribution(found),
        half_way(found),
    ]
