"""What a run leaves behind: what the body has forgotten, and how its weights have moved."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BertForMaskedLM

from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.base import base_path, load_base, quiet
from ftkit.pretrain.mini import hide
from ftkit.tasks.load import load_task

SENTENCES = 256
"""The sentences whose words are hidden: the first of the docs task's valid split, which no pretraining has read."""
STRONGEST, INTRUDER_COSINE = 10, 0.5
"""An intruder is one of the ten strongest directions that is like none of before: every cosine below a half."""


def hidden_words(model: Adapted) -> float:
    """How well the body still guesses hidden words of plain English with the head that mini was taught with, in nats a word.

    The same words of the same sentences are hidden every time. The head, its word vectors included, is that of the base.
    """
    head, shown, mask, chosen, words = _guessing()
    with torch.no_grad():
        hidden = model.net.body(input_ids=shown, attention_mask=mask).last_hidden_state
        return F.cross_entropy(head(hidden[chosen]), words).item()


@lru_cache(maxsize=1)
def _guessing() -> tuple[torch.nn.Module, Tensor, Tensor, Tensor, Tensor]:
    with quiet():
        head = BertForMaskedLM.from_pretrained(
            base_path("mini"), use_safetensors=True, dtype=torch.float32
        ).cls.eval()
    task = load_task("docs")
    read = load_base("mini", task).reader(task.valid, torch.arange(SENTENCES))
    shown, chosen = hide(read["input_ids"], torch.Generator().manual_seed(0))
    return head, shown, read["attention_mask"], chosen, read["input_ids"][chosen]


def best_cosines(before: Tensor, now: Tensor, top: int = STRONGEST) -> Tensor:
    """For each of the `top` strongest left singular vectors of `now` the largest |cosine| to one of `before`, (top,), in [0, 1].

    One below a half is an "intruder dimension" of Shuttleworth et al. 2024, arXiv:2410.21228. The narrower a matrix, the more alike two
    random directions are: of 96 features the likest of all is at 0.3 or so.

    >>> likeness(torch.eye(12), torch.eye(12)).min().item()
    1.0
    """
    old, new = (
        torch.linalg.svd(weight.double(), full_matrices=False).U for weight in (before, now)
    )
    return (old.T @ new[:, :top]).abs().amax(0)


def effective_rank(change: Tensor) -> float:
    """exp of the entropy of the singular values as shares of their sum: r for r equal ones; 0 for no change.

    >>> round(effective_rank(torch.eye(5)), 6)
    5.0
    """
    values = torch.linalg.svdvals(change.double())
    shares = values[values > 0] / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum())) if len(shares) else 0.0


def after_training(model: Adapted) -> dict[str, float]:
    """`after/words`, in nats; and over the body's linear layers `after/intruders`, their share among the strongest directions;
    `after/likeness`, the mean over matrices of that of the least like; `after/moved`, the mean of |change| over |weight|; and
    `after/rank`, the mean effective rank of the changes."""
    layers = linear_layers(model.base)
    pairs = [
        (before, now)
        for name, before, now in model.changed()
        if name in layers and name.startswith("body.")
    ]
    found = {"after/words": hidden_words(model)}
    if pairs:
        alike = torch.stack([best_cosines(before, now) for before, now in pairs])
        found["after/intruders"] = float((alike < INTRUDER_COSINE).double().mean())
        found["after/likeness"] = float(alike.amin(1).mean())
        found["after/moved"] = sum(
            float((now - before).norm() / before.norm()) for before, now in pairs
        ) / len(pairs)
        found["after/rank"] = sum(effective_rank(now - before) for before, now in pairs) / len(
            pairs
        )
    return found
