"""Exercises on biases: which ones BitFit trains, what a value bias does, and the best bias."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import (
    Case,
    Misreadings,
    check_cases,
    close,
    listed,
    scale_between,
    tensor,
)
from ftkit.teaching.exercise import exercise

BERT = [
    "body.embeddings.word_embeddings.weight",
    "body.embeddings.LayerNorm.weight",
    "body.embeddings.LayerNorm.bias",
    "body.layer.0.query.weight",
    "body.layer.0.query.bias",
    "body.layer.0.output.LayerNorm.bias",
    "heads.docs.weight",
    "heads.docs.bias",
]
MISLEADING = [
    "body.relative_bias.weight",
    "body.debias.layer.weight",
    "body.debias.layer.bias",
    "body.layer.0.dense.bias",
    "body.layer.0.dense.bias_scale",
    "body.heads.mix.bias",
    "body.layer.0.mix.debias",
    "heads.bias_probe.weight",
    "heads.bias_probe.bias",
]
NAMES = [Case((BERT,), "a small BERT"), Case((MISLEADING,), "a network with misleading names")]


def _is_body_bias(name: str) -> bool:
    return name.startswith("body.") and name.endswith(".bias")


def _keep(fits: Callable[[str], bool]) -> Callable[[Sequence[str]], list[str]]:
    return lambda names: [name for name in names if fits(name)]


wrong_choices = Misreadings(
    {
        "the head's bias is among them; the head is trained in full, next to BitFit": (
            _keep(lambda name: name.endswith(".bias"))
        ),
        "the biases of the norms are missing; BitFit trains them too": (
            _keep(lambda name: _is_body_bias(name) and "Norm" not in name)
        ),
        "those are the biases of the norms alone; the linear layers have some as well": (
            _keep(lambda name: _is_body_bias(name) and "Norm" in name)
        ),
        "`bias` occurs in other names too; the name of a bias ends with `.bias`": (
            _keep(lambda name: name.startswith("body.") and "bias" in name)
        ),
        "`bias` anywhere in a name is not enough: the name of a bias ends with `.bias`, and the "
        "head is trained in full, next to BitFit": _keep(lambda name: "bias" in name),
        "a weight may be called `debias`; ask for the dot too, `.bias`": (
            _keep(lambda name: name.startswith("body.") and name.endswith("bias"))
        ),
        "`heads` occurs inside the body too; the head's names begin with `heads.`": (
            _keep(lambda name: name.endswith(".bias") and "heads" not in name)
        ),
        "that is everything that BitFit does not train": (
            _keep(lambda name: not _is_body_bias(name))
        ),
        "that is the whole body": _keep(lambda name: name.startswith("body.")),
        "that is nothing": lambda names: [],
    }
)


def _explain_names(case: Case, wanted: list[str], answer: list[str]) -> str:
    missing = [name for name in wanted if name not in answer]
    surplus = [name for name in answer if name not in wanted]
    if missing:
        first = f"{missing[0]} is missing"
    elif surplus:
        first = f"{surplus[0]} should not be there"
    else:
        first = "the order, or how often each name comes"
    return f"in {case.words} yours is not right: {first}"


@exercise(
    "Which weights does BitFit train?",
    difficulty=1,
    minutes=5,
    hints=[
        "What is a bias called, at the very end of its name? And where does the body end and the "
        "head begin?",
        "`name.endswith('.bias')` leaves out names with `bias` somewhere else; norms have biases "
        "like linear layers.",
        "Keep a name that starts with `body.` and ends with `.bias`.",
    ],
    solution="""
def biases(names):
    return [name for name in names if name.startswith("body.") and name.endswith(".bias")]
""",
)
def biases(yours: Any) -> str:
    """`yours(names)` is the list of the names that BitFit trains: the biases of the body.

    `names` are the names of all weights; the order stays.
    """
    check_cases(
        yours,
        "names",
        _keep(_is_body_bias),
        NAMES,
        wrong_choices,
        read=lambda answer, case: listed(answer, "names"),
        explain=_explain_names,
    )
    return (
        "A dozen characters of code choose what is trained, and a wrong choice raises no error: "
        "look at the names once, every time."
    )


def _output_layer(out: int, into: int, edge: bool = False) -> Case:
    generator = torch.Generator().manual_seed(out)
    weight, output, value = (
        torch.randn(size, generator=generator) for size in ((out, into), (out,), (into,))
    )
    return Case((weight, output, value), f"an output layer of shape ({out}, {into})", edge)


# In the square layer a transposed matrix has the right shape, so it is compared first, alone.
OUTPUT_LAYERS = [
    _output_layer(5, 5),
    _output_layer(6, 4, edge=True),
    _output_layer(3, 7, edge=True),
]


def _folded(weight: Tensor, output: Tensor, value: Tensor) -> Tensor:
    return output + weight @ value


wrong_folds: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "that is the old output bias; the value bias is lost": lambda w, o, v: o,
    "that is the value bias's part alone; add the output bias": lambda w, o, v: w @ v,
    "the entries of `value` are missing; each one multiplies its column of the weight": (
        lambda w, o, v: o + w.sum(1)
    ),
    "the entries of `value` differ; each one multiplies its own column of the weight": (
        lambda w, o, v: o + w.sum(1) * v.mean()
    ),
    "that multiplies by the transposed weight; a linear layer computes W x": (
        lambda w, o, v: o + w.t() @ v
    ),
    "the value bias has to pass through the output layer's weight": lambda w, o, v: o + v,
    "the two are multiplied; biases add": lambda w, o, v: w @ v * o,
}


def _read_bias(answer: Any, case: Case) -> Tensor:
    output = case.given[1]
    return tensor(answer, f"for {case.words} the new bias", output.shape, "(out,)", like=output)


def _explain_bias(case: Case, wanted: Tensor, answer: Tensor) -> str:
    weight, output, value = case.given
    distance = float((answer - wanted).abs().max())
    message = f"for {case.words} the new bias is off by up to {distance:.3g}"
    scale = scale_between(answer, output, weight @ value)
    if scale:
        message += f"; yours adds {scale:.3g} times `weight @ value`, add it once"
    return message


@exercise(
    "Make the value bias redundant",
    difficulty=2,
    minutes=10,
    hints=[
        "Each row of softmax sums to 1. So what does attention return if you add the same vector "
        "to every value?",
        "That vector, `value`, is added to the answer of attention. Then the output layer "
        "multiplies it: by what, and which shape does it get?",
        "The answer of the output layer changes by `weight @ value`. Add that to its bias.",
    ],
    solution="""
