"""Claims about LoRA's relatives, judged by the recorded runs of lesson 08."""

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL
from ftkit.experiments.tables import where
from ftkit.lessons.the_lora_family.study import HIGH_RANK, JUDGED_RANKS, RELATIVE
from ftkit.lessons.the_lora_family.trial import RELATIVES
from ftkit.stats.paired import Judged, crossed, family
from ftkit.teaching.claim_table import Claim, Finding
from ftkit.teaching.recorded_evidence import RecordedRuns, items_by_seed
from ftkit.teaching.verdicts import MARGIN, combined_verdict, judge_differences, points

DORA = "Liu et al. 2024, arXiv:2402.09353"
PISSA = "Meng et al. 2024, arXiv:2404.02948"
PLUS = "Hayou et al. 2024, arXiv:2402.12354, for networks of large width"
RS = "Kalajdzievski 2023, arXiv:2312.03732"
FA = "Zhang et al. 2023, arXiv:2308.03303"
ADA = "Zhang et al. 2023, arXiv:2303.10512"
VERA = "Kopiczko et al. 2024, arXiv:2310.11454"
IA3 = "Liu et al. 2022, arXiv:2205.05638, for few examples and with two more losses"
TUNED = "after Lee et al. 2026, arXiv:2602.04998, who find all within 1 to 2 per cent"
EARLY = 28
"""The step of the validation after about a third of a run."""
OTHERS = tuple(name for name in RELATIVES if name != "LoRA")


