"""Claims about LoRA's cost and forgetting, judged by the recorded runs of lesson 03."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE
from ftkit.experiments.tables import where
from ftkit.lessons.limits_of_lora.claims_far_tasks import HEARD, NEAR, Evidence
from ftkit.lessons.limits_of_lora.trial import LARGE_RANK, LORA
from ftkit.stats.paired import interval, verdict
from ftkit.teaching.claim_table import Claim, Finding

BIDERMAN = "Biderman et al. 2024, arXiv:2405.09673"
INTRUDERS = (
    "Shuttleworth et al. 2024, arXiv:2410.21228, for networks of 125 million parameters and more"
)
NATS = 0.05
"""Within a twentieth of a nat a hidden word is guessed equally well; agreed on before the runs."""
SAVES = 0.9
"""Above this share of full fine-tuning's cost nothing worth naming is saved; agreed on before the
runs."""
JUDGED = "LoRA, rank 8"
"""The method whose costs are judged."""


def forgetting(table: pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """Return what each run on the nearest benchmark learned and forgot.

    Returns:
        Columns `seed`, `lr`, `accuracy` (the last one on valid), and `words` (the cross-entropy of
        hidden words after training, in nats).
    """
    rows = where(table, bench=NEAR, size=SIZE, **settings)
    accuracy = rows[rows["quantity"] == "valid/accuracy"].sort_values("step")
    accuracy = accuracy.drop_duplicates(["lr", "seed"], keep="last")
    words = rows[rows["quantity"] == "after/words"].drop_duplicates(["lr", "seed"])
    both = accuracy.merge(words, on=["lr", "seed"], suffixes=("", "_after"))
    both = both.rename(columns={"value": "accuracy", "value_after": "words"})
    return both[["seed", "lr", "accuracy", "words"]]


def at_equal_accuracy(table: pd.DataFrame) -> np.ndarray:
    """Return LoRA's forgetting minus full fine-tuning's at equal accuracy, in nats, one a seed.

    A seed's runs at rising learning rates make a curve of forgetting over accuracy, for either
    method. The difference is the mean over the accuracies that both curves reach, with straight
    lines between learning rates. Two things are left out:

    - learning rates above a seed's best: there a method forgets more and knows less;
    - seeds on which the two methods share no accuracy.

    Returns:
        Shape (seeds,), without the seeds that are left out.
    """
    lora, full = forgetting(table, way=LORA, rank=LARGE_RANK), forgetting(table, method=FULL)
    differences = []
    for seed in sorted(set(lora["seed"]) & set(full["seed"])):
        curves = [_rising(where(rows, seed=seed)).sort_values("accuracy") for rows in (lora, full)]
        low = max(curve["accuracy"].min() for curve in curves)
        high = min(curve["accuracy"].max() for curve in curves)
        if low < high:
            grid = np.linspace(low, high, 21)
            of_lora, of_full = (
                np.interp(grid, curve["accuracy"], curve["words"]) for curve in curves
            )
            differences.append(float((of_lora - of_full).mean()))
    return np.array(differences)


def _rising(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one seed's runs up to the best learning rate."""
    best = rows["lr"].to_numpy()[rows["accuracy"].to_numpy().argmax()]
    return rows[rows["lr"] <= best]


def _nats(values: np.ndarray) -> str:
    mean, low, high = interval(values.tolist())
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] nats, {len(values)} seeds"


def _is_less(differences: np.ndarray) -> str:
    """Return the verdict on "the first is less", for differences in nats."""
    says = verdict(differences.tolist(), NATS)
    if says == "inconclusive":
        return says
    return "holds" if says == "loses" else "does not hold"


def forgets_less(runs: Evidence) -> Claim:
    """Judge whether LoRA forgets less than full fine-tuning."""
    of_lora = runs.way(NEAR, LORA, LARGE_RANK, "after/words")
    difference = of_lora - runs.reference(NEAR, FULL, "after/words")
    return Claim(
        "LoRA forgets less than full fine-tuning.",
        BIDERMAN,
        f"cross-entropy of hidden words in unseen English, LoRA of rank {LARGE_RANK} minus full, "
        "each at the learning rate that is best for the task",
        _nats(difference),
        _is_less(difference),
    )


