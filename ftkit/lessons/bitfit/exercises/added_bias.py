"""An exercise on layers that were pretrained without a bias: how to give them one and change no answer."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.teaching.checking import as_function, kind
from ftkit.teaching.exercise import NotAttempted, Wrong, exercise
from ftkit.teaching.learner_code import is_stub

_SIZES = [(7, 4), (5, 5), (3, 6)]


@exercise(
    "A bias for a layer that has none",
    difficulty=4,
    minutes=15,
    hints=[
        "Which bias changes no answer? And of the two weights of the new layer, which one may move?",
        "Make a new `nn.Linear(in, out)` and give it the weight of the old one; `nn.Linear` draws its bias at random, so set that to zero.",
        "`new.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)` and `nn.init.zeros_(new.bias)`.",
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
    """`yours(linear)` is a layer for BitFit, made of one without a bias, which it leaves as it is: same answers, and a bias that trains."""
    if not (
        inspect.isclass(yours) and issubclass(yours, nn.Module)
    ):  # a class that makes layers is as good as a function
        yours = as_function(yours, "linear")
    with torch.random.fork_rng(
        devices=[]
    ):  # what the learner's code draws must not move the notebook's own random numbers
        torch.manual_seed(0)
        for into, out in _SIZES:
            _checked(yours, nn.Linear(into, out, bias=False), torch.randn(8, into))
    return "Now BitFit has something to move. It is not the published BitFit, whose biases were pretrained: a new bias knows nothing yet."


def _checked(yours: Any, linear: nn.Linear, x: Tensor) -> None:
    before, named = (
        linear.weight.detach().clone(),
        f"a layer from {linear.in_features} to {linear.out_features}",
    )
    answer = linear(x).detach()
    layer = yours(linear)
    if layer is ... or (layer is None and is_stub(yours)):
        raise NotAttempted
    if not isinstance(layer, nn.Module):
        raise Wrong(
            f"for {named} the answer must be an nn.Module, got {kind(layer)}{'; is a `return` missing?' if layer is None else ''}"
        )
    if linear.bias is not None or layer is linear:
        raise Wrong(
            "yours puts the bias into the layer it was given, which belongs to the base; make a new one"
        )
    got = layer(x)
    if tuple(got.shape) != tuple(answer.shape):
        raise Wrong(
            f"for {named} the new layer's answer must have the shape {tuple(answer.shape)}, got {tuple(got.shape)}"
        )
    if not torch.equal(got.detach(), answer):
        raise Wrong(
            f"for {named} the new layer answers otherwise, by up to {float((got.detach() - answer).abs().max()):.3g}; {_why(layer, before)}"
        )
    _trains(layer, linear, named)
    _learns(layer, x)
    if not linear.weight.requires_grad:
        raise Wrong(
            "yours freezes the weight of the layer it was given; the new layer needs a weight of its own, a copy"
        )
    if not torch.equal(linear.weight, before):
        raise Wrong(
            "yours writes into the weight of the layer it was given; the base must stay as it was"
        )


def _why(layer: nn.Module, weight: Tensor) -> str:
    same = any(
        tuple(p.shape) == tuple(weight.shape) and torch.equal(p.detach(), weight)
        for p in layer.parameters()
    )
    return (
        "the new bias must start at zero, and `nn.Linear` draws one at random"
        if same
        else "does it have the weight of the old one?"
    )


def _trains(layer: nn.Module, linear: nn.Linear, named: str) -> None:
    """Words, if what trains is not a bias of the right shape alone."""
    train = {name: weight for name, weight in layer.named_parameters() if weight.requires_grad}
    for name, weight in train.items():
        if tuple(weight.shape) == tuple(linear.weight.shape):
            raise Wrong(
                f"only the bias may train, but `{name}` of shape {tuple(weight.shape)} does as well; freeze it"
            )
    shapes = [tuple(weight.shape) for weight in train.values()]
    if shapes != [(linear.out_features,)]:
        seen = (
            ", ".join(f"`{name}` {tuple(weight.shape)}" for name, weight in train.items())
            or "nothing"
        )
        raise Wrong(
            f"for {named} a bias of shape ({linear.out_features},) must train and nothing else; what trains is {seen}"
        )


def _learns(layer: nn.Module, x: Tensor) -> None:
    """Words, if the bias that trains is not added to every answer."""
    before, bias = layer(x), next(p for p in layer.parameters() if p.requires_grad)
    with torch.no_grad():
        bias.add_(torch.arange(1.0, len(bias) + 1))
        moved = layer(x) - before
    if not torch.allclose(moved, torch.arange(1.0, len(bias) + 1).expand_as(moved), atol=1e-4):
        raise Wrong(
            "the bias that trains must be added to every answer, yours is not; is it used in forward?"
        )
    if not before.requires_grad:
        raise Wrong(
            "no gradient reaches the bias; is it used in forward as it is, without `.data`, `detach` or `no_grad`?"
        )
