"""Exercises on how far each part may go: rates that fall towards the bottom, and a share of what was learned."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise

_LADDERS = [
    Case((3, 1e-3, 2.6), "3 blocks, lr 0.001 and decay 2.6"),
    Case((1, 0.5, 2.0), "1 block, lr 0.5 and decay 2"),
    Case((5, 1.0, 4.0), "5 blocks, lr 1 and decay 4"),
]


def _ladder(blocks: int, lr: float, decay: float) -> list[float]:
    return [lr / decay ** (blocks - i) for i in range(blocks + 1)]


_LADDER_FAULTS: dict[str, Callable[[int, float, float], list[float]]] = {
    "that is from the top down; the embeddings come first": lambda n, lr, d: _ladder(n, lr, d)[
        ::-1
    ],
    "the last block must get lr itself, not lr / decay": lambda n, lr, d: [
        rate / d for rate in _ladder(n, lr, d)
    ],
    "that multiplies by decay: lower parts would move more, and they should move less": lambda n, lr, d: [
        lr * d ** (n - i) for i in range(n + 1)
    ],
    "that multiplies by decay from the embeddings up; the last block must get lr": lambda n, lr, d: [
        lr * d**i for i in range(n + 1)
    ],
    "that falls by equal steps; each part must get the rate above it divided by decay": lambda n, lr, d: [
        lr * (i + 1) / (n + 1) for i in range(n + 1)
    ],
    "that divides by multiples of decay; divide again at each part, which is a power": lambda n, lr, d: [
        lr / (d * (n - i)) if i < n else lr for i in range(n + 1)
    ],
    "the embeddings must come one step below the first block": lambda n, lr, d: [
        _ladder(n, lr, d)[max(1, i)] for i in range(n + 1)
    ],
    "that is one rate for all": lambda n, lr, d: [lr] * (n + 1),
    "that is the factor alone, without lr": lambda n, lr, d: [
        rate / lr for rate in _ladder(n, lr, d)
    ],
}


@exercise(
    "Rates that fall towards the bottom",
    difficulty=2,
    minutes=8,
    hints=[
        "Start at the top: the last block gets lr. What does the block below it get, and the one below that?",
        "A part that is n steps below the last block gets `lr / decay**n`. How many steps below are the embeddings?",
        "The embeddings are `blocks` steps below the last block. List them first, so the exponents run from `blocks` down to 0.",
    ],
    solution="""
def rates(blocks, lr, decay):
    return [lr / decay**below for below in range(blocks, -1, -1)]
""",
)
def rates(yours: Any) -> str:
    """`yours(blocks, lr, decay)` lists the rates of the embeddings, the first block, ..., the last block, which gets `lr`; each part
    below gets the rate of the one above it divided by `decay`."""
    yours = as_function(yours, "blocks, lr, decay")
    answers = [_rates(call(yours, "blocks, lr, decay", *case.given), case) for case in _LADDERS]
    why = diagnose(answers, _LADDERS, _LADDER_FAULTS, _same)
    for case, got in zip(_LADDERS, answers, strict=True):
        if not _same(got, right := _ladder(*case.given)):
            raise Wrong(
                f"for {case.words} the rates must be {_words(right)}, yours are {_words(got)}{why}"
            )
    low = _ladder(12, 1.0, 2.6)[0]
    return f"In a body of 12 blocks the embeddings get {low:.0e} of the top rate with decay 2.6: they are as good as frozen."


def _rates(answer: Any, case: Case) -> list[float]:
    if isinstance(answer, str | Mapping) or not hasattr(answer, "__iter__"):
        raise Wrong(f"the answer must be a list of rates, got {kind(answer)}")
    try:
        found = [float(rate) for rate in answer]
    except (TypeError, ValueError):
        raise Wrong(
            "every rate must be a number; list the rates alone, from the embeddings up"
        ) from None
    if len(found) != (parts := case.given[0] + 1):
        raise Wrong(
            f"for {case.words} there are {parts} parts, the embeddings and the blocks, yours has {len(found)} rates"
        )
    return found


def _same(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(one, other, strict=True))


def _words(found: list[float]) -> str:
    return f"[{', '.join(f'{rate:.3g}' for rate in found)}]"


class Weights(dict[str, Tensor]):
    """Weights by name; two are equal if every number is."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, dict)
            and self.keys() == other.keys()
            and all(torch.equal(self[name], other[name]) for name in self)
        )


