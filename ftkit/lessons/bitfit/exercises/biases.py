"""Exercises on biases: which weights BitFit moves, what a value bias is worth, and the best that a bias alone can do."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind, scale_between, tensor
from ftkit.teaching.exercise import Wrong, exercise

_BERT = [
    "body.embeddings.word_embeddings.weight",
    "body.embeddings.LayerNorm.weight",
    "body.embeddings.LayerNorm.bias",
    "body.layer.0.query.weight",
    "body.layer.0.query.bias",
    "body.layer.0.output.LayerNorm.bias",
    "heads.docs.weight",
    "heads.docs.bias",
]
_TRAPS = [
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
_NAMES = [Case((_BERT,), "a small BERT"), Case((_TRAPS,), "a network with misleading names")]


def _those(fits: Callable[[str], bool]) -> Callable[[Sequence[str]], list[str]]:
    return lambda names: [name for name in names if fits(name)]


_BIASES = _those(lambda name: name.startswith("body.") and name.endswith(".bias"))
_MISCHOSEN = {
    "the head's bias is there; the head is no part of BitFit, it trains in full beside it": _those(
        lambda name: name.endswith(".bias")
    ),
    "the biases of the norms are missing; BitFit moves them too": _those(
        lambda name: name in _BIASES([name]) and "Norm" not in name
    ),
    "those of the norms alone are biases of norms; the linear layers have some as well": _those(
        lambda name: name in _BIASES([name]) and "Norm" in name
    ),
    "`bias` occurs in other names too; a bias is called so at the end, `.bias`": _those(
        lambda name: name.startswith("body.") and "bias" in name
    ),
    "`bias` anywhere in a name is too much: a bias ends with `.bias`, and the head has a space of its own": _those(
        lambda name: "bias" in name
    ),
    "a weight may be called `debias`; ask for the dot too, `.bias`": _those(
        lambda name: name.startswith("body.") and name.endswith("bias")
    ),
    "`heads` occurs inside the body too; the head's names begin with `heads.`": _those(
        lambda name: name.endswith(".bias") and "heads" not in name
    ),
    "that is everything that BitFit leaves alone": _those(lambda name: name not in _BIASES([name])),
    "that is the whole body": _those(lambda name: name.startswith("body.")),
    "that is nothing": lambda names: [],
}


@exercise(
    "Which weights does BitFit move?",
    difficulty=1,
    minutes=5,
    hints=[
        "What is a bias called, at the very end of its name? And where does the body end and the head begin?",
        "`name.endswith('.bias')` keeps out what only has `bias` somewhere in its name; norms have biases like linear layers.",
        "Keep a name that starts with `body.` and ends with `.bias`.",
    ],
    solution="""
def biases(names):
    return [name for name in names if name.startswith("body.") and name.endswith(".bias")]
""",
)
def biases(yours: Any) -> str:
    """`yours(names)` are those of the weights' names, as a list in the same order, that BitFit moves: the biases of the body."""
    yours = as_function(yours, "names")
    answers = [_list(call(yours, "names", *case.given)) for case in _NAMES]
    why = diagnose(answers, _NAMES, _MISCHOSEN, lambda got, wrong: got == wrong)
    for case, got in zip(_NAMES, answers, strict=True):
        right = _BIASES(*case.given)
        if got != right:
            missing, more = ([n for n in a if n not in b] for a, b in ((right, got), (got, right)))
            first = (
                f"{missing[0]} is missing"
                if missing
                else f"{more[0]} is too much"
                if more
                else "the order, or how often each comes"
            )
            raise Wrong(f"in {case.words} yours is not right: {first}{why}")
    return "A dozen characters of code choose what trains, and choosing wrongly raises no error: look at the names once, every time."


def _list(answer: Any) -> list[str]:
    if isinstance(answer, str | set) or not hasattr(answer, "__iter__"):
        raise Wrong(f"the answer must be a list of names, got {kind(answer)}")
    return list(answer)


def _attention(out: int, into: int) -> Case:
    generator = torch.Generator().manual_seed(out)
    weight, output, value = (
        torch.randn(size, generator=generator) for size in ((out, into), (out,), (into,))
    )
    return Case((weight, output, value), f"an output layer of shape ({out}, {into})")


_OUTPUTS = [
    _attention(5, 5),
    _attention(6, 4),
    _attention(3, 7),
]  # the square one first: there a transposed matrix fits


@exercise(
    "Make the value bias superfluous",
    difficulty=2,
    minutes=10,
    hints=[
        "Each row of softmax sums to 1. So what comes out of attention if the same vector is added to every value?",
        "That vector, `value`, is added to the attention's answer. The output layer multiplies it: by what, and which shape comes out?",
        "The output layer's answer moves by `weight @ value`. Add that to the bias it has.",
    ],
    solution="""
def fold(weight, output, value):
    return output + weight @ value
""",
)
def fold(yours: Any) -> str:
    """`yours(weight, output, value)` is the bias of attention's output layer, W x + output, that does the work of the value bias too."""
    takes = "weight, output, value"
    yours = as_function(yours, takes)
    for case in _OUTPUTS:
        weight, output, value = case.given
        got = tensor(
            call(yours, takes, *case.given),
            f"for {case.words} the new bias",
            output.shape,
            "(out,)",
            like=output,
        )
        right = output + weight @ value
        if not torch.allclose(got, right, atol=1e-4):
            raise Wrong(
                f"for {case.words} the new bias is off by up to {float((got - right).abs().max()):.3g}{_misfolded(got, case)}"
            )
    return "With the value bias at zero and this output bias, no answer changes: BitFit trains more numbers than it has freedoms."


