"""What a step of each technique costs beside full fine-tuning's, on one batch: time in turns, operations, and the bytes it holds."""

from dataclasses import asdict

from ftkit import Adapted, BitFit, LastBlocks, LoRA, Only, Rows, Space, Sparse, Task, load_base
from ftkit.cost import measure
from ftkit.data import Batch
from ftkit.studies.steps import ratios

HEAD = Only("heads.*")
SPACES: dict[str, Space] = {
    "last block": LastBlocks(1),
    "LoRA, rank 8": LoRA(rank=8),
    "BitFit": BitFit(),
    "sparse, 1 %": Sparse(density=0.01),
    "rows, 5 %": Rows(density=0.05),
}
TARGETS = {
    ("BitFit", "flops"): 0.75,
    ("BitFit", "activations"): 0.7,
    ("sparse, 1 %", "gradients + optimizer"): 0.05,
}


def rows(name: str, task: Task, batch: Batch, steps: int) -> list[tuple[str, float, float | None, str]]:
    """Name, value, target and unit, as shares of full fine-tuning, for every technique on a base."""
    base = load_base(name, task)
    full, found = _bill(Adapted(base), batch), []
    for technique, space in SPACES.items():
        bill = _bill(Adapted(base, space, HEAD), batch)
        shares = {what: bill[what] / full[what] for what in ("gradients + optimizer", "flops", "activations")}
        times = ratios(base, task, space, HEAD, steps=steps, blocks=4)
        shares["time of a step"] = sum(times) / len(times)
        found += [(f"{name}: {technique}, {what} / full", value, TARGETS.get((technique, what)), "x") for what, value in shares.items()]
    return found


def _bill(model: Adapted, batch: Batch) -> dict[str, float]:
    cost = asdict(measure(model, batch))
    return {**cost, "gradients + optimizer": cost["gradients"] + cost["optimizer"]}
