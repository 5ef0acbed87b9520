"""The study of lesson 09: eight methods on four benchmarks and three sizes of data, by budget."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import pandas as pd
import torch

from ftkit.experiments.benchmark import (
    FROZEN,
    FULL,
    SIZE,
    load_benchmark,
)
from ftkit.experiments.rate_search import tune_and_test
from ftkit.experiments.step_time import in_turns, stepper
from ftkit.experiments.sweep import grid
from ftkit.experiments.tables import where
from ftkit.lessons.can_lora_be_beaten.trial import (
    CONTROL_BUDGET,
    EXAMPLES,
    LARGER_ALPHA,
    METHODS,
    MIDDLE,
    MOST_EXAMPLES,
    OPERATIONS,
    PARAMETERS,
    RANKS,
    REFERENCES,
    WITHOUT_RANK,
    spaces,
    trial,
)
from ftkit.model.adapted import Adapted

BENCHES = {
    "opening": "near: words that the base has read, but the order of them counts",
    "library, 50% foreign": "between: half of the words mean other ones",
    "digits as text": "far: no words at all",
    "digits": "vision: handwriting, for a base that has seen printed letters",
}
"""The benchmarks by their distance from the pretraining data."""
PANEL_METHOD = "this method"
"""The method of the panel's own runs; the column `who` says which one it is."""
_LOW = (1e-3, 3e-3, 1e-2)
LRS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("LoRA", "DoRA", "last block"), _LOW),
    **dict.fromkeys(("BitFit", "sparse, gradient", "whole rows"), (3e-3, 1e-2, 3e-2)),
    **dict.fromkeys(("LoRA+", LARGER_ALPHA), (3e-4, 1e-3, 3e-3)),
    "sparse, random": (1e-2, 3e-2, 1e-1),
    FULL: (3e-4, 1e-3, 3e-3),
    FROZEN: (1e-2, 3e-2, 1e-1),
}
"""The learning rates that are tried first, three for each method.

`tune_and_test` adds more where the best is at an edge.
"""
SEEDS = tuple(range(9))
"""Nine seeds: with eight, no sign-flip test could be significant in a family of seven rivals."""
TUNING = 3
"""The number of seeds with which learning rates are chosen."""


def jobs(
    seeds: Sequence[int], benches: Sequence[str], examples: Sequence[int], methods: Sequence[str]
) -> list[dict[str, object]]:
    """List the runs by which the learning rates are chosen.

    Every method runs on every benchmark at the middle rank. With most training rows, there are also
    the other ranks, the budget of operations, and the control.
    """

    def cells(
        methods: Sequence[str], ranks: Sequence[int], examples: Sequence[int], budget: str
    ) -> list[dict[str, object]]:
        return [
            job
            for bench in benches
            for method in methods
            for job in grid(
                bench=[bench],
                method=[method],
                rank=ranks,
                examples=examples,
                budget=[budget],
                lr=LRS[method],
                seed=seeds,
            )
        ]

    wanted = cells(methods, [MIDDLE], examples, PARAMETERS)
    if MOST_EXAMPLES in examples:
        most = [MOST_EXAMPLES]
        other_ranks = [rank for rank in RANKS if rank != MIDDLE]
        with_rank = [name for name in methods if name not in (*WITHOUT_RANK, *REFERENCES)]
        controls = [LARGER_ALPHA] if "LoRA+" in methods else []
        wanted += cells(with_rank, other_ranks, most, PARAMETERS)
        wanted += cells([name for name in methods if name != "LoRA"], [MIDDLE], most, OPERATIONS)
        wanted += cells(controls, [MIDDLE], most, CONTROL_BUDGET)
    return wanted


def seconds(
    benches: Sequence[str] = tuple(BENCHES), rounds: int = 100
) -> dict[str, dict[str, float]]:
    """Measure the seconds of a step, by benchmark and method.

    Medians of `rounds` steps on one thread; all methods take turns on the same batches.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {bench: in_turns(_steppers(bench), rounds) for bench in benches}
    finally:
        torch.set_num_threads(threads)


def _steppers(bench: str) -> dict[str, Callable[[], float]]:
    base, task = load_benchmark(bench)
    stream = task.take(MOST_EXAMPLES).batches(SIZE, torch.Generator().manual_seed(0))
    batches = [next(stream) for _ in range(16)]
    return {
        name: stepper(Adapted(base, *spaces(bench, name, MIDDLE, MOST_EXAMPLES, 0)), batches)
        for name in (*METHODS, *REFERENCES)
    }


def record(
    executor: Executor | None,
    seeds: tuple[int, ...] = SEEDS,
    benches: Sequence[str] = tuple(BENCHES),
    examples: Sequence[int] = EXAMPLES,
    methods: Sequence[str] = (*METHODS, *REFERENCES),
) -> pd.DataFrame:
    """Run the whole study, or a part of it.

    Learning rates are chosen on valid with three of the seeds; the chosen ones run with all seeds
    and are evaluated on test once.
    """
    by = ["bench", "method", "rank", "examples", "budget"]
    return tune_and_test(
        trial, jobs(seeds[:TUNING], benches, examples, methods), by, seeds, executor
    )


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """Prepare the recorded runs for the panel.

    The methods' runs get the method `PANEL_METHOD` and their own name in the column `who`. A run is
    repeated under all settings at which it would have been the same: `WITHOUT_RANK` at every rank,
    and LoRA, which defines both budgets, under both.
    """
    table = table[table["budget"] != CONTROL_BUDGET]
    is_reference = table["method"].isin(REFERENCES)
    methods = table[~is_reference].assign(who=table["method"], method=PANEL_METHOD)
    copies = [
        where(methods, who=who, budget=PARAMETERS).assign(rank=rank)
        for who in WITHOUT_RANK
        for rank in RANKS
        if rank != MIDDLE
    ]
    copies.append(where(methods, who="LoRA").assign(budget=OPERATIONS))
    references = table[is_reference].assign(who="")
    return pd.concat([methods, *copies, references], ignore_index=True)
