"""Claims of papers about LoRA, judged by the recorded runs of lesson 02."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL
from ftkit.experiments.tables import last, summary, tuned, where
from ftkit.stats.paired import interval
from ftkit.teaching.claim_table import Claim, Finding
from ftkit.teaching.recorded_evidence import RecordedRuns
from ftkit.teaching.verdicts import judge_differences

LORA = ("bench", "rank", "targets", "alpha")
REGRET = "Schulman and Thinking Machines 2025, “LoRA Without Regret”, for large language models"
HU = "Hu et al. 2022, arXiv:2106.09685"
ALL_LINEAR = {"targets": "all linear", "alpha": "16"}
"""The settings of LoRA on every linear layer, at the alpha that all ranks share."""


class Evidence(RecordedRuns):
    """The recorded runs of lesson 02.

    `about` says how they were made; it has the times of LoRA's steps over full fine-tuning's.
    """

    def __init__(self, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
        super().__init__(table)
        self.lora = table[table["method"] == "LoRA"]
        self.references = table[table["method"] != "LoRA"]
        self.steps: dict[str, list[float]] = about["lora_step_over_full_step"]
        self.benches = list(dict.fromkeys(table["bench"]))
        self.best = tuned(self.lora, LORA)

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Select LoRA with these settings; or a reference method, if `method` names one."""
        return {"method": "LoRA", **settings}

    def all_linear(self, bench: str, rank: int) -> np.ndarray:
        """Return the accuracy on test of LoRA on every linear layer, alpha 16."""
        return self.test(bench=bench, rank=rank, **ALL_LINEAR)

    def best_rank(self, bench: str) -> int:
        """Return the rank that is best on valid, at its best learning rate."""
        rows = where(last(self.lora), bench=bench, **ALL_LINEAR)
        means = summary(rows, ["rank", "lr"])
        return int(means["rank"].to_numpy()[means["mean"].to_numpy().argmax()])

    def best_rates(self, bench: str, seed: int) -> tuple[float, float]:
        """Return one seed's best learning rates on valid: LoRA's (rank 8), full fine-tuning's."""
        lora = where(last(self.lora), bench=bench, rank=8, seed=seed, **ALL_LINEAR)
        full = where(last(self.references), bench=bench, method=FULL, seed=seed)
        return _best_rate(lora), _best_rate(full)


def _best_rate(rows: pd.DataFrame) -> float:
    return float(rows["lr"].to_numpy()[rows["value"].to_numpy().argmax()])


def matches_full(runs: Evidence) -> Claim:
    """Judge whether LoRA does as well as full fine-tuning."""
    best = {bench: runs.best_rank(bench) for bench in runs.benches}
    gaps = {
        bench: runs.all_linear(bench, rank) - runs.test(bench=bench, method=FULL)
        for bench, rank in best.items()
    }
    ranks = ", ".join(f"{bench} {rank}" for bench, rank in best.items())
    return Claim(
        "LoRA does as well as full fine-tuning.",
        HU,
        f"LoRA at the rank that is best on valid ({ranks}) minus full fine-tuning, "
        "each at its best learning rate; test, points",
        *judge_differences(gaps, {"ties", "beats"}),
    )


def rank_1_is_enough(runs: Evidence) -> Claim:
    """Judge whether rank 1 is enough."""
    gaps = {bench: runs.all_linear(bench, 1) - runs.all_linear(bench, 32) for bench in runs.benches}
    return Claim(
        "Rank 1 is enough.",
        f"{HU}, for query and value matrices on two tasks, and not for every task",
        "rank 1 minus rank 32, each at its best learning rate; test, points",
        *judge_differences(gaps, {"ties", "beats"}),
    )


def attention_is_worse(runs: Evidence, equal: Mapping[str, int]) -> Claim:
    """Judge whether LoRA is worse on attention alone, with the same number of parameters.

    Args:
        equal: by benchmark, the rank on attention with the parameters of rank 4 everywhere.
    """
    gaps = {}
    for bench in runs.benches:
        attention = runs.test(bench=bench, rank=equal[bench], targets="attention", alpha="16")
        gaps[bench] = attention - runs.all_linear(bench, 4)
    return Claim(
        "On attention alone LoRA is worse, even with the same number of parameters.",
        REGRET,
        "attention alone (rank 7; vision 9) minus every linear layer (rank 4): "
        "the same number of parameters; test, points",
        *judge_differences(gaps, {"loses"}),
    )


