"""The leaderboard of lesson 09: every method against LoRA, by benchmark and overall, by budget."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.experiments.tables import UNFINISHED, measured, where
from ftkit.lessons.can_lora_be_beaten.trial import (
    CONTROL_BUDGET,
    EXAMPLES,
    LARGER_ALPHA,
    MIDDLE,
    MOST_EXAMPLES,
    OPERATIONS,
    PARAMETERS,
    REFERENCES,
)
from ftkit.stats.paired import Judged, crossed, family
from ftkit.stats.tradeoff import improvement, pareto_front, share_of_gain
from ftkit.teaching.claim_table import Claim, Finding
from ftkit.teaching.recorded_evidence import RecordedRuns, items_by_seed, lr_curve
from ftkit.teaching.verdicts import MARGIN, combined_verdict, judge_differences, points

LORA = "LoRA"
LARGER = ("last block",)
"""Has more parameters than LoRA of the middle rank: it is on the board and in the family, but its
wins do not count as wins at equal parameters."""
COSTS = ("trainable", "flops", "activations", "disk")
"""For seconds see `pace`: those of a recorded run depend on what else the machine did."""


class Evidence(RecordedRuns):
    """The recorded runs of lesson 09, and runs of the same form that were added to them.

    Such as a challenger's, or those of a class. Methods are compared with LoRA seed by seed; the
    arguments `rank`, `examples` and `budget` say at which rank, with how many training rows, and
    under which budget. LoRA is the same under every budget.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        read = ("test/", "cost/", *UNFINISHED)
        super().__init__(table[table["quantity"].str.startswith(read)])
        self.with_validations = table
        self.benches = list(dict.fromkeys(table["bench"]))

    def settings(
        self,
        bench: str,
        method: str,
        rank: int = MIDDLE,
        examples: int = MOST_EXAMPLES,
        budget: str = PARAMETERS,
    ) -> dict[str, Any]:
        """Select a method under a budget."""
        return {
            "bench": bench,
            "method": method,
            "rank": rank,
            "examples": examples,
            "budget": PARAMETERS if method == LORA else budget,
        }

    def minus_lora(
        self,
        bench: str,
        method: str,
        rank: int = MIDDLE,
        examples: int = MOST_EXAMPLES,
        budget: str = PARAMETERS,
    ) -> np.ndarray:
        """Return a method minus LoRA, one difference a seed.

        Raises:
            ValueError: they were not run with the same seeds.
        """
        case = rank, examples, budget
        theirs, loras = (self._seeds(bench, name, *case) for name in (method, LORA))
        if theirs != loras:
            raise ValueError(
                f"{method} and LoRA must have the same seeds on {bench}, "
                f"got {theirs} and {loras}; run those that are missing"
            )
        return self.test(bench, method, *case) - self.test(bench, LORA, *case)

    def _seeds(self, bench: str, method: str, rank: int, examples: int, budget: str) -> list[int]:
        settings = self.settings(bench, method, rank, examples, budget)
        return sorted(measured(where(self.table, **settings), "test/accuracy")["seed"])

    def with_items(
        self, bench: str, method: str, examples: int = MOST_EXAMPLES
    ) -> tuple[float, float, float]:
        """Return a method minus LoRA as (mean, low, high); the test items are a sample too."""
        theirs, loras = (
            items_by_seed(self.table, **self.settings(bench, name, examples=examples)).astype(float)
            for name in (method, LORA)
        )
        return crossed(theirs - loras)

    def with_its_alpha(self, bench: str) -> np.ndarray:
        """Return LoRA's accuracy with alpha 16 or 256, whichever is better on valid; one a seed.

        Each at its best learning rate there.
        """
        budgets = {LORA: PARAMETERS, LARGER_ALPHA: CONTROL_BUDGET}
        on_valid = {}
        for name, budget in budgets.items():
            settings = self.settings(bench, name, budget=budget)
            curve = lr_curve(self.with_validations, **settings)
            on_valid[name] = float(curve["mean"].max())
        best = max(on_valid, key=lambda name: on_valid[name])
        return self.test(bench, best, budget=budgets[best])

    def rivals(
        self, rank: int = MIDDLE, examples: int = MOST_EXAMPLES, budget: str = PARAMETERS
    ) -> list[str]:
        """Return the methods that were recorded on every benchmark, without LoRA and references."""
        rows = where(
            self.table, rank=rank, examples=examples, budget=budget, quantity="test/accuracy"
        )
        benches = rows.groupby("method", sort=False)["bench"].nunique()
        everywhere = [str(name) for name, count in benches.items() if count == len(self.benches)]
        return [name for name in everywhere if name not in (LORA, *REFERENCES)]

    @cached_property
    def cells(self) -> dict[tuple[str, int], dict[str, Judged]]:
        """By benchmark and number of examples, the rivals minus LoRA, judged as one family."""
        cells = {}
        for bench in self.benches:
            for examples in EXAMPLES:
                gaps = {
                    name: self.minus_lora(bench, name, examples=examples).tolist()
                    for name in self._rivals_on(bench, examples)
                }
                cells[bench, examples] = family(gaps, MARGIN)
        return cells

    def _rivals_on(self, bench: str, examples: int) -> list[str]:
        """Return the rivals on one benchmark, which need not be recorded on the others."""
        rows = where(
            self.table,
            bench=bench,
            examples=examples,
            rank=MIDDLE,
            budget=PARAMETERS,
            quantity="test/accuracy",
        )
        return [name for name in dict.fromkeys(rows["method"]) if name not in (LORA, *REFERENCES)]

    def overall(
        self,
        method: str,
        rank: int = MIDDLE,
        examples: Iterable[int] = (MOST_EXAMPLES,),
        budget: str = PARAMETERS,
    ) -> np.ndarray:
        """Return a method minus LoRA in the mean of all benchmarks and sizes, one a seed.

        This is what was declared to decide.
        """
        gaps = [
            self.minus_lora(bench, method, rank, size, budget)
            for bench in self.benches
            for size in examples
        ]
        return np.mean(gaps, axis=0)

    def board(
        self, rank: int = MIDDLE, examples: int = MOST_EXAMPLES, budget: str = PARAMETERS
    ) -> pd.DataFrame:
        """Return the leaderboard under one budget, the best mean accuracy first.

        Returns:
            Columns `method`; `accuracy` in [0, 1], the mean over all benchmarks; `difference` to
            LoRA in points, with its interval; `p`, adjusted by Holm; `verdict`; `gain`, the share
            of full fine-tuning's gain over the frozen body; `odds` that one of its runs does better
            than one of LoRA's; the `COSTS` of a step; and `fronts`, the costs for which it is on
            the Pareto front. A method of which a run diverged has no accuracy, gain and odds, and
            is on no front.
        """
        rivals = self.rivals(rank, examples, budget)
        gaps = {name: self.overall(name, rank, (examples,), budget).tolist() for name in rivals}
        judged = family(gaps, MARGIN)
        rows = [
            self._row(name, rank, examples, budget, judged.get(name))
            for name in (LORA, *rivals, *REFERENCES)
        ]
        table = pd.DataFrame(rows)
        complete = table[table["accuracy"].notna()]
        on_front = {
            cost: set(complete.index[pareto_front(complete[cost], complete["accuracy"])])
            for cost in COSTS
        }
        table["fronts"] = [
            ", ".join(cost for cost in COSTS if row in on_front[cost]) for row in table.index
        ]
        return table.sort_values("accuracy", ascending=False, ignore_index=True)

    def _row(
        self, method: str, rank: int, examples: int, budget: str, judged: Judged | None
    ) -> dict[str, Any]:
        """Return one row of the board; `judged` is None for LoRA and for the references.

        The references have no rank and no budget: they are recorded once for each size.
        """
        case = (MIDDLE, examples, PARAMETERS) if method in REFERENCES else (rank, examples, budget)
        theirs = [self.test(bench, method, *case) for bench in self.benches]
        loras = [self.test(bench, LORA, rank, examples) for bench in self.benches]
        odds = [
            float("nan")
            if np.isnan([*values, *of_lora]).any()
            else improvement(values.tolist(), of_lora.tolist())
            for values, of_lora in zip(theirs, loras, strict=True)
        ]
        row: dict[str, Any] = {
            "method": method,
            "accuracy": float(np.mean(theirs)),
            "difference": "",
            "p": float("nan"),
            "verdict": "",
            "gain": self._gain(np.mean(theirs, axis=0), examples),
            "odds": float(np.mean(odds)),
        }
        if judged:
            difference = points(self.overall(method, rank, (examples,), budget))
            row |= {"difference": difference, "p": judged.p, "verdict": judged.verdict}
        return row | {cost: self.cost(cost, method, rank, examples, budget) for cost in COSTS}

    def _gain(self, accuracy: np.ndarray, examples: int) -> str:
        """Return the share of full fine-tuning's gain over the frozen body, with its interval."""
        frozen, full = (
            np.mean([self.test(bench, name, examples=examples) for bench in self.benches], axis=0)
            for name in (FROZEN, FULL)
        )
        if np.isnan([accuracy, frozen, full]).any():
            return ""
        share, low, high = share_of_gain(accuracy.tolist(), frozen.tolist(), full.tolist())
        if max(abs(low), abs(high)) < 10:
            return f"{share:.0%} [{low:.0%}, {high:.0%}]"
        return f"{share:.0%} [anything]"

    def cost(
        self,
        name: str,
        method: str,
        rank: int = MIDDLE,
        examples: int = MOST_EXAMPLES,
        budget: str = PARAMETERS,
    ) -> float:
        """Return one entry of the cost table of a step.

        It is the mean over the benchmarks of the medians over the runs.
        """
        rows = where(
            self.table,
            method=method,
            examples=examples,
            quantity=f"cost/{name}",
            rank=MIDDLE if method in REFERENCES else rank,
            budget=PARAMETERS if method in (LORA, *REFERENCES) else budget,
        )
        return float(rows.groupby("bench")["value"].median().mean())


