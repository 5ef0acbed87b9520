"""Exercises on equal budgets: the expected best of so many trials, and a sparse mask with as many numbers as LoRA."""

from collections.abc import Callable
from itertools import combinations
from statistics import fmean
from typing import Any

from ftkit.lessons.limits_of_lora.exercises.step_share import Shapes
from ftkit.stats.tradeoff import expected_best
from ftkit.teaching.checking import Case, as_function, first_mismatch
from ftkit.teaching.exercise import Wrong, exercise

Values = list[float]

_TRIED = [
    Case(([0.62, 0.55, 0.7, 0.4], 2), "four values"),
    Case(([0.5, 0.9, 0.1, 0.3, 0.8], 3), "five values"),
    Case(([0.7, 0.5, 0.7, 0.6], 2), "a value that came twice"),
    Case(([0.31, 0.77, 0.12, 0.58, 0.66, 0.05], 4), "six values"),
]
_EDGES = [
    Case(([0.62, 0.55, 0.7, 0.4], 1), "one trial"),
    Case(([0.8, 0.2], 10), "more trials than values"),
    Case(([0.42], 3), "one value"),
    Case(([-0.2, -0.9, -0.5], 2), "values below 0"),
]


def _weighed(
    weight: Callable[[int, int, int], float], order: Callable[[Values], Values] = sorted
) -> Callable[[Values, int], float]:
    """The sum of the values, each by a weight of its place from 1, of how many there are, and of the trials."""
    return lambda values, trials: sum(
        v * weight(i, len(values), trials) for i, v in enumerate(order(values), 1)
    )


def _best(i: int, n: int, trials: int) -> float:
    return (i / n) ** trials - ((i - 1) / n) ** trials


_MISEXPECTED: dict[str, Callable[[Values, int], float]] = {
    "the values are in no order: sort them first": _weighed(_best, list),
    "that is the expected worst: sort the values rising, and `(i / n) ** trials` is the chance that every draw is at most the i-th": (
        _weighed(_best, lambda v: sorted(v, reverse=True))
    ),
    "that is the best of all, which so many draws need not hit": lambda v, t: max(v),
    "that is the mean, which is what one trial gives; raise `i / n` to the power of the trials": lambda v, t: (
        fmean(v)
    ),
    "that multiplies by the trials; raise to their power, `**`": lambda v, t: t * fmean(v),
    "that draws without replacement; a setting can be drawn again": lambda v, t: fmean(
        max(some) for some in combinations(v, t)
    ),
    "that is the mean of the top ones, as many as there are trials; draws hit the others too": lambda v, t: (
        fmean(sorted(v)[-t:])
    ),
    "that is the best of the first ones, as many as there are trials; average over all draws": lambda v, t: (
        max(v[:t])
    ),
    "the places are one too low: the smallest value has i = 1": _weighed(
        lambda i, n, t: _best(i - 1, n, t)
    ),
    "the places are one too high: the smallest value has i = 1, and `(i - 1) / n` is subtracted": _weighed(
        lambda i, n, t: _best(i + 1, n, t)
    ),
    "`(i / n) ** trials` is the chance that every draw is at most the i-th; subtract that of the one before": _weighed(
        lambda i, n, t: (i / n) ** t
    ),
    "`1 - (1 - i / n) ** trials` is the chance that one draw at least is at most the i-th; the best is if all draws are": _weighed(
        lambda i, n, t: 1 - (1 - i / n) ** t
    ),
    "`i / n ** trials` raises n alone; put brackets around `i / n`": _weighed(
        lambda i, n, t: 1 / n**t
    ),
    "n must be raised to the power of the trials too: `(i / n) ** trials`": _weighed(
        lambda i, n, t: (i**t - (i - 1) ** t) / n
    ),
    "two settings with equal values are two settings; yours counts them once": lambda v, t: (
        expected_best(sorted(set(v)), t)
    ),
}


@exercise(
    "The best of so many trials",
    difficulty=3,
    minutes=12,
    hints=[
        "The best of the draws is at most some value if every draw is. How likely is that for one draw, and how likely for all of them?",
        "Sort rising, i from 1. All draws are at most the i-th with chance `(i / n) ** trials`. How likely is less?",
        "Add up `v * ((i / n) ** trials - ((i - 1) / n) ** trials)` over `enumerate(sorted(values), 1)`.",
    ],
    solution="""
def expected(values, trials):
    n = len(values)
    return sum(v * ((i / n) ** trials - ((i - 1) / n) ** trials) for i, v in enumerate(sorted(values), 1))
""",
)
def expected(yours: Any) -> str:
    """`yours(values, trials)` is the expected best of `trials` settings drawn from those that were tried, independently, each equally
    likely, with replacement (Dodge et al. 2019, arXiv:1909.03004). `values` lists the validation scores of all that were tried, in no
    order; more is better."""
    yours, takes = as_function(yours, "values, trials"), "values, trials"
    wrong = first_mismatch(yours, takes, expected_best, _TRIED, _MISEXPECTED) or first_mismatch(
        yours, takes, expected_best, _EDGES, {}
    )
    if wrong:
        case, right, answer, why = wrong
        values, trials = case.given
        start = f"for {case.words}, {values} and {trials} trial{'' if trials == 1 else 's'}"
        raise Wrong(f"{start}, the expected best is {right:.4g}, yours is {answer:.4g}{why}")
    return (
        "That a method needs little tuning shows at one trial, where the expected best is the mean. A comparison at one trial and one at "
        "twenty may have different winners: say how many trials each method had."
    )


