"""What a training step costs relative to full fine-tuning, for batches of any size and length.

Measured on mini and, where it is installed, on minilm.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from statistics import median

import torch

from ftkit.experiments.benchmark import FULL, HEAD, SIZE, load_benchmark
from ftkit.experiments.step_time import ratios
from ftkit.model.adapted import Adapted
from ftkit.model.base import load_base
from ftkit.model.change import Space
from ftkit.tasks.task import Batch, Task, table
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.freeze import LastBlocks
from ftkit.techniques.lora import LoRA
from ftkit.training.cost import measure

METHODS: Mapping[str, tuple[Space, ...]] = {
    FULL: (),
    "LoRA, rank 1": (LoRA(1), HEAD),
    "LoRA, rank 8": (LoRA(8), HEAD),
    "LoRA, rank 32": (LoRA(32), HEAD),
    "BitFit": (BitFit(), HEAD),
    "last block": (LastBlocks(1), HEAD),
}
KINDS = ("flops", "weights", "gradients", "optimizer", "activations", "disk")
"""What is measured: floating-point operations, and bytes."""
BATCH_SIZES, LENGTHS = (1, 4, 16, 64), (8, 16, 32, 64, 128)
TYPICAL = 16
"""The typical number of tokens of a sentence of the docs task."""
MAX_TOKENS = {"mini": 64 * 128, "minilm": 16 * 64}
"""The largest batch that is measured for each base, in tokens."""
TIMED_STEPS = {"mini": 24, "minilm": 3}
"""The number of steps in a block of the timing, for each base."""

Costs = dict[str, dict[str, float]]
"""For each method the cost of each of `KINDS`."""


@lru_cache(maxsize=64)
def costs(base: str, size: int = SIZE, length: int = TYPICAL) -> Costs:
    """Measure the cost of one step of each method, once.

    Args:
        base: the name of a base.
        size: the rows of the batch.
        length: the tokens of each row.

    Raises:
        ValueError: the base is not installed, or it does not read rows of that length.
    """
    task = one_word_task(size, length)
    net = load_base(base, task)
    batch = Batch(task.train, torch.arange(size), task.labels("train"), task.name)
    tokens = net.reader(task.train, batch.rows)["input_ids"].shape[1]
    if tokens != length:
        raise ValueError(
            f"length must be one that {base} reads whole, at least 2, got {length}; "
            f"of that it reads {tokens} tokens"
        )
    by_method = {}
    for name, spaces in METHODS.items():
        measured = asdict(measure(Adapted(net, *spaces), batch, repeats=1))
        by_method[name] = {kind: float(measured[kind]) for kind in KINDS}
    return by_method


def one_word_task(size: int, length: int) -> Task:
    """Make a task whose rows repeat one word and have `length` tokens with the two special ones.

    The cost of a step does not depend on what the rows say.
    """
    text = " ".join(["the"] * (length - 2))
    rows = table([text] * size, [i % 2 for i in range(size)], ("one", "two"))
    return Task("words", ("one", "two"), rows, rows, rows)


def shares_of_full(by_method: Mapping[str, Mapping[str, float]]) -> Costs:
    """Divide the costs of every other method by those of full fine-tuning."""
    full = by_method[FULL]
    return {
        name: {kind: cost / full[kind] for kind, cost in of_method.items()}
        for name, of_method in by_method.items()
        if name != FULL
    }


def costs_by_batch() -> dict[str, dict[str, Costs]]:
    """Measure `costs` for each installed base and each batch, by "<size> x <length>"."""
    by_base: dict[str, dict[str, Costs]] = {}
    for base, max_tokens in MAX_TOKENS.items():
        if not _is_installed(base):
            continue
        by_base[base] = {
            f"{size} x {length}": costs(base, size, length)
            for size in BATCH_SIZES
            for length in LENGTHS
            if size * length <= max_tokens
        }
    return by_base


def cost_shares(steps: Mapping[str, int] | None = None) -> dict[str, Costs]:
    """Measure costs relative to full fine-tuning, by base and method, with `seconds` a step.

    Seconds are timed on real sentences, each method in turns with full fine-tuning.

    Args:
        steps: the steps in a block of the timing, by base; `TIMED_STEPS` by default.
    """
    task = load_benchmark("library")[1]
    by_base = {}
    for base, count in (steps or TIMED_STEPS).items():
        if not _is_installed(base):
            continue
        net = load_base(base, task)
        shares = shares_of_full(costs(base))
        for name, of_method in shares.items():
            of_method["seconds"] = median(ratios(net, task, *METHODS[name], steps=count, blocks=5))
        by_base[base] = shares
    return by_base


def _is_installed(base: str) -> bool:
    try:
        load_base(base)
    except ValueError:
        return False
    return True
