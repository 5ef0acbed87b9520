"""The trial of lesson 02: LoRA on a benchmark, and the spectrum of its change."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ftkit.experiments.benchmark import BENCHMARKS, HEAD, fine_tuning
from ftkit.model.adapted import Adapted
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event
from ftkit.training.loop import Probe


def target_pattern(bench: str, targets: str) -> str:
    """Return the pattern of the weights of the benchmark's body that `targets` names."""
    patterns = {
        "all linear": "body.*",
        "attention": BENCHMARKS[bench].attention,
        "feed-forward": BENCHMARKS[bench].feed_forward,
    }
    return patterns[targets]


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
    """Fine-tune with LoRA on a benchmark.

    `alpha` is "16", the same for every rank, or "2r", twice the rank.
    """
    space = LoRA(rank, 16.0 if alpha == "16" else None, target_pattern(bench, targets))
    yield from fine_tuning(bench, space, HEAD, lr=lr, seed=seed, probe=probe, test=test)


def spectrum(model: Adapted) -> dict[str, list[float]]:
    """Compute the singular values of the change of each matrix of the body, largest first.

    Returns:
        `probe/change/<weight>` for each matrix that may change; and for the matrix that changed
        most, by Frobenius norm, `probe/before/<weight>` and `probe/after/<weight>`, those of the
        matrix itself.
    """
    before, after, changes = {}, {}, {}
    for name, old, new in model.changed():
        if old.ndim == 2 and name.startswith("body."):
            before[name], after[name] = old, new
            changes[name] = torch.linalg.svdvals(new - old)

    def squared_norm(name: str) -> float:
        return float(changes[name].square().sum())

    most_changed = max(changes, key=squared_norm)
    values: dict[str, Tensor] = {f"probe/change/{name}": changes[name] for name in changes}
    values[f"probe/before/{most_changed}"] = torch.linalg.svdvals(before[most_changed])
    values[f"probe/after/{most_changed}"] = torch.linalg.svdvals(after[most_changed])
    return {key: singular_values.tolist() for key, singular_values in values.items()}
