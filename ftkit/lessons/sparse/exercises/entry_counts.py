"""Exercises on chosen entries: what they cost to train and to keep, and how exactly so many are chosen."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind
from ftkit.teaching.exercise import Wrong, exercise

Bytes = tuple[int, int]

# Rounding down, rounding up, and less than one.
_BODIES = [
    Case((1_030, 0.01), "1,030 numbers and density 0.01"),
    Case((221_184, 0.03), "221,184 numbers and density 0.03"),
    Case((186_624, 0.001), "186,624 numbers and density 0.001"),
    Case((40, 0.001), "40 numbers and density 0.001"),
]


def _of(
    train: Callable[[int, int], int], keep: Callable[[int, int], int]
) -> Callable[[int, float], Bytes]:
    """(bytes to train, bytes to keep) as functions of k and of all numbers."""

    def both(numbers: int, density: float) -> Bytes:
        k = max(1, round(density * numbers))
        return train(k, numbers), keep(k, numbers)

    return both


_BYTES = _of(lambda k, n: 12 * k, lambda k, n: 8 * k)
_MISBYTES: dict[str, Callable[[int, float], Bytes]] = {
    "the gradient is missing: it has 4 bytes an entry beside Adam's 8": _of(
        lambda k, n: 8 * k, lambda k, n: 8 * k
    ),
    "Adam's two averages are missing: 8 bytes an entry beside the gradient's 4": _of(
        lambda k, n: 4 * k, lambda k, n: 8 * k
    ),
    "Adam keeps two averages, of the gradient and of its square": _of(
        lambda k, n: 8 * k, lambda k, n: 4 * k
    ),
    "a value alone does not say where it belongs; its position takes 4 bytes more": _of(
        lambda k, n: 12 * k, lambda k, n: 4 * k
    ),
    "an int32 has 4 bytes; 8 are those of an int64": _of(lambda k, n: 12 * k, lambda k, n: 12 * k),
    "that counts the values too; asked are the gradient and Adam's averages": _of(
        lambda k, n: 16 * k, lambda k, n: 8 * k
    ),
    "that is what a dense mask costs; here only the chosen entries have a gradient": _of(
        lambda k, n: 12 * n, lambda k, n: 8 * k
    ),
    "that is full fine-tuning": _of(lambda k, n: 12 * n, lambda k, n: 4 * n),
    "those are numbers, each of which has 4 bytes": _of(lambda k, n: 3 * k, lambda k, n: 2 * k),
    "the two are swapped: training comes first": _of(lambda k, n: 8 * k, lambda k, n: 12 * k),
    "of fewer than one entry, one still moves": lambda n, d: (12 * round(d * n), 8 * round(d * n)),
    "`int` rounds down; the nearest whole number is wanted": lambda n, d: (
        12 * max(1, int(d * n)),
        8 * max(1, int(d * n)),
    ),
    "`int` rounds down, and of fewer than one entry one still moves": lambda n, d: (
        12 * int(d * n),
        8 * int(d * n),
    ),
}


@exercise(
    "What k entries cost",
    difficulty=1,
    minutes=6,
    hints=[
        "How many entries move? The nearest whole number to `density * numbers`, and at least one.",
        "For each of them training holds a gradient and Adam's two averages; a file holds its value and its position. All have 4 bytes.",
        "With k entries: 3 times 4 k bytes to train, 2 times 4 k bytes to keep.",
    ],
    solution="""
def bytes_of(numbers, density):
    k = max(1, round(density * numbers))
    return 12 * k, 8 * k
