"""An exercise on what LoRA costs: the products of its step over those of full fine-tuning's."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

from ftkit.teaching.checking import Case, as_function, call, close, diagnose, number
from ftkit.teaching.exercise import Wrong, exercise

Shapes = list[tuple[int, int]]

_NETS = [
    Case(([(64, 32)], 4), "one layer (64, 32) and rank 4"),
    Case(([(96, 96)], 16), "one layer (96, 96) and rank 16"),
    Case(
        ([(128, 128), (512, 128), (128, 512)], 8),
        "the layers (128, 128), (512, 128), (128, 512) and rank 8",
    ),
    Case(([(10, 30), (20, 10)], 3), "the layers (10, 30), (20, 10) and rank 3"),
]


def _over(
    lora: Callable[[int, int, int], float], passes: int = 3
) -> Callable[[Shapes, int], float]:
    """LoRA's products by out, in and rank, summed over the layers, over `passes` passes through the weights."""
    return lambda shapes, rank: (
        sum(lora(out, into, rank) for out, into in shapes)
        / sum(passes * out * into for out, into in shapes)
    )


def _lora(out: int, into: int, rank: int) -> float:
    return 2 * out * into + 3 * rank * (out + into)


_SHARE = _over(_lora)
_MISPRICED: dict[str, Callable[[Shapes, int], float]] = {
    "that is the forward pass alone; a step goes back as well": _over(
        lambda out, into, r: out * into
    ),
    "that is the forward pass alone; the factors go back as well, and so does the frozen weight": _over(
        lambda out, into, r: out * into + r * (out + into)
    ),
    "the way back is missing for the frozen weight: the gradient of its input has to pass it": _over(
        lambda out, into, r: out * into + 3 * r * (out + into)
    ),
    "the two factors are missing": _over(lambda out, into, r: 2 * out * into),
    "that is the share of the numbers that train; the frozen weight takes products as well, forward and on the way back": _over(
        lambda out, into, r: 3 * r * (out + into)
    ),
    "the factors count once; they train, so they take three passes": _over(
        lambda out, into, r: 2 * out * into + r * (out + into)
    ),
    "the factors count twice; they train, so they take three passes": _over(
        lambda out, into, r: 2 * out * into + 2 * r * (out + into)
    ),
    "the frozen weight needs no gradient of its own, which is what LoRA saves": _over(
        lambda out, into, r: 3 * out * into + 3 * r * (out + into)
    ),
    "that multiplies out and in; A and B stand one after the other, so their products add": _over(
        lambda out, into, r: 2 * out * into + 3 * r * out * into
    ),
    "that is A (rank, in) alone; B (out, rank) takes products too": _over(
        lambda out, into, r: 2 * out * into + 3 * r * into
    ),
    "that is B (out, rank) alone; A (rank, in) takes products too": _over(
        lambda out, into, r: 2 * out * into + 3 * r * out
    ),
    "full fine-tuning takes three passes through a weight, yours counts two": _over(
        _lora, passes=2
    ),
    "full fine-tuning takes three passes through a weight, yours counts one": _over(
        _lora, passes=1
    ),
    "a multiply-add counts the same above and below; yours counts two above and one below": lambda s, r: (
        2 * _SHARE(s, r)
    ),
    "a multiply-add counts the same above and below; yours counts one above and two below": lambda s, r: (
        _SHARE(s, r) / 2
    ),
    "that is the mean of the layers' shares; add up the products first, a large layer has more of them": lambda s, r: (
        fmean(_SHARE([shape], r) for shape in s)
    ),
    "that is the sum of the layers' shares; add up the products first, then divide once": lambda s, r: (
        sum(_SHARE([shape], r) for shape in s)
    ),
    "only the first layer is counted": lambda s, r: _SHARE(s[:1], r),
    "only the last layer is counted": lambda s, r: _SHARE(s[-1:], r),
    "that is upside down: LoRA's products stand above": lambda s, r: 1 / _SHARE(s, r),
    "that is the saving, not the cost": lambda s, r: 1 - _SHARE(s, r),
    "that is in percent; answer with a share": lambda s, r: 100 * _SHARE(s, r),
}


@exercise(
    "What a step of LoRA costs",
    difficulty=2,
    minutes=10,
    hints=[
        "A weight that trains takes three passes: forward, the gradient of its input, its own gradient. Which does a frozen one not need?",
        "The frozen weight takes two passes of `out * in` products. A (rank, in) and B (out, rank) both train, so each takes three.",
        "A layer has `2 * out * in + 3 * rank * (out + in)` products with LoRA and `3 * out * in` without. Add up both, then divide once.",
    ],
    solution="""
def step_share(shapes, rank):
    full = sum(3 * out * into for out, into in shapes)
    lora = sum(2 * out * into + 3 * rank * (out + into) for out, into in shapes)
    return lora / full
""",
)
def step_share(yours: Any) -> str:
    """`yours(shapes, rank)` is the number of products of a LoRA step over that of a full fine-tuning step, on linear layers of those
    shapes [(out, in), ...]. Count for one token: a pass through a matrix takes a product for each of its numbers. The passes are forward,
    back to the input, and one more for the gradient of a matrix that trains; every layer passes a gradient back to its input."""
    yours = as_function(yours, "shapes, rank")
    answers = [number(call(yours, "shapes, rank", *case.given), case) for case in _NETS]
    why = diagnose(answers, _NETS, _MISPRICED, close)
    for case, answer in zip(_NETS, answers, strict=True):
        if not close(answer, right := _SHARE(*case.given)):
            raise Wrong(
                f"for {case.words} a step of LoRA takes {right:.3f} of the products of a full one, yours says {answer:.3f}{why}"
            )
    return (
        "LoRA never takes less than two thirds of the products, and above rank in x out / (3 (in + out)) it takes more than full "
        f"fine-tuning: for 96 x 96 that is above rank {96 * 96 // (3 * (96 + 96))}. Memory is another bill."
    )
