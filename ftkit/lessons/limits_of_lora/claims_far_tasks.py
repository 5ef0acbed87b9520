"""What is held against LoRA, and for it, and what the recorded runs of lesson 03 say to it: far tasks."""

from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE
from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import last, summary, where
from ftkit.lessons.limits_of_lora.trial import (
    ATTENTION,
    BOTH,
    EQUAL_RANK,
    INSIDE,
    LARGE,
    LARGE_RANK,
    LORA,
    MIXED_RANK,
    ONE_RANK,
    PLACES,
    RANKS,
    SCRATCH,
    WORDS,
)
from ftkit.stats.paired import interval
from ftkit.stats.tradeoff import expected_best
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import MARGIN, by_seed, judged

NEAR, FAR = PLACES[0], PLACES[4:]
"""The task that the base is near to; and those two that have none of its words: all words mean others, and digits written as words."""
HEARD = "often heard"
REGRET = "Schulman and Thinking Machines 2025, “LoRA Without Regret”"
LU = "Lu et al. 2021, arXiv:2103.05247"


class Evidence:
    """The recorded table of lesson 03, asked as its claims need it. Rates were chosen on valid; accuracies are on test, one a seed."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.benches = list(PLACES)

    def way(
        self,
        bench: str,
        way: str,
        rank: int | None = None,
        quantity: str = "test/accuracy",
        size: int = SIZE,
    ) -> np.ndarray:
        """A quantity of one way at the rate that was chosen for it."""
        return self._read(
            quantity, bench=bench, way=way, rank=ONE_RANK[way] if rank is None else rank, size=size
        )

    def reference(
        self, bench: str, method: str = FULL, quantity: str = "test/accuracy", size: int = SIZE
    ) -> np.ndarray:
        """The same of full fine-tuning or the frozen body."""
        return self._read(quantity, bench=bench, method=method, size=size)

    def _read(self, quantity: str, **settings: Any) -> np.ndarray:
        return by_seed(self.table, quantity, lr=chosen(self.table, **settings), **settings)

    def best_rank(self, bench: str) -> int:
        """The rank of LoRA that is best on valid, at its best rate."""
        found = {}
        for rank in RANKS:
            settings = {"bench": bench, "way": LORA, "rank": rank, "size": SIZE}
            rows = where(last(self.table), **settings, lr=chosen(self.table, **settings))
            found[rank] = float(summary(rows, ["rank"])["mean"].iloc[0])
        return max(found, key=lambda rank: found[rank])

    def gap(self, bench: str, rank: int | None = None, size: int = SIZE) -> np.ndarray:
        """LoRA minus full fine-tuning; by default of the rank that is best on valid."""
        return self.way(
            bench, LORA, self.best_rank(bench) if rank is None else rank, size=size
        ) - self.reference(bench, size=size)

    def rank_needed(self, bench: str) -> int | None:
        """The smallest rank from which on LoRA is at most the margin behind, by its interval; None if none is."""
        behind = [rank for rank in RANKS if interval(list(self.gap(bench, rank)))[1] <= -MARGIN]
        higher = [rank for rank in RANKS if rank > max(behind, default=0)]
        return min(higher, default=None)

    def rate(self, bench: str, **settings: Any) -> float:
        """The rate that was chosen on valid."""
        return chosen(self.table, bench=bench, size=SIZE, **settings)

    def luck(self, **settings: Any) -> tuple[float, float]:
        """Of the rates that were tried on the nearest place: the best mean accuracy on valid, and what one rate drawn blindly gives."""
        rows = where(last(self.table), bench=NEAR, size=SIZE, **settings)
        means = summary(rows, ["lr"])["mean"].tolist()
        return max(means), expected_best(means, 1)


def farther(found: Evidence) -> Claim:
    """The farther the task, the farther LoRA falls behind."""
    near = found.gap(NEAR)
    gaps = {bench: found.gap(bench) - near for bench in FAR}
    experiment = f"LoRA (rank best on valid) minus full fine-tuning, there less on {NEAR}; each at its best rate; test, points"
    return Claim(
        "The farther a task is, the farther LoRA falls behind full fine-tuning.",
        HEARD,
        experiment,
        *judged(gaps, {"loses"}),
    )


def rank_closes_it(found: Evidence) -> Claim:
    """What is missing far away is rank."""
    gaps = {bench: found.gap(bench, RANKS[-1]) for bench in FAR}
    experiment = f"rank {RANKS[-1]} (more numbers in the factors than in a square matrix) minus full fine-tuning; test, points"
    return Claim(
        "On a far task LoRA lacks rank; a high one closes the gap.",
        HEARD,
        experiment,
        *judged(gaps, {"ties", "beats"}),
    )


def targets_matter(found: Evidence) -> Claim:
    """Which layers LoRA sits in matters far away."""
    gaps = {
        bench: found.way(bench, LORA, MIXED_RANK) - found.way(bench, ATTENTION) for bench in FAR
    }
    experiment = f"rank {MIXED_RANK} everywhere minus rank {EQUAL_RANK} there, equal numbers, each at its best rate; test, points"
    return Claim(
        "LoRA must sit in every linear layer; on attention alone it is worse.",
        REGRET,
        experiment,
        *judged(gaps, {"beats"}),
    )


def inside_is_enough(found: Evidence) -> Claim:
    """All weights but the embeddings do as well as all weights."""
    gaps = {bench: found.way(bench, INSIDE) - found.reference(bench) for bench in FAR}
    claim = "It is because a change of low rank is too small: every weight inside the blocks, moving freely, would do."
    experiment = "full fine-tuning without the embeddings minus full fine-tuning; test, points"
    return Claim(claim, HEARD, experiment, *judged(gaps, {"ties", "beats"}))


def embeddings_close_it(found: Evidence) -> Claim:
    """With the word embeddings LoRA keeps up."""
    gaps = {bench: found.way(bench, BOTH) - found.reference(bench) for bench in FAR}
    experiment = (
        f"LoRA of rank {MIXED_RANK} with the word embeddings minus full fine-tuning; test, points"
    )
    return Claim(
        "With the word embeddings free LoRA keeps up far away too.",
        HEARD,
        experiment,
        *judged(gaps, {"ties", "beats"}),
    )


def vectors_are_missing(found: Evidence) -> Claim:
    """What LoRA lacks far away are the word vectors."""
    gaps = {
        bench: found.way(bench, WORDS) - found.way(bench, LORA, found.best_rank(bench))
        for bench in FAR
    }
    experiment = "embeddings and head alone minus LoRA at the rank best on valid; each at its best rate; test, points"
    return Claim(
        "What LoRA lacks far away are the word vectors.",
        HEARD,
        experiment,
        *judged(gaps, {"beats"}),
    )


def past_is_a_burden(found: Evidence) -> Claim:
    """Far enough away a pretrained start is worse than none."""
    gaps = {bench: found.way(bench, SCRATCH) - found.reference(bench) for bench in FAR}
    experiment = "random weights minus pretrained ones, both fully fine-tuned, each at its best rate; test, points"
    return Claim(
        "Far enough away, a pretrained start is worse than none.",
        HEARD,
        experiment,
        *judged(gaps, {"beats"}),
    )


def frozen_transformers_do(found: Evidence) -> Claim:
    """The blocks of a language model serve even for what is no language."""
    gaps = {bench: found.way(bench, WORDS) - found.way(bench, SCRATCH) for bench in FAR}
    claim = "The blocks of a pretrained transformer serve, untouched, even for what is no language."
    experiment = "embeddings and head alone minus random weights fully trained, each at its best rate; test, points"
    return Claim(claim, LU, experiment, *judged(gaps, {"ties", "beats"}))


def large_batches(found: Evidence) -> Claim:
    """Large batches cost LoRA more than full fine-tuning."""
    gaps = {NEAR: found.gap(NEAR, LARGE_RANK, LARGE) - found.gap(NEAR, LARGE_RANK)}
    experiment = f"LoRA of rank {LARGE_RANK} minus full, with {LARGE} rows a step less with {SIZE}; each at its best rate; test, points"
    return Claim(
        "Large batches cost LoRA more than full fine-tuning.",
        REGRET,
        experiment,
        *judged(gaps, {"loses"}),
    )


def touchy(found: Evidence) -> Claim:
    """LoRA is touchier about its rate than full fine-tuning."""
    lost = {}
    asked: dict[str, dict[str, Any]] = {
        "LoRA": {"way": LORA, "rank": LARGE_RANK},
        "full": {"method": FULL},
    }
    for name, settings in asked.items():
        best, blind = found.luck(**settings)
        lost[name] = 100 * (best - blind)
    figures = "; ".join(
        f"{name}: a rate drawn blindly gives {points:.1f} points less than the best"
        for name, points in lost.items()
    )
    experiment = f"rates by half powers of ten, as many as were tried for each, on {NEAR}; means of all seeds; one comparison, no interval"
    says = (
        "inconclusive"
        if abs(lost["LoRA"] - lost["full"]) < 1
        else "holds"
        if lost["LoRA"] > lost["full"]
        else "does not hold"
    )
    return Claim(
        "LoRA is touchier about its learning rate than full fine-tuning.",
        HEARD,
        experiment,
        figures,
        says,
    )


def far_claims(table: pd.DataFrame) -> list[Claim]:
    """The claims on far tasks, and on rates and batches."""
    found = Evidence(table)
    remedies = (
        rank_closes_it,
        targets_matter,
        inside_is_enough,
        embeddings_close_it,
        vectors_are_missing,
    )
    return [
        claim(found)
        for claim in (
            farther,
            *remedies,
            past_is_a_burden,
            frozen_transformers_do,
            large_batches,
            touchy,
        )
    ]
