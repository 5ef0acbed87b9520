"""Exercises on equal budgets: the expected best of several trials, and a sparse mask of LoRA's
size."""

from collections.abc import Callable
from itertools import combinations
from statistics import fmean
from typing import Any

from ftkit.lessons.limits_of_lora.exercises.step_share import Shapes
from ftkit.stats.tradeoff import expected_best
from ftkit.teaching.checking import Case, Misreadings, check_cases
from ftkit.teaching.exercise import exercise

Values = list[float]

TRIED = [
    Case(([0.62, 0.55, 0.7, 0.4], 2), "four values"),
    Case(([0.5, 0.9, 0.1, 0.3, 0.8], 3), "five values"),
    Case(([0.7, 0.5, 0.7, 0.6], 2), "a value that came twice"),
    Case(([0.31, 0.77, 0.12, 0.58, 0.66, 0.05], 4), "six values"),
    Case(([0.62, 0.55, 0.7, 0.4], 1), "one trial", edge=True),
    Case(([0.8, 0.2], 10), "more trials than values", edge=True),
    Case(([0.42], 3), "one value", edge=True),
    Case(([-0.2, -0.9, -0.5], 2), "values below 0", edge=True),
]


def _weighted(
    weight: Callable[[int, int, int], float], order: Callable[[Values], Values] = sorted
) -> Callable[[Values, int], float]:
    """Make a weighted sum: `weight(place from 1, number of values, trials)` for each value."""

    def total(values: Values, trials: int) -> float:
        return sum(
            value * weight(place, len(values), trials)
            for place, value in enumerate(order(values), 1)
        )

    return total


def _chance(i: int, n: int, trials: int) -> float:
    """The chance that the i-th smallest of n is the best of the draws."""
    return (i / n) ** trials - ((i - 1) / n) ** trials


def _descending(values: Values) -> Values:
    return sorted(values, reverse=True)


wrong_expectations = Misreadings(
    {
        "the values are not sorted: sort them first": _weighted(_chance, list),
        "that is the expected worst: sort the values ascending, and `(i / n) ** trials` is the "
        "chance that every draw is at most the i-th": _weighted(_chance, _descending),
        "that is the best of all, which the draws need not hit": lambda v, t: max(v),
        "that is the mean, which is what one trial gives; raise `i / n` to the power of the "
        "trials": lambda v, t: fmean(v),
        "that multiplies by the trials; raise to their power, `**`": lambda v, t: t * fmean(v),
        "that draws without replacement; a setting can be drawn again": (
            lambda v, t: fmean(max(some) for some in combinations(v, t))
        ),
        "that is the mean of the top values, one per trial; draws hit the others too": (
            lambda v, t: fmean(sorted(v)[-t:])
        ),
        "that is the best of the first values, one per trial; average over all draws": (
            lambda v, t: max(v[:t])
        ),
        "the places are one too low: the smallest value has i = 1": (
            _weighted(lambda i, n, t: _chance(i - 1, n, t))
        ),
        "the places are one too high: the smallest value has i = 1, and `(i - 1) / n` is "
        "subtracted": _weighted(lambda i, n, t: _chance(i + 1, n, t)),
        "`(i / n) ** trials` is the chance that every draw is at most the i-th; subtract that of "
        "the one before": _weighted(lambda i, n, t: (i / n) ** t),
        "`1 - (1 - i / n) ** trials` is the chance that at least one draw is at most the i-th; "
        "the best is if all draws are": _weighted(lambda i, n, t: 1 - (1 - i / n) ** t),
        "`i / n ** trials` raises n alone; put brackets around `i / n`": (
            _weighted(lambda i, n, t: 1 / n**t)
        ),
        "n must be raised to the power of the trials too: `(i / n) ** trials`": (
            _weighted(lambda i, n, t: (i**t - (i - 1) ** t) / n)
        ),
        "two settings with equal values are two settings; yours counts them once": (
            lambda v, t: expected_best(sorted(set(v)), t)
        ),
    }
)


def _explain_best(case: Case, wanted: float, answer: float) -> str:
    values, trials = case.given
    return (
        f"for {case.words}, {values} and {trials} trial{'' if trials == 1 else 's'}, "
        f"the expected best is {wanted:.4g}, yours is {answer:.4g}"
    )


