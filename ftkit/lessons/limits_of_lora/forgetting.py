"""Measures of a finished run: what the body has forgotten, how its weights have moved, and what
happens if intruder dimensions are scaled down."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BertForMaskedLM

from ftkit import checks
from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.base import Net, base_path, load_base, quiet
from ftkit.model.delta import Delta
from ftkit.pretrain.mini import hide
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.training.loop import evaluate

SENTENCES = 256
"""The number of sentences with hidden words: the first of the docs task's valid split, which no
pretraining has read."""
STRONGEST = 10
"""The number of strongest directions of a matrix that may be intruders."""
INTRUDER_COSINE = 0.5
"""A direction is an intruder if its cosine to every direction of the base is below this."""
FACTORS = (0.0, 0.3, 0.7, 0.9)
"""The factors on the singular value of an intruder: 0 removes it, 1 would change nothing. The paper
sweeps from 0 to 1 and reports 0.3, 0.7 and 0.9."""


def hidden_words(model: Adapted | Net) -> float:
    """Return the loss of the body at guessing hidden words of plain English, in nats a word.

    The same words of the same sentences are hidden every time. The head, with its word vectors, is
    the one of the base's pretraining.
    """
    head, shown, mask, is_hidden, words = _hidden_word_task()
    net = model.net if isinstance(model, Adapted) else model
    with torch.no_grad():
        features = net.body(input_ids=shown, attention_mask=mask).last_hidden_state
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
    pairs = [(before, now) for _, before, now in _body_matrices(model)]
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


def _body_matrices(model: Adapted) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The name, the weight in the base and the weight now of each changed linear layer of the
    body."""
    layers = linear_layers(model.base)
    for name, before, now in model.changed():
        if name in layers and name.startswith("body."):
            yield name, before, now


# The causal test of intruder dimensions
# --------------------------------------
# That intruders appear together with forgetting does not say that they cause it. So scale them down
# and measure forgetting and accuracy again. As a control, scale a direction that the base had, with
# a similar singular value.


def intruders(before: Tensor, now: Tensor) -> list[int]:
    """Find the intruders among the strongest singular directions of a matrix.

    Args:
        before, now: matrices of the same shape (out, in).

    Returns:
        Their positions in the singular value decomposition of `now`, the strongest first; 0 is the
        direction with the largest singular value.
    """
    positions = (best_cosines(before, now) < INTRUDER_COSINE).nonzero().flatten()
    return [int(position) for position in positions]


def neighbour(before: Tensor, now: Tensor, position: int) -> int | None:
    """Find the direction of `now` that the base had and that is about as strong as another one.

    Args:
        before, now: matrices of the same shape (out, in).
        position: the other direction, in the singular value decomposition of `now`.

    Returns:
        The position with the nearest singular value among all directions that are like one of
        `before`; None if there is none.
    """
    values = torch.linalg.svdvals(now.double())
    is_old = best_cosines(before, now, len(values)) >= INTRUDER_COSINE
    gaps = (values - values[position]).abs().masked_fill(~is_old, torch.inf)
    return int(gaps.argmin()) if is_old.any() else None


def scaled_direction(weight: Tensor, position: int, factor: float) -> Tensor:
    """Multiply one singular value s of a matrix by `factor`: weight + (factor - 1) u s v'.

    Args:
        weight: a matrix (out, in).
        position: the direction, 0 for the one with the largest singular value.
        factor: at least 0; 1 changes nothing.

    Raises:
        ValueError: the factor is below 0 or not finite.

    >>> scaled_direction(torch.diag(torch.tensor([3.0, 2.0])), 0, 0.5).diagonal()
    tensor([1.5000, 2.0000])
    """
    checks.number("factor", factor, 0, advice="0 removes the direction, 1 changes nothing")
    u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    part = s[position] * torch.outer(u[:, position], v[position])
    return (weight.double() + (factor - 1) * part).to(weight.dtype)


def with_scaled_intruders(model: Adapted, factor: float, control: bool = False) -> Net:
    """Copy the base with the learned change, and scale the strongest intruder of each matrix.

    A matrix without an intruder is as it was learned.

    Args:
        model: a trained adaptation; it is not changed.
        factor: the factor on the singular value of the intruder, at least 0.
        control: whether to scale the intruder's `neighbour` in its place.

    Raises:
        ValueError: the factor is below 0 or not finite.

    Source: Shuttleworth et al. 2024, arXiv:2410.21228, section 5. PEFT's
    `reduce_intruder_dimension` scales all intruders of a matrix.
    """
    changed = dict(model.delta())
    for name, before, now in _body_matrices(model):
        for strongest in intruders(before, now)[:1]:
            position = neighbour(before, now, strongest) if control else strongest
            if position is not None:
                changed[name] = scaled_direction(now, position, factor) - before
    net: Net = Delta(changed).on(model.base)
    return net


def intruder_test(
    model: Adapted,
    task: Task,
    stage: str = "test",
    rows: int | None = None,
    factors: tuple[float, ...] = FACTORS,
) -> dict[str, float]:
    """Measure whether intruders cause forgetting: scale them down, and measure again.

    They do if forgetting falls with the factor, and does not fall if neighbours are scaled.

    Args:
        model: a trained adaptation of the text base; it is not changed.
        task: the task that it was trained on.
        stage, rows: what accuracy is measured on, see `evaluate`.
        factors: the factors on the singular values.

    Returns:
        `scaled/matrices`, the number of matrices with an intruder. And if it is not 0:
        `scaled/words` and `scaled/accuracy` of the model as it was learned; then, for each factor,
        `scaled/<intruder or neighbour>/<factor>/<words or accuracy>`. Words are in nats, see
        `hidden_words`; accuracies in [0, 1].
    """
    count = sum(bool(intruders(before, now)) for _, before, now in _body_matrices(model))
    measures = {"scaled/matrices": float(count)}
    if not count:
        return measures
    nets = {"scaled": model.merged()}
    for factor in factors:
        nets[f"scaled/intruder/{factor:g}"] = with_scaled_intruders(model, factor)
        nets[f"scaled/neighbour/{factor:g}"] = with_scaled_intruders(model, factor, control=True)
    for name, net in nets.items():
        measures[f"{name}/words"] = hidden_words(net)
        measures[f"{name}/accuracy"] = evaluate(net, task, stage, rows).accuracy
    return measures
