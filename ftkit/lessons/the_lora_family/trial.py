"""The trial of lesson 08: LoRA's relatives, with at most the trainable parameters of LoRA."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from torch.nn import functional as F

from ftkit.experiments.benchmark import (
    BENCHMARKS,
    HEAD,
    STEPS,
    Between,
    fine_tuning,
    load_benchmark,
)
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

RELATIVES = (
    "LoRA",
    "rsLoRA",
    "LoRA+",
    "LoRA-FA",
    "DoRA",
    "PiSSA",
    "AdaLoRA",
    "VeRA",
    "(IA)3",
)
WITHOUT_RANK = ("(IA)3",)
"""The relatives whose number of parameters does not depend on the rank."""
VERA_FACTOR = 32
"""VeRA's rank is this multiple of LoRA's.

Even so VeRA has far fewer parameters, and its frozen matrices cost more operations than the layers.
"""

RANKS = (1, 2, 4, 8, 16, 32)
"""Ranks of the LoRA that sets the parameter budget of all relatives."""


class Features(NamedTuple):
    """The features of all linear layers of a body, summed over the layers."""

    inputs: int
    outputs: int

    @property
    def both(self) -> int:
        """Inputs and outputs together: the number of parameters of LoRA of rank 1."""
        return self.inputs + self.outputs


@lru_cache(maxsize=len(BENCHMARKS))
def features(bench: str) -> Features:
    """Count the features of the linear layers of a benchmark's body."""
    layers = matrices(load_benchmark(bench)[0], "body.*", "LoRA").values()
    return Features(
        sum(layer.in_features for layer in layers), sum(layer.out_features for layer in layers)
    )


def fitting_rank(bench: str, lora_rank: int, per_output: int, trains_a: bool) -> int:
    """The largest rank, at least 1, with no more parameters than LoRA of `lora_rank`.

    Args:
        bench: the name of the benchmark.
        lora_rank: the rank of the LoRA that sets the budget.
        per_output: the method's parameters for each output feature, whatever its rank.
        trains_a: whether A, with its input features, is trained as well as B.
    """
    size = features(bench)
    for_factors = lora_rank * size.both - per_output * size.outputs
    per_rank = size.both if trains_a else size.outputs
    return max(1, for_factors // per_rank)


def adalora_rank(rank: int) -> int:
    """AdaLoRA's rank at the start: half as much again as LoRA's, rounded up."""
    return rank + (rank + 1) // 2


def adalora_pruning(bench: str, rank: int) -> Between:
    """AdaLoRA's pruning between steps.

    At the end it has as many directions as LoRA of `rank` in total, in whichever matrices.
    """
    directions = rank * len(matrices(load_benchmark(bench)[0], "body.*", "AdaLoRA"))
    return lambda model: Pruning(model, directions, STEPS)


def relative_space(bench: str, relative: str, rank: int, seed: int) -> Space:
    """A relative with at most the parameters of LoRA of `rank`, if its smallest size allows.

    AdaLoRA has them at the end of a run; at the start it has half as many again.

    Raises:
        ValueError: there is no such relative.
    """
    lora_fa_rank = fitting_rank(bench, rank, per_output=0, trains_a=False)
    dora_rank = fitting_rank(bench, rank, per_output=1, trains_a=True)
    spaces: dict[str, Space] = {
        "LoRA": LoRA(rank),
        "rsLoRA": RsLoRA(rank),
        "LoRA+": LoRAPlus(rank),
        "LoRA-FA": LoRAFA(lora_fa_rank, seed=seed),
        "DoRA": DoRA(dora_rank),
        "PiSSA": PiSSA(rank),
        "AdaLoRA": AdaLoRA(adalora_rank(rank)),
        "VeRA": VeRA(VERA_FACTOR * rank, seed=seed),
        "(IA)3": IA3(),
    }
    if relative not in spaces:
        raise ValueError(
            f"relative must be one of {', '.join(spaces)}, got {relative!r}; choose one of these"
        )
    return spaces[relative]


def trial(
    bench: str,
    relative: str,
    rank: int,
    lr: float,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Run one of LoRA's relatives on a benchmark, see `relative_space`.

    The cost of AdaLoRA is that of its first step.

    Raises:
        ValueError: there is no such relative.
    """
    space = relative_space(bench, relative, rank, seed)
    between = adalora_pruning(bench, rank) if relative == "AdaLoRA" else None
    yield from fine_tuning(
        bench, space, HEAD, lr=lr, seed=seed, probe=probe, test=test, between=between
    )


def row_changes(model: Adapted) -> dict[str, float]:
    """Measure how far the rows of each matrix of the body have changed; a row makes one output.

    - `probe/longer/<weight>`: the mean relative change of a row's length, in either direction.
    - `probe/turned/<weight>`: the mean angle between a row before and now, in degrees.
    """
    layers = matrices(model.base, "body.*", "turned")
    values: dict[str, float] = {}
    for name, before, now in model.changed():
        if name not in layers:
            continue
        if layers[name].transposed:
            before, now = before.t(), now.t()
        lengths = before.norm(dim=1)
        longer = (now.norm(dim=1) - lengths).abs() / lengths
        cosines = F.cosine_similarity(before.double(), now.double(), dim=1)
        angles = cosines.clamp(-1, 1).arccos().rad2deg()
        values[f"probe/longer/{name}"] = float(longer.mean())
        values[f"probe/turned/{name}"] = float(angles.mean())
    return values
