"""An exercise on a mask that moves while it is trained: it drops the smallest changes and regrows where the loss is steepest."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise


def _grown(size: int, k: int, moving: int) -> Case:
    generator = torch.Generator().manual_seed(size + moving)
    indices = torch.randperm(size, generator=generator)[:k].sort().values
    values, scores = (torch.randn(n, generator=generator) for n in (k, size))
    scores[indices[values.abs().argmax()]] = 9.0  # the steepest place is taken
    scores[
        indices[values.abs().argmin()]
    ] = -8.0  # and the next steepest is one that is dropped, so it comes back at zero
    return Case(
        (indices, values, scores, moving), f"{k} of {size} entries, of which {moving} make way"
    )


_MASKS = [_grown(12, 5, 2), _grown(20, 8, 3), _grown(9, 4, 1)]
_FULL = Case(
    (
        torch.arange(6),
        torch.tensor([3.0, -2.0, 0.1, 0.2, 0.3, 1.0]),
        torch.tensor([9.0, 9.0, 0.0, 0.0, 0.0, 9.0]),
        3,
    ),
    "all 6 of 6 entries, of which 3 make way, and only scores of 0 are free",
)
"""What stays must not be chosen again even where all that is free has a score of 0."""
Pair = tuple[Tensor, Tensor]


def _regrown(
    indices: Tensor,
    values: Tensor,
    scores: Tensor,
    moving: int,
    keep_by: Any = Tensor.abs,
    grow_by: Any = Tensor.abs,
) -> Pair:
    stay = keep_by(values).argsort(descending=True)[: len(values) - moving]
    free = grow_by(scores).clone()
    free[indices[stay]] = -torch.inf
    new = free.argsort(descending=True)[:moving]
    return _sorted(torch.cat([indices[stay], new]), torch.cat([values[stay], torch.zeros(moving)]))


def _sorted(indices: Tensor, values: Tensor) -> Pair:
    order = indices.argsort()
    return indices[order], values[order]


def _not_back(i: Tensor, v: Tensor, s: Tensor, m: int) -> Pair:
    kept, free = v.abs().argsort(descending=True)[: len(v) - m], s.abs().clone()
    free[i] = -torch.inf
    return _sorted(
        torch.cat([i[kept], free.argsort(descending=True)[:m]]),
        torch.cat([v[kept], torch.zeros(m)]),
    )


def _values_stay(i: Tensor, v: Tensor, s: Tensor, m: int) -> Pair:
    places, now = _regrown(i, v, s, m)
    old = torch.zeros(len(s)).index_put((i,), v)
    return places, torch.where(now == 0, old[places], now)


_MISGROWN: dict[str, Callable[[Tensor, Tensor, Tensor, int], Pair]] = {
    "what is dropped must be smallest in size; yours goes by sign, and drops the most negative": lambda i, v, s, m: (
        _regrown(i, v, s, m, keep_by=lambda x: x)
    ),
    "yours drops the largest values, which have done the most": lambda i, v, s, m: _regrown(
        i, v, s, m, keep_by=lambda x: -x.abs()
    ),
    "where the loss is steepest goes by size; yours goes by sign": lambda i, v, s, m: _regrown(
        i, v, s, m, grow_by=lambda x: x
    ),
    "yours grows where the loss is flattest": lambda i, v, s, m: _regrown(
        i, v, s, m, grow_by=lambda x: -x.abs()
    ),
    "a dropped place may come back, at zero; yours forbids it": _not_back,
    "a place that was dropped and comes back starts at zero; yours keeps its old value": _values_stay,
    "nothing has moved": lambda i, v, s, m: (i, v),
}


@exercise(
    "Drop and regrow",
    difficulty=4,
    minutes=20,
    hints=[
        "Two questions in turn: which positions stay? Then, among all that do not stay, where is |score| largest?",
        "`values.abs().argsort(descending=True)` says which stay. Set their scores to -inf in a copy, so that no place is chosen twice.",
        "Join the positions that stay, with their values, and the `moving` new ones, with zeros; sort both by position.",
    ],
    solution="""
def regrow(indices, values, scores, moving):
    stay = values.abs().argsort(descending=True)[: len(values) - moving]
    free = scores.abs().clone()
    free[indices[stay]] = -torch.inf
    new = free.argsort(descending=True)[:moving]
    places = torch.cat([indices[stay], new])
    order = places.argsort()
    return places[order], torch.cat([values[stay], torch.zeros(moving)])[order]
""",
)
def regrow(yours: Any) -> str:
    """`yours(indices, values, scores, moving)`: (indices, values) after the smallest made way for zeros at the steepest free places."""
    takes = "indices, values, scores, moving"
    yours = as_function(yours, takes)
    answers = [_checked(call(yours, takes, *case.given), case) for case in _MASKS]
    why = diagnose(
        answers,
        _MASKS,
        _MISGROWN,
        lambda got, wrong: all(torch.equal(a, b) for a, b in zip(got, wrong, strict=True)),
    )
    for case in (*_MASKS, _FULL):
        places, values = _checked(call(yours, takes, *case.given), case)
        right, should = _regrown(*case.given)
        if not torch.equal(places, right):
            missing = next(place for place in right.tolist() if place not in places.tolist())
            raise Wrong(
                f"with {case.words}, position {missing} should be among the new indices, in yours it is not{why}"
            )
        if not torch.equal(values, should):
            at = int((values != should).nonzero()[0])
            raise Wrong(
                f"with {case.words}, the value at position {places[at]} must be {should[at]:.3g}, in yours it is {values[at]:.3g}{why}"
            )
    return "The number of entries never changes, only where they are. What a whole gradient costs for a moment, the mask pays once in a while."


def _checked(answer: Any, case: Case) -> Pair:
    indices, given = case.given[:2]
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong(f"the answer must be the pair (indices, values), got {kind(answer)}")
    places, values = answer
    if not isinstance(places, Tensor) or places.dtype not in (torch.int32, torch.int64):
        raise Wrong(
            f"the new indices must be a tensor of whole numbers, got {places.dtype if isinstance(places, Tensor) else kind(places)}"
        )
    if places.shape != indices.shape:
        raise Wrong(
            f"with {case.words}, there must be {len(indices)} indices as before, got a tensor of shape {tuple(places.shape)}"
        )
    values = tensor(values, f"with {case.words}, the new values", given.shape, "(k,)", like=given)
    if len(places.unique()) < len(places):
        raise Wrong(
            f"with {case.words}, yours names a position twice; what stays must not be chosen again"
        )
    return _sorted(places.long(), values)