@exercise(
    "The best of several trials",
    difficulty=3,
    minutes=12,
    hints=[
        "The best of the draws is at most some value if every draw is. How likely is that for one "
        "draw, and how likely for all of them?",
        "Sort ascending, i from 1. All draws are at most the i-th with chance `(i / n) ** trials`. "
        "How likely is less?",
        "Add up `v * ((i / n) ** trials - ((i - 1) / n) ** trials)` over "
        "`enumerate(sorted(values), 1)`.",
    ],
    solution="""
def expected(values, trials):
    n, ranked = len(values), enumerate(sorted(values), 1)
    return sum(v * ((i / n) ** trials - ((i - 1) / n) ** trials) for i, v in ranked)
""",
)
def expected(yours: Any) -> str:
    """`yours(values, trials)` is the expected best of `trials` settings drawn from those tried.

    The draws are independent, equally likely, with replacement (Dodge et al. 2019,
    arXiv:1909.03004). `values` lists the validation scores of all settings that were tried, in any
    order; higher is better.
    """
    check_cases(
        yours,
        "values, trials",
        expected_best,
        TRIED,
        wrong_expectations,
        explain=_explain_best,
    )
    return (
        "That a method needs little tuning shows at one trial, where the expected best is the "
        "mean. A comparison at one trial and one at twenty may have different winners: say how "
        "many trials each method had."
    )


NETS = [
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
# Here LoRA has more parameters than a matrix has entries. They are checked on their own, because
# every other misreading gives different answers with and without the cut at 1.
SMALL_NETS = [
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


wrong_densities = Misreadings(
    {
        "that is the mean of the matrices' shares; add up parameters and entries first, then "
        "divide once": lambda s, r: fmean(_uncut([shape], r) for shape in s),
        "that is the sum of the matrices' shares; add up parameters and entries first, then "
        "divide once": lambda s, r: sum(_uncut([shape], r) for shape in s),
        "that multiplies out and in; A and B are applied one after the other, so their parameters "
        "add": lambda s, r: r,
        "yours is 1 where LoRA has far fewer parameters; is out multiplied by in in the numerator, "
        "the share inverted, or `max` used instead of `min`?": lambda s, r: 1,
        "that is B (out, rank) alone; A (rank, in) has parameters too": (
            lambda s, r: r * sum(out for out, _ in s) / _entries(s)
        ),
        "that is A (rank, in) alone; B (out, rank) has parameters too": (
            lambda s, r: r * sum(into for _, into in s) / _entries(s)
        ),
        "the rank is left out": lambda s, r: _uncut(s, 1),
        "that is in percent; answer with a share": lambda s, r: 100 * _uncut(s, r),
        "that is the number of LoRA's parameters; divide by the entries of the matrices": _lora,
        "that is the root of the share": lambda s, r: _uncut(s, r) ** 0.5,
        "the share is inverted: LoRA's parameters are the numerator": lambda s, r: 1 / _uncut(s, r),
        "that is the share that stays frozen": lambda s, r: 1 - _uncut(s, r),
        "the mask is inside the matrices: divide by their entries alone, without LoRA's "
        "parameters": lambda s, r: _lora(s, r) / (_entries(s) + _lora(s, r)),
        "multiply out and in of each matrix, then add up; yours multiplies the sums": (
            lambda s, r: _lora(s, r) / (sum(out for out, _ in s) * sum(into for _, into in s))
        ),
        "only the first matrix is counted": lambda s, r: _uncut(s[:1], r),
        "only the last matrix is counted": lambda s, r: _uncut(s[-1:], r),
    }
)
wrong_cuts = Misreadings({"a mask has no more entries than the matrices: cut at 1": _uncut})


@wrong_cuts("the mask is over all matrices together: cut their total at 1, not each matrix")
def _cut_each(shapes: Shapes, rank: int) -> float:
    chosen = sum(min(_lora([shape], rank), _entries([shape])) for shape in shapes)
    return chosen / _entries(shapes)


def _explain_density(case: Case, wanted: float, answer: float) -> str:
    return f"for {case.words} the density is {wanted:.4g}, yours is {answer:.4g}"


@exercise(
    "A mask of LoRA's size",
    difficulty=1,
    minutes=6,
    hints=[
        "LoRA gives each matrix (out, in) two factors, A (rank, in) and B (out, rank). How many "
        "parameters are that?",
        "LoRA has `rank * (out + in)` parameters for a matrix of `out * in` entries. Add up both "
        "over all matrices, then divide once.",
        "`rank * sum(out + into for out, into in shapes) / "
        "sum(out * into for out, into in shapes)`; `min(1, ...)` cuts it at 1.",
    ],
    solution="""
def same_parameters(shapes, rank):
    lora = rank * sum(out + into for out, into in shapes)
    return min(1, lora / sum(out * into for out, into in shapes))
""",
)
def same_parameters(yours: Any) -> str:
    """`yours(shapes, rank)` is the density at which a mask has as many entries as LoRA parameters.

    LoRA of this rank adds factors to each of the matrices of the shapes [(out, in), ...]. The mask
    is over all of them together; its density, at most 1, is the share of their entries that it
    trains.
    """
    takes = "shapes, rank"
    check_cases(yours, takes, _density, NETS, wrong_densities, explain=_explain_density)
    check_cases(yours, takes, _density, SMALL_NETS, wrong_cuts, explain=_explain_density)
    return (
        "Equal parameters are one budget of several: a mask costs as many operations as full "
        "fine-tuning, whatever its density. Name the budget at which two methods are compared."
    )
