"""Planted bugs of lesson 07: code that runs, looks right, and is wrong.

The tests run each of them and show what it does wrong. The listings have no docstrings, because
their lines are counted from the first one; the story of each hunt says what the code should do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ftkit.teaching.bug_hunt import Bug, bug


def gives_way(gradients: Sequence[Tensor]) -> list[Tensor]:
    turned = [gradient.clone() for gradient in gradients]
    for i in range(len(gradients)):
        for j in range(len(gradients)):
            if j == i:
                continue
            dot = turned[i] @ turned[j]
            if dot < 0:
                turned[i] -= dot / (turned[j] @ turned[j]) * turned[j]
    return turned


class LearnedWeights:
    def __init__(self, model: nn.Module, tasks: Sequence[str], lr: float) -> None:
        self.s = {task: torch.zeros((), requires_grad=True) for task in tasks}
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)

    def step(self, losses: dict[str, Tensor]) -> float:
        terms = [torch.exp(-self.s[t]) * loss + self.s[t] / 2 for t, loss in losses.items()]
        total = torch.stack(terms).sum()
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return total.item()


def gives_way_to_the_changed() -> Bug:
    """Ask for the bug in `gives_way`: it projects onto gradients that are projected already."""
    why = (
        "Each gradient must be compared with the *original* others. Once the first is projected, "
        "it no longer opposes the second, so the second is never projected."
    )
    return bug(
        gives_way,
        lines={
            7: f"{why} Use `gradients[j]` here and in line 9.",
            9: f"{why} Use `gradients[j]` here and in line 7.",
        },
        nudges={
            2: "A copy is right: the original gradients belong to the caller. "
            "Which of the two lists is read below?",
            5: "A gradient never opposes itself, so skipping it changes nothing.",
            8: "Right: only opposed gradients are projected.",
        },
        story="PCGrad. Of two opposed gradients both should be projected. Here the first is, and "
        "the second comes back unchanged.",
    )


def weights_stay() -> Bug:
    """Ask for the bug in `LearnedWeights`: the optimizer does not have the task weights."""
    why = (
        "The optimizer has only the model's parameters. "
        "So every s stays at zero, and this is the plain sum."
    )
    return bug(
        LearnedWeights,
        lines={4: f"{why} Give it `[*model.parameters(), *self.s.values()]`."},
        nudges={
            3: "Zero is a good start: exp(0) is 1. And they require gradients. What updates them?",
            7: "The formula is right. Print s after a hundred steps.",
            9: "Right: this clears old gradients, though not those of s. "
            "Why would that not matter here?",
            10: "Gradients do arrive at every s. What happens to them then?",
        },
        story="Uncertainty weighting. The loss falls and there is no error, but after a hundred "
        "steps every task has the weight it started with.",
    )
