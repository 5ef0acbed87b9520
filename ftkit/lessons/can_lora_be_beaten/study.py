"""Lesson 09: eight methods, one or more of each kind, on four tasks of declared distance and three sizes of data, under named budgets."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import lru_cache

import pandas as pd
import torch

from ftkit.experiments.benchmark import (
    FROZEN,
    FULL,
    HEAD,
    SIZE,
    STEPS,
    fine_tuning,
    load_benchmark,
    step_cost,
)
from ftkit.experiments.rate_search import settled
from ftkit.experiments.step_time import in_turns, stepper
from ftkit.experiments.tables import where
from ftkit.lessons.sparse import trial as sparse
from ftkit.lessons.the_lora_family.study import fitting, sizes
from ftkit.model.adapted import Adapted, select
from ftkit.model.change import Space
from ftkit.model.entries import exact_count, top
from ftkit.model.entry_scores import gradient
from ftkit.model.low_rank import matrices
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.dora import DoRA
from ftkit.techniques.freeze import LastBlocks
from ftkit.techniques.lora import LoRA
from ftkit.techniques.loraplus import LoRAPlus
from ftkit.techniques.sparse import Rows, Sparse
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR, Probe

PLACES = {
    "opening": "near: words that the base has read, but the order of them counts",
    "library, 50% foreign": "between: half of the words mean other ones",
    "digits as text": "far: no words at all",
    "digits": "vision: handwriting, for a base that has seen printed letters",
}
EXAMPLES = (64, 256, 1024)
"""Training rows; each seed draws them anew."""
RANKS = (1, 4, 16)
"""Of the LoRA whose numbers are given to all: the equal-budget slider."""
MIDDLE, MOST = RANKS[1], EXAMPLES[-1]
SCORED = 64
"""How many of the training rows say which entries have the steepest loss."""


def density(bench: str, rank: int) -> float:
    """The share of the entries of those matrices that LoRA of `rank` has numbers, at most 1."""
    return min(
        1.0,
        rank
        * sizes(bench)[0]
        / sum(
            weight.numel()
            for weight in select(
                load_benchmark(bench)[0], sparse.where(bench, sparse.LINEAR)
            ).values()
        ),
    )


@lru_cache(maxsize=16)
def share_of_rows(bench: str, rank: int) -> float:
    """The largest share of the rows of those matrices, the same in each, that has no more numbers than LoRA of `rank`, if one row does."""
    found = matrices(load_benchmark(bench)[0], "body.*", "whole rows").values()
    every = sorted({count / matrix.out_features for matrix in found for count in range(1, matrix.out_features + 1)})
    fit = [
        share
        for share in every
        if sum(exact_count(share, matrix.out_features) * matrix.in_features for matrix in found)
        <= rank * sizes(bench)[0]
    ]
    return max(fit, default=every[0])


@lru_cache(maxsize=16)
def steepest(bench: str, rank: int, examples: int, seed: int) -> Space:
    """As many entries as LoRA of `rank` has numbers, those where the loss on the first training rows is steepest."""
    base, task = load_benchmark(bench)
    data = task.take(examples, seed)
    batches = [
        data.batch("train", rows) for rows in torch.arange(min(SCORED, examples)).split(SIZE)
    ]
    return top(
        gradient(base.fresh_heads(seed), batches, sparse.where(bench, sparse.LINEAR)),
        density(bench, rank),
    )


LARGER_ALPHA = "LoRA, alpha 256"
"""LoRA with 16 times its alpha: LoRA+, whose B has 16 times A's rate, does nearly the same. A control, asked for after LoRA+ had won."""
Made = Callable[[str, int, int, int], tuple[Space, ...]]
MADE: dict[str, Made] = {
    "LoRA": lambda bench, rank, examples, seed: (LoRA(rank),),
    "DoRA": lambda bench, rank, examples, seed: (DoRA(fitting(bench, rank, each=1, a_rank=2)),),
    "LoRA+": lambda bench, rank, examples, seed: (LoRAPlus(rank),),
    "BitFit": lambda bench, rank, examples, seed: (BitFit(),),
    "sparse, random": lambda bench, rank, examples, seed: (
        Sparse(density(bench, rank), "random", sparse.where(bench, sparse.LINEAR), seed),
    ),
    "sparse, gradient": lambda bench, rank, examples, seed: (
        steepest(bench, rank, examples, seed),
    ),
    "whole rows": lambda bench, rank, examples, seed: (
        Rows(share_of_rows(bench, rank), "random", sparse.where(bench, sparse.LINEAR), seed),
    ),
    "last block": lambda bench, rank, examples, seed: (LastBlocks(1),),
    LARGER_ALPHA: lambda bench, rank, examples, seed: (LoRA(rank, alpha=16 * 16.0),),
}
METHODS = tuple(name for name in MADE if name != LARGER_ALPHA)
REFERENCES = (FROZEN, FULL)
OWN = "this method"
"""The method of the panel's own rows; which one it is stands in `who`."""
FIXED = ("BitFit", "last block")
"""Those that have the same numbers whatever the rank."""

_LOW = (1e-3, 3e-3, 1e-2)
LRS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("LoRA", "DoRA", "last block"), _LOW),
    **dict.fromkeys(("BitFit", "sparse, gradient", "whole rows"), (3e-3, 1e-2, 3e-2)),
    **dict.fromkeys(("LoRA+", LARGER_ALPHA), (3e-4, 1e-3, 3e-3)),
    "sparse, random": (1e-2, 3e-2, 1e-1),
    FULL: (3e-4, 1e-3, 3e-3),
    FROZEN: (1e-2, 3e-2, 1e-1),
}
"""The rates that are tried first: three for each; where the best lies at an edge, more are tried."""
SEEDS = tuple(range(9))
"""Nine: with eight no sign flip can tell of a family of seven rivals."""
TUNING = 3
"""With how many of the seeds rates are chosen."""
NUMBERS, OPERATIONS = "equal parameters, 80 steps", "equal parameters and operations"
BUDGETS = (NUMBERS, OPERATIONS)
"""What all get alike: the numbers that train (but those of `FIXED` and of full fine-tuning), and as many steps or as many operations."""
CONTROL = "a control, 80 steps"
"""The budget of `LARGER_ALPHA`, which is no rival: it tells what a rival's lead is made of."""