def ten_times_the_rate(runs: Evidence, seeds: Sequence[int]) -> Claim:
    """Judge whether LoRA needs ten times the learning rate of full fine-tuning."""
    spans = {}
    for bench in runs.benches:
        ratios = [np.divide(*runs.best_rates(bench, seed)) for seed in seeds]
        spans[bench] = interval([float(np.log10(ratio)) for ratio in ratios])
    results = [
        Finding(bench, f"{10**mean:.1f}x [{10**low:.1f}, {10**high:.1f}]")
        for bench, (mean, low, high) in spans.items()
    ]
    # Intervals of the logarithm: 1 is ten times, and a whole interval below 1 is a narrow one.
    if all(low <= 1 <= high and high - low < 1 for _, low, high in spans.values()):
        says = "holds"
    elif any(high < 1 or low > 1 for _, low, high in spans.values()):
        says = "does not hold"
    else:
        says = "inconclusive"
    return Claim(
        "LoRA needs ten times the learning rate of full fine-tuning.",
        REGRET,
        "best learning rate on valid for each seed, rank 8 over full, on a grid by half powers of "
        f"ten; mean of the logarithms, {len(seeds)} seeds",
        results,
        says,
    )


def rate_is_free_of_rank(runs: Evidence) -> Claim:
    """Judge whether the best learning rate hardly depends on the rank, with a constant alpha."""
    results, spreads = [], []
    for bench in runs.benches:
        rates = [
            rate
            for (other, _, targets, alpha), rate in sorted(runs.best.items())
            if (other, targets, alpha) == (bench, "all linear", "16")
        ]
        spreads.append(max(rates) / min(rates))
        results.append(Finding(bench, f"{min(rates):g} to {max(rates):g}"))
    return Claim(
        "With a constant alpha the best learning rate hardly depends on the rank.",
        REGRET,
        "the best learning rate on valid for ranks 1 to 32; "
        "one step of the grid (a factor of about 3) counts as the same",
        results,
        "holds" if max(spreads) < 4 else "does not hold",
    )


def share_of_memory(runs: Evidence) -> Claim:
    """Judge whether a hundredth of the parameters needs a hundredth of the memory."""
    results, excesses = [], []
    for bench in runs.benches:
        lora = {"bench": bench, "rank": 1, **ALL_LINEAR}
        full = {"bench": bench, "method": FULL}
        parameters = runs.cost("trainable", **lora) / runs.cost("trainable", **full)
        memory = runs.memory(**lora) / runs.memory(**full)
        shares = f"{100 * parameters:.1f} % of the parameters, {100 * memory:.0f} % of the bytes"
        results.append(Finding(bench, shares))
        excesses.append(memory / parameters)
    return Claim(
        "One per cent of the parameters needs one per cent of the memory.",
        "often heard; see peft issue 1514",
        "rank 1 over full fine-tuning: trainable parameters; "
        "bytes of weights, gradients, AdamW and activations, measured",
        results,
        "does not hold" if min(excesses) > 2 else "holds",
    )


def faster(runs: Evidence) -> Claim:
    """Judge whether LoRA trains faster than full fine-tuning."""
    spans = {base: interval(ratios) for base, ratios in runs.steps.items()}
    results = [
        Finding(base, f"{mean:.2f}x [{low:.2f}, {high:.2f}]")
        for base, (mean, low, high) in spans.items()
    ]
    if all(high < 1 for _, _, high in spans.values()):
        says = "holds"
    elif any(low > 0.95 for _, low, _ in spans.values()):
        says = "does not hold"
    else:
        says = "inconclusive"
    return Claim(
        "LoRA trains faster than full fine-tuning.",
        "often heard; see peft issue 925",
        "seconds of a LoRA step (rank 8) over those of a full step, timed in turns, 8 blocks; "
        "above 0.95 counts as no faster",
        results,
        says,
    )


def lora_claims(
    table: pd.DataFrame, about: Mapping[str, Any], equal: Mapping[str, int]
) -> list[Claim]:
    """Judge every claim of lesson 02 by its recorded runs.

    Args:
        equal: see `attention_is_worse`.
    """
    runs = Evidence(table, about)
    return [
        matches_full(runs),
        rank_1_is_enough(runs),
        attention_is_worse(runs, equal),
        ten_times_the_rate(runs, about["seeds"]),
        rate_is_free_of_rank(runs),
        share_of_memory(runs),
        faster(runs),
    ]