def _misfolded(got: Tensor, case: Case) -> str:
    weight, output, value = case.given
    if torch.allclose(got, output):
        return ": that is the output bias as it was; the value bias is lost"
    if (s := scale_between(got, output, weight @ value)) is not None:
        return f": what is added is {s:.3g} times `weight @ value`, and it must be 1 times"
    if scale_between(got, torch.zeros_like(got), weight @ value) is not None:
        return ": that is the value bias's part alone; add the bias that is there"
    if torch.allclose(got, weight.sum(1) + output, atol=1e-4) or torch.allclose(
        got, output + weight.sum(1) * value.mean(), atol=1e-4
    ):
        return ": the entries of `value` differ, and each has its own column of the weight"
    if weight.shape[0] == weight.shape[1] and torch.allclose(
        got, output + weight.t() @ value, atol=1e-4
    ):
        return ": that multiplies by the weight transposed; a linear layer computes W x"
    if weight.shape[0] == weight.shape[1] and torch.allclose(got, output + value, atol=1e-4):
        return ": the value bias goes through the output layer's weight before it gets there"
    if torch.allclose(got, weight @ value * output, atol=1e-4):
        return ": the two are multiplied; biases add"
    return ""


def _regression(out: int, into: int, count: int) -> Case:
    generator = torch.Generator().manual_seed(out + count)
    weight, x, noise = (
        torch.randn(size, generator=generator)
        for size in ((out, into), (count, into), (count, out))
    )
    skewed = noise.exp() - 1  # so that a median is not a mean
    return Case(
        (weight, x, x @ torch.randn(into, out, generator=generator) + skewed),
        f"{count} rows, in {into}, out {out}",
    )


_REGRESSIONS = [_regression(3, 5, 40), _regression(4, 4, 25), _regression(2, 6, 31)]
_MISSHIFTS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "that is the mean target; the layer answers `x @ weight.T` already, and only what it misses is left to the bias": lambda w, x, y: (
        y.mean(0)
    ),
    "that has the wrong sign: the bias is what must be added to the answer": lambda w, x, y: (
        x @ w.t() - y
    ).mean(0),
    "that is the sum over the rows; one bias serves all of them, so take the mean": lambda w, x, y: (
        (y - x @ w.t()).sum(0)
    ),
    "that is the median, which minimises the absolute error; the squared error wants the mean": lambda w, x, y: (
        (y - x @ w.t()).median(0).values
    ),
    "that is one number for all outputs; each output has a bias of its own": lambda w, x, y: (
        (y - x @ w.t()).mean().expand(len(w))
    ),
    "that is what the first row misses; the others count as much": lambda w, x, y: (y - x @ w.t())[
        0
    ],
    "that is half of the best: the gradient, 2 times the mean error, is not yet the step": lambda w, x, y: (
        (y - x @ w.t()).mean(0) / 2
    ),
    "that is the gradient, twice the mean of what is missed": lambda w, x, y: (
        2 * (y - x @ w.t()).mean(0)
    ),
    "that is no change at all": lambda w, x, y: torch.zeros(len(w)),
}


@exercise(
    "The best that a bias can do",
    difficulty=3,
    minutes=12,
    hints=[
        "The layer answers `x @ weight.T + bias`. With the weight fixed, what must the bias make up for on one row? And on all rows?",
        "The squared error is a parabola in each entry of b. Where is its gradient zero?",
        "b is the mean over the rows of `targets - x @ weight.T`: one mean for each output.",
    ],
    solution="""
def best_shift(weight, x, targets):
    return (targets - x @ weight.T).mean(0)
""",
)
def best_shift(yours: Any) -> str:
    """`yours(weight, x, targets)` is the bias (out,) that makes the squared error of `x @ weight.T + bias` against the targets smallest."""
    takes = "weight, x, targets"
    yours, answers = as_function(yours, takes), []
    for case in _REGRESSIONS:
        weight = case.given[0]
        answers.append(
            tensor(
                call(yours, takes, *case.given),
                f"for {case.words} the bias",
                (len(weight),),
                "(out,)",
            ).float()
        )
    why = diagnose(
        answers, _REGRESSIONS, _MISSHIFTS, lambda got, wrong: torch.allclose(got, wrong, atol=1e-3)
    )
    for case, got in zip(_REGRESSIONS, answers, strict=True):
        weight, x, targets = case.given
        least, far = (
            float((x @ weight.t() + b - targets).square().mean())
            for b in ((targets - x @ weight.t()).mean(0), got)
        )
        if far > least * 1.0001:
            raise Wrong(
                f"for {case.words} the mean squared error can be {least:.4f}, with your bias it is {far:.4f}{why}"
            )
    return "The bias takes away the mean of the error and leaves its spread: whatever depends on x needs another weight, or a later layer."
