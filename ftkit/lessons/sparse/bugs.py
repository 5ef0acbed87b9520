"""Planted bugs of lesson 05: masks that leak. Each can be imported, and a test shows what it does wrong.

The functions have no docstrings: a listing counts from its first line, and the story beside it says what the code should do.
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
    """Asks for the bug in `decays`: AdamW's weight decay, which is on by default."""
    return bug(
        decays,
        lines={
            2: "`AdamW` has a weight decay of 0.01 unless told otherwise, and decay does not ask for a gradient: every frozen entry is "
            "multiplied by 1 - lr * 0.01 at every step. Say `weight_decay=0.0`; better, give the optimizer the chosen numbers alone.",
        },
        nudges={
            4: "These are gradients of whole matrices; that is wasteful, but not wrong. What is done with them?",
            6: "The gradient of a frozen entry is exactly zero after this line. Does a gradient of zero mean that an entry stays?",
            7: "This is where the frozen entries move. But who told the optimizer to move what has no gradient?",
        },
        story="Training with a mask of ones and zeros: the gradient of what is frozen is set to zero. After ten steps every frozen entry "
        "of every matrix has moved a little.",
    )


def momentum_leak() -> Bug:
    """Asks for the bug in `remembers`: an optimizer that was used without the mask."""
    why = "The second round needs an optimizer of its own. This one has averages of the gradients of round one, for every entry;"
    return bug(
        remembers,
        lines={
            2: f"{why} a gradient of zero fades them, but for many steps frozen entries go on moving. Make a new one in each round.",
            5: f"{why} a gradient of zero fades them, but until then frozen entries move. Make it here, once a round.",
            13: f"{why} the weights are rewound here, the averages are not. Make a new optimizer here.",
        },
        nudges={
            3: "A clone, and so safe from what follows. The weights do go back to it.",
            4: "In the first round everything may move: that is full fine-tuning, and it tells which entries change most.",
            9: "The gradient of a frozen entry is exactly zero. What else does Adam's step depend on?",
            12: "The mask is chosen by what the first round did, as it should be.",
        },
        story="A lottery ticket. Round one trains everything; then the entries that moved furthest are chosen, the weights go back to "
        "where they were, and round two trains the chosen ones. There is no decay. Still, frozen entries move in round two.",
    )


def ties() -> Bug:
    """Asks for the bug in `keeps_ties`: a threshold keeps all that is equal to it."""
    return bug(
        keeps_ties,
        lines={
            5: "All entries that equal the threshold pass, not only as many as there is room for. Scores from gradients are full of equal "
            "entries: a word that no batch contained has zeros. Take the positions that `topk` returns, its `indices`, instead.",
        },
        nudges={
            2: "Size decides and not sign, so `abs` is right.",
            3: "Exactly `count` values, and the right ones. Which of them are needed?",
            4: "That is the smallest of the chosen scores. How many entries have this very score?",
            6: "The shape is right. How many of its entries are true?",
        },
        story="A mask of exactly `count` entries, those with the largest scores. On random numbers it counts well. With the gradients of "
        "word embeddings as scores, 1 % is asked for, and nearly everything is true.",
    )
