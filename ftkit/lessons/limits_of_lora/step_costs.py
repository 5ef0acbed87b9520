"""What a step of a method costs beside full fine-tuning's: on batches of any size and length, at the size of mini and of minilm."""

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
"""What is counted: floating-point operations, and bytes."""
BATCH_SIZES, LENGTHS = (1, 4, 16, 64), (8, 16, 32, 64, 128)
TYPICAL = 16
"""About as many tokens as a sentence of the docs task has."""
MAX_TOKENS = {"mini": 64 * 128, "minilm": 16 * 64}
"""The largest batches, in tokens, that are measured for each base."""


@lru_cache(maxsize=64)
def costs(base: str, size: int = SIZE, length: int = TYPICAL) -> dict[str, dict[str, float]]:
    """For each method each of `KINDS`, of one step on `size` rows of `length` tokens; measured, and once.

    Raises:
        ValueError: the base is not there, or its rows cannot be so long.
    """
    task = one_word_task(size, length)
    net = load_base(base, task)
    batch = Batch(task.train, torch.arange(size), task.labels("train"), task.name)
    if (read := net.reader(task.train, batch.rows)["input_ids"].shape[1]) != length:
        raise ValueError(
            f"length must be one that {base} reads whole, at least 2, got {length}; of that it reads {read} tokens"
        )
    bills = {
        name: asdict(measure(Adapted(net, *spaces), batch, repeats=1))
        for name, spaces in METHODS.items()
    }
    return {name: {kind: float(bill[kind]) for kind in KINDS} for name, bill in bills.items()}


def one_word_task(size: int, length: int) -> Task:
    """Rows of one word over and over, `length` tokens long with the two that stand at their ends: what they say does not matter here."""
    rows = table(
        [" ".join(["the"] * (length - 2))] * size, [i % 2 for i in range(size)], ("one", "two")
    )
    return Task("words", ("one", "two"), rows, rows, rows)


def shares_of_full(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The same as shares of full fine-tuning's."""
    return {
        name: {kind: value / found[FULL][kind] for kind, value in bill.items()}
        for name, bill in found.items()
        if name != FULL
    }


def costs_by_batch() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """For each base that is there `prices` for every size and length, by "<size> x <length>"."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for base, most in MAX_TOKENS.items():
        try:
            load_base(base)
        except ValueError:
            continue
        batches = [(size, length) for size in BATCH_SIZES for length in LENGTHS if size * length <= most]
        found[base] = {f"{size} x {length}": costs(base, size, length) for size, length in batches}
    return found


def cost_shares(steps: Mapping[str, int] | None = None) -> dict[str, dict[str, dict[str, float]]]:
    """For each base that is there and each method but full fine-tuning: its shares, and of `seconds` a step on real sentences, in turns."""
    task, found = load_benchmark("library")[1], {}
    for base, count in (steps or {"mini": 24, "minilm": 3}).items():
        try:
            net = load_base(base, task)
        except ValueError:
            continue
        of_base = shares_of_full(costs(base))
        for name, bill in of_base.items():
            bill["seconds"] = median(ratios(net, task, *METHODS[name], steps=count, blocks=5))
        found[base] = of_base
    return found
