"""An exercise on a mask that moves during training: drop the smallest changes, regrow elsewhere."""

from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, Misreadings, check_cases, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise

Pair = tuple[Tensor, Tensor]
"""(indices, values), sorted by position; int64 (k,) and float (k,)"""


def _mask(size: int, k: int, moving: int) -> Case:
    generator = torch.Generator().manual_seed(size + moving)
    indices = torch.randperm(size, generator=generator)[:k].sort().values
    values = torch.randn(k, generator=generator)
    scores = torch.randn(size, generator=generator)
    # The steepest position is taken; the next steepest is dropped, so it comes back at zero.
    scores[indices[values.abs().argmax()]] = 9.0
    scores[indices[values.abs().argmin()]] = -8.0
    return Case((indices, values, scores, moving), f"{k} of {size} entries, {moving} of which move")


CASES = [
    _mask(12, 5, 2),
    _mask(20, 8, 3),
    _mask(9, 4, 1),
    # What stays must not be chosen again even where all that is free has a score of 0.
    Case(
        (
            torch.arange(6),
            torch.tensor([3.0, -2.0, 0.1, 0.2, 0.3, 1.0]),
            torch.tensor([9.0, 9.0, 0.0, 0.0, 0.0, 9.0]),
            3,
        ),
        "all 6 of 6 entries, 3 of which move, and only scores of 0 are free",
        edge=True,
    ),
]


def _regrow(
    indices: Tensor, values: Tensor, scores: Tensor, moving: int, kept: Tensor, steepness: Tensor
) -> Pair:
    """Keep entries by the largest `kept`, (k,); grow where `steepness`, (size,), is largest."""
    stay = kept.argsort(descending=True)[: len(values) - moving]
    free = steepness.clone()
    free[indices[stay]] = -torch.inf
    new = free.argsort(descending=True)[:moving]
    places = torch.cat([indices[stay], new])
    return _sorted(places, torch.cat([values[stay], torch.zeros(moving)]))


def _sorted(indices: Tensor, values: Tensor) -> Pair:
    order = indices.argsort()
    return indices[order], values[order]


def _right(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    return _regrow(indices, values, scores, moving, values.abs(), scores.abs())


misreading = Misreadings()


@misreading(
    "what is dropped must be smallest in size; yours goes by sign, and drops the most negative"
)
def _drop_by_sign(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    return _regrow(indices, values, scores, moving, values, scores.abs())


@misreading("yours drops the largest values, which have done the most")
def _drop_largest(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    return _regrow(indices, values, scores, moving, -values.abs(), scores.abs())


@misreading("where the loss is steepest goes by size; yours goes by sign")
def _grow_by_sign(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    return _regrow(indices, values, scores, moving, values.abs(), scores)


@misreading("yours grows where the loss is flattest")
def _grow_at_flattest(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    return _regrow(indices, values, scores, moving, values.abs(), -scores.abs())


@misreading("a dropped position may come back, at zero; yours forbids it")
def _never_back(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    elsewhere = scores.abs()
    elsewhere[indices] = -torch.inf
    return _regrow(indices, values, scores, moving, values.abs(), elsewhere)


@misreading("a position that was dropped and comes back starts at zero; yours keeps its old value")
def _old_value(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    places, now = _right(indices, values, scores, moving)
    old = torch.zeros(len(scores)).index_put((indices,), values)
    return places, torch.where(now == 0, old[places], now)


@misreading("nothing has moved")
def _unmoved(indices: Tensor, values: Tensor, scores: Tensor, moving: int) -> Pair:
    return indices, values


def _read(answer: Any, case: Case) -> Pair:
    """Read the pair, sorted by position."""
    given_indices, given_values = case.given[:2]
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong(f"the answer must be the pair (indices, values), got {kind(answer)}")
    places, values = answer
    if not isinstance(places, Tensor) or places.dtype not in (torch.int32, torch.int64):
        found = places.dtype if isinstance(places, Tensor) else kind(places)
        raise Wrong(f"the new indices must be a tensor of whole numbers, got {found}")
    if places.shape != given_indices.shape:
        raise Wrong(
            f"with {case.words}, there must be {len(given_indices)} indices as before, "
            f"got a tensor of shape {tuple(places.shape)}"
        )
    what = f"with {case.words}, the new values"
    values = tensor(values, what, given_values.shape, "(k,)", like=given_values)
    if len(places.unique()) < len(places):
        raise Wrong(
            f"with {case.words}, yours names a position twice; what stays must not be chosen again"
        )
    return _sorted(places.long(), values)


def _same(one: Pair, other: Pair) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _explain(case: Case, wanted: Pair, answer: Pair) -> str:
    if not torch.equal(answer[0], wanted[0]):
        missing = next(place for place in wanted[0].tolist() if place not in answer[0].tolist())
        return (
            f"with {case.words}, position {missing} should be among the new indices, "
            "in yours it is not"
        )
    at = int((answer[1] != wanted[1]).nonzero()[0])
    return (
        f"with {case.words}, the value at position {answer[0][at]} must be {wanted[1][at]:.3g}, "
        f"in yours it is {answer[1][at]:.3g}"
    )


@exercise(
    "Drop and regrow",
    difficulty=4,
    minutes=20,
    hints=[
        "Two questions in turn: which positions stay? Then, among all that do not stay, where is "
        "|score| largest?",
        "`values.abs().argsort(descending=True)` says which stay. Set their scores to -inf in a "
        "copy, so that no position is chosen twice.",
        "Join the positions that stay, with their values, and the `moving` new ones, with zeros; "
        "sort both by position.",
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
    """`yours(indices, values, scores, moving)` is the pair (indices, values) of the new mask.

    The `moving` smallest values have been replaced by zeros at the steepest free positions.
    """
    check_cases(
        yours,
        "indices, values, scores, moving",
        _right,
        CASES,
        misreading,
        read=_read,
        same=_same,
        explain=_explain,
    )
    return (
        "The number of entries never changes, only their positions. The mask pays now and then for "
        "the memory of one whole gradient."
    )
