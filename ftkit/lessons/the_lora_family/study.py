"""Lesson 08: LoRA's relatives on two benches, with as many trainable numbers as LoRA, each at its own best learning rate."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import lru_cache

import pandas as pd
from torch.nn import functional as F

from ftkit.experiments.benchmark import (
    BENCHMARKS,
    HEAD,
    STEPS,
    Between,
    fine_tuning,
    load_benchmark,
    reference,
)
from ftkit.experiments.rate_search import few, settled
from ftkit.experiments.sweep import grid
from ftkit.lessons.lora.study import REFERENCE_LRS
from ftkit.model.adapted import Adapted
from ftkit.model.change import Space
from ftkit.model.low_rank import matrices
from ftkit.techniques.adalora import AdaLoRA, Pruning
from ftkit.techniques.dora import DoRA
from ftkit.techniques.ia3 import IA3
from ftkit.techniques.lora import LoRA
from ftkit.techniques.lorafa import LoRAFA
from ftkit.techniques.loraplus import LoRAPlus
from ftkit.techniques.pissa import PiSSA
from ftkit.techniques.rslora import RsLoRA
from ftkit.techniques.vera import VeRA
from ftkit.training.events import Event
from ftkit.training.loop import Probe

WIDTH = 32
"""VeRA's rank for each rank of LoRA: even so it has far fewer numbers, and its frozen matrices cost more operations than the layers."""

MADE: dict[str, Callable[[str, int, int], Space]] = {
    "LoRA": lambda bench, rank, seed: LoRA(rank),
    "rsLoRA": lambda bench, rank, seed: RsLoRA(rank),
    "LoRA+": lambda bench, rank, seed: LoRAPlus(rank),
    "LoRA-FA": lambda bench, rank, seed: LoRAFA(fitting(bench, rank, each=0, a_rank=1), seed=seed),
    "DoRA": lambda bench, rank, seed: DoRA(fitting(bench, rank, each=1, a_rank=2)),
    "PiSSA": lambda bench, rank, seed: PiSSA(rank),
    "AdaLoRA": lambda bench, rank, seed: AdaLoRA(more(rank)),
    "VeRA": lambda bench, rank, seed: VeRA(WIDTH * rank, seed=seed),
    "(IA)3": lambda bench, rank, seed: IA3(),
}
RELATIVES = tuple(MADE)
BENCHES = ("opening", "digits")
"""Text and vision. Not "library": there a new head on a frozen body does most of the work, and little is left in which two could differ."""
FIXED = ("(IA)3",)
"""Those that have the same numbers whatever the rank."""

RANKS = (1, 2, 4, 8, 16, 32)
"""Of the LoRA whose numbers are given to all."""
JUDGED, HIGH = (2, 8), 32
"""The ranks that are recorded for all, and the one at which rsLoRA should show."""

_LOW = (1e-3, 3e-3, 1e-2, 3e-2)
LRS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(RELATIVES, _LOW),
    "LoRA+": (3e-4, 1e-3, 3e-3, 1e-2),
    "AdaLoRA": (3e-3, 1e-2, 3e-2, 1e-1),
    "VeRA": (1e-2, 3e-2, 1e-1, 3e-1),
    "(IA)3": (1e-2, 3e-2, 1e-1, 3e-1),
}
"""The rates that are tried first; where the best lies at an edge, more are tried. LoRA+'s is that of A."""
SEEDS = tuple(range(10))
"""Ten, since with eight no sign flip can tell of a family of eight."""
OWN = "relative"
"""What the record calls a run of one of them."""


@lru_cache(maxsize=len(BENCHMARKS))
def sizes(bench: str) -> tuple[int, int]:
    """Of the linear layers of a bench's body: inputs and outputs together, and outputs alone."""
    found = matrices(load_benchmark(bench)[0], "body.*", "LoRA").values()
    outs = sum(matrix.out_features for matrix in found)
    return outs + sum(matrix.in_features for matrix in found), outs


