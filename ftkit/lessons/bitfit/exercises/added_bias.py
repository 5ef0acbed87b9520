"""An exercise on layers that were pretrained without a bias: add one and change no answer."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.teaching.checking import as_function, kind
from ftkit.teaching.exercise import NotAttempted, Wrong, exercise
from ftkit.teaching.learner_code import is_stub

SIZES = [(7, 4), (5, 5), (3, 6)]
"""(in, out) of the layers that a check tries."""


@exercise(
    "A bias for a layer that has none",
    difficulty=4,
    minutes=15,
    hints=[
        "Which bias changes no answer? And of the two parameters of the new layer, which one is "
        "trainable?",
        "Make a new `nn.Linear(in, out)` and give it the weight of the old one; `nn.Linear` draws "
        "its bias at random, so set that to zero.",
        "`new.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)` and "
        "`nn.init.zeros_(new.bias)`.",
    ],
    solution="""
def with_bias(linear):
    new = nn.Linear(linear.in_features, linear.out_features)
    new.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)
    nn.init.zeros_(new.bias)
    return new
""",
)
def with_bias(yours: Any) -> str:
    """`yours(linear)` is a layer for BitFit: the same answers, and a trainable bias.

    `linear` is an `nn.Linear` without a bias; it must stay as it is.
    """
    # A class that makes layers is as good as a function.
    if not (inspect.isclass(yours) and issubclass(yours, nn.Module)):
        yours = as_function(yours, "linear")
    # What the learner's code draws must not change the notebook's own random numbers.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for into, out in SIZES:
            _check_layer(yours, nn.Linear(into, out, bias=False), torch.randn(8, into))
    return (
        "Now BitFit has something to train. The published BitFit trains pretrained biases; "
        "a new bias starts without any knowledge."
    )


def _check_layer(yours: Any, linear: nn.Linear, x: Tensor) -> None:
    """Check the layer that `yours` makes of `linear`, on inputs x (rows, in).

    Raises:
        NotAttempted: `yours` is a stub.
        Wrong: the layer answers differently, trains something else, or `linear` was changed.
    """
    words = f"a layer from {linear.in_features} to {linear.out_features}"
    before, answer = linear.weight.detach().clone(), linear(x).detach()
    layer = yours(linear)
    if layer is ... or (layer is None and is_stub(yours)):
        raise NotAttempted
    if not isinstance(layer, nn.Module):
        missing = "; is a `return` missing?" if layer is None else ""
        raise Wrong(f"for {words} the answer must be an nn.Module, got {kind(layer)}{missing}")
    if linear.bias is not None or layer is linear:
        raise Wrong(
            "yours puts the bias into the layer it was given, which belongs to the base; "
            "make a new one"
        )
    _check_answer(layer, x, answer, before, words)
    _check_trainable(layer, linear, words)
    _check_bias_is_used(layer, x)
    if not linear.weight.requires_grad:
        raise Wrong(
            "yours freezes the weight of the layer it was given; "
            "give the new layer a copy of the weight"
        )
    if not torch.equal(linear.weight, before):
        raise Wrong(
            "yours writes into the weight of the layer it was given; the base must stay unchanged"
        )


def _check_answer(layer: nn.Module, x: Tensor, wanted: Tensor, weight: Tensor, words: str) -> None:
    """Check that the new layer gives the old answer, (rows, out)."""
    answer = layer(x).detach()
    if answer.shape != wanted.shape:
        raise Wrong(
            f"for {words} the new layer's answer must have the shape {tuple(wanted.shape)}, "
            f"got {tuple(answer.shape)}"
        )
    if torch.equal(answer, wanted):
        return
    has_weight = any(
        parameter.shape == weight.shape and torch.equal(parameter.detach(), weight)
        for parameter in layer.parameters()
    )
    why = (
        "the new bias must start at zero, and `nn.Linear` draws one at random"
        if has_weight
        else "does it have the weight of the old one?"
    )
    off = float((answer - wanted).abs().max())
    raise Wrong(f"for {words} the new layer's answer differs by up to {off:.3g}; {why}")


def _check_trainable(layer: nn.Module, linear: nn.Linear, words: str) -> None:
    """Check that the only trainable parameter is a bias of the right shape."""
    trainable = {
        name: tuple(parameter.shape)
        for name, parameter in layer.named_parameters()
        if parameter.requires_grad
    }
    for name, shape in trainable.items():
        if shape == tuple(linear.weight.shape):
            raise Wrong(
                f"only the bias may be trainable, but `{name}` of shape {shape} is as well; "
                "freeze it"
            )
    if list(trainable.values()) != [(linear.out_features,)]:
        names = (
            ", ".join(f"`{name}` {shape}" for name, shape in trainable.items()) or "no parameter"
        )
        raise Wrong(
            f"for {words} a bias of shape ({linear.out_features},) must be trainable and nothing "
            f"else; in yours it is {names}"
        )


def _check_bias_is_used(layer: nn.Module, x: Tensor) -> None:
    """Check that the trainable bias is added to every answer, and gets a gradient."""
    before = layer(x)
    bias = next(parameter for parameter in layer.parameters() if parameter.requires_grad)
    step = torch.arange(1.0, len(bias) + 1)
    with torch.no_grad():
        bias.add_(step)
        change = layer(x) - before
    if not torch.allclose(change, step.expand_as(change), atol=1e-4):
        raise Wrong(
            "the trainable bias must be added to every answer, yours is not; is it used in forward?"
        )
    if not before.requires_grad:
        raise Wrong(
            "no gradient reaches the bias; does forward use it directly, without `.data`, "
            "`detach` or `no_grad`?"
        )
