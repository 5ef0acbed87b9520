"""Exercises on chosen entries: what they cost to train and to keep, and how to choose exactly k."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, Misreadings, check_cases, kind
from ftkit.teaching.exercise import Wrong, exercise

Bytes = tuple[int, int]
"""(bytes of gradient and optimizer state, bytes on disk)"""

# Rounding down, rounding up, and less than one entry.
BODIES = [
    Case((1_030, 0.01), "1,030 parameters and density 0.01"),
    Case((221_184, 0.03), "221,184 parameters and density 0.03"),
    Case((186_624, 0.001), "186,624 parameters and density 0.001"),
    Case((40, 0.001), "40 parameters and density 0.001"),
]


def _bytes(to_train: int, to_keep: int) -> Callable[[int, float], Bytes]:
    """Make a function that counts this many bytes per chosen entry."""

    def count(numbers: int, density: float) -> Bytes:
        k = max(1, round(density * numbers))
        return to_train * k, to_keep * k

    return count


right_bytes = _bytes(12, 8)
wrong_bytes = Misreadings(
    {
        "the gradient is missing: 4 bytes per entry, in addition to Adam's 8": _bytes(8, 8),
        "Adam's two averages are missing: 8 bytes per entry, in addition to the gradient's 4": (
            _bytes(4, 8)
        ),
        "Adam keeps two averages, of the gradient and of its square": _bytes(8, 4),
        "a value alone does not say where it belongs; its position takes 4 more bytes": (
            _bytes(12, 4)
        ),
        "an int32 has 4 bytes; 8 are those of an int64": _bytes(12, 12),
        "that counts the values too; asked are the gradient and Adam's averages": _bytes(16, 8),
        "those are counts of numbers, and each number has 4 bytes": _bytes(3, 2),
        "the two are swapped: training comes first": _bytes(8, 12),
    }
)


@wrong_bytes("that is what a dense mask costs; here only the chosen entries have a gradient")
def _dense_mask(numbers: int, density: float) -> Bytes:
    return 12 * numbers, right_bytes(numbers, density)[1]


@wrong_bytes("that is full fine-tuning")
def _full(numbers: int, density: float) -> Bytes:
    return 12 * numbers, 4 * numbers


@wrong_bytes("below one entry, one is still trained")
def _none_below_one(numbers: int, density: float) -> Bytes:
    k = round(density * numbers)
    return 12 * k, 8 * k


@wrong_bytes("`int` rounds down; the nearest whole number is wanted")
def _rounded_down(numbers: int, density: float) -> Bytes:
    k = max(1, int(density * numbers))
    return 12 * k, 8 * k


@wrong_bytes("`int` rounds down, and below one entry, one is still trained")
def _rounded_down_to_none(numbers: int, density: float) -> Bytes:
    k = int(density * numbers)
    return 12 * k, 8 * k


def _read_bytes(answer: Any, case: Case) -> Bytes:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong(
            f"the answer must be a pair (bytes to train, bytes to keep), got {kind(answer)}"
        )
    try:
        return operator.index(answer[0]), operator.index(answer[1])
    except TypeError:
        refused = next(value for value in answer if not hasattr(value, "__index__"))
        remedy = "; `round` gives an int" if isinstance(refused, float) else ""
        raise Wrong(f"both must be whole numbers (ints), got {kind(refused)}{remedy}") from None


def _explain_bytes(case: Case, wanted: Bytes, answer: Bytes) -> str:
    return (
        f"for {case.words} it takes {wanted[0]:,} bytes to train and {wanted[1]:,} to keep, "
        f"yours says {answer[0]:,} and {answer[1]:,}"
    )


@exercise(
    "What k entries cost",
    difficulty=1,
    minutes=6,
    hints=[
        "How many entries are trained? The nearest whole number to `density * numbers`, "
        "and at least one.",
        "For each entry, training holds a gradient and Adam's two averages; a file holds its "
        "value and its position. All have 4 bytes.",
        "With k entries: 3 times 4 k bytes to train, 2 times 4 k bytes to keep.",
    ],
    solution="""
def bytes_of(numbers, density):
    k = max(1, round(density * numbers))
    return 12 * k, 8 * k