def beaten(runs: Evidence, budget: str) -> Claim:
    """Judge whether LoRA can be beaten under one budget."""
    gaps = {name: runs.overall(name, budget=budget) for name in runs.rivals(budget=budget)}
    judged = family({name: values.tolist() for name, values in gaps.items()}, MARGIN)
    return Claim(
        f"LoRA can be beaten ({budget}).",
        "the question of this kit",
        f"each minus LoRA in the mean of all benchmarks, {MOST_EXAMPLES:,} examples; {budget}; "
        f"Holm over {len(gaps)} rivals; test, points",
        [Finding(name, points(gaps[name]), judged[name].verdict) for name in gaps],
        _can_be_beaten(judged),
    )


def somewhere(runs: Evidence) -> Claim:
    """Judge whether something beats LoRA in every cell: each benchmark and size of the data."""
    results = []
    for (bench, examples), judged in runs.cells.items():
        candidates = {name: each for name, each in judged.items() if name not in LARGER}
        best, verdict = _best(candidates)
        figures = f"{best} {100 * candidates[best].mean:+.1f}"
        results.append(Finding(f"{bench}, {examples:,}:", figures, verdict))
    verdicts = [_can_be_beaten(judged) for judged in runs.cells.values()]
    return Claim(
        "Whatever the task and the data, something beats LoRA.",
        "often heard",
        "in each cell the method that beats it, or comes nearest; "
        "Holm within the cell; test, points",
        results,
        combined_verdict(verdicts, {"holds"}),
    )


