"""An exercise on the cost of LoRA: its multiplications per step, relative to full fine-tuning."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

from ftkit.teaching.checking import Case, check_cases
from ftkit.teaching.exercise import exercise

Shapes = list[tuple[int, int]]

_NETWORKS = [
    Case(([(64, 32)], 4), "one layer (64, 32) and rank 4"),
    Case(([(96, 96)], 16), "one layer (96, 96) and rank 16"),
    Case(
        ([(128, 128), (512, 128), (128, 512)], 8),
        "the layers (128, 128), (512, 128), (128, 512) and rank 8",
    ),
    Case(([(10, 30), (20, 10)], 3), "the layers (10, 30), (20, 10) and rank 3"),
]


def _ratio(
    lora: Callable[[int, int, int], float], passes: int = 3
) -> Callable[[Shapes, int], float]:
    """Sum `lora(out, in, rank)` over the layers; divide by `passes` passes through the weights."""
    return lambda shapes, rank: (
        sum(lora(out, into, rank) for out, into in shapes)
        / sum(passes * out * into for out, into in shapes)
    )


def _lora(out: int, into: int, rank: int) -> float:
    return 2 * out * into + 3 * rank * (out + into)


_step_share = _ratio(_lora)
_WRONG_SHARES: dict[str, Callable[[Shapes, int], float]] = {
    "that is the forward pass alone; a step has a backward pass, too": _ratio(
        lambda out, into, r: out * into
    ),
    "that is the forward pass alone; the factors and the frozen weight have a backward pass, too": (
        _ratio(lambda out, into, r: out * into + r * (out + into))
    ),
    "the backward pass of the frozen weight is missing; it hands the gradient to its input": (
        _ratio(lambda out, into, r: out * into + 3 * r * (out + into))
    ),
    "the two factors are missing": _ratio(lambda out, into, r: 2 * out * into),
    "that is the fraction of trainable parameters; "
    "the frozen weight multiplies as well, forward and backward": (
        _ratio(lambda out, into, r: 3 * r * (out + into))
    ),
    "the factors count once; they are trained, so they take three passes": _ratio(
        lambda out, into, r: 2 * out * into + r * (out + into)
    ),
    "the factors count twice; they are trained, so they take three passes": _ratio(
        lambda out, into, r: 2 * out * into + 2 * r * (out + into)
    ),
    "the frozen weight needs no gradient of its own, which is what LoRA saves": _ratio(
        lambda out, into, r: 3 * out * into + 3 * r * (out + into)
    ),
    "that multiplies out and in; A and B are applied one after the other, so their products add": (
        _ratio(lambda out, into, r: 2 * out * into + 3 * r * out * into)
    ),
    "that is A (rank, in) alone; B (out, rank) multiplies, too": _ratio(
        lambda out, into, r: 2 * out * into + 3 * r * into
    ),
    "that is B (out, rank) alone; A (rank, in) multiplies, too": _ratio(
        lambda out, into, r: 2 * out * into + 3 * r * out
    ),
    "full fine-tuning takes three passes through a weight, yours counts two": (
        _ratio(_lora, passes=2)
    ),
    "full fine-tuning takes three passes through a weight, yours counts one": (
        _ratio(_lora, passes=1)
    ),
    "count a multiply-add the same for both; yours counts two for LoRA and one for the other": (
        lambda shapes, r: 2 * _step_share(shapes, r)
    ),
    "count a multiply-add the same for both; yours counts one for LoRA and two for the other": (
        lambda shapes, r: _step_share(shapes, r) / 2
    ),
    "that is the mean of the layers' ratios; "
    "add up the products first, because a large layer has more of them": (
        lambda shapes, r: fmean(_step_share([shape], r) for shape in shapes)
    ),
    "that is the sum of the layers' ratios; add up the products first, then divide once": (
        lambda shapes, r: sum(_step_share([shape], r) for shape in shapes)
    ),
    "only the first layer is counted": lambda shapes, r: _step_share(shapes[:1], r),
    "only the last layer is counted": lambda shapes, r: _step_share(shapes[-1:], r),
    "that is upside down; divide LoRA's products by the others": (
        lambda shapes, r: 1 / _step_share(shapes, r)
    ),
    "that is the saving, not the cost": lambda shapes, r: 1 - _step_share(shapes, r),
    "that is in percent; return a fraction": lambda shapes, r: 100 * _step_share(shapes, r),
}


def _explain(case: Case, wanted: float, answer: float) -> str:
    return (
        f"for {case.words} a LoRA step takes {wanted:.3f} of the products of a full step, "
        f"yours says {answer:.3f}"
    )


@exercise(
    "What a LoRA step costs",
    difficulty=2,
    minutes=10,
    hints=[
        "A trained weight takes three passes: forward, the gradient of its input, and its own "
        "gradient. Which one does a frozen weight not need?",
        "The frozen weight takes two passes of `out * in` products. A (rank, in) and B (out, rank) "
        "are both trained, so each takes three.",
        "A layer has `2 * out * in + 3 * rank * (out + in)` products with LoRA and `3 * out * in` "
        "without. Add up both, then divide once.",
    ],
    solution="""
def step_share(shapes, rank):
    full = sum(3 * out * into for out, into in shapes)
    lora = sum(2 * out * into + 3 * rank * (out + into) for out, into in shapes)
    return lora / full
""",
)
def step_share(yours: Any) -> str:
    """`yours(shapes, rank)` is the cost of a LoRA step as a fraction of a full fine-tuning step.

    The network has linear layers of these shapes, [(out, in), ...]. The cost is the number of
    products for one token: a pass through a matrix takes one product for each of its entries. There
    is a forward pass, a backward pass to the input, and one more for the gradient of a trained
    matrix. Every layer, the first one too, passes a gradient back to its input.
    """
    check_cases(yours, "shapes, rank", _step_share, _NETWORKS, _WRONG_SHARES, explain=_explain)
    limit = 96 * 96 // (3 * (96 + 96))
    return (
        "LoRA never takes less than two thirds of the products. Above rank in x out / "
        f"(3 (in + out)), which is {limit} for 96 x 96, it takes more than full fine-tuning. "
        "Memory is another cost."
    )