def forgets_less_at_equal_accuracy(runs: Evidence) -> Claim:
    """Judge whether LoRA forgets less at equal accuracy."""
    difference = at_equal_accuracy(runs.table)
    return Claim(
        "LoRA forgets less than full fine-tuning of the same accuracy.",
        f"asked here; {BIDERMAN}, find it difficult to conclude (section 4.3)",
        "the same at equal accuracy on valid, over the learning rates up to each seed's best; "
        "seeds on which both reach a common accuracy",
        _nats(difference),
        _is_less(difference),
    )


def intruders(runs: Evidence) -> Claim:
    """Judge whether LoRA leaves singular vectors unlike all old ones, and full fine-tuning none."""

    def both(quantity: str) -> dict[str, np.ndarray]:
        return {
            "LoRA": runs.way(NEAR, LORA, LARGE_RANK, quantity),
            "full": runs.reference(NEAR, FULL, quantity),
        }

    share = {name: values.mean() for name, values in both("after/intruders").items()}
    cosine = both("after/likeness")
    results = [
        Finding(
            f"{name}:",
            f"{share[name]:.1%} of the strongest, "
            f"the least similar has cosine {cosine[name].mean():.2f}",
        )
        for name in share
    ]
    mean, low, high = interval((cosine["LoRA"] - cosine["full"]).tolist())
    results.append(Finding("LoRA's minus full's cosine", f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"))
    if share["LoRA"] > 0.01 > share["full"]:
        says = "holds"
    else:
        says = "does not hold" if max(share.values()) < 0.01 else "inconclusive"
    return Claim(
        "LoRA leaves intruder dimensions, full fine-tuning none.",
        INTRUDERS,
        "ten strongest left singular vectors of each matrix, those with no |cosine| of 0.5 "
        f"to one of the base; rank {LARGE_RANK}, each at the learning rate that is best for the "
        "task",
        results,
        says,
    )


def _shares(about: Mapping[str, Any], kinds: tuple[str, ...]) -> tuple[list[Finding], list[float]]:
    """Return LoRA's costs as shares of full fine-tuning's: in words by base, and all of them."""
    results, shares = [], []
    for base, costs in about["court"].items():
        of_base = [costs[JUDGED][kind] for kind in kinds]
        named = [f"{kind} {share:.0%}" for kind, share in zip(kinds, of_base, strict=True)]
        results.append(Finding(base, ", ".join(named)))
        shares += of_base
    return results, shares


def saves_state(about: Mapping[str, Any]) -> Claim:
    """Judge whether LoRA saves what grows with the trainable parameters."""
    results, shares = _shares(about, ("gradients", "optimizer", "disk"))
    return Claim(
        "LoRA saves gradients, optimizer state and disk.",
        HEARD,
        f"{JUDGED}, as shares of full fine-tuning's; bytes, measured",
        results,
        "holds" if max(shares) < SAVES else "does not hold",
    )


def saves_activations(about: Mapping[str, Any]) -> Claim:
    """Judge whether LoRA saves activations."""
    results, shares = _shares(about, ("activations",))
    return Claim(
        "LoRA saves activations.",
        HEARD,
        f"{JUDGED}, bytes that autograd keeps for the backward pass, measured",
        results,
        "holds" if max(shares) < SAVES else "does not hold",
    )


def saves_time(about: Mapping[str, Any]) -> Claim:
    """Judge whether LoRA saves time at every size."""
    results, _ = _shares(about, ("flops", "seconds"))
    _, seconds = _shares(about, ("seconds",))
    return Claim(
        "LoRA saves time at every size.",
        HEARD,
        f"{JUDGED}, steps timed in turns with full fine-tuning, one thread",
        results,
        "holds" if max(seconds) < SAVES else "does not hold",
    )


def cost_claims(table: pd.DataFrame, about: Mapping[str, Any]) -> list[Claim]:
    """Judge the claims about LoRA's cost and forgetting."""
    runs = Evidence(table)
    return [
        forgets_less(runs),
        forgets_less_at_equal_accuracy(runs),
        intruders(runs),
        saves_state(about),
        saves_activations(about),
        saves_time(about),
    ]
