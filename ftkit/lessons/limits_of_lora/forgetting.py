"""Measures of a finished run: what the body has forgotten, and how its weights have moved."""

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
"""The number of sentences with hidden words: the first of the docs task's valid split, which no
pretraining has read."""
STRONGEST = 10
"""The number of strongest directions of a matrix that may be intruders."""
INTRUDER_COSINE = 0.5
"""A direction is an intruder if its cosine to every direction of the base is below this."""


def hidden_words(model: Adapted) -> float:
    """Return the loss of the body at guessing hidden words of plain English, in nats a word.

    The same words of the same sentences are hidden every time. The head, with its word vectors, is
    the one of the base's pretraining.
    """
    head, shown, mask, is_hidden, words = _hidden_word_task()
    with torch.no_grad():
        features = model.net.body(input_ids=shown, attention_mask=mask).last_hidden_state
        return F.cross_entropy(head(features[is_hidden]), words).item()


@lru_cache(maxsize=1)
def _hidden_word_task() -> tuple[torch.nn.Module, Tensor, Tensor, Tensor, Tensor]:
    """The pretraining head, the token ids with hidden words, their mask, which are hidden, and the
    words."""
    with quiet():
        head = BertForMaskedLM.from_pretrained(
            base_path("mini"), use_safetensors=True, dtype=torch.float32
        ).cls.eval()
    task = load_task("docs")
    tokens = load_base("mini", task).reader(task.valid, torch.arange(SENTENCES))
    shown, is_hidden = hide(tokens["input_ids"], torch.Generator().manual_seed(0))
    return head, shown, tokens["attention_mask"], is_hidden, tokens["input_ids"][is_hidden]


def best_cosines(before: Tensor, now: Tensor, top: int = STRONGEST) -> Tensor:
    """Compare the strongest directions of a matrix with those that it had before.

    Args:
        before, now: matrices of the same shape (out, in).
        top: the number of strongest left singular vectors of `now`.

    Returns:
        For each of them the largest |cosine| to a left singular vector of `before`, (top,), in [0,
        1]. One below a half is an "intruder dimension". In a narrow matrix any two directions are
        more alike: of 96 random features the most alike has about 0.3.

    Source: Shuttleworth et al. 2024, arXiv:2410.21228.

    >>> best_cosines(torch.eye(12), torch.eye(12)).min().item()
    1.0
    """
    old, new = (
        torch.linalg.svd(weight.double(), full_matrices=False).U for weight in (before, now)
    )
    return (old.T @ new[:, :top]).abs().amax(0)


def effective_rank(change: Tensor) -> float:
    """Return exp of the entropy of the singular values as shares of their sum.

    It is r for r equal singular values and 0 for no change.

    >>> round(effective_rank(torch.eye(5)), 6)
    5.0
    """
    values = torch.linalg.svdvals(change.double())
    shares = values[values > 0] / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum())) if len(shares) else 0.0


def after_training(model: Adapted) -> dict[str, float]:
    """Measure forgetting, and how the linear layers of the body have moved.

    Returns:
        `after/words`: the loss on hidden words, in nats a word. And if a linear layer of the body
        may change: `after/intruders`, the share of intruders among the strongest directions;
        `after/likeness`, the mean over matrices of the smallest of their `best_cosines`;
        `after/moved`, the mean of |change| / |weight|; `after/rank`, the mean effective rank of the
        changes.
    """
    measures = {"after/words": hidden_words(model)}
    layers = linear_layers(model.base)
    pairs = [
        (before, now)
        for name, before, now in model.changed()
        if name in layers and name.startswith("body.")
    ]
    if not pairs:
        return measures
    cosines = torch.stack([best_cosines(before, now) for before, now in pairs])
    movements = [float((now - before).norm() / before.norm()) for before, now in pairs]
    ranks = [effective_rank(now - before) for before, now in pairs]
    return {
        **measures,
        "after/intruders": float((cosines < INTRUDER_COSINE).double().mean()),
        "after/likeness": float(cosines.amin(1).mean()),
        "after/moved": sum(movements) / len(pairs),
        "after/rank": sum(ranks) / len(pairs),
    }
