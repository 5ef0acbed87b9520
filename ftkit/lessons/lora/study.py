"""Lesson 02: LoRA on three benches, over ranks, learning rates, targets and alpha, between full fine-tuning and the frozen body."""

from collections.abc import Iterator
from concurrent.futures import Executor

import pandas as pd
import torch

from ftkit.experiments.benchmark import BENCHMARKS, FROZEN, FULL, HEAD, fine_tuning, reference
from ftkit.experiments.rate_search import few, settled
from ftkit.experiments.sweep import grid, sweep
from ftkit.model.adapted import Adapted
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event
from ftkit.training.loop import Probe

RANKS = (1, 2, 4, 8, 16, 32)
LRS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
REFERENCE_LRS = {
    FULL: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    FROZEN: (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
}
TARGETS = ("all linear", "attention", "feed-forward")
SEEDS = tuple(range(8))
EQUAL = {"opening": 7, "library": 7, "digits": 9}
"""The rank at which LoRA on attention alone has exactly the numbers of rank 4 on every linear layer."""


def where(bench: str, targets: str) -> str:
    """The weights of a bench's body that `targets` names."""
    return {
        "all linear": "body.*",
        "attention": BENCHMARKS[bench].attention,
        "feed-forward": BENCHMARKS[bench].feed_forward,
    }[targets]


def trial(
    bench: str,
    rank: int,
    lr: float,
    targets: str = "all linear",
    alpha: str = "16",
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """LoRA on a bench: one run. `alpha` is "16", constant over ranks, or "2r", twice the rank."""
    space = LoRA(rank, 16.0 if alpha == "16" else None, where(bench, targets))
    yield from fine_tuning(bench, space, HEAD, lr=lr, seed=seed, probe=probe, test=test)


def spectrum(model: Adapted) -> dict[str, float]:
    """The singular values of each matrix's change, largest first (`probe/change/<weight>/<i>`), and of the weight that changed most
    before and after (`probe/before/...`, `probe/after/...`)."""
    matrices = {
        name: pair
        for name, *pair in model.changed()
        if pair[0].ndim == 2 and name.startswith("body.")
    }
    found = {
        ("change", name): torch.linalg.svdvals(now - before)
        for name, (before, now) in matrices.items()
    }
    _, most = max(found, key=lambda key: float(found[key].square().sum()))
    found |= {
        (which, most): torch.linalg.svdvals(matrix)
        for which, matrix in zip(("before", "after"), matrices[most], strict=True)
    }
    return {
        f"probe/{which}/{name}/{i}": value
        for (which, name), values in found.items()
        for i, value in enumerate(values.tolist())
    }


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study: rates are chosen on valid; test is read once, for what was chosen.

    Other targets and the other alpha run beside it, on the first bench and with half of the seeds: for the panel, not for a verdict.
    """
    half, benches = few(seeds), list(BENCHMARKS)
    main = grid(bench=benches, rank=RANKS, targets=TARGETS[:1], alpha=["16"], lr=LRS, seed=seeds)
    equal = [
        job
        for bench in benches
        for job in grid(
            bench=[bench],
            rank=[EQUAL[bench]],
            targets=["attention"],
            alpha=["16"],
            lr=LRS,
            seed=seeds,
        )
    ]
    references = [
        job
        for method, lrs in REFERENCE_LRS.items()
        for job in grid(bench=benches, method=[method], lr=lrs, seed=seeds)
    ]
    beside = [
        *grid(bench=benches[:1], rank=RANKS, targets=TARGETS[1:], alpha=["16"], lr=LRS, seed=half),
        *grid(bench=benches[:1], rank=RANKS, targets=TARGETS[:1], alpha=["2r"], lr=LRS, seed=half),
    ]
    tables = [
        settled(reference, references, ["bench", "method"], seeds, executor),
        settled(trial, main + equal, ["bench", "rank", "targets", "alpha"], seeds, executor),
        sweep(trial, beside, executor),
    ]
    whole = pd.concat(tables, ignore_index=True)
    return whole.fillna({"method": "LoRA", "rank": 0, "targets": "", "alpha": ""}).astype(
        {"rank": int}
    )