_NETS = [
    Case(([(64, 32)], 4), "one matrix (64, 32) and rank 4"),
    Case(
        ([(128, 128), (512, 128), (128, 512)], 8),
        "the matrices (128, 128), (512, 128), (128, 512) and rank 8",
    ),
    Case(([(10, 30), (20, 10)], 3), "the matrices (10, 30), (20, 10) and rank 3"),
    Case(
        ([(40, 60), (96, 48), (20, 30)], 2), "the matrices (40, 60), (96, 48), (20, 30) and rank 2"
    ),
]
# Here LoRA has more numbers than a matrix has entries, so what else is wrong would differ with and without a cut.
_SMALL = [
    Case(([(4, 6), (96, 48)], 8), "the matrices (4, 6), (96, 48) and rank 8"),
    Case(([(8, 8)], 16), "one matrix (8, 8) and rank 16"),
    Case(([(10, 4), (6, 3)], 5), "the matrices (10, 4), (6, 3) and rank 5"),
]


def _lora(shapes: Shapes, rank: int) -> int:
    return rank * sum(out + into for out, into in shapes)


def _entries(shapes: Shapes) -> int:
    return sum(out * into for out, into in shapes)


def _uncut(shapes: Shapes, rank: int) -> float:
    return _lora(shapes, rank) / _entries(shapes)


def _density(shapes: Shapes, rank: int) -> float:
    return min(1.0, _uncut(shapes, rank))


_MISSHARED: dict[str, Callable[[Shapes, int], float]] = {
    "that is the mean of the matrices' shares; add up the numbers and the entries first, then divide once": lambda s, r: (
        fmean(_uncut([shape], r) for shape in s)
    ),
    "that is the sum of the matrices' shares; add up the numbers and the entries first, then divide once": lambda s, r: (
        sum(_uncut([shape], r) for shape in s)
    ),
    "that multiplies out and in; A and B stand one after the other, so their numbers add": lambda s, r: (
        r
    ),
    "yours is 1 where LoRA has far fewer numbers; is out multiplied by in above, the share upside down, or `max` in the place of `min`?": (
        lambda s, r: 1
    ),
    "that is B (out, rank) alone; A (rank, in) has numbers too": lambda s, r: (
        r * sum(out for out, _ in s) / _entries(s)
    ),
    "that is A (rank, in) alone; B (out, rank) has numbers too": lambda s, r: (
        r * sum(into for _, into in s) / _entries(s)
    ),
    "the rank is left out": lambda s, r: _uncut(s, 1),
    "that is in percent; answer with a share": lambda s, r: 100 * _uncut(s, r),
    "that is how many numbers LoRA has; divide by the entries of the matrices": _lora,
    "that is the root of the share": lambda s, r: _uncut(s, r) ** 0.5,
    "that is upside down: LoRA's numbers stand above": lambda s, r: 1 / _uncut(s, r),
    "that is the share that stays frozen": lambda s, r: 1 - _uncut(s, r),
    "the mask lies inside the matrices: divide by their entries alone, without LoRA's numbers": lambda s, r: (
        _lora(s, r) / (_entries(s) + _lora(s, r))
    ),
    "multiply out and in of each matrix, then add up; yours multiplies the sums": lambda s, r: (
        _lora(s, r) / (sum(out for out, _ in s) * sum(into for _, into in s))
    ),
    "only the first matrix is counted": lambda s, r: _uncut(s[:1], r),
    "only the last matrix is counted": lambda s, r: _uncut(s[-1:], r),
}
_MISCUT: dict[str, Callable[[Shapes, int], float]] = {
    "a mask has no more entries than the matrices: cut the share at 1": _uncut,
    "the mask lies over all matrices together: cut the share of all of them at 1, not each matrix": lambda s, r: (
        sum(min(_lora([shape], r), _entries([shape])) for shape in s) / _entries(s)
    ),
}


@exercise(
    "A mask with LoRA's numbers",
    difficulty=1,
    minutes=6,
    hints=[
        "LoRA gives each matrix (out, in) two factors, A (rank, in) and B (out, rank). How many numbers are that?",
        "LoRA has `rank * (out + in)` numbers for a matrix of `out * in` entries. Add up both over all matrices, then divide once.",
        "`rank * sum(out + into for out, into in shapes) / sum(out * into for out, into in shapes)`; `min(1, ...)` cuts it at 1.",
    ],
    solution="""
def same_parameters(shapes, rank):
    lora = rank * sum(out + into for out, into in shapes)
    return min(1, lora / sum(out * into for out, into in shapes))
""",
)
def same_parameters(yours: Any) -> str:
    """`yours(shapes, rank)` is the density, at most 1, at which a sparse mask has as many entries as LoRA of that rank has numbers. LoRA
    adds factors to each of the matrices of those shapes [(out, in), ...]. The mask lies over all of them together; its density is the
    share of their entries that it lets train."""
    yours, takes = as_function(yours, "shapes, rank"), "shapes, rank"
    wrong = first_mismatch(yours, takes, _density, _NETS, _MISSHARED) or first_mismatch(
        yours, takes, _density, _SMALL, _MISCUT
    )
    if wrong:
        case, right, answer, why = wrong
        raise Wrong(f"for {case.words} the density is {right:.4g}, yours is {answer:.4g}{why}")
    return (
        "Equal numbers are one budget of several: a mask costs as many operations as full fine-tuning, whatever its density. Name the "
        "budget at which two methods are compared."
    )
