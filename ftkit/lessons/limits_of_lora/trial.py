"""Lesson 03: how far a task may lie from what the base has read, for LoRA of every rank, and for what else may move."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor

import pandas as pd

from ftkit.experiments import benchmark
from ftkit.experiments.benchmark import (
    BENCHMARKS,
    FAR_TASKS,
    FROZEN,
    FULL,
    HEAD,
    SIZE,
    fine_tuning,
    load_benchmark,
)
from ftkit.experiments.rate_search import few, settled
from ftkit.experiments.sweep import grid
from ftkit.lessons.limits_of_lora.forgetting import aftermath
from ftkit.model.change import Space
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event
from ftkit.training.loop import Probe

PLACES = ("library", *FAR_TASKS)
"""From near to far."""
EMBEDDINGS = "body.embeddings.word_embeddings.weight"

LORA, BOTH, WORDS, INSIDE, SCRATCH = (
    "LoRA",
    "LoRA + embeddings",
    "embeddings alone",
    "full without embeddings",
    "random weights",
)
ATTENTION = "LoRA on attention alone"
MADE: dict[str, Callable[[int], tuple[Space, ...]]] = {
    LORA: lambda rank: (LoRA(rank),),
    BOTH: lambda rank: (LoRA(rank), Only(EMBEDDINGS)),
    WORDS: lambda rank: (Only(EMBEDDINGS),),
    INSIDE: lambda rank: (Only("body.encoder.*"),),
    ATTENTION: lambda rank: (LoRA(rank, where=BENCHMARKS["library"].attention),),
}
"""What moves beside the head."""
WAYS = (*MADE, SCRATCH)

RANKS = (1, 4, 16, 64)
"""At 64 a matrix of 96 by 96 has more numbers in its two factors than entries: no rank is left that could be missing."""
MIXED_RANK = 4
EQUAL_RANK = 7
"""At it LoRA on attention alone has exactly the numbers of rank 4 on every linear layer."""
ONE_RANK = {way: 0 for way in WAYS if way != LORA} | {BOTH: MIXED_RANK, ATTENTION: EQUAL_RANK}
"""The rank of the ways that are recorded with one alone; 0 where there is none."""
LARGE, LARGE_RANK = 64, 16
"""A batch of four times the rows, on the nearest place: for LoRA of this rank and for full fine-tuning."""
LRS: dict[str, tuple[float, ...]] = {
    LORA: (1e-3, 3e-3, 1e-2, 3e-2),
    BOTH: (1e-3, 3e-3, 1e-2, 3e-2),
    WORDS: (3e-3, 1e-2, 3e-2, 1e-1),
    INSIDE: (3e-4, 1e-3, 3e-3, 1e-2),
    SCRATCH: (3e-4, 1e-3, 3e-3, 1e-2),
    ATTENTION: (1e-3, 3e-3, 1e-2, 3e-2),
}
REFERENCE_LRS: dict[str, tuple[float, ...]] = {
    FULL: (3e-4, 1e-3, 3e-3, 1e-2),
    FROZEN: (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
}
SEEDS = tuple(range(8))
OWN = "beside the head"
"""What the record calls a run of one of the ways."""


def trial(
    bench: str,
    way: str,
    rank: int,
    lr: float,
    size: int = SIZE,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """One run: the head moves, and what `way` names, with `rank` where that has one; "random weights" is full fine-tuning without a past.
    `size` is the rows of a step. What it leaves behind comes at the end.

    Raises:
        ValueError: there is no such way.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}")
    if way == SCRATCH:
        yield from fine_tuning(
            bench,
            lr=lr,
            seed=seed,
            probe=probe,
            test=test,
            size=size,
            net=load_benchmark(bench)[0].untrained(seed),
        )
    else:
        yield from fine_tuning(
            bench,
            *MADE[way](rank),
            HEAD,
            lr=lr,
            seed=seed,
            probe=probe,
            test=test,
            size=size,
            after=aftermath,
        )


def reference(
    bench: str, method: str, lr: float, size: int = SIZE, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """What LoRA stands between, and what that leaves behind."""
    yield from benchmark.reference(bench, method, lr, seed, test, size=size, after=aftermath)


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study: rates are chosen on valid, with half of the seeds; test is read once, with all seeds, for what was chosen."""
    half, benches = few(seeds), list(PLACES)
    ranks = {LORA: RANKS} | {way: (rank,) for way, rank in ONE_RANK.items()}
    jobs = [
        job
        for way in WAYS
        for job in grid(
            bench=benches, way=[way], rank=ranks[way], size=[SIZE], lr=LRS[way], seed=half
        )
    ]
    jobs += grid(
        bench=benches[:1], way=[LORA], rank=[LARGE_RANK], size=[LARGE], lr=LRS[LORA], seed=half
    )
    references = [
        job
        for method, lrs in REFERENCE_LRS.items()
        for job in grid(bench=benches, method=[method], size=[SIZE], lr=lrs, seed=half)
    ]
    references += grid(
        bench=benches[:1], method=[FULL], size=[LARGE], lr=REFERENCE_LRS[FULL], seed=half
    )
    tables = [
        settled(reference, references, ["bench", "method", "size"], seeds, executor),
        settled(trial, jobs, ["bench", "way", "rank", "size"], seeds, executor),
    ]
    return (
        pd.concat(tables, ignore_index=True)
        .fillna({"method": OWN, "way": "", "rank": 0})
        .astype({"rank": int})
    )
