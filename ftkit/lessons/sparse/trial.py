"""Lesson 05: sparse fine-tuning with a mask chosen by one of nine criteria, at seven densities."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from ftkit.experiments.benchmark import (
    BENCHMARKS,
    HEAD,
    SIZE,
    STEPS,
    VALID_ROWS,
    fine_tuning,
    load_benchmark,
    step_cost,
    tested,
)
from ftkit.model.adapted import Adapted, linear_layers, select
from ftkit.model.change import Space
from ftkit.model.entries import exact_count, top
from ftkit.model.entry_scores import fisher, gradient, movement
from ftkit.tasks.task import Task
from ftkit.techniques.sparse import CRITERIA as WITHOUT_DATA
from ftkit.techniques.sparse import Rows, Sparse, regrown
from ftkit.training.events import Event
from ftkit.training.loop import Probe, evaluate, train

WITH_DATA = ("gradient", "Fisher", "changed most")
WHOLE_ROWS = "whole rows"
REGROWN_SHARES = {"drop and regrow": 0.3, "random, in parts": 0.0}
"""The share of the entries that is replaced between two parts of a run.

With a share of 0 the run is cut into the same parts and keeps its mask: the control.
"""
CRITERIA = (*WITHOUT_DATA, *WITH_DATA, *REGROWN_SHARES, WHOLE_ROWS)
DENSITIES = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2)
LRS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
LINEAR, BODY = "linear layers", "whole body"
SCOPES = (LINEAR, BODY)
PARTS = 4
SCORED_ROWS = 128
"""The number of training rows from which the gradient and the Fisher information are computed."""
FULL_LRS = {"opening": 1e-2, "library": 3e-4, "digits": 1e-3}
"""The best learning rates of full fine-tuning in the recorded runs of lesson 02.

The criterion "changed most" uses them.
"""


def weight_patterns(bench: str, scope: str) -> str:
    """The names of the weights that a mask may choose from, with commas between.

    Args:
        bench: the name of the benchmark.
        scope: "linear layers" for the matrices of the body's linear layers, or "whole body".

    Raises:
        ValueError: there is no such scope.
    """
    if scope not in SCOPES:
        raise ValueError(
            f"scope must be one of {', '.join(SCOPES)}, got {scope!r}; "
            "for other weights build a Sparse yourself"
        )
    if scope == BODY:
        return "body.*"
    layers = linear_layers(load_benchmark(bench)[0])
    return ",".join(name for name in layers if name.startswith("body."))


def entry_count(bench: str, density: float, scope: str = LINEAR) -> int:
    """The number of entries that a mask of this density has, at least 1."""
    weights = select(load_benchmark(bench)[0], weight_patterns(bench, scope))
    return exact_count(density, sum(weight.numel() for weight in weights.values()))


@lru_cache(maxsize=32)
def scores(bench: str, criterion: str, scope: str, seed: int) -> dict[str, Tensor]:
    """Score each entry by a criterion with data, on the training rows and new head of a seed.

    The result is cached: "changed most" takes a whole run of full fine-tuning.
    """
    net = load_benchmark(bench)[0].fresh_heads(seed)
    data = training_data(bench, seed)
    patterns = weight_patterns(bench, scope)
    if criterion == "changed most":
        model = Adapted(net, seed=seed)
        run = train(
            model, data, steps=STEPS, size=SIZE, lr=FULL_LRS[bench], seed=seed, validations=0
        )
        for _ in run:
            pass
        return movement(model.delta(), patterns)
    score = {"gradient": gradient, "Fisher": fisher}[criterion]
    batches = [data.batch("train", rows) for rows in torch.arange(SCORED_ROWS).split(SIZE)]
    return score(net, batches, patterns)


def training_data(bench: str, seed: int) -> Task:
    """The task of a benchmark with the training rows of a seed."""
    return load_benchmark(bench)[1].take(BENCHMARKS[bench].examples, seed)


def space(bench: str, criterion: str, density: float, scope: str = LINEAR, seed: int = 0) -> Space:
    """The entries (or rows) that a run trains at its start.

    Raises:
        ValueError: there is no such criterion or scope, or the density is not in (0, 1].
    """
    if criterion not in CRITERIA:
        raise ValueError(
            f"criterion must be one of {'; '.join(CRITERIA)}, got {criterion!r}; "
            "for scores of your own use top"
        )
    if criterion in WITH_DATA:
        return top(scores(bench, criterion, scope, seed), density)
    patterns = weight_patterns(bench, scope)
    if criterion == WHOLE_ROWS:
        return Rows(density, where=patterns, seed=seed)
    without_data = "random" if criterion in REGROWN_SHARES else criterion
    return Sparse(density, without_data, patterns, seed)


def trial(
    bench: str,
    criterion: str,
    density: float,
    lr: float,
    scope: str = LINEAR,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Run sparse fine-tuning on a benchmark.

    `density` is the share of the entries (or rows) in `scope` that are trained.
    """
    start = space(bench, criterion, density, scope, seed)
    if criterion in REGROWN_SHARES:
        share, patterns = REGROWN_SHARES[criterion], weight_patterns(bench, scope)
        yield from in_parts(bench, start, share, patterns, lr, seed, test, probe)
    else:
        yield from fine_tuning(bench, start, HEAD, lr=lr, seed=seed, test=test, probe=probe)


def in_parts(
    bench: str,
    start: Space,
    share: float,
    patterns: str,
    lr: float,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """Run sparse fine-tuning in four parts; each has its own optimizer, warm-up and decay.

    Between two parts the smallest `share` of the entries is dropped. The same number of entries is
    regrown where the gradient is largest, among the weights that fit `patterns`.
    """
    base, task = load_benchmark(bench)
    data = training_data(bench, seed)
    steps = STEPS // PARTS
    model = Adapted(base.fresh_heads(seed), start, HEAD, seed=seed)
    for part in range(PARTS):
        # With the same seed each part would train on the same rows in the same order.
        order_seed = seed + 1000 * part
        if part:
            batches = data.batches(SIZE, torch.Generator().manual_seed(order_seed))
            scored = [next(batches) for _ in range(SCORED_ROWS // SIZE)]
            model = regrown(model, gradient(model.merged(), scored, patterns), share)
        events = train(
            model,
            data,
            steps=steps,
            size=SIZE,
            lr=lr,
            seed=order_seed,
            validations=2,
            valid_rows=VALID_ROWS,
            probe=probe,
        )
        for event in events:
            yield replace(event, step=event.step + part * steps)
    if test:
        yield tested(accuracy=evaluate(model, task))
    yield step_cost(bench, start, HEAD)
