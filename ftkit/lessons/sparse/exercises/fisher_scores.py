"""An exercise on scores from data: the Fisher information of a layer, one row at a time."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ftkit.teaching.checking import Case, Misreadings, check_cases, scale_between, tensor
from ftkit.teaching.exercise import exercise


def _classifier(classes: int, width: int, rows: int) -> Case:
    generator = torch.Generator().manual_seed(classes + rows)
    weight = torch.randn(classes, width, generator=generator)
    x = torch.randn(rows, width, generator=generator)
    labels = torch.randint(classes, (rows,), generator=generator)
    return Case((weight, x, labels), f"{classes} classes, width {width}, {rows} rows")


CLASSIFIERS = [_classifier(3, 4, 6), _classifier(5, 5, 9), _classifier(2, 7, 4)]


def _gradients(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each row's own loss, (rows, classes, width)."""
    error = (x @ weight.t()).softmax(-1) - F.one_hot(labels, len(weight))
    return error.unsqueeze(2) * x.unsqueeze(1)


def _mean_square(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).square().mean(0)


misreading = Misreadings()


@misreading(
    "that is the square of the mean gradient; rows that disagree cancel in it. "
    "Square each row's gradient first"
)
def _square_of_mean(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).mean(0).square()


@misreading(
    "that is the square of the summed gradient; square each row's gradient first, then take the "
    "mean"
)
def _square_of_sum(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).sum(0).square()


@misreading(
    "that is the sum over the rows; take the mean, so that the number of rows does not matter"
)
def _sum_of_squares(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).square().sum(0)


@misreading("those are mean sizes, |gradient|; Fisher information has squares")
def _mean_size(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).abs().mean(0)


@misreading("that is the size of the mean gradient; square each row's gradient first")
def _size_of_mean(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).mean(0).abs()


@misreading("that is the mean gradient itself; square each row's gradient first")
def _mean(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).mean(0)


@misreading("that is the variance; do not subtract the mean before squaring")
def _variance(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _gradients(weight, x, labels).var(0, unbiased=False)


@misreading("that is the root; Fisher information is the mean square")
def _root(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _mean_square(weight, x, labels).sqrt()


@misreading("each row is scored by its likeliest class; the empirical Fisher takes the labels")
def _likeliest_class(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _mean_square(weight, x, (x @ weight.t()).argmax(-1))


@misreading(
    "that is p (1 - p) times x squared, what the model itself expects of labels; the empirical "
    "Fisher takes the labels of the data"
)
def _expected_by_the_model(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    p = (x @ weight.t()).softmax(-1)
    return (p * (1 - p)).t() @ x.square() / len(x)


@misreading(
    "a row's loss is divided by the number of rows before it is squared; each row counts as a "
    "batch of one"
)
def _divided_before(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _mean_square(weight, x, labels) / len(x) ** 2


@misreading(
    "that sums squares of gradients of the mean loss; each row counts as a batch of one, and the "
    "mean is taken once"
)
def _summed_of_mean_loss(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return _sum_of_squares(weight, x, labels) / len(x) ** 2


def _read(answer: Any, case: Case) -> Tensor:
    weight = case.given[0]
    what = f"for {case.words} the information"
    return tensor(answer, what, weight.shape, "(classes, width)", like=weight)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-5, rtol=1e-3)


def _explain(case: Case, wanted: Tensor, answer: Tensor) -> str:
    off = float((answer - wanted).abs().max())
    factor = scale_between(answer, torch.zeros_like(answer), wanted)
    times = "" if factor is None else f"; yours is {factor:.3g} times what it must be"
    return f"for {case.words} the information is off by up to {off:.3g}{times}"


@exercise(
    "Fisher information, row by row",
    difficulty=3,
    minutes=15,
    hints=[
        "The square of a mean is not the mean of squares. Which of the two does one backward pass "
        "over the whole batch give?",
        "Take each row by itself: its logits are `weight @ x[i]`, its loss the cross-entropy with "
        "`labels[i]`. Square its gradient.",
        "`torch.autograd.grad(F.cross_entropy(x[i:i+1] @ w.T, labels[i:i+1]), w)[0].square()`, "
        "the mean over i; w requires a gradient.",
    ],
    solution="""
def per_example(weight, x, labels):
    error = torch.softmax(x @ weight.T, -1)
    error[torch.arange(len(x)), labels] -= 1
    return (error[:, :, None] * x[:, None, :]).square().mean(0)
""",
)
def per_example(yours: Any) -> str:
    """`yours(weight, x, labels)` is the mean over the rows of a squared gradient, (classes, width).

    It is the gradient by `weight` of a row's cross-entropy with its label; logits x @ weight.T.
    """
    check_cases(
        yours,
        "weight, x, labels",
        _mean_square,
        CLASSIFIERS,
        misreading,
        read=_read,
        same=_same,
        explain=_explain,
    )
    return (
        "It needs one backward pass per row, where a gradient needs one per batch: that is the "
        "price of this criterion."
    )