def fitting(bench: str, rank: int, each: int, a_rank: int) -> int:
    """The largest rank, at least 1, with no more numbers than LoRA of `rank`: `each` numbers an output, and for each rank as many as
    there are outputs (`a_rank` 1) or inputs and outputs (2)."""
    both, outs = sizes(bench)
    return max(1, (rank * both - each * outs) // (both if a_rank == 2 else outs))


def more(rank: int) -> int:
    """AdaLoRA's directions of a matrix at first: half as many again as LoRA has."""
    return rank + (rank + 1) // 2


def pruned(bench: str, rank: int) -> Between:
    """What AdaLoRA does between steps: at the end it has as many directions as LoRA of `rank`, in whatever matrices."""
    return lambda model: Pruning(
        model, rank * len(matrices(load_benchmark(bench)[0], "body.*", "AdaLoRA")), STEPS
    )


def trial(
    bench: str,
    relative: str,
    rank: int,
    lr: float,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """One of LoRA's relatives on a bench, with at most the numbers of LoRA of `rank`, if its own smallest size allows: one run. AdaLoRA has
    them at the end; on the way, and on its bill, it has half as many again.

    Raises:
        ValueError: there is no such relative.
    """
    if relative not in MADE:
        raise ValueError(f"relative must be one of {', '.join(RELATIVES)}, got {relative!r}")
    between = pruned(bench, rank) if relative == "AdaLoRA" else None
    yield from fine_tuning(
        bench,
        MADE[relative](bench, rank, seed),
        HEAD,
        lr=lr,
        seed=seed,
        probe=probe,
        test=test,
        between=between,
    )


def turned(model: Adapted) -> dict[str, float]:
    """How far the rows of each matrix of the body have gone: `probe/longer/<weight>`, the mean change of their length as a share of it,
    in either direction, and `probe/turned/<weight>`, the mean angle between before and now, in degrees. A row makes one output feature."""
    layers, found = matrices(model.base, "body.*", "turned"), dict[str, float]()
    for name, before, now in model.changed():
        if name in layers:
            rows, moved = (
                weight.t() if layers[name].transposed else weight for weight in (before, now)
            )
            lengths = rows.norm(dim=1)
            angles = (
                F.cosine_similarity(rows.double(), moved.double(), dim=1)
                .clamp(-1, 1)
                .arccos()
                .rad2deg()
            )
            found[f"probe/longer/{name}"] = float(
                ((moved.norm(dim=1) - lengths).abs() / lengths).mean()
            )
            found[f"probe/turned/{name}"] = float(angles.mean())
    return found


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study: rates are chosen on valid, with half of the seeds; test is read once, with all seeds, for what was chosen."""
    half, benches = few(seeds), list(BENCHES)
    ranks: dict[str, tuple[int, ...]] = {
        relative: JUDGED[:1] if relative in FIXED else JUDGED for relative in RELATIVES
    }
    ranks |= dict.fromkeys(("LoRA", "rsLoRA"), (*JUDGED, HIGH))
    jobs = [
        job
        for relative in RELATIVES
        for job in grid(
            bench=benches, relative=[relative], rank=ranks[relative], lr=LRS[relative], seed=half
        )
    ]
    references = [
        job
        for method, lrs in REFERENCE_LRS.items()
        for job in grid(bench=benches, method=[method], lr=lrs, seed=half)
    ]
    ours = settled(trial, jobs, ["bench", "relative", "rank"], seeds, executor)
    again = [
        ours[ours["relative"] == relative].assign(rank=rank)
        for relative in FIXED
        for rank in JUDGED[1:]
    ]
    table = pd.concat(
        [settled(reference, references, ["bench", "method"], seeds, executor), ours, *again],
        ignore_index=True,
    )
    return table.fillna({"method": OWN, "relative": "", "rank": 0}).astype({"rank": int})