class Evidence(RecordedRuns):
    """The recorded runs of lesson 08."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__(table)
        self.benches = list(dict.fromkeys(where(table, method=RELATIVE)["bench"]))

    def settings(self, bench: str, relative: str, rank: int) -> dict[str, Any]:
        """Select a relative of LoRA at a rank."""
        return {"bench": bench, "relative": relative, "rank": rank}

    def minus_lora(self, bench: str, relative: str, rank: int) -> np.ndarray:
        """Return a relative minus LoRA of the same rank, one difference a seed."""
        return self.test(bench, relative, rank) - self.test(bench, "LoRA", rank)

    def early(self, bench: str, relative: str, rank: int) -> np.ndarray:
        """Return the accuracy on valid after a third of the run, one value a seed.

        At the learning rate that was chosen for the end of the run.
        """
        lr = self.rate(bench, relative, rank)
        settings = self.settings(bench, relative, rank)
        rows = where(self.table, **settings, lr=lr, step=EARLY, quantity="valid/accuracy")
        return rows.drop_duplicates("seed").sort_values("seed")["value"].to_numpy()

    def with_items(self, bench: str, relative: str, rank: int) -> tuple[float, float, float]:
        """Return a relative minus LoRA as (mean, low, high); the test items are a sample too."""
        theirs, loras = (
            items_by_seed(self.table, **self.settings(bench, name, rank)).astype(float)
            for name in (relative, "LoRA")
        )
        return crossed(theirs - loras)

    @cached_property
    def families(self) -> dict[tuple[str, int], dict[str, Judged]]:
        """For each benchmark and rank, the relatives minus LoRA, judged as one family."""
        families = {}
        for bench in self.benches:
            for rank in JUDGED_RANKS:
                gaps = {name: self.minus_lora(bench, name, rank).tolist() for name in OTHERS}
                families[bench, rank] = family(gaps, MARGIN)
        return families

    def verdicts(self, relative: str) -> dict[str, tuple[str, str]]:
        """Return the difference to LoRA in points and the verdict, by benchmark and rank."""
        return {
            f"{bench}, rank {rank}": (
                points(self.minus_lora(bench, relative, rank)),
                judged[relative].verdict,
            )
            for (bench, rank), judged in self.families.items()
        }


BETTER = {
    "DoRA": ("DoRA does better than LoRA with no more parameters.", DORA),
    "PiSSA": ("PiSSA does better than LoRA.", PISSA),
    "AdaLoRA": ("It pays to choose which matrices get the rank.", ADA),
    "LoRA+": ("LoRA does better if B has a larger learning rate than A.", PLUS),
}
"""Relatives that should beat LoRA: the claim and its source."""

AS_GOOD = {
    "LoRA-FA": ("A can stay frozen at its random start.", FA),
    "VeRA": ("Two vectors a layer do as well as LoRA.", VERA),
    "(IA)3": ("Rescaling keys, values and inner features does as well as LoRA.", IA3),
}
"""Relatives that should be no worse than LoRA: the claim and its source."""


def against_lora(
    runs: Evidence, relative: str, claim: str, source: str, supporting: set[str]
) -> Claim:
    """Judge a claim about one relative and LoRA.

    Args:
        supporting: the verdicts that support the claim, see `verdicts.combined_verdict`.
    """
    verdicts = runs.verdicts(relative)
    results = [Finding(case, figures, says) for case, (figures, says) in verdicts.items()]
    return Claim(
        claim,
        source,
        f"{relative} minus LoRA, each at its best learning rate; "
        f"ranks {' and '.join(map(str, JUDGED_RANKS))}; test, points; Holm over all relatives",
        results,
        combined_verdict((result.verdict for result in results), supporting),
    )


def faster(runs: Evidence) -> Claim:
    """Judge whether PiSSA is ahead of LoRA early in a run."""
    gaps = {
        f"{bench}, rank {rank}": runs.early(bench, "PiSSA", rank) - runs.early(bench, "LoRA", rank)
        for bench in runs.benches
        for rank in JUDGED_RANKS
    }
    return Claim(
        "PiSSA learns faster.",
        PISSA,
        f"PiSSA minus LoRA after {EARLY} of the 80 steps, "
        "each at the learning rate that is best at the end; valid, points",
        *judge_differences(gaps, {"beats"}),
    )


def high_ranks(runs: Evidence) -> Claim:
    """Judge whether rsLoRA beats LoRA at a high rank."""
    gaps = {
        bench: runs.test(bench, "rsLoRA", HIGH_RANK) - runs.test(bench, "LoRA", HIGH_RANK)
        for bench in runs.benches
    }
    return Claim(
        "At high ranks LoRA needs the scale alpha over the root of the rank.",
        RS,
        f"rsLoRA minus LoRA at rank {HIGH_RANK}, each at its best learning rate; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def beaten_by_none(runs: Evidence) -> Claim:
    """Judge whether no relative with a tuned learning rate beats LoRA anywhere."""
    verdicts = {
        f"{name} on {bench}, rank {rank}": judged[name].verdict
        for (bench, rank), judged in runs.families.items()
        for name in OTHERS
    }
    won = [case for case, says in verdicts.items() if says == "beats"]
    conclusive = sum(says != "inconclusive" for says in verdicts.values())
    if won:
        says = "does not hold"
    elif conclusive == len(verdicts):
        says = "holds"
    else:
        says = "inconclusive"
    wins = f"{len(won)} of {len(verdicts)} comparisons are won ({'; '.join(won) or 'none'})"
    return Claim(
        "With a tuned learning rate for each, no relative beats LoRA.",
        TUNED,
        "all relatives minus LoRA, all benchmarks, ranks 2 and 8; verdicts as above",
        [Finding(wins), Finding(f"{conclusive} are conclusive")],
        says,
    )


def family_claims(table: pd.DataFrame) -> list[Claim]:
    """Judge every claim of lesson 08 by its recorded runs."""
    runs = Evidence(table)
    return [
        *(against_lora(runs, name, *claim, {"beats"}) for name, claim in BETTER.items()),
        faster(runs),
        high_ranks(runs),
        *(against_lora(runs, name, *claim, {"beats", "ties"}) for name, claim in AS_GOOD.items()),
        beaten_by_none(runs),
    ]


def gain(
    runs: Evidence, bench: str, relative: str, rank: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `share_of_gain` takes: accuracies of the relative and of both references.

    The references are the frozen body and full fine-tuning; one value a seed each.
    """
    return (
        runs.test(bench, relative, rank),
        runs.reference(bench, "frozen body"),
        runs.reference(bench, FULL),
    )
