"""Lesson 05: which entries of the weights move, chosen by one of nine criteria, and how few are enough."""

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
ROWS = "whole rows"
SHARES = {"drop and regrow": 0.3, "random, in parts": 0.0}
"""What share of the entries makes way for others between two parts of a run; with none the run is cut into the same parts, no more."""
CRITERIA = (*WITHOUT_DATA, *WITH_DATA, *SHARES, ROWS)
DENSITIES = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2)
LRS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
LINEAR, BODY = "linear layers", "whole body"
SCOPES = (LINEAR, BODY)
PARTS = 4
SCORED = 128
"""How many training rows the gradient and the Fisher information are taken from."""
FULL_LRS = {"opening": 1e-2, "library": 3e-4, "digits": 1e-3}
"""The rates at which full fine-tuning did best in the record of lesson 02: with them it says which entries change most."""


def where(bench: str, scope: str) -> str:
    """The weights of a bench's body that `scope` names: the matrices of its linear layers, or everything.

    Raises:
        ValueError: there is no such scope.
    """
    if scope not in SCOPES:
        raise ValueError(
            f"scope must be one of {', '.join(SCOPES)}, got {scope!r}; for other weights build a Sparse yourself"
        )
    names = [name for name in linear_layers(load_benchmark(bench)[0]) if name.startswith("body.")]
    return ",".join(names) if scope == LINEAR else "body.*"


def entries(bench: str, density: float, scope: str = LINEAR) -> int:
    """How many entries of a bench's body a density stands for."""
    return exact_count(
        density,
        sum(
            weight.numel()
            for weight in select(load_benchmark(bench)[0], where(bench, scope)).values()
        ),
    )


@lru_cache(maxsize=32)
def scores(bench: str, criterion: str, scope: str, seed: int) -> dict[str, Tensor]:
    """What a criterion with data says of each entry, from the training rows and the head of that seed. Computed once: "changed most" is
    a whole run of full fine-tuning."""
    net, data = load_benchmark(bench)[0].fresh_heads(seed), training_rows(bench, seed)
    if criterion == "changed most":
        full = Adapted(net, seed=seed)
        for _ in train(
            full, data, steps=STEPS, size=SIZE, lr=FULL_LRS[bench], seed=seed, validations=0
        ):
            pass
        return movement(full.delta(), where(bench, scope))
    score = {"gradient": gradient, "Fisher": fisher}[criterion]
    return score(
        net,
        [data.batch("train", rows) for rows in torch.arange(SCORED).split(SIZE)],
        where(bench, scope),
    )


def training_rows(bench: str, seed: int) -> Task:
    """The task of a bench with the training rows that belong to a seed."""
    return load_benchmark(bench)[1].take(BENCHMARKS[bench].examples, seed)


def space(bench: str, criterion: str, density: float, scope: str = LINEAR, seed: int = 0) -> Space:
    """The entries with which a run begins.

    Raises:
        ValueError: there is no such criterion or scope, or the density is not in (0, 1].
    """
    if criterion not in CRITERIA:
        raise ValueError(
            f"criterion must be one of {'; '.join(CRITERIA)}, got {criterion!r}; for scores of your own use top"
        )
    if criterion in WITH_DATA:
        return top(scores(bench, criterion, scope, seed), density)
    if criterion == ROWS:
        return Rows(density, where=where(bench, scope), seed=seed)
    return Sparse(
        density, "random" if criterion in SHARES else criterion, where(bench, scope), seed
    )


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
    """Sparse fine-tuning on a bench: one run. `density` is the share of the entries (or rows) in `scope` that move."""
    start = space(bench, criterion, density, scope, seed)
    if criterion in SHARES:
        yield from in_parts(
            bench, start, SHARES[criterion], where(bench, scope), lr, seed, test, probe
        )
    else:
        yield from fine_tuning(bench, start, HEAD, lr=lr, seed=seed, test=test, probe=probe)


def in_parts(
    bench: str,
    start: Space,
    share: float,
    among: str,
    lr: float,
    seed: int = 0,
    test: bool = False,
    probe: Probe | None = None,
) -> Iterator[Event]:
    """A run in four parts, each with an optimizer, a warm-up and a decay of its own. Between two parts a share of the entries, the
    smallest, makes way for those of `among` where the loss is steepest."""
    base, task = load_benchmark(bench)
    data, steps = training_rows(bench, seed), STEPS // PARTS
    model = Adapted(base.fresh_heads(seed), start, HEAD, seed=seed)
    for part in range(PARTS):
        order = seed + 1000 * part  # or each part would read the rows of the first again
        if part:
            batches = data.batches(SIZE, torch.Generator().manual_seed(order))
            model = regrown(
                model,
                gradient(model.merged(), [next(batches) for _ in range(SCORED // SIZE)], among),
                share,
            )
        events = train(
            model,
            data,
            steps=steps,
            size=SIZE,
            lr=lr,
            seed=order,
            validations=2,
            valid_rows=VALID_ROWS,
            probe=probe,
        )
        yield from (replace(event, step=event.step + part * steps) for event in events)
    if test:
        yield tested(accuracy=evaluate(model, task))
    yield step_cost(bench, start, HEAD)
