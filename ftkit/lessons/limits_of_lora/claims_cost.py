"""What is said of LoRA's cost and of what it leaves behind, and what the record of lesson 03 says to it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL, SIZE
from ftkit.experiments.tables import where
from ftkit.lessons.limits_of_lora.claims_far_tasks import HEARD, NEAR, Evidence
from ftkit.lessons.limits_of_lora.trial import LARGE_RANK, LORA
from ftkit.stats.paired import interval, verdict
from ftkit.teaching.claim_table import Claim

BIDERMAN = "Biderman et al. 2024, arXiv:2405.09673"
INTRUDERS = "Shuttleworth et al. 2024, arXiv:2410.21228"
NATS = 0.05
"""Within a twentieth of a nat a hidden word is guessed as well; agreed on before the runs."""
SAVES = 0.9
"""A share of full fine-tuning's above which nothing worth naming is saved; agreed on before the runs."""
COURT = "LoRA, rank 8"


def forgetting(table: pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """One row a run on the nearest place: `seed`, `lr`, its last `accuracy` on valid and `words`, nats a hidden word afterwards."""
    rows = where(table, bench=NEAR, size=SIZE, **settings)
    accuracy = (
        rows[rows["quantity"] == "valid/accuracy"]
        .sort_values("step")
        .drop_duplicates(["lr", "seed"], keep="last")
    )
    after = rows[rows["quantity"] == "after/words"].drop_duplicates(["lr", "seed"])
    both = accuracy.merge(after, on=["lr", "seed"], suffixes=("", "_after"))
    return both.rename(columns={"value": "accuracy", "value_after": "words"})[
        ["seed", "lr", "accuracy", "words"]
    ]


def at_equal_accuracy(table: pd.DataFrame) -> np.ndarray:
    """For each seed what LoRA has forgotten less what full fine-tuning has, in nats, at equal accuracy: the mean over the accuracies that
    both reached, by straight lines between rates. Rates above a seed's best are left out, since beyond it one forgets more and knows
    less; so is a seed on which the two share no accuracy."""
    lora, full = forgetting(table, way=LORA, rank=LARGE_RANK), forgetting(table, method=FULL)
    found = []
    for seed in sorted(set(lora["seed"]) & set(full["seed"])):
        curves = [_rising(where(rows, seed=seed)).sort_values("accuracy") for rows in (lora, full)]
        low = max(curve["accuracy"].min() for curve in curves)
        high = min(curve["accuracy"].max() for curve in curves)
        if low < high:
            grid = np.linspace(low, high, 21)
            ours, theirs = (np.interp(grid, curve["accuracy"], curve["words"]) for curve in curves)
            found.append(float((ours - theirs).mean()))
    return np.array(found)


def _rising(rows: pd.DataFrame) -> pd.DataFrame:
    """One seed's rates up to the one that is best."""
    best = rows["lr"].to_numpy()[rows["accuracy"].to_numpy().argmax()]
    return rows[rows["lr"] <= best]


def _nats(values: np.ndarray) -> str:
    mean, low, high = interval(values.tolist())
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] nats, {len(values)} seeds"


def _less(values: np.ndarray) -> str:
    """What differences in nats say to "less": holds, does not hold, or inconclusive."""
    return {"loses": "holds", "beats": "does not hold", "ties": "does not hold"}.get(
        verdict(values.tolist(), NATS), "inconclusive"
    )


def forgets_less(found: Evidence) -> Claim:
    """LoRA forgets less."""
    less = found.way(NEAR, LORA, LARGE_RANK, "after/words") - found.reference(
        NEAR, FULL, "after/words"
    )
    experiment = f"hidden words of unseen English, LoRA of rank {LARGE_RANK} minus full, each at the rate that is best for the task"
    return Claim(
        "LoRA forgets less than full fine-tuning.", BIDERMAN, experiment, _nats(less), _less(less)
    )