def _best(judged: Mapping[str, Judged]) -> tuple[str, str]:
    """Return the method with the largest mean, among those that beat LoRA if any do."""

    def rank(name: str) -> tuple[bool, bool, float]:
        each = judged[name]
        return each.verdict == "beats", not each.note, each.mean  # with a note the mean is nan

    best = max(judged, key=rank)
    return best, judged[best].verdict


def tuned_alpha(runs: Evidence) -> list[Claim]:
    """Judge whether the methods that beat LoRA also beat it with a tuned alpha.

    No claim if nothing beats LoRA, or if the control was not recorded.
    """
    judged = family({name: runs.overall(name).tolist() for name in runs.rivals()}, MARGIN)
    winners = [
        name for name, each in judged.items() if each.verdict == "beats" and name not in LARGER
    ]
    if not winners or LARGER_ALPHA not in set(runs.table["method"]):
        return []
    gaps = {}
    for name in winners:
        by_bench = [runs.test(bench, name) - runs.with_its_alpha(bench) for bench in runs.benches]
        gaps[name] = np.mean(by_bench, axis=0)
    return [
        Claim(
            "The methods that beat LoRA also beat it with a tuned alpha.",
            "a control",
            "the methods that beat LoRA at equal parameters, minus LoRA with alpha 16 or 256, "
            "whichever is better on valid (twice the tuning; asked after the result); "
            "the mean of all benchmarks, test, points",
            *judge_differences(gaps, {"beats"}),
        )
    ]


def _can_be_beaten(judged: Mapping[str, Judged]) -> str:
    """Return the verdict on "one of these rivals beats LoRA with no more parameters"."""
    verdicts = {each.verdict for name, each in judged.items() if name not in LARGER}
    if "beats" in verdicts:
        return "holds"
    return "inconclusive" if "inconclusive" in verdicts else "does not hold"


def pace(about: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds of a step over LoRA's by method, the mean over the benchmarks.

    The steps of all methods were timed in turns.
    """
    ratios = [
        {name: seconds / times[LORA] for name, seconds in times.items()}
        for times in about["seconds"].values()
    ]
    return {name: float(np.mean([of_bench[name] for of_bench in ratios])) for name in ratios[0]}


def board_claims(
    table: pd.DataFrame, budgets: Sequence[str] = (PARAMETERS, OPERATIONS)
) -> list[Claim]:
    """Judge the claims of lesson 09 by its recorded runs."""
    runs = Evidence(table)
    return [*(beaten(runs, budget) for budget in budgets), somewhere(runs), *tuned_alpha(runs)]
