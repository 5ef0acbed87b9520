"""Claims for and against LoRA on far tasks, judged by the recorded runs of lesson 03."""

from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE
from ftkit.experiments.tables import last, summary, where
from ftkit.lessons.limits_of_lora.trial import (
    ATTENTION,
    EMBEDDINGS_ALONE,
    ENCODER_ALONE,
    EQUAL_RANK,
    LARGE_BATCH,
    LARGE_RANK,
    LORA,
    LORA_AND_EMBEDDINGS,
    MIXED_RANK,
    NEAR_TO_FAR,
    ONE_RANK,
    RANDOM_WEIGHTS,
    RANKS,
)
from ftkit.stats.paired import interval
from ftkit.stats.tradeoff import expected_best
from ftkit.teaching.claim_table import Claim, Finding
from ftkit.teaching.recorded_evidence import RecordedRuns, values_by_seed
from ftkit.teaching.verdicts import MARGIN, judge_differences

NEAR, FAR = NEAR_TO_FAR[0], NEAR_TO_FAR[4:]
"""The benchmark that is nearest to the base, and the two that share no words with it: one replaces
every word by another, one writes digits as words."""
HEARD = "often heard"
HU = "Hu et al. 2022, arXiv:2106.09685"
REGRET = "Schulman and Thinking Machines 2025, “LoRA Without Regret”, for large language models"
LU = "Lu et al. 2021, arXiv:2103.05247"


class Evidence(RecordedRuns):
    """The recorded runs of lesson 03."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__(table)
        self.benches = list(NEAR_TO_FAR)

    def settings(self, bench: str, size: int = SIZE, **settings: Any) -> dict[str, Any]:
        """Select a way or a reference method on a benchmark, at a batch size."""
        return {"bench": bench, "size": size, **settings}

    def test(self, *case: Any, quantity: str = "test/accuracy", **settings: Any) -> np.ndarray:
        """Return a quantity at the chosen learning rate, one value a seed.

        Forgetting is recorded at every learning rate, so the chosen one has to be named.
        """
        lr = self.rate(*case, **settings)
        return values_by_seed(self.table, quantity, lr=lr, **self.settings(*case, **settings))

    def way(
        self,
        bench: str,
        way: str,
        rank: int | None = None,
        quantity: str = "test/accuracy",
        size: int = SIZE,
    ) -> np.ndarray:
        """Return a quantity of one way to train, one value a seed."""
        rank = ONE_RANK[way] if rank is None else rank
        return self.test(bench, size, quantity=quantity, way=way, rank=rank)

    def reference(
        self, bench: str, method: str = FULL, quantity: str = "test/accuracy", size: int = SIZE
    ) -> np.ndarray:
        """Return a quantity of full fine-tuning or of the frozen body, one value a seed."""
        return self.test(bench, size, quantity=quantity, method=method)

    def best_rank(self, bench: str) -> int:
        """Return LoRA's rank that is best on valid, at its best learning rate."""
        accuracy = {}
        for rank in RANKS:
            settings = self.settings(bench, way=LORA, rank=rank)
            lr = self.rate(bench, way=LORA, rank=rank)
            rows = where(last(self.table), **settings, lr=lr)
            accuracy[rank] = float(summary(rows, ["rank"])["mean"].iloc[0])
        return max(accuracy, key=lambda rank: accuracy[rank])

    def gap(self, bench: str, rank: int | None = None, size: int = SIZE) -> np.ndarray:
        """Return LoRA minus full fine-tuning; by default at the rank that is best on valid."""
        rank = self.best_rank(bench) if rank is None else rank
        return self.way(bench, LORA, rank, size=size) - self.reference(bench, size=size)

    def rank_needed(self, bench: str) -> int | None:
        """Return the smallest rank from which on LoRA is at most the margin behind.

        The whole interval has to be above minus the margin. None if no rank is enough.
        """
        behind = [rank for rank in RANKS if interval(list(self.gap(bench, rank)))[1] <= -MARGIN]
        higher = [rank for rank in RANKS if rank > max(behind, default=0)]
        return min(higher, default=None)

    def luck(self, **settings: Any) -> tuple[float, float]:
        """Return the best mean accuracy on valid over the learning rates, and that of a random one.

        Both on the nearest benchmark.
        """
        rows = where(last(self.table), **self.settings(NEAR, **settings))
        means = summary(rows, ["lr"])["mean"].tolist()
        return max(means), expected_best(means, 1)


def farther(runs: Evidence) -> Claim:
    """Judge whether LoRA falls further behind on farther tasks."""
    near = runs.gap(NEAR)
    gaps = {bench: runs.gap(bench) - near for bench in FAR}
    return Claim(
        "The farther a task is, the farther LoRA falls behind full fine-tuning.",
        HEARD,
        "LoRA (rank best on valid) minus full fine-tuning, "
        f"minus the same difference on {NEAR}; each at its best learning rate; test, points",
        *judge_differences(gaps, {"loses"}),
    )


def rank_closes_it(runs: Evidence) -> Claim:
    """Judge whether a high rank closes the gap on far tasks."""
    gaps = {bench: runs.gap(bench, RANKS[-1]) for bench in FAR}
    return Claim(
        "On a far task LoRA lacks rank; a high one closes the gap.",
        f"{HU}, section 7.2, expect it of a task in another language",
        f"rank {RANKS[-1]} (more parameters in the factors than in a square matrix) "
        "minus full fine-tuning; test, points",
        *judge_differences(gaps, {"ties", "beats"}),
    )


