"""Answers to lesson 04's exercise on a layer without a bias.

Wrong ones come with words that the message must contain.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def right(linear: Any) -> Any:
    new = nn.Linear(linear.in_features, linear.out_features)
    new.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)
    nn.init.zeros_(new.bias)
    return new


class AddedBias(nn.Module):
    """A right answer that keeps a copy of the old layer; some wrong ones change one part of it."""

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.inner = copy.deepcopy(linear).requires_grad_(False)
        self.shift = nn.Parameter(torch.zeros(linear.out_features))

    def forward(self, x: Any) -> Any:
        return self.inner(x) + self.shift


def wrong_added() -> dict[str, tuple[Any, str]]:
    def random(linear: Any) -> Any:
        new = right(linear)
        nn.init.uniform_(new.bias, -0.4, 0.4)
        return new

    def fresh(linear: Any) -> Any:
        new = nn.Linear(linear.in_features, linear.out_features)
        nn.init.zeros_(new.bias)
        return new

    def trains(linear: Any) -> Any:
        return right(linear).requires_grad_(True)

    def frozen(linear: Any) -> Any:
        return right(linear).requires_grad_(False)

    def shared(linear: Any) -> Any:
        new = nn.Linear(linear.in_features, linear.out_features)
        new.weight = linear.weight
        new.weight.requires_grad_(False)
        nn.init.zeros_(new.bias)
        return new

    def in_place(linear: Any) -> Any:
        linear.bias = nn.Parameter(torch.zeros(linear.out_features))
        return linear

    def no_parameter(linear: Any) -> Any:
        new = copy.deepcopy(linear).requires_grad_(False)
        new.shift = torch.zeros(linear.out_features)
        return new

    def unused(linear: Any) -> Any:
        new = copy.deepcopy(linear).requires_grad_(False)
        new.shift = nn.Parameter(torch.zeros(linear.out_features))
        return new

    def tall(linear: Any) -> Any:
        return nn.Linear(linear.out_features, linear.in_features)

    class InputSide(AddedBias):
        def __init__(self, linear: Any) -> None:
            super().__init__(linear)
            self.shift = nn.Parameter(torch.zeros(linear.in_features))

        def forward(self, x: Any) -> Any:
            return self.inner(x + self.shift)

    class Detached(AddedBias):
        def forward(self, x: Any) -> Any:
            return self.inner(x) + self.shift.detach()

    class Scaled(AddedBias):
        def forward(self, x: Any) -> Any:
            return self.inner(x) * (1 + self.shift)

    def no_return(linear: Any) -> Any:
        right(linear)

    return {
        "the same weight, frozen": (shared, "freezes the weight of the layer it was given"),
        "random start": (
            random,
            "the new bias must start at zero, and `nn.Linear` draws one at random",
        ),
        "another weight": (fresh, "does it have the weight of the old one?"),
        "the weight is trainable": (
            trains,
            "Only the bias may be trainable, but `weight` of shape (4, 7) is as well",
        ),
        "nothing is trainable": (frozen, "in yours it is no parameter"),
        "in place": (in_place, "into the layer it was given"),
        "no parameter": (no_parameter, "in yours it is no parameter"),
        "unused": (unused, "must be added to every answer, yours is not"),
        "transposed": (tall, "Your code raised RuntimeError"),
        "before the layer": (
            InputSide,
            "a bias of shape (4,) must be trainable and nothing else; in yours it is `shift` (7,)",
        ),
        "detached": (Detached, "No gradient reaches the bias"),
        "a scale": (Scaled, "must be added to every answer, yours is not"),
        "a tensor": (
            lambda linear: torch.zeros(linear.out_features),
            "must be an nn.Module, got a torch.Tensor",
        ),
        "no return": (no_return, "got None; is a `return` missing?"),
        "arguments": (lambda linear, bias: linear, "must take (linear), in this order"),
    }


def right_added() -> dict[str, Any]:
    class Plain(nn.Module):
        def __init__(self, linear: Any) -> None:
            super().__init__()
            self.register_buffer("weight", linear.weight.detach())
            self.bias = nn.Parameter(torch.zeros(len(linear.weight)))

        def forward(self, x: Any) -> Any:
            return F.linear(x, self.weight, self.bias)

    def copied(linear: Any) -> Any:
        new = copy.deepcopy(linear)
        new.weight.requires_grad = False
        new.bias = nn.Parameter(torch.zeros(linear.out_features))
        return new

    return {
        "a new layer": right,
        "a class": AddedBias,
        "an instance": lambda linear: AddedBias(linear),
        "a copy": copied,
        "a buffer": lambda linear: Plain(linear),
    }
