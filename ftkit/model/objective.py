"""The objective slot: what is minimised."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from ftkit import checks
from ftkit.model.change import at_least_float32

Objective = Callable[[Any, Any], dict[str, Tensor]]
"""A function from (model, batch) to named terms, scalars; the loss is their sum."""


def check_objective(objective: Any) -> None:
    """Refuse what cannot be called as an objective, and a class, which somebody forgot to call.

    Raises:
        ValueError: as the summary says.
    """
    checks.function("objective", objective, "supervised is the default; PCGrad() is another one")


def check_terms(terms: Any) -> None:
    """Refuse what is no answer of an objective: `{term: scalar}` with at least one term.

    Raises:
        ValueError: as the summary says.
    """
    if (
        not isinstance(terms, Mapping)
        or not terms
        or not all(isinstance(term, Tensor) and term.ndim == 0 for term in terms.values())
    ):
        raise ValueError(
            "an objective must return {term: scalar tensor}, at least one, got "
            f"{checks.shown(terms)}; supervised is an example"
        )


def supervised(model: Any, batch: Any) -> dict[str, Tensor]:
    """Compute the mean cross-entropy of the model's logits with the batch's labels, in nats.

    The logits are (n, classes), the labels (n,). There is one term, `labels`, in float32 or better.

    Raises:
        ValueError: the model cannot be called, or the batch is none.
    """
    checks.function("model", model, "pass an Adapted or a Net")
    if not hasattr(batch, "labels") and not hasattr(batch, "rows"):
        raise ValueError(
            f"batch must be a batch of a task, got {checks.shown(batch)}; "
            "task.batch('train', torch.arange(16)) makes one"
        )
    logits = model(batch)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(
            f"model must return logits (n, classes), got {checks.shown(logits)}; "
            "pass an Adapted or a Net"
        )
    logits = at_least_float32(logits)
    return {"labels": F.cross_entropy(logits, batch.labels.to(logits.device))}
