"""Planted bugs of lesson 02: code that runs, looks right, and is wrong.

The tests run each of them and show what it does wrong. The listings have no docstrings, because
their lines are counted from the first one; the story of each hunt says what the code should do.
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
    """Ask for the bug in `NeverLearns`: both factors start at zero."""
    why = (
        "The gradient of A has B as a factor, and the gradient of B has A. "
        "With both at zero, both gradients are zero at every step."
    )
    return bug(
        NeverLearns,
        lines={
            5: f"{why} Draw A at random; only B starts at zero, so that nothing changes at first.",
            6: f"{why} Drawing B instead of A works too; the paper draws A and keeps B at zero.",
        },
        nudges={
            4: "The base must be frozen: that is the point of LoRA. What else is there to train?",
            7: "The scale is right: alpha / rank. Can any scale help a change that stays zero?",
            10: "The shapes fit: (batch, in) to (batch, rank) to (batch, out). "
            "Which values are in A and B?",
            11: "Right: the base's output plus the scaled change. "
            "What is the change, and what is its gradient?",
        },
        story="A LoRA layer that should learn. It raises no error, its output is that of the base, "
        "and after a thousand steps it still is.",
    )


def merges_wrong() -> Bug:
    """Ask for the bug in `MergesWrong`: the merge applies the scale twice."""
    return bug(
        MergesWrong,
        lines={
            18: "`change()` is scaled already; here the scale is applied a second time. With "
            "alpha = rank the scale is 1 and nobody notices: test with another alpha.",
        },
        nudges={
            5: "A random start is right here: B is zero, so nothing changes at first.",
            7: "The scale itself is right. Follow it: where is it used?",
            10: "The scale is applied here, once. Is that the only place?",
            13: "Training is right, and so is the output before the merge. So this line is right.",
            17: "The base must stay unchanged, so a copy is right.",
        },
        story="A LoRA layer that learns well. After `merged()` its output should be the same, but "
        "with rank 4 and alpha 16 it is worse.",
    )