def spaces(bench: str, method: str, rank: int, examples: int, seed: int) -> tuple[Space, ...]:
    """Where the change of a method, or of a rail, may live.

    Raises:
        ValueError: there is no such method.
    """
    if method in REFERENCES:
        return () if method == FULL else (HEAD,)
    if method not in MADE:
        raise ValueError(
            f"method must be one of {', '.join((*METHODS, *REFERENCES))}, got {method!r}"
        )
    return (*MADE[method](bench, rank, examples, seed), HEAD)


def steps(bench: str, method: str, rank: int, examples: int, budget: str) -> int:
    """80, or as many steps as have the operations of LoRA's 80: those of a step are counted on a batch that is the same for all.

    Raises:
        ValueError: there is no such budget.
    """
    if budget not in (*BUDGETS, CONTROL):
        raise ValueError(f"budget must be one of {'; '.join(BUDGETS)}, got {budget!r}")
    if budget != OPERATIONS:
        return STEPS
    lora, own = (
        step_cost(bench, *spaces(bench, name, rank, examples, 0)).values["cost/flops"]
        for name in ("LoRA", method)
    )
    return max(1, round(STEPS * lora / own))


def trial(
    bench: str,
    method: str,
    rank: int,
    examples: int,
    lr: float,
    budget: str = NUMBERS,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """One run of a method with as many numbers as LoRA of `rank`, on `examples` training rows; the frozen body's `lr` is the head's."""
    own = spaces(bench, method, rank, examples, seed)
    many = steps(bench, method, rank, examples, budget)
    head_lr = lr if method == FROZEN else HEAD_LR
    yield from fine_tuning(
        bench,
        *own,
        lr=lr,
        head_lr=head_lr,
        seed=seed,
        probe=probe,
        test=test,
        examples=examples,
        steps=many,
    )


def jobs(
    seeds: Sequence[int], places: Sequence[str], examples: Sequence[int], methods: Sequence[str]
) -> list[dict[str, object]]:
    """The runs with which rates are chosen: every method everywhere at the middle rank; with most rows the other ranks, the budget of
    operations, and the control."""
    asked = [
        (place, method, MIDDLE, rows, NUMBERS)
        for place in places
        for method in methods
        for rows in examples
    ]
    if MOST in examples:
        free = [method for method in methods if method not in (*FIXED, *REFERENCES)]
        asked += [
            (place, method, rank, MOST, NUMBERS)
            for place in places
            for method in free
            for rank in RANKS
            if rank != MIDDLE
        ]
        asked += [
            (place, method, MIDDLE, MOST, OPERATIONS)
            for place in places
            for method in methods
            if method != "LoRA"
        ]
        asked += [
            (place, LARGER_ALPHA, MIDDLE, MOST, CONTROL) for place in places if "LoRA+" in methods
        ]
    names = ("bench", "method", "rank", "examples", "budget")
    each = [dict(zip(names, one, strict=True)) for one in asked]
    return [
        {**one, "lr": lr, "seed": seed}
        for one in each
        for lr in LRS[str(one["method"])]
        for seed in seeds
    ]


def seconds(
    places: Sequence[str] = tuple(PLACES), rounds: int = 100
) -> dict[str, dict[str, float]]:
    """The seconds of a step of each method, by place: medians of steps that all take in turns, on the same batches and on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {bench: in_turns(_steppers(bench), rounds) for bench in places}
    finally:
        torch.set_num_threads(threads)


def _steppers(bench: str) -> dict[str, Callable[[], float]]:
    base, task = load_benchmark(bench)
    stream = task.take(MOST).batches(SIZE, torch.Generator().manual_seed(0))
    batches = [batch for batch, _ in zip(stream, range(16), strict=False)]
    return {
        name: stepper(Adapted(base, *spaces(bench, name, MIDDLE, MOST, 0)), batches)
        for name in (*METHODS, *REFERENCES)
    }


def record(
    executor: Executor | None,
    seeds: tuple[int, ...] = SEEDS,
    places: Sequence[str] = tuple(PLACES),
    examples: Sequence[int] = EXAMPLES,
    methods: Sequence[str] = (*METHODS, *REFERENCES),
) -> pd.DataFrame:
    """The whole study, or a part of it: rates are chosen on valid, with three of the seeds; test is read once, with all, for what was
    chosen."""
    by = ["bench", "method", "rank", "examples", "budget"]
    return settled(trial, jobs(seeds[:TUNING], places, examples, methods), by, seeds, executor)


def for_the_panel(table: pd.DataFrame) -> pd.DataFrame:
    """What the panel stands on: the rails, and each run wherever it would have been the same. Biases and the last block do not feel the
    rank, and LoRA is the measure of both budgets."""
    table = table[table["budget"] != CONTROL]
    is_reference = table["method"].isin(REFERENCES)
    own = table[~is_reference].assign(who=table["method"], method=OWN)
    same = [
        where(own, who=who, budget=NUMBERS).assign(rank=rank)
        for who in FIXED
        for rank in RANKS
        if rank != MIDDLE
    ]
    same.append(where(own, who="LoRA").assign(budget=OPERATIONS))
    return pd.concat([own, *same, table[is_reference].assign(who="")], ignore_index=True)
