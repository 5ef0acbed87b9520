"""What is said of LoRA's relatives, and what the recorded runs of lesson 08 say to it."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL
from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import where
from ftkit.lessons.the_lora_family.study import HIGH, JUDGED, OWN, RELATIVES
from ftkit.stats.paired import Judged, crossed, family
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import MARGIN, by_seed, by_seed_and_item, decided, judged, points

DORA = "Liu et al. 2024, arXiv:2402.09353"
PISSA = "Meng et al. 2024, arXiv:2404.02948"
PLUS = "Hayou et al. 2024, arXiv:2402.12354"
RS = "Kalajdzievski 2023, arXiv:2312.03732"
FA = "Zhang et al. 2023, arXiv:2308.03303"
ADA = "Zhang et al. 2023, arXiv:2303.10512"
VERA = "Kopiczko et al. 2024, arXiv:2310.11454"
IA3 = "Liu et al. 2022, arXiv:2205.05638"
EARLY = 28
"""The reading after about a third of a run."""
OTHERS = tuple(name for name in RELATIVES if name != "LoRA")


class Evidence:
    """The recorded table of lesson 08, asked as its claims need it. Rates were chosen on valid; accuracies are on test, one a seed."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.benches = list(dict.fromkeys(where(table, method=OWN)["bench"]))

    def test(self, bench: str, relative: str, rank: int) -> np.ndarray:
        """Accuracy at the rate that was chosen."""
        return by_seed(self.table, bench=bench, relative=relative, rank=rank)

    def reference(self, bench: str, method: str) -> np.ndarray:
        """The same of "full fine-tuning" or the "frozen body"."""
        return by_seed(self.table, bench=bench, method=method)

    def minus_lora(self, bench: str, relative: str, rank: int) -> np.ndarray:
        """A relative minus LoRA of that rank."""
        return self.test(bench, relative, rank) - self.test(bench, "LoRA", rank)

    def rate(self, bench: str, relative: str, rank: int) -> float:
        """The rate that was chosen on valid."""
        return chosen(self.table, bench=bench, relative=relative, rank=rank)

    def numbers(self, bench: str, relative: str, rank: int) -> int:
        """How many numbers train, the head's included."""
        return int(
            where(self.table, bench=bench, relative=relative, rank=rank, quantity="cost/trainable")[
                "value"
            ].median()
        )

    def early(self, bench: str, relative: str, rank: int) -> np.ndarray:
        """Accuracy on valid after a third of the run, at the rate that was chosen for its end."""
        lr = self.rate(bench, relative, rank)
        rows = where(
            self.table,
            bench=bench,
            relative=relative,
            rank=rank,
            lr=lr,
            step=EARLY,
            quantity="valid/accuracy",
        )
        return rows.drop_duplicates("seed").sort_values("seed")["value"].to_numpy()

    def with_items(self, bench: str, relative: str, rank: int) -> tuple[float, float, float]:
        """The same difference with an interval for which the test items are a sample too: (mean, low, high)."""
        ours, lora = (
            by_seed_and_item(self.table, bench=bench, relative=name, rank=rank).astype(float)
            for name in (relative, "LoRA")
        )
        return crossed(ours - lora)

    @cached_property
    def families(self) -> dict[tuple[str, int], dict[str, Judged]]:
        """For each bench and rank the relatives minus LoRA, judged as one family."""
        return {
            (bench, rank): family(
                {name: self.minus_lora(bench, name, rank).tolist() for name in OTHERS}, MARGIN
            )
            for bench in self.benches
            for rank in JUDGED
        }

    def verdicts(self, relative: str) -> dict[str, tuple[str, str]]:
        """For each bench and rank: the difference in points with its interval, and the verdict."""
        return {
            f"{bench}, rank {rank}": (
                points(self.minus_lora(bench, relative, rank)),
                judged_[relative].verdict,
            )
            for (bench, rank), judged_ in self.families.items()
        }