""",
)
def bytes_of(yours: Any) -> str:
    """`yours(numbers, density)` is the pair (bytes of gradient and Adam, bytes on disk) of sparse fine-tuning, float32 and int32."""
    takes = "numbers, density"
    yours = as_function(yours, takes)
    answers = [_pair(call(yours, takes, *case.given)) for case in _BODIES]
    why = diagnose(answers, _BODIES, _MISBYTES, operator.eq)
    for case, got in zip(_BODIES, answers, strict=True):
        if got != (right := _BYTES(*case.given)):
            raise Wrong(
                f"for {case.words} it takes {right[0]:,} bytes to train and {right[1]:,} to keep, yours says {got[0]:,} and {got[1]:,}{why}"
            )
    return "Each entry costs its position as well: beyond half of the entries, positions and values take more room than the dense matrix."


def _pair(answer: Any) -> Bytes:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong(
            f"the answer must be a pair (bytes to train, bytes to keep), got {kind(answer)}"
        )
    try:
        return operator.index(answer[0]), operator.index(answer[1])
    except TypeError:
        wrong = next(value for value in answer if not hasattr(value, "__index__"))
        rounder = "; `round` gives an int" if isinstance(wrong, float) else ""
        raise Wrong(f"both must be whole numbers (ints), got {kind(wrong)}{rounder}") from None


_SCORES = [
    Case(
        (torch.tensor([[0.3, -2.0, 0.1], [1.5, 0.2, -0.4]]), 2),
        "scores that all differ in size, 2 of 6",
    ),
    Case(
        (torch.tensor([[1.0, 2.0, -1.0, 1.0], [0.0, 1.0, 1.0, -3.0]]), 4),
        "scores of which five are 1 in size, 4 of 8",
    ),
    Case(
        (torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]), 3),
        "scores that are zero but for one, 3 of 9",
    ),
    Case((torch.tensor([[2.0, 2.0], [-2.0, 2.0]]), 4), "four equal scores, all of them"),
    Case((torch.zeros(300, 300), 500), "90,000 equal scores (is your sort stable?), 500 of them"),
]


def _first(scores: Tensor, count: int) -> Tensor:
    """The `count` largest in size; of equal ones the first."""
    order = scores.abs().flatten().sort(descending=True, stable=True).indices
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.view(scores.shape)


def _from(threshold: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    return lambda scores, count: threshold(scores.abs(), count)


def _kth(sizes: Tensor, count: int) -> Tensor:
    return sizes.flatten().sort(descending=True).values[count - 1]


def _by_topk(scores: Tensor, count: int) -> Tensor:
    return (
        torch.zeros(scores.numel(), dtype=torch.bool)
        .index_fill(0, scores.abs().flatten().topk(count).indices, True)
        .view(scores.shape)
    )


_MISCHOSEN: dict[str, Callable[[Tensor, int], Tensor]] = {
    "`topk` promises no order among equal ones; a stable sort does": _by_topk,
    "all that equal the threshold are in; only as many may be as there is room for": _from(
        lambda s, k: s >= _kth(s, k)
    ),
    "all that equal the threshold are out; some of them are needed to make up the count": _from(
        lambda s, k: s > _kth(s, k)
    ),
    "that goes by sign; -2 is larger in size than 1": lambda s, k: _first(s - s.min() + 1, k),
    "those are the smallest in size": lambda s, k: ~_first(s, s.numel() - k),
    "of equal ones those come first that have the lower position; yours takes the last": lambda s, k: (
        _first(s.flip(0, 1), k).flip(0, 1)
    ),
    "that is what is left over: true is to mean chosen": lambda s, k: ~_first(s, k),
    "that takes the first entries, whatever their scores": lambda s, k: (
        torch.arange(s.numel()) < k
    ).view(s.shape),
    "that is one entry too many": lambda s, k: _first(s, k + 1),
    "that is one entry too few": lambda s, k: _first(s, k - 1),
}


@exercise(
    "Exactly so many entries",
    difficulty=2,
    minutes=10,
    hints=[
        "A threshold takes all scores that equal it, or none. What else could you ask a sorted list for?",
        "Sort the sizes, largest first, and take the first `count` *positions*. Does your sort keep the order of equal ones?",
        "`scores.abs().flatten().sort(descending=True, stable=True).indices[:count]`: set those in a flat mask, then give it the shape.",
    ],
    solution="""
def exactly(scores, count):
    order = scores.abs().flatten().sort(descending=True, stable=True).indices
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.view(scores.shape)
""",
)
def exactly(yours: Any) -> str:
    """`yours(scores, count)` is a bool mask of the shape of scores with `count` true: the largest in size, of equal ones the first."""
    takes = "scores, count"
    yours = as_function(yours, takes)
    answers = [_mask(call(yours, takes, *case.given), case) for case in _SCORES]
    why = diagnose(answers, _SCORES, _MISCHOSEN, torch.equal)
    for case, got in zip(_SCORES, answers, strict=True):
        scores, count = case.given
        if int(got.sum()) != count:
            raise Wrong(
                f"with {case.words}, {count} entries must be true, in yours it is {int(got.sum())}{why}"
            )
        if not torch.equal(got, right := _first(scores, count)):
            missing = (right & ~got).nonzero()[0].tolist()
            raise Wrong(
                f"with {case.words}, the entry at row {missing[0]}, column {missing[1]} should be true, in yours it is not{why}"
            )
    return "Ties are no rarity: whatever did not take part in a batch has a gradient of zero, and zeros are all equal."


def _mask(answer: Any, case: Case) -> Tensor:
    scores = case.given[0]
    if not isinstance(answer, Tensor):
        raise Wrong(f"with {case.words}, the mask must be a torch.Tensor, got {kind(answer)}")
    if answer.dtype != torch.bool:
        raise Wrong(
            f"with {case.words}, the mask must hold True and False (torch.bool), got {answer.dtype}"
        )
    if answer.shape != scores.shape:
        raise Wrong(
            f"with {case.words}, the mask must have the shape of the scores, {tuple(scores.shape)}, got {tuple(answer.shape)}"
        )
    return answer
