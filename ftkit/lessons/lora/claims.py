"""What the papers say of LoRA, and what the recorded runs of lesson 02 say to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.tables import last, summary, tuned, where
from ftkit.stats.paired import interval
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import judged

LORA = ("bench", "rank", "targets", "alpha")
REGRET = "Schulman and Thinking Machines 2025, “LoRA Without Regret”"
HU = "Hu et al. 2022, arXiv:2106.09685"


class Evidence:
    """The recorded table of lesson 02, asked as its claims need it. Rates and ranks are chosen on valid; accuracies are on test."""

    def __init__(self, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
        self.lora = table[table["method"] == "LoRA"]
        self.references = table[table["method"] != "LoRA"]
        self.steps: dict[str, list[float]] = about["lora_step_over_full_step"]
        self.benches = list(dict.fromkeys(table["bench"]))
        self.best = tuned(self.lora, LORA)
        self.reference_best = tuned(self.references, ["bench", "method"])

    def test(self, **settings: Any) -> np.ndarray:
        """Accuracy on test, one a seed, of LoRA with these settings or of a rail, each at its best rate."""
        rows = where(self.references if "method" in settings else self.lora, **settings)
        found = rows[rows["quantity"] == "test/accuracy"].sort_values("seed")
        assert len(found) and not found["seed"].duplicated().any(), settings
        return found["value"].to_numpy()

    def all_linear(self, bench: str, rank: int) -> np.ndarray:
        """Accuracy on test of LoRA on every linear layer, alpha 16."""
        return self.test(bench=bench, rank=rank, targets="all linear", alpha="16")

    def best_rank(self, bench: str) -> int:
        """The rank that is best on valid, at its best rate."""
        rows = where(last(self.lora), bench=bench, targets="all linear", alpha="16")
        means = summary(rows, ["rank", "lr"])
        return int(means["rank"].to_numpy()[means["mean"].to_numpy().argmax()])

    def cost(self, name: str, **settings: Any) -> float:
        """One entry of the bill, the median over the runs."""
        rows = where(self.references if "method" in settings else self.lora, **settings)
        return float(rows[rows["quantity"] == f"cost/{name}"]["value"].median())

    def best_rates(self, bench: str, seed: int) -> tuple[float, float]:
        """The rates that are best on valid for one seed: of LoRA with rank 8, and of full fine-tuning."""
        own = where(
            last(self.lora), bench=bench, rank=8, targets="all linear", alpha="16", seed=seed
        )
        full = where(last(self.references), bench=bench, method="full fine-tuning", seed=seed)
        return _best_rate(own), _best_rate(full)


def _best_rate(rows: pd.DataFrame) -> float:
    return float(rows["lr"].to_numpy()[rows["value"].to_numpy().argmax()])


def matches_full(found: Evidence) -> Claim:
    """LoRA does as well as full fine-tuning."""
    ranks = ", ".join(f"{bench} {found.best_rank(bench)}" for bench in found.benches)
    figures, says = judged(
        {
            bench: found.all_linear(bench, found.best_rank(bench))
            - found.test(bench=bench, method="full fine-tuning")
            for bench in found.benches
        },
        {"ties", "beats"},
    )
    experiment = f"LoRA at the rank that is best on valid ({ranks}) minus full fine-tuning, each at its best rate; test, points"
    return Claim("LoRA does as well as full fine-tuning.", HU, experiment, figures, says)


def rank_1_is_enough(found: Evidence) -> Claim:
    """Rank 1 is enough."""
    figures, says = judged(
        {
            bench: found.all_linear(bench, 1) - found.all_linear(bench, 32)
            for bench in found.benches
        },
        {"ties", "beats"},
    )
    return Claim(
        "Rank 1 is enough.",
        HU,
        "rank 1 minus rank 32, each at its best rate; test, points",
        figures,
        says,
    )


def attention_is_worse(found: Evidence, equal: Mapping[str, int]) -> Claim:
    """LoRA on attention alone is worse than on every linear layer, at equal numbers."""
    figures, says = judged(
        {
            bench: found.test(bench=bench, rank=equal[bench], targets="attention", alpha="16")
            - found.all_linear(bench, 4)
            for bench in found.benches
        },
        {"loses"},
    )
    experiment = "attention alone (rank 7; vision 9) minus every linear layer (rank 4): the same count of numbers; test, points"
    return Claim(
        "On attention alone LoRA is worse, even with as many numbers.",
        REGRET,
        experiment,
        figures,
        says,
    )


def ten_times_the_rate(found: Evidence, seeds: Sequence[int]) -> Claim:
    """LoRA wants ten times the learning rate of full fine-tuning."""
    logs = {
        bench: [float(np.log10(np.divide(*found.best_rates(bench, seed)))) for seed in seeds]
        for bench in found.benches
    }
    spans = {bench: interval(values) for bench, values in logs.items()}
    figures = "; ".join(
        f"{bench} {10**m:.1f}x [{10**low:.1f}, {10**high:.1f}]"
        for bench, (m, low, high) in spans.items()
    )
    if all(low <= 1 <= high and high - low < 1 for _, low, high in spans.values()):
        says = "holds"
    else:
        says = (
            "does not hold"
            if any(high < 1 or low > 1 for _, low, high in spans.values())
            else "inconclusive"
        )
    experiment = f"best rate on valid for each seed, rank 8 over full, on a grid by half powers of ten; mean of the logarithms, {len(seeds)} seeds"
    return Claim(
        "LoRA wants ten times the learning rate of full fine-tuning.",
        REGRET,
        experiment,
        figures,
        says,
    )


def rate_is_free_of_rank(found: Evidence) -> Claim:
    """With a constant alpha the best rate hardly depends on the rank."""
    spreads, parts = [], []
    for bench in found.benches:
        rates = [
            rate
            for (bench, _, targets, alpha), rate in sorted(found.best.items())
            if (bench, targets, alpha) == (bench, "all linear", "16")
        ]
        spreads.append(max(rates) / min(rates))
        parts.append(f"{bench} {min(rates):g} to {max(rates):g}")
    says = "holds" if max(spreads) < 4 else "does not hold"
    experiment = "the best rate on valid for ranks 1 to 32; one step of the grid (a factor of about 3) is called the same"
    return Claim(
        "With a constant alpha the best rate hardly depends on the rank.",
        REGRET,
        experiment,
        "; ".join(parts),
        says,
    )


def share_of_memory(found: Evidence) -> Claim:
    """A hundredth of the numbers is a hundredth of the memory."""
    kinds, parts, off = ("weights", "gradients", "optimizer", "activations"), [], []
    for bench in found.benches:
        own, full = (
            {"bench": bench, "rank": 1, "targets": "all linear", "alpha": "16"},
            {"bench": bench, "method": "full fine-tuning"},
        )
        numbers = found.cost("trainable", **own) / found.cost("trainable", **full)
        memory = sum(found.cost(kind, **own) for kind in kinds) / sum(
            found.cost(kind, **full) for kind in kinds
        )
        parts.append(
            f"{bench} {100 * numbers:.1f} % of the numbers, {100 * memory:.0f} % of the bytes"
        )
        off.append(memory / numbers)
    experiment = "rank 1 over full fine-tuning: numbers that train; bytes of weights, gradients, AdamW and activations, measured"
    says = "does not hold" if min(off) > 2 else "holds"
    return Claim(
        "One per cent of the numbers is one per cent of the memory.",
        "often heard; see peft issue 1514",
        experiment,
        "; ".join(parts),
        says,
    )


def faster(found: Evidence) -> Claim:
    """LoRA trains faster than full fine-tuning."""
    spans = {base: interval(values) for base, values in found.steps.items()}
    figures = "; ".join(
        f"{base} {m:.2f}x [{low:.2f}, {high:.2f}]" for base, (m, low, high) in spans.items()
    )
    if all(high < 1 for _, _, high in spans.values()):
        says = "holds"
    else:
        says = (
            "does not hold" if any(low > 0.95 for _, low, _ in spans.values()) else "inconclusive"
        )
    experiment = "seconds of a LoRA step (rank 8) over those of a full step, in turns, 8 blocks; above 0.95 counts as no faster"
    return Claim(
        "LoRA trains faster than full fine-tuning.",
        "often heard; see peft issue 925",
        experiment,
        figures,
        says,
    )


def lora_claims(
    table: pd.DataFrame, about: Mapping[str, Any], equal: Mapping[str, int]
) -> list[Claim]:
    """Every claim of lesson 02, judged by the recorded runs."""
    found = Evidence(table, about)
    return [
        matches_full(found),
        rank_1_is_enough(found),
        attention_is_worse(found, equal),
        ten_times_the_rate(found, about["seeds"]),
        rate_is_free_of_rank(found),
        share_of_memory(found),
        faster(found),
    ]
