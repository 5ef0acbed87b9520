"""Planted bugs of lesson 05: code that runs, looks right, and is wrong.

The tests run each of them and show what it does wrong. The listings have no docstrings, because
their lines are counted from the first one; the story of each hunt says what the code should do.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.teaching.bug_hunt import Bug, bug

Loss = Callable[[nn.Module, Any], Tensor]
Masks = Mapping[str, Tensor]
Batches = Iterable[Any]
Rounds = list[Any]
Choose = Callable[[nn.Module], Masks]


def decays(model: nn.Module, masks: Masks, batches: Batches, loss_of: Loss, lr: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for batch in batches:
        gradients = torch.autograd.grad(loss_of(model, batch), list(model.parameters()))
        for (name, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
            weight.grad = gradient * masks[name]
        optimizer.step()


def remembers(model: nn.Module, choose: Choose, rounds: Rounds, loss_of: Loss, lr: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    masks: Masks = {name: torch.ones_like(weight) for name, weight in model.named_parameters()}
    for batches in rounds:
        for batch in batches:
            gradients = torch.autograd.grad(loss_of(model, batch), list(model.parameters()))
            for (name, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
                weight.grad = gradient * masks[name]
            optimizer.step()
        if batches is not rounds[-1]:
            masks = choose(model)
            model.load_state_dict(start)


def keeps_ties(scores: Tensor, count: int) -> Tensor:
    flat = scores.abs().flatten()
    largest = flat.topk(count).values
    threshold = largest[-1]
    mask = flat >= threshold
    return mask.view(scores.shape)


def decay_leak() -> Bug:
    """Ask for the bug in `decays`: AdamW's weight decay, which is on by default."""
    return bug(
        decays,
        lines={
            2: "`AdamW` has a weight decay of 0.01 by default, and decay needs no gradient: every "
            "frozen entry is multiplied by 1 - lr * 0.01 at every step. Pass `weight_decay=0.0`, "
            "or better, give the optimizer only the chosen entries.",
        },
        nudges={
            4: "These are gradients of whole matrices. That is wasteful, but not wrong. "
            "What happens to them?",
            6: "After this line the gradient of a frozen entry is exactly zero. "
            "Does a zero gradient mean that an entry stays?",
            7: "This is where the frozen entries move. "
            "But what tells the optimizer to move an entry without a gradient?",
        },
        story="Training with a mask of ones and zeros: the gradient of every frozen entry is set "
        "to zero. After ten steps every frozen entry of every matrix has moved a little.",
    )


def momentum_leak() -> Bug:
    """Ask for the bug in `remembers`: an optimizer that was used without the mask."""
    why = (
        "The second round needs its own optimizer. This one has averages of the gradients of "
        "round one, for every entry;"
    )
    return bug(
        remembers,
        lines={
            2: f"{why} a zero gradient makes them fade, but for many steps frozen entries still "
            "move. Make a new optimizer in each round.",
            5: f"{why} a zero gradient makes them fade, but until then frozen entries move. "
            "Make it here, once a round.",
            13: f"{why} the weights are rewound here, the averages are not. "
            "Make a new optimizer here.",
        },
        nudges={
            3: "A clone, so it is safe from the steps that follow. The weights do go back to it.",
            4: "In the first round everything is trained: that is full fine-tuning, and it shows "
            "which entries change most.",
            9: "The gradient of a frozen entry is exactly zero. "
            "What else does Adam's step depend on?",
            12: "The mask is chosen from the first round's changes, as it should be.",
        },
        story="A lottery ticket. Round one trains everything. Then the entries that moved furthest "
        "are chosen, the weights go back to the start, and round two trains only the chosen ones. "
        "There is no weight decay. Still, frozen entries move in round two.",
    )


def ties() -> Bug:
    """Ask for the bug in `keeps_ties`: a threshold keeps every entry that is equal to it."""
    return bug(
        keeps_ties,
        lines={
            5: "Every entry that equals the threshold passes, even if that is more than `count`. "
            "Scores from gradients have many equal entries: a word that was in no batch has zeros. "
            "Take the positions that `topk` returns, its `indices`, instead.",
        },
        nudges={
            2: "The size decides and not the sign, so `abs` is right.",
            3: "Exactly `count` values, and the right ones. Which part of the result do you need?",
            4: "That is the smallest of the chosen scores. How many entries have this very score?",
            6: "The shape is right. How many of its entries are true?",
        },
        story="A mask of exactly `count` entries, those with the largest scores. On random numbers "
        "the count is right. With the gradients of word embeddings as scores it should choose 1 %, "
        "and chooses nearly everything.",
    )