""",
)
def bytes_of(yours: Any) -> str:
    """`yours(numbers, density)` is the pair (bytes of gradient and Adam, bytes on disk).

    `numbers` is the number of parameters that the mask chooses from. Values are float32, positions
    are int32.
    """
    check_cases(
        yours,
        "numbers, density",
        right_bytes,
        BODIES,
        wrong_bytes,
        read=_read_bytes,
        explain=_explain_bytes,
    )
    return (
        "Each entry costs its position as well: beyond half of the entries, positions and values "
        "take more room than the dense matrix."
    )


SCORES = [
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
        "scores that are zero except one, 3 of 9",
    ),
    Case((torch.tensor([[2.0, 2.0], [-2.0, 2.0]]), 4), "four equal scores, all of them"),
    Case((torch.zeros(300, 300), 500), "90,000 equal scores (is your sort stable?), 500 of them"),
]


def _first(scores: Tensor, count: int) -> Tensor:
    """Mark the `count` largest in size; among equal ones the first."""
    order = scores.abs().flatten().sort(descending=True, stable=True).indices
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.view(scores.shape)


def _threshold(scores: Tensor, count: int) -> Tensor:
    """The size of the `count`-th largest score."""
    return scores.abs().flatten().sort(descending=True).values[count - 1]


wrong_masks = Misreadings()


@wrong_masks("`topk` promises no order among equal ones; a stable sort does")
def _by_topk(scores: Tensor, count: int) -> Tensor:
    chosen = scores.abs().flatten().topk(count).indices
    return torch.zeros(scores.numel(), dtype=torch.bool).index_fill(0, chosen, True).view_as(scores)


@wrong_masks("all that equal the threshold are in; only as many may be in as there is room for")
def _at_least(scores: Tensor, count: int) -> Tensor:
    return scores.abs() >= _threshold(scores, count)


@wrong_masks("all that equal the threshold are out; some of them are needed to make up the count")
def _more_than(scores: Tensor, count: int) -> Tensor:
    return scores.abs() > _threshold(scores, count)


@wrong_masks("that goes by sign; -2 is larger in size than 1")
def _by_sign(scores: Tensor, count: int) -> Tensor:
    return _first(scores - scores.min() + 1, count)


@wrong_masks("those are the smallest in size")
def _smallest(scores: Tensor, count: int) -> Tensor:
    return ~_first(scores, scores.numel() - count)


@wrong_masks("among equal ones the lower position comes first; yours takes the last")
def _last_of_equal(scores: Tensor, count: int) -> Tensor:
    return _first(scores.flip(0, 1), count).flip(0, 1)


@wrong_masks("that is the rest: True must mean chosen")
def _the_rest(scores: Tensor, count: int) -> Tensor:
    return ~_first(scores, count)


@wrong_masks("that takes the first entries, whatever their scores")
def _first_entries(scores: Tensor, count: int) -> Tensor:
    return (torch.arange(scores.numel()) < count).view(scores.shape)


@wrong_masks("that is one entry too many")
def _one_more(scores: Tensor, count: int) -> Tensor:
    return _first(scores, count + 1)


@wrong_masks("that is one entry too few")
def _one_less(scores: Tensor, count: int) -> Tensor:
    return _first(scores, count - 1)


def _read_mask(answer: Any, case: Case) -> Tensor:
    scores = case.given[0]
    if not isinstance(answer, Tensor):
        raise Wrong(f"with {case.words}, the mask must be a torch.Tensor, got {kind(answer)}")
    if answer.dtype != torch.bool:
        raise Wrong(
            f"with {case.words}, the mask must hold True and False (torch.bool), got {answer.dtype}"
        )
    if answer.shape != scores.shape:
        raise Wrong(
            f"with {case.words}, the mask must have the shape of the scores, "
            f"{tuple(scores.shape)}, got {tuple(answer.shape)}"
        )
    return answer


def _explain_mask(case: Case, wanted: Tensor, answer: Tensor) -> str:
    count, marked = case.given[1], int(answer.sum())
    if marked != count:
        return f"with {case.words}, {count} entries must be True, in yours it is {marked}"
    row, column = (wanted & ~answer).nonzero()[0].tolist()
    return (
        f"with {case.words}, the entry at row {row}, column {column} should be True, "
        "in yours it is not"
    )


@exercise(
    "Exactly k entries",
    difficulty=2,
    minutes=10,
    hints=[
        "A threshold takes all scores that equal it, or none. What else could you ask a sorted "
        "list for?",
        "Sort the sizes, largest first, and take the first `count` *positions*. Does your sort "
        "keep the order of equal ones?",
        "`scores.abs().flatten().sort(descending=True, stable=True).indices[:count]`: set those "
        "in a flat mask, then give it the shape.",
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
    """`yours(scores, count)` is a bool mask of the shape of scores with `count` entries True.

    They are the largest in size, and among equal ones the first.
    """
    check_cases(
        yours,
        "scores, count",
        _first,
        SCORES,
        wrong_masks,
        read=_read_mask,
        same=torch.equal,
        explain=_explain_mask,
    )
    return (
        "Ties are common: a parameter that took no part in a batch has a gradient of zero, "
        "and zeros are all equal."
    )