def fold(weight, output, value):
    return output + weight @ value
""",
)
def fold(yours: Any) -> str:
    """`yours(weight, output, value)` is an output bias that does the work of the value bias, too.

    The output layer of attention computes W x + output, with `weight` (out, in) and `output`
    (out,). `value` (in,) is the bias of the values.
    """
    check_cases(
        yours,
        "weight, output, value",
        _folded,
        OUTPUT_LAYERS,
        wrong_folds,
        read=_read_bias,
        same=partial(close, tolerance=1e-4),
        explain=_explain_bias,
    )
    return (
        "With this output bias and a value bias of zero no answer changes. BitFit has more "
        "trainable parameters than degrees of freedom."
    )


def _regression(out: int, into: int, count: int) -> Case:
    generator = torch.Generator().manual_seed(out + count)
    weight, x, noise = (
        torch.randn(size, generator=generator)
        for size in ((out, into), (count, into), (count, out))
    )
    skewed = noise.exp() - 1  # so that a median is not a mean
    targets = x @ torch.randn(into, out, generator=generator) + skewed
    return Case((weight, x, targets), f"{count} rows, in {into}, out {out}")


REGRESSIONS = [_regression(3, 5, 40), _regression(4, 4, 25), _regression(2, 6, 31)]


def _missing(weight: Tensor, x: Tensor, targets: Tensor) -> Tensor:
    """What the layer without a bias misses, (rows, out)."""
    return targets - x @ weight.t()


def _mean_missing(weight: Tensor, x: Tensor, targets: Tensor) -> Tensor:
    return _missing(weight, x, targets).mean(0)


wrong_shifts = Misreadings(
    {
        "that is the mean target; the layer answers `x @ weight.T` already, and the bias adds only "
        "what is missing": lambda w, x, y: y.mean(0),
        "that has the wrong sign; the bias is added to the answer": (
            lambda w, x, y: -_mean_missing(w, x, y)
        ),
        "that is the sum over the rows; one bias serves all of them, so take the mean": (
            lambda w, x, y: _missing(w, x, y).sum(0)
        ),
        "that is the median, which minimises the absolute error; the squared error needs a mean": (
            lambda w, x, y: _missing(w, x, y).median(0).values
        ),
        "that is one number for all outputs; each output has its own bias": (
            lambda w, x, y: _missing(w, x, y).mean().expand(len(w))
        ),
        "that is what the first row misses; the others count as much": (
            lambda w, x, y: _missing(w, x, y)[0]
        ),
        "that is half of the best: the gradient, 2 times the mean error, is not yet the step": (
            lambda w, x, y: _mean_missing(w, x, y) / 2
        ),
        "that is the gradient, twice the mean of what is missing": (
            lambda w, x, y: 2 * _mean_missing(w, x, y)
        ),
        "that is no change at all": lambda w, x, y: torch.zeros(len(w)),
    }
)


def _read_shift(answer: Any, case: Case) -> Tensor:
    outputs = len(case.given[0])
    return tensor(answer, f"for {case.words} the bias", (outputs,), "(out,)").float()


def _explain_shift(case: Case, wanted: Tensor, answer: Tensor) -> str:
    """Compare errors and not biases: an answer may be found by descent."""
    missing = _missing(*case.given)
    least, error = (float((bias - missing).square().mean()) for bias in (wanted, answer))
    if error <= least * 1.0001:
        return ""
    return (
        f"for {case.words} the mean squared error can be {least:.4f}, "
        f"with your bias it is {error:.4f}"
    )


@exercise(
    "The best that a bias can do",
    difficulty=3,
    minutes=12,
    hints=[
        "The layer answers `x @ weight.T + bias`. With the weight fixed, what must the bias make "
        "up for on one row? And on all rows?",
        "The squared error is a parabola in each entry of the bias. Where is its gradient zero?",
        "The bias is the mean over the rows of `targets - x @ weight.T`: one mean for each output.",
    ],
    solution="""
def best_shift(weight, x, targets):
    return (targets - x @ weight.T).mean(0)
""",
)
def best_shift(yours: Any) -> str:
    """`yours(weight, x, targets)` is the bias (out,) with the least squared error.

    The layer answers `x @ weight.T + bias`; weight (out, in), x (rows, in), targets (rows, out).
    """
    check_cases(
        yours,
        "weight, x, targets",
        _mean_missing,
        REGRESSIONS,
        wrong_shifts,
        read=_read_shift,
        same=partial(close, tolerance=1e-3),
        explain=_explain_shift,
    )
    return (
        "The bias removes the mean of the error and leaves its spread: what depends on x needs "
        "another weight, or a later layer."
    )
