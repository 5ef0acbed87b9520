"""Planted bugs: code that runs, looks right, and is not. Each can be imported, and a test shows what it does wrong.

The two classes have no docstrings: a listing counts from its first line, and the story beside it says what the code should do.
"""

import copy

import torch
from torch import Tensor, nn

from ftkit.teaching.bug_hunt import Bug, bug


class NeverLearns(nn.Module):
    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.a = nn.Parameter(torch.zeros(rank, linear.in_features))
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        change = x @ self.a.T @ self.b.T
        return self.linear(x) + self.scale * change


class MergesWrong(nn.Module):
    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, linear.in_features) / rank)
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = alpha / rank

    def change(self) -> Tensor:
        return self.scale * self.b @ self.a

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x @ self.change().T

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        merged = copy.deepcopy(self.linear)
        merged.weight += self.scale * self.change()
        return merged


def never_learns() -> Bug:
    """Asks for the bug in `NeverLearns`: both factors start at zero."""
    why = "The gradient of A has B as a factor, and the gradient of B has A. With both at zero, both gradients are zero at every step."
    return bug(
        NeverLearns,
        lines={
            5: f"{why} A must be drawn at random; B alone stays at zero, so that nothing changes at first.",
            6: f"{why} Drawing B instead of A mends it as well; the paper draws A and leaves B at zero.",
        },
        nudges={
            4: "The base must be frozen: that is the point of LoRA. What else is there to train?",
            7: "The scale is right: alpha / rank. Does any scale help a change that stays zero?",
            10: "The shapes fit: (batch, in) to (batch, rank) to (batch, out). What are the numbers in them?",
            11: "Right: the base's answer plus the scaled change. What is the change, and what is its gradient?",
        },
        story="A LoRA layer that should learn. It raises nothing, it answers as the base does, and after a thousand steps it still does.",
    )


def merges_wrong() -> Bug:
    """Asks for the bug in `MergesWrong`: the scale goes in twice at the merge."""
    return bug(
        MergesWrong,
        lines={
            18: "`change()` holds the scale already; here it is applied a second time. With alpha = rank the scale is 1 and nobody "
            "notices: test with an alpha that differs from the rank.",
        },
        nudges={
            5: "A random start is right here: B is zero, so that nothing changes at first.",
            7: "The scale itself is right. Follow it: where is it used?",
            10: "The scale goes in here, once. Is that all?",
            13: "Training and answers before the merge are right, so this line is.",
            17: "The base must stay as it was, so a copy is right.",
        },
        story="A LoRA layer that learns well. It should answer the same after `merged()`, but with rank 4 and alpha 16 it answers worse.",
    )
