"""How long a step takes: methods in turns on the same batches, so that noise hits all alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import count
from statistics import median
from typing import Any

import torch
from torch import nn

from ftkit.experiments.benchmark import HEAD, SIZE, load_benchmark
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.change import Space
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Task
from ftkit.techniques.lora import LoRA

BLOCKS = 8


def ratios(base: Net, task: Task, *spaces: Space, steps: int, blocks: int = BLOCKS) -> list[float]:
    """Seconds of a training step with `spaces` over those of full fine-tuning: the ratio of the medians, one for each block of steps."""
    stream = task.batches(SIZE, torch.Generator().manual_seed(0))
    batches = [batch for batch, _ in zip(stream, range(16), strict=False)]
    steppers = [stepper(Adapted(base, *spaces), batches), stepper(Adapted(base), batches)]
    for step in steppers:
        step()
    found = []
    for _ in range(blocks):
        seconds = [[step() for step in steppers] for _ in range(steps)]
        ours, full = (median(each) for each in zip(*seconds, strict=True))
        found.append(ours / full)
    return found


def in_turns(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds a call of each step, all in turns: the median of `rounds` after two to warm up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def stepper(
    model: nn.Module, batches: Sequence[Any], objective: Objective = supervised
) -> Callable[[], float]:
    """A function that takes one AdamW step on the next of some batches, with clipping as `train` does, and returns its seconds.

    For any model and batches that the objective reads; `supervised` wants logits.
    """
    weights, turn = [weight for weight in model.parameters() if weight.requires_grad], count()
    optimizer = torch.optim.AdamW(weights, lr=1e-5, weight_decay=0.0, fused=True)

    def step() -> float:
        batch = batches[next(turn) % len(batches)]
        start = time.perf_counter()
        optimizer.zero_grad()
        reduce(torch.add, objective(model, batch).values()).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        return time.perf_counter() - start

    return step


def lora_over_full(rank: int = 8) -> dict[str, list[float]]:
    """LoRA's step over full fine-tuning's, by base; minilm only where it is installed."""
    found = {}
    for bench, steps in (("library", 40), ("digits", 40)):
        base, task = load_benchmark(bench)
        found[base.name] = ratios(base, task, LoRA(rank), HEAD, steps=steps)
    task = load_benchmark("library")[1]
    try:
        minilm = load_base("minilm", task)
    except ValueError:
        return found
    return {**found, "minilm": ratios(minilm, task, LoRA(rank), HEAD, steps=3)}