def _weights(seed: int, share: float) -> Case:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"body.0.weight": (3, 2), "body.0.bias": (3,), "head.weight": (2, 3)}
    before, after = (
        Weights({name: torch.randn(shape, generator=generator) for name, shape in shapes.items()})
        for _ in range(2)
    )
    return Case((before, after, share), f"share {share:g}")


_PAIRS = [_weights(1, 0.3), _weights(2, 0.0), _weights(3, 1.0), _weights(4, 0.8)]


def _each(
    mix: Callable[[Tensor, Tensor, float], Tensor],
) -> Callable[[Weights, Weights, float], Weights]:
    return lambda before, after, a: Weights(
        {name: mix(before[name], after[name], a) for name in before}
    )


_MIX = _each(lambda b, f, a: b + a * (f - b))
_MIXES: dict[str, Callable[[Weights, Weights, float], Weights]] = {
    "the two ends are swapped: share 0 is before, share 1 is after": _each(
        lambda b, f, a: a * b + (1 - a) * f
    ),
    "that adds a share of the weights, not of their change": _each(lambda b, f, a: b + a * f),
    "that is the change alone; it must be added to the weights before": _each(
        lambda b, f, a: a * (f - b)
    ),
    "that is half-way whatever the share": _each(lambda b, f, a: (b + f) / 2),
    "that is the weights after, whatever the share": _each(lambda b, f, a: f),
    "that is the weights before, whatever the share": _each(lambda b, f, a: b),
    "the change has the wrong sign": _each(lambda b, f, a: b - a * (f - b)),
    "all of the weights after come on top, not their share": _each(lambda b, f, a: (1 - a) * b + f),
}


@exercise(
    "A share of what was learned",
    difficulty=2,
    minutes=8,
    hints=[
        "What was learned is a difference, weight by weight. What do share 0 and share 1 have to give?",
        "`before + share * (after - before)`; the same as `(1 - share) * before + share * after`.",
        "Build a new dict: `{name: ... for name in before}`. `+=` would write into the weights that were handed over.",
    ],
    solution="""
def interpolate(before, after, share):
    return {name: before[name] + share * (after[name] - before[name]) for name in before}
""",
)
def interpolate(yours: Any) -> str:
    """`yours(before, after, share)`: the weights {name: tensor} that lie a share of the way from before to after, 0 to 1."""
    takes = "before, after, share"
    yours = as_function(yours, takes)
    answers = [_mixed(call(yours, takes, *case.given), case) for case in _PAIRS]
    why = diagnose(answers, _PAIRS, _MIXES, _alike)
    for case, got in zip(_PAIRS, answers, strict=True):
        right = _MIX(*case.given)
        if wrong := [
            name for name in right if not torch.allclose(got[name], right[name], atol=1e-5)
        ]:
            raise Wrong(
                f"for {case.words} the weights `{wrong[0]}` are not on the way from before to after as far as they must be{why}"
            )
    return "No training, no data: two sets of weights and a line between them. That such a line leads over good networks is the surprise."


def _mixed(answer: Any, case: Case) -> Weights:
    before = case.given[0]
    if not isinstance(answer, Mapping):
        raise Wrong(f"the answer must be a dict {{name: tensor}}, got {kind(answer)}")
    if missing := [name for name in before if name not in answer]:
        raise Wrong(
            f"for {case.words} the answer must have every weight, got none for `{missing[0]}`; biases and heads count too"
        )
    if more := [name for name in answer if name not in before]:
        raise Wrong(
            f"for {case.words} the answer must have the names of before, got {more[0]!r} as well"
        )
    return Weights(
        {
            name: tensor(answer[name], f"`{name}`", value.shape, "that of before", like=value)
            for name, value in before.items()
        }
    )


def _alike(got: Weights, wrong: Weights) -> bool:
    return all(torch.allclose(got[name], wrong[name], atol=1e-5) for name in got)
