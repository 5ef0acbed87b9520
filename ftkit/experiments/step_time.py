"""How long a step takes.

Methods take turns on the same batches, so that other load on the machine slows all of them alike.
"""

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
"""The number of ratios that `ratios` measures; their spread shows how much to trust one."""


def ratios(base: Net, task: Task, *spaces: Space, steps: int, blocks: int = BLOCKS) -> list[float]:
    """The seconds of a training step with `spaces` over those of full fine-tuning.

    One ratio of medians for each of `blocks` blocks of `steps` steps.
    """
    stream = task.batches(SIZE, torch.Generator().manual_seed(0))
    batches = [batch for batch, _ in zip(stream, range(16), strict=False)]
    steppers = [stepper(Adapted(base, *spaces), batches), stepper(Adapted(base), batches)]
    for step in steppers:
        step()  # to warm up
    measured = []
    for _ in range(blocks):
        seconds = [[step() for step in steppers] for _ in range(steps)]
        ours, full = (median(each) for each in zip(*seconds, strict=True))
        measured.append(ours / full)
    return measured


def in_turns(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The seconds of a call of each step: the median of `rounds`, after two rounds to warm up.

    In each round every step has one turn.
    """
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
    """Make a function that takes one training step on the next batch, and returns its seconds.

    The step is AdamW's with clipped gradients, as in `train`.

    Args:
        model: what is trained.
        batches: used in turns, again and again; of a kind that the objective reads.
        objective: what is minimised; `supervised` needs a model that returns logits.
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
    """The ratios of LoRA's step to full fine-tuning's, by base; minilm only if it is installed."""
    by_base = {}
    for bench in ("library", "digits"):
        base, task = load_benchmark(bench)
        by_base[base.name] = ratios(base, task, LoRA(rank), HEAD, steps=40)
    task = load_benchmark("library")[1]
    try:
        minilm = load_base("minilm", task)
    except ValueError:
        return by_base
    return {**by_base, "minilm": ratios(minilm, task, LoRA(rank), HEAD, steps=3)}
