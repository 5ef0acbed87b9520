"""Exercises on learning rates that fall towards the bottom, and on part of the learned change."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, check_cases, close, kind, numbers, tensor, written
from ftkit.teaching.exercise import Wrong, exercise

# Learning rates that fall towards the bottom

_STACKS = [
    Case((3, 1e-3, 2.6), "3 blocks, lr 0.001 and decay 2.6"),
    Case((1, 0.5, 2.0), "1 block, lr 0.5 and decay 2"),
    Case((5, 1.0, 4.0), "5 blocks, lr 1 and decay 4"),
]


def _rates(blocks: int, lr: float, decay: float) -> list[float]:
    """Return the learning rates from the embeddings (`blocks` steps below the last block) up."""
    return [lr / decay**below for below in range(blocks, -1, -1)]


_WRONG_RATES: dict[str, Callable[[int, float, float], list[float]]] = {
    "that is from the top down; the embeddings come first": (
        lambda n, lr, d: _rates(n, lr, d)[::-1]
    ),
    "the last block must get lr itself, not lr / decay": (
        lambda n, lr, d: [rate / d for rate in _rates(n, lr, d)]
    ),
    "that multiplies by decay: lower parts would change more, and they should change less": (
        lambda n, lr, d: [lr * d ** (n - i) for i in range(n + 1)]
    ),
    "that multiplies by decay from the embeddings up; the last block must get lr": (
        lambda n, lr, d: [lr * d**i for i in range(n + 1)]
    ),
    "that falls by equal steps; divide the learning rate of the part above by decay": (
        lambda n, lr, d: [lr * (i + 1) / (n + 1) for i in range(n + 1)]
    ),
    "that divides by multiples of decay; divide again at each part, which gives powers": (
        lambda n, lr, d: [lr / (d * (n - i)) if i < n else lr for i in range(n + 1)]
    ),
    "the embeddings must be one step below the first block": (
        lambda n, lr, d: [_rates(n, lr, d)[max(1, i)] for i in range(n + 1)]
    ),
    "that is one learning rate for all parts": lambda n, lr, d: [lr] * (n + 1),
    "that is the factor alone, without lr": (
        lambda n, lr, d: [rate / lr for rate in _rates(n, lr, d)]
    ),
}


def _same_rates(one: list[float], other: list[float]) -> bool:
    """Compare relatively: a small learning rate must be as exact as a large one."""
    return all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(one, other, strict=True))


def _explain_rates(case: Case, wanted: list[float], answer: list[float]) -> str:
    return (
        f"for {case.words} the learning rates must be {written(wanted, digits=3)}, "
        f"yours are {written(answer, digits=3)}"
    )


@exercise(
    "Learning rates that fall towards the bottom",
    difficulty=2,
    minutes=8,
    hints=[
        "Start at the top: the last block gets lr. What does the block below it get, and the one "
        "below that?",
        "A part that is n steps below the last block gets `lr / decay**n`. How many steps below "
        "are the embeddings?",
        "The embeddings are `blocks` steps below the last block. List them first, so the exponents "
        "run from `blocks` down to 0.",
    ],
    solution="""
def rates(blocks, lr, decay):
    return [lr / decay**below for below in range(blocks, -1, -1)]
""",
)
def rates(yours: Any) -> str:
    """`yours(blocks, lr, decay)` lists the learning rates of the parts of a network.

    The order is: the embeddings, the first block, ..., the last block. The last block gets `lr`;
    each part below gets the learning rate of the part above it, divided by `decay`.
    """
    check_cases(
        yours,
        "blocks, lr, decay",
        _rates,
        _STACKS,
        _WRONG_RATES,
        read=numbers("learning rates", lambda blocks, lr, decay: blocks + 1),
        same=_same_rates,
        explain=_explain_rates,
    )
    lowest = _rates(12, 1.0, 2.6)[0]
    return (
        f"In a network of 12 blocks with decay 2.6 the embeddings get {lowest:.0e} of the top "
        "learning rate: they are as good as frozen."
    )


# A share of the learned change

Weights = dict[str, Tensor]


def _two_models(seed: int, share: float) -> Case:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"body.0.weight": (3, 2), "body.0.bias": (3,), "head.weight": (2, 3)}
    before, after = (
        {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for _ in range(2)
    )
    return Case((before, after, share), f"share {share:g}")


_MODELS = [_two_models(1, 0.3), _two_models(2, 0.0), _two_models(3, 1.0), _two_models(4, 0.8)]


def _each(
    mix: Callable[[Tensor, Tensor, float], Tensor],
) -> Callable[[Weights, Weights, float], Weights]:
    """Apply `mix(before, after, share)` to each weight."""
    return lambda before, after, share: {
        name: mix(before[name], after[name], share) for name in before
    }


_interpolate = _each(lambda b, f, share: b + share * (f - b))
_WRONG_BLENDS: dict[str, Callable[[Weights, Weights, float], Weights]] = {
    "the two ends are swapped; share 0 is before, share 1 is after": _each(
        lambda b, f, share: share * b + (1 - share) * f
    ),
    "that adds a share of the weights, not of their change": _each(
        lambda b, f, share: b + share * f
    ),
    "that is the change alone; add it to the weights before": _each(
        lambda b, f, share: share * (f - b)
    ),
    "that is half-way for every share": _each(lambda b, f, share: (b + f) / 2),
    "that is the weights after, for every share": _each(lambda b, f, share: f),
    "that is the weights before, for every share": _each(lambda b, f, share: b),
    "the change has the wrong sign": _each(lambda b, f, share: b - share * (f - b)),
    "that adds all of the weights after, not a share of them": _each(
        lambda b, f, share: (1 - share) * b + f
    ),
}


def _read_weights(answer: Any, case: Case) -> Weights:
    before = case.given[0]
    if not isinstance(answer, Mapping):
        raise Wrong(f"the answer must be a dict {{name: tensor}}, got {kind(answer)}")
    for name in before:
        if name not in answer:
            raise Wrong(
                f"for {case.words} the answer must have every weight, got none for `{name}`; "
                "biases and heads count too"
            )
    for name in answer:
        if name not in before:
            raise Wrong(
                f"for {case.words} the answer must have the names of before, got {name!r} as well"
            )
    return {
        name: tensor(answer[name], f"`{name}`", value.shape, "of before", like=value)
        for name, value in before.items()
    }


def _explain_weights(case: Case, wanted: Weights, answer: Weights) -> str:
    name = next(name for name in wanted if not close(answer[name], wanted[name]))
    return f"for {case.words} the weights `{name}` are not that far from before to after"


@exercise(
    "A share of the learned change",
    difficulty=2,
    minutes=8,
    hints=[
        "The learned change is a difference, weight by weight. What must share 0 and share 1 give?",
        "`before + share * (after - before)`; the same as `(1 - share) * before + share * after`.",
        "Build a new dict: `{name: ... for name in before}`. `+=` would write into the weights of "
        "the caller.",
    ],
    solution="""
def interpolate(before, after, share):
    return {name: before[name] + share * (after[name] - before[name]) for name in before}
""",
)
def interpolate(yours: Any) -> str:
    """`yours(before, after, share)` are the weights between two models, as a dict {name: tensor}.

    `before` and `after` are such dicts with the same names. Share 0 gives the weights before, share
    1 the weights after, and a share between them is that far along the line.
    """
    check_cases(
        yours,
        "before, after, share",
        _interpolate,
        _MODELS,
        _WRONG_BLENDS,
        read=_read_weights,
        explain=_explain_weights,
    )
    return (
        "No training and no data: two sets of weights, and a line between them. The surprise is "
        "that the networks along this line are good."
    )
