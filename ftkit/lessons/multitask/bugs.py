"""Planted bugs of lesson 07: code that runs, looks right, and is not. A test shows what each does wrong.

The listings have no docstrings: they count from their first line, and the story beside each says what the code should do.
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
    """Asks for the bug in `gives_way`: gradients are projected onto gradients that have been projected."""
    why = "Each gradient must meet the others as they *were*. Once the first has given way it opposes nobody, so the second never does."
    return bug(
        gives_way,
        lines={
            7: f"{why} `gradients[j]` here, and in line 9.",
            9: f"{why} `gradients[j]` here, and in line 7.",
        },
        nudges={
            2: "A copy is right: the gradients that came belong to the caller. Which of the two lists is read below?",
            5: "A gradient never opposes itself, so leaving it out changes nothing.",
            8: "Right: only what opposes is taken away.",
        },
        story="PCGrad. Of two opposed gradients both should give way; here the first does, and the second comes back as it was.",
    )


def weights_stay() -> Bug:
    """Asks for the bug in `LearnedWeights`: the optimizer does not know the weights."""
    why = "The optimizer was given the model's numbers alone, so every s stays at zero, and this is the plain sum."
    return bug(
        LearnedWeights,
        lines={4: f"{why} `[*model.parameters(), *self.s.values()]`."},
        nudges={
            3: "Zero is a good start: exp(0) is 1. And they ask for gradients. Who moves them?",
            7: "The formula is right. Print s after a hundred steps.",
            9: "Right: old gradients away, though not those of s. Why would that not matter here?",
            10: "Gradients do arrive at every s. What happens to them then?",
        },
        story="Uncertainty weighting. The loss falls, nothing complains, and after a hundred steps every task weighs what it did at first.",
    )
