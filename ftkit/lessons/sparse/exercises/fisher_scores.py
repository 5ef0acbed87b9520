"""An exercise on scores from data: the Fisher information of a layer, one row at a time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ftkit.teaching.checking import Case, as_function, call, diagnose, scale_between, tensor
from ftkit.teaching.exercise import Wrong, exercise


def _classifier(classes: int, width: int, rows: int) -> Case:
    generator = torch.Generator().manual_seed(classes + rows)
    weight, x = (
        torch.randn(classes, width, generator=generator),
        torch.randn(rows, width, generator=generator),
    )
    return Case(
        (weight, x, torch.randint(classes, (rows,), generator=generator)),
        f"{classes} classes, width {width}, {rows} rows",
    )


_CLASSIFIERS = [_classifier(3, 4, 6), _classifier(5, 5, 9), _classifier(2, 7, 4)]


def _gradients(weight: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each row's loss by itself, (rows, classes, width)."""
    error = (x @ weight.t()).softmax(-1) - F.one_hot(labels, len(weight))
    return error.unsqueeze(2) * x.unsqueeze(1)


def _expected(p: Tensor, x: Tensor) -> Tensor:
    """The diagonal of the Fisher information proper: labels drawn from the model's own probabilities."""
    return (p * (1 - p)).t() @ x.square() / len(x)


_MISSCORED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "that is the square of the mean gradient; rows that disagree cancel in it. Square each row's gradient first": lambda w, x, y: (
        _gradients(w, x, y).mean(0).square()
    ),
    "that is the square of the summed gradient; square each row's gradient first, then take the mean": lambda w, x, y: (
        _gradients(w, x, y).sum(0).square()
    ),
    "that is the sum over the rows; take the mean, so that the number of rows does not matter": lambda w, x, y: (
        _gradients(w, x, y).square().sum(0)
    ),
    "those are mean sizes, |gradient|; Fisher information has squares": lambda w, x, y: (
        _gradients(w, x, y).abs().mean(0)
    ),
    "that is the size of the mean gradient; square each row's gradient first": lambda w, x, y: (
        _gradients(w, x, y).mean(0).abs()
    ),
    "that is the mean gradient itself; square each row's gradient first": lambda w, x, y: (
        _gradients(w, x, y).mean(0)
    ),
    "that is the variance; nothing is to be subtracted before squaring": lambda w, x, y: _gradients(
        w, x, y
    ).var(0, unbiased=False),
    "that is the root; Fisher information is the mean square": lambda w, x, y: (
        _gradients(w, x, y).square().mean(0).sqrt()
    ),
    "each row is scored by its likeliest class; the empirical Fisher takes the labels": lambda w, x, y: (
        _gradients(w, x, (x @ w.t()).argmax(-1)).square().mean(0)
    ),
    "those are p (1 - p) times x squared, what the model itself expects of labels; the empirical Fisher takes the labels that are there": (
        lambda w, x, y: _expected((x @ w.t()).softmax(-1), x)
    ),
    "a row's loss is divided by the number of rows before it is squared; each row counts as a batch of one": lambda w, x, y: (
        _gradients(w, x, y).square().mean(0) / len(x) ** 2
    ),
    "that sums squares of gradients of the mean loss; each row counts as a batch of one, and the mean is taken once": lambda w, x, y: (
        _gradients(w, x, y).square().sum(0) / len(x) ** 2
    ),
}


@exercise(
    "Fisher information, row by row",
    difficulty=3,
    minutes=15,
    hints=[
        "The square of a mean is not the mean of squares. Which of the two does one backward pass over the whole batch give?",
        "Take each row by itself: its logits are `weight @ x[i]`, its loss the cross-entropy with `labels[i]`. Square its gradient.",
        "`torch.autograd.grad(F.cross_entropy(x[i:i+1] @ w.T, labels[i:i+1]), w)[0].square()`, the mean over i; w requires a gradient.",
    ],
    solution="""
def per_example(weight, x, labels):
    error = torch.softmax(x @ weight.T, -1)
    error[torch.arange(len(x)), labels] -= 1
    return (error[:, :, None] * x[:, None, :]).square().mean(0)
""",
)
def per_example(yours: Any) -> str:
    """`yours(weight, x, labels)` is the mean over rows of the squared gradient by weight of a row's cross-entropy with its
    label; logits x @ weight.T."""
    takes, answers = "weight, x, labels", []
    yours = as_function(yours, takes)
    for case in _CLASSIFIERS:
        weight = case.given[0]
        answer = call(yours, takes, *case.given)
        answers.append(
            tensor(
                answer,
                f"for {case.words} the information",
                weight.shape,
                "(classes, width)",
                like=weight,
            )
        )
    why = diagnose(
        answers,
        _CLASSIFIERS,
        _MISSCORED,
        lambda got, wrong: torch.allclose(got, wrong, atol=1e-5, rtol=1e-3),
    )
    for case, got in zip(_CLASSIFIERS, answers, strict=True):
        right = _gradients(*case.given).square().mean(0)
        if not torch.allclose(got, right, atol=1e-5, rtol=1e-3):
            s = scale_between(got, torch.zeros_like(got), right)
            why = why or (f": yours is {s:.3g} times what it must be" if s is not None else "")
            raise Wrong(
                f"for {case.words} the information is off by up to {float((got - right).abs().max()):.3g}{why}"
            )
    return "It needs a backward pass a row, where a gradient needs one a batch: that is the price of this criterion."
