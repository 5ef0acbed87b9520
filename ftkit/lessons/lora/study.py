"""Lesson 02: LoRA on three benches, over ranks, learning rates, targets and alpha, between full fine-tuning and the frozen body."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import pandas as pd
import torch

from ftkit.experiments.bench import BENCHMARKS, FROZEN, FULL, HEAD, fine_tuning, reference
from ftkit.experiments.rate_search import few, settled
from ftkit.experiments.recording import make
from ftkit.experiments.step_time import lora_over_full
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


def where(on: str, targets: str) -> str:
    """The weights of a bench's body that `targets` names."""
    return {
        "all linear": "body.*",
        "attention": BENCHMARKS[on].attention,
        "feed-forward": BENCHMARKS[on].feed_forward,
    }[targets]


def trial(
    on: str,
    rank: int,
    lr: float,
    targets: str = "all linear",
    alpha: str = "16",
    seed: int = 0,
    test: bool = False,
    look: Probe | None = None,
) -> Iterator[Event]:
    """LoRA on a bench: one run. `alpha` is "16", constant over ranks, or "2r", twice the rank."""
    space = LoRA(rank, 16.0 if alpha == "16" else None, where(on, targets))
    yield from fine_tuning(on, space, HEAD, lr=lr, seed=seed, look=look, test=test)


def spectrum(model: Adapted) -> dict[str, float]:
    """The singular values of each matrix's change, largest first (`look/change/<weight>/<i>`), and of the weight that changed most
    before and after (`look/before/...`, `look/after/...`)."""
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
        f"look/{which}/{name}/{i}": value
        for (which, name), values in found.items()
        for i, value in enumerate(values.tolist())
    }


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study: rates are chosen on valid; test is read once, for what was chosen.

    Other targets and the other alpha run beside it, on the first bench and with half of the seeds: for the panel, not for a verdict.
    """
    half, ons = few(seeds), list(BENCHMARKS)
    main = grid(on=ons, rank=RANKS, targets=TARGETS[:1], alpha=["16"], lr=LRS, seed=seeds)
    equal = [
        job
        for on in ons
        for job in grid(
            on=[on], rank=[EQUAL[on]], targets=["attention"], alpha=["16"], lr=LRS, seed=seeds
        )
    ]
    rails = [
        job
        for method, lrs in REFERENCE_LRS.items()
        for job in grid(on=ons, method=[method], lr=lrs, seed=seeds)
    ]
    beside = [
        *grid(on=ons[:1], rank=RANKS, targets=TARGETS[1:], alpha=["16"], lr=LRS, seed=half),
        *grid(on=ons[:1], rank=RANKS, targets=TARGETS[:1], alpha=["2r"], lr=LRS, seed=half),
    ]
    tables = [
        settled(reference, rails, ["on", "method"], seeds, executor),
        settled(trial, main + equal, ["on", "rank", "targets", "alpha"], seeds, executor),
        sweep(trial, beside, executor),
    ]
    whole = pd.concat(tables, ignore_index=True)
    return whole.fillna({"method": "LoRA", "rank": 0, "targets": "", "alpha": ""}).astype(
        {"rank": int}
    )


def main(path: Path, seeds: Sequence[int] = SEEDS) -> None:
    """Runs the study and writes its table to `path`."""
    make(path, "02", record, seeds, more=lambda: {"lora_step_over_full_step": lora_over_full()})