def targets_matter(runs: Evidence) -> Claim:
    """Judge whether LoRA on every linear layer beats LoRA on attention on far tasks."""
    gaps = {bench: runs.way(bench, LORA, MIXED_RANK) - runs.way(bench, ATTENTION) for bench in FAR}
    return Claim(
        "LoRA must be in every linear layer; on attention alone it is worse.",
        REGRET,
        f"rank {MIXED_RANK} everywhere minus rank {EQUAL_RANK} on attention, equal parameters, "
        "each at its best learning rate; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def inside_is_enough(runs: Evidence) -> Claim:
    """Judge whether training all weights but the embeddings does as well as training all."""
    gaps = {bench: runs.way(bench, ENCODER_ALONE) - runs.reference(bench) for bench in FAR}
    return Claim(
        "LoRA falls behind because a change of low rank is too small: "
        "training every weight inside the blocks freely would be enough.",
        HEARD,
        "full fine-tuning without the embeddings minus full fine-tuning; test, points",
        *judge_differences(gaps, {"ties", "beats"}),
    )


def embeddings_close_it(runs: Evidence) -> Claim:
    """Judge whether LoRA keeps up if the word embeddings are trained too."""
    gaps = {bench: runs.way(bench, LORA_AND_EMBEDDINGS) - runs.reference(bench) for bench in FAR}
    return Claim(
        "If the word embeddings are trained too, LoRA keeps up on far tasks.",
        HEARD,
        f"LoRA of rank {MIXED_RANK} with the word embeddings minus full fine-tuning; test, points",
        *judge_differences(gaps, {"ties", "beats"}),
    )


def vectors_are_missing(runs: Evidence) -> Claim:
    """Judge whether LoRA lacks the word vectors on far tasks."""
    gaps = {
        bench: runs.way(bench, EMBEDDINGS_ALONE) - runs.way(bench, LORA, runs.best_rank(bench))
        for bench in FAR
    }
    return Claim(
        "What LoRA lacks on far tasks are the word vectors.",
        HEARD,
        "embeddings and head alone minus LoRA at the rank best on valid; "
        "each at its best learning rate; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def past_is_a_burden(runs: Evidence) -> Claim:
    """Judge whether random weights beat a pretrained start on far tasks."""
    gaps = {bench: runs.way(bench, RANDOM_WEIGHTS) - runs.reference(bench) for bench in FAR}
    return Claim(
        "If a task is far enough, a pretrained start is worse than none.",
        HEARD,
        "random weights minus pretrained ones, both fully fine-tuned, "
        "each at its best learning rate; test, points",
        *judge_differences(gaps, {"beats"}),
    )


def frozen_transformers_do(runs: Evidence) -> Claim:
    """Judge whether the frozen blocks of a language model are of use for other data."""
    gaps = {
        bench: runs.way(bench, EMBEDDINGS_ALONE) - runs.way(bench, RANDOM_WEIGHTS) for bench in FAR
    }
    return Claim(
        "The frozen blocks of a pretrained transformer are useful even for data that is not "
        "language.",
        LU,
        "embeddings and head alone minus random weights fully trained, "
        "each at its best learning rate; test, points",
        *judge_differences(gaps, {"ties", "beats"}),
    )


def large_batches(runs: Evidence) -> Claim:
    """Judge whether large batches cost LoRA more than full fine-tuning."""
    gaps = {NEAR: runs.gap(NEAR, LARGE_RANK, LARGE_BATCH) - runs.gap(NEAR, LARGE_RANK)}
    return Claim(
        "Large batches cost LoRA more than full fine-tuning.",
        REGRET,
        f"LoRA of rank {LARGE_RANK} minus full, with {LARGE_BATCH} rows a step, "
        f"minus the same with {SIZE}; each at its best learning rate; test, points",
        *judge_differences(gaps, {"loses"}),
    )


def touchy(runs: Evidence) -> Claim:
    """Judge whether LoRA is more sensitive to its learning rate than full fine-tuning."""
    methods: dict[str, dict[str, Any]] = {
        "LoRA": {"way": LORA, "rank": LARGE_RANK},
        "full": {"method": FULL},
    }
    lost = {}
    for name, settings in methods.items():
        best, random = runs.luck(**settings)
        lost[name] = 100 * (best - random)
    results = [
        Finding(f"{name}:", f"a random learning rate gives {points:.1f} points less than the best")
        for name, points in lost.items()
    ]
    if abs(lost["LoRA"] - lost["full"]) < 1:
        says = "inconclusive"
    else:
        says = "holds" if lost["LoRA"] > lost["full"] else "does not hold"
    return Claim(
        "LoRA is more sensitive to its learning rate than full fine-tuning.",
        HEARD,
        "learning rates by half powers of ten, all that were tried for each, "
        f"on {NEAR}; means of all seeds; one comparison, no interval",
        results,
        says,
    )


def far_claims(table: pd.DataFrame) -> list[Claim]:
    """Judge the claims on far tasks, and on learning rates and batches."""
    runs = Evidence(table)
    return [
        farther(runs),
        rank_closes_it(runs),
        targets_matter(runs),
        inside_is_enough(runs),
        embeddings_close_it(runs),
        vectors_are_missing(runs),
        past_is_a_burden(runs),
        frozen_transformers_do(runs),
        large_batches(runs),
        touchy(runs),
    ]