def forgets_less_at_equal_accuracy(found: Evidence) -> Claim:
    """At equal accuracy LoRA forgets less."""
    less = at_equal_accuracy(found.table)
    experiment = "the same at equal accuracy on valid, over the rates up to each seed's best; seeds where both reach a common accuracy"
    return Claim(
        "LoRA forgets less than full fine-tuning that has learned as much.",
        BIDERMAN,
        experiment,
        _nats(less),
        _less(less),
    )


def intruders(found: Evidence) -> Claim:
    """LoRA leaves directions that are like none of before; full fine-tuning does not."""
    share = {
        "LoRA": found.way(NEAR, LORA, LARGE_RANK, "after/intruders").mean(),
        "full": found.reference(NEAR, FULL, "after/intruders").mean(),
    }
    least = {
        "LoRA": found.way(NEAR, LORA, LARGE_RANK, "after/likeness"),
        "full": found.reference(NEAR, FULL, "after/likeness"),
    }
    mean, low, high = interval((least["LoRA"] - least["full"]).tolist())
    says = (
        "holds"
        if share["LoRA"] > 0.01 > share["full"]
        else "does not hold"
        if max(share.values()) < 0.01
        else "inconclusive"
    )
    figures = "; ".join(
        f"{name}: {share[name]:.1%} of the strongest, the least like has cosine {least[name].mean():.2f}"
        for name in share
    )
    figures += f"; LoRA's minus full's cosine {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    experiment = f"ten strongest left singular vectors of each matrix, those with no |cosine| of 0.5 to one of before; rank {LARGE_RANK}"
    return Claim(
        "LoRA leaves intruder dimensions, full fine-tuning none.",
        INTRUDERS,
        experiment,
        figures,
        says,
    )


def _court(about: Mapping[str, Any], kinds: tuple[str, ...]) -> tuple[str, list[float]]:
    of = {base: [bills[COURT][kind] for kind in kinds] for base, bills in about["court"].items()}
    parts = [
        f"{base} "
        + ", ".join(f"{kind} {share:.0%}" for kind, share in zip(kinds, found, strict=True))
        for base, found in of.items()
    ]
    return "; ".join(parts), [share for found in of.values() for share in found]


def saves_state(about: Mapping[str, Any]) -> Claim:
    """LoRA saves what scales with the numbers that train."""
    figures, found = _court(about, ("gradients", "optimizer", "disk"))
    says = "holds" if max(found) < SAVES else "does not hold"
    experiment = f"{COURT}, as shares of full fine-tuning's; bytes, measured"
    return Claim(
        "LoRA saves gradients, optimizer state and disk.", HEARD, experiment, figures, says
    )


def saves_activations(about: Mapping[str, Any]) -> Claim:
    """LoRA saves activations."""
    figures, found = _court(about, ("activations",))
    says = "holds" if max(found) < SAVES else "does not hold"
    return Claim(
        "LoRA saves activations.",
        HEARD,
        f"{COURT}, bytes that autograd keeps for the way back, measured",
        figures,
        says,
    )


def saves_time(about: Mapping[str, Any]) -> Claim:
    """LoRA saves time at every size."""
    figures, _ = _court(about, ("flops", "seconds"))
    seconds = [bills[COURT]["seconds"] for bills in about["court"].values()]
    says = "holds" if max(seconds) < SAVES else "does not hold"
    return Claim(
        "LoRA saves time at every size.",
        HEARD,
        f"{COURT}, a step in turns with full fine-tuning, one thread",
        figures,
        says,
    )


def cost_claims(table: pd.DataFrame, about: Mapping[str, Any]) -> list[Claim]:
    """The claims on what LoRA costs and on what it leaves behind."""
    found = Evidence(table)
    left = [claim(found) for claim in (forgets_less, forgets_less_at_equal_accuracy, intruders)]
    return [*left, *(claim(about) for claim in (saves_state, saves_activations, saves_time))]