def _said(verdicts: dict[str, tuple[str, str]], holds: Iterable[str]) -> tuple[str, str]:
    lines = "; ".join(f"{name} {figures}, {says}" for name, (figures, says) in verdicts.items())
    return lines, decided((says for _, says in verdicts.values()), holds)


def _of(relative: str, claim: str, source: str, holds: set[str]) -> Callable[[Evidence], Claim]:
    experiment = f"{relative} minus LoRA, each at its best rate; ranks {' and '.join(map(str, JUDGED))}; test, points; Holm over all relatives"
    return lambda found: Claim(claim, source, experiment, *_said(found.verdicts(relative), holds))


BETTER = {
    "DoRA": ("DoRA does better than LoRA with as many numbers.", DORA),
    "PiSSA": ("PiSSA does better than LoRA.", PISSA),
    "AdaLoRA": ("It pays to choose in which matrices the directions are.", ADA),
    "LoRA+": ("LoRA does better if B moves faster than A.", PLUS),
}
AS_GOOD = {
    "LoRA-FA": ("A can stay as it was drawn.", FA),
    "VeRA": ("Two vectors a layer do as well as LoRA.", VERA),
    "(IA)3": ("Rescaling keys, values and inner features does as well as LoRA.", IA3),
}


def high_ranks(found: Evidence) -> Claim:
    """At a high rank rsLoRA gains what LoRA's scale lets go."""
    gaps: dict[str, Any] = {
        bench: found.test(bench, "rsLoRA", HIGH) - found.test(bench, "LoRA", HIGH)
        for bench in found.benches
    }
    experiment = f"rsLoRA minus LoRA at rank {HIGH}, each at its best rate; test, points"
    return Claim(
        "At high ranks LoRA needs the scale alpha over the root of the rank.",
        RS,
        experiment,
        *judged(gaps, {"beats"}),
    )


def faster(found: Evidence) -> Claim:
    """PiSSA is ahead of LoRA early in a run."""
    gaps = {
        f"{bench}, rank {rank}": found.early(bench, "PiSSA", rank)
        - found.early(bench, "LoRA", rank)
        for bench in found.benches
        for rank in JUDGED
    }
    experiment = f"PiSSA minus LoRA after {EARLY} of the 80 steps, each at the rate that is best at the end; valid, points"
    return Claim("PiSSA learns faster.", PISSA, experiment, *judged(gaps, {"beats"}))


def beaten_by_none(found: Evidence) -> Claim:
    """With a tuned rate no relative beats LoRA anywhere."""
    every = {
        f"{name} on {bench}, rank {rank}": each[name].verdict
        for (bench, rank), each in found.families.items()
        for name in OTHERS
    }
    beats = [name for name, says in every.items() if says == "beats"]
    told = sum(says != "inconclusive" for says in every.values())
    figures = f"{len(beats)} of {len(every)} comparisons are won ({'; '.join(beats) or 'none'}); {told} can be told"
    experiment = "all relatives minus LoRA, all benches, ranks 2 and 8; verdicts as above"
    says = "does not hold" if beats else "holds" if told == len(every) else "inconclusive"
    return Claim(
        "With a tuned rate for each, no relative beats LoRA.",
        "often heard",
        experiment,
        figures,
        says,
    )


def family_claims(table: pd.DataFrame) -> list[Claim]:
    """Every claim of lesson 08, judged by the recorded runs."""
    found = Evidence(table)
    better = [_of(name, *said, {"beats"})(found) for name, said in BETTER.items()]
    as_good = [_of(name, *said, {"beats", "ties"})(found) for name, said in AS_GOOD.items()]
    return [*better, faster(found), high_ranks(found), *as_good, beaten_by_none(found)]


def gain(
    found: Evidence, bench: str, relative: str, rank: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a share of the whole gain is made of: the relative's accuracies, the frozen body's and full fine-tuning's, one a seed."""
    return (
        found.test(bench, relative, rank),
        found.reference(bench, "frozen body"),
        found.reference(bench, FULL),
    )
