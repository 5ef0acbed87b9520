"""The leaderboard of lesson 09: every method beside LoRA, on every task and in the mean of all, under a named budget."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import where
from ftkit.lessons.can_lora_be_beaten.study import (
    CONTROL,
    EXAMPLES,
    LARGER_ALPHA,
    MIDDLE,
    MOST,
    NUMBERS,
    OPERATIONS,
    REFERENCES,
)
from ftkit.stats.paired import Judged, crossed, family
from ftkit.stats.tradeoff import improvement, pareto_front, share_of_gain
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import (
    MARGIN,
    by_seed,
    by_seed_and_item,
    decided,
    judged,
    over_rates,
    points,
)

LORA = "LoRA"
LARGER = ("last block",)
"""Has more numbers than LoRA of the middle rank: it is on the board and in the family, but a win of it is none at equal numbers."""
COSTS = ("trainable", "flops", "activations", "disk")
"""Seconds are apart, see `pace`: those of a run depend on what else the machine did."""


class Evidence:
    """The recorded table of lesson 09, and whatever was added to it in the same form: a challenger, a class's seeds.

    Rates were chosen on valid; accuracies are on test, one a seed.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.every = table
        self.table = table[table["quantity"].str.startswith(("test/", "cost/"))]
        self.places = list(dict.fromkeys(table["bench"]))

    def test(
        self,
        bench: str,
        method: str,
        rank: int = MIDDLE,
        examples: int = MOST,
        budget: str = NUMBERS,
    ) -> np.ndarray:
        """Accuracy at the rate that was chosen. LoRA is the same under either budget."""
        budget = NUMBERS if method == LORA else budget
        return by_seed(
            self.table, bench=bench, method=method, rank=rank, examples=examples, budget=budget
        )

    def rate(
        self,
        bench: str,
        method: str,
        rank: int = MIDDLE,
        examples: int = MOST,
        budget: str = NUMBERS,
    ) -> float:
        """The rate that was chosen on valid."""
        return chosen(
            self.table, bench=bench, method=method, rank=rank, examples=examples, budget=budget
        )

    def minus_lora(
        self,
        bench: str,
        method: str,
        rank: int = MIDDLE,
        examples: int = MOST,
        budget: str = NUMBERS,
    ) -> np.ndarray:
        """A method minus LoRA, seed by seed.

        Raises:
            ValueError: they were not run with the same seeds.
        """
        own, lora = (self._seeds(bench, name, rank, examples, budget) for name in (method, LORA))
        if own != lora:
            raise ValueError(
                f"{method} and LoRA must have the same seeds on {bench}, got {own} and {lora}; run those that are missing"
            )
        return self.test(bench, method, rank, examples, budget) - self.test(
            bench, LORA, rank, examples, budget
        )

    def _seeds(self, bench: str, method: str, rank: int, examples: int, budget: str) -> list[int]:
        rows = where(
            self.table,
            bench=bench,
            method=method,
            rank=rank,
            examples=examples,
            budget=NUMBERS if method == LORA else budget,
        )
        return sorted(rows[rows["quantity"] == "test/accuracy"]["seed"])

    def with_items(
        self, bench: str, method: str, examples: int = MOST
    ) -> tuple[float, float, float]:
        """The same with an interval for which the test items are a sample too: (mean, low, high)."""
        cell: dict[str, Any] = {
            "bench": bench,
            "rank": MIDDLE,
            "examples": examples,
            "budget": NUMBERS,
        }
        ours, lora = (
            by_seed_and_item(self.table, method=name, **cell).astype(float)
            for name in (method, LORA)
        )
        return crossed(ours - lora)

    def with_its_alpha(self, bench: str) -> np.ndarray:
        """LoRA with alpha 16 or 256, whichever does better on valid, each at its best rate there: accuracy on test, one a seed."""
        asked: dict[str, Any] = {"bench": bench, "rank": MIDDLE, "examples": MOST}
        both = {LORA: NUMBERS, LARGER_ALPHA: CONTROL}
        best = max(
            both,
            key=lambda name: float(
                over_rates(self.every, method=name, budget=both[name], **asked)["mean"].max()
            ),
        )
        return self.test(bench, best, budget=both[best])

    def rivals(self, rank: int = MIDDLE, examples: int = MOST, budget: str = NUMBERS) -> list[str]:
        """Every method but LoRA that was recorded so everywhere; full fine-tuning and the frozen body are none."""
        rows = where(
            self.table, rank=rank, examples=examples, budget=budget, quantity="test/accuracy"
        )
        met = rows.groupby("method", sort=False)["bench"].nunique()
        return [
            str(name)
            for name, count in met.items()
            if count == len(self.places) and name not in (LORA, *REFERENCES)
        ]

    @cached_property
    def cells(self) -> dict[tuple[str, int], dict[str, Judged]]:
        """For each task and size of data the rivals as one family."""
        return {
            (bench, examples): family(
                {
                    name: self.minus_lora(bench, name, examples=examples).tolist()
                    for name in self._met(bench, examples)
                },
                MARGIN,
            )
            for bench in self.places
            for examples in EXAMPLES
        }

    def _met(self, bench: str, examples: int) -> list[str]:
        rows = where(
            self.table,
            bench=bench,
            examples=examples,
            rank=MIDDLE,
            budget=NUMBERS,
            quantity="test/accuracy",
        )
        return [name for name in dict.fromkeys(rows["method"]) if name not in (LORA, *REFERENCES)]

    def overall(
        self,
        method: str,
        rank: int = MIDDLE,
        examples: Iterable[int] = (MOST,),
        budget: str = NUMBERS,
    ) -> np.ndarray:
        """A method minus LoRA, one a seed: the mean over all tasks and those sizes of data. What is declared to decide."""
        return np.mean(
            [
                self.minus_lora(bench, method, rank, size, budget)
                for bench in self.places
                for size in examples
            ],
            axis=0,
        )

    def board(
        self, rank: int = MIDDLE, examples: int = MOST, budget: str = NUMBERS
    ) -> pd.DataFrame:
        """The leaderboard under one budget, best mean first: `method`, `accuracy` in [0, 1], the mean of all tasks, `difference` to LoRA
        in points with its interval, Holm's `p`, `verdict`, `gain` (the share of full fine-tuning's gain over the frozen body), `odds` (that
        one of its runs does better than one of LoRA's), the costs of a step, and `fronts`: for which of them it is on the front."""
        rivals = self.rivals(rank, examples, budget)
        told = family(
            {name: self.overall(name, rank, (examples,), budget).tolist() for name in rivals},
            MARGIN,
        )
        rows = [
            self._row(name, rank, examples, budget, told.get(name))
            for name in (LORA, *rivals, *REFERENCES)
        ]
        table = pd.DataFrame(rows)
        on_front = {cost: pareto_front(table[cost], table["accuracy"]) for cost in COSTS}
        table["fronts"] = [
            ", ".join(cost for cost in COSTS if i in on_front[cost]) for i in range(len(table))
        ]
        return table.sort_values("accuracy", ascending=False, ignore_index=True)

    def _row(
        self, method: str, rank: int, examples: int, budget: str, told: Judged | None
    ) -> dict[str, Any]:
        own = (MIDDLE, examples, NUMBERS) if method in REFERENCES else (rank, examples, budget)
        runs = {bench: self.test(bench, method, *own) for bench in self.places}
        against = {bench: self.test(bench, LORA, rank, examples) for bench in self.places}
        references = [
            np.mean([self.test(bench, rail, examples=examples) for bench in self.places], axis=0)
            for rail in (FROZEN, FULL)
        ]
        share, low, high = share_of_gain(
            np.mean(list(runs.values()), axis=0).tolist(), *(rail.tolist() for rail in references)
        )
        return {
            "method": method,
            "accuracy": float(np.mean(list(runs.values()))),
            "difference": points(self.overall(method, rank, (examples,), budget)) if told else "",
            "p": told.p if told else float("nan"),
            "verdict": told.verdict if told else "",
            "gain": f"{share:.0%} [{low:.0%}, {high:.0%}]"
            if max(abs(low), abs(high)) < 10
            else f"{share:.0%} [anything]",
            "odds": float(
                np.mean(
                    [
                        improvement(runs[bench].tolist(), against[bench].tolist())
                        for bench in self.places
                    ]
                )
            ),
            **{cost: self.cost(method, cost, rank, examples, budget) for cost in COSTS},
        }

    def cost(
        self,
        method: str,
        name: str,
        rank: int = MIDDLE,
        examples: int = MOST,
        budget: str = NUMBERS,
    ) -> float:
        """One entry of the bill of a step, the mean over the tasks of the medians over the runs."""
        rows = where(
            self.table,
            method=method,
            examples=examples,
            quantity=f"cost/{name}",
            rank=MIDDLE if method in REFERENCES else rank,
        )
        rows = where(rows, budget=NUMBERS if method in (LORA, *REFERENCES) else budget)
        return float(rows.groupby("bench")["value"].median().mean())


def beaten(found: Evidence, budget: str) -> Claim:
    """LoRA can be beaten, under one budget."""
    rivals = found.rivals(budget=budget)
    spread = {name: found.overall(name, budget=budget) for name in rivals}
    told = family({name: values.tolist() for name, values in spread.items()}, MARGIN)
    figures = "; ".join(
        f"{name} {points(spread[name])}, {judged.verdict}" for name, judged in told.items()
    )
    experiment = f"each minus LoRA in the mean of all tasks, {MOST:,} examples; {budget}; Holm over {len(rivals)} rivals; test, points"
    return Claim(
        f"LoRA can be beaten ({budget}).",
        "the question of this kit",
        experiment,
        figures,
        _can_be_beaten(told),
    )


def somewhere(found: Evidence) -> Claim:
    """On every task LoRA can be beaten by something."""
    figures = []
    for (bench, examples), told in found.cells.items():
        small = [name for name in told if name not in LARGER]
        first = max(small, key=lambda name: (told[name].verdict == "beats", told[name].mean))
        figures.append(
            f"{bench}, {examples:,}: {first} {100 * told[first].mean:+.1f}, {told[first].verdict}"
        )
    return Claim(
        "Whatever the task and the data, something beats LoRA.",
        "often heard",
        "in each cell who beats it, or comes nearest; Holm within the cell; test, points",
        "; ".join(figures),
        decided([_can_be_beaten(told) for told in found.cells.values()], {"holds"}),
    )


def tuned_alpha(found: Evidence) -> list[Claim]:
    """What beats LoRA beats it with an alpha of its own, too; no claim if nothing beats it, or if the control was not recorded."""
    rivals = {name: found.overall(name).tolist() for name in found.rivals()}
    first = [
        name
        for name, told in family(rivals, MARGIN).items()
        if told.verdict == "beats" and name not in LARGER
    ]
    if not first or LARGER_ALPHA not in set(found.table["method"]):
        return []
    gaps = {
        name: np.mean(
            [found.test(bench, name) - found.with_its_alpha(bench) for bench in found.places],
            axis=0,
        )
        for name in first
    }
    experiment = (
        "what beats LoRA at equal numbers, minus LoRA with alpha 16 or 256, whichever is better on valid (twice the tuning; asked after "
        "the result); the mean of all tasks, test, points"
    )
    return [
        Claim(
            "What beats LoRA beats it with a tuned alpha, too.",
            "a control",
            experiment,
            *judged(gaps, {"beats"}),
        )
    ]


def pace(about: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of a step of each method over those of LoRA's, the mean over the tasks, from steps that all took in turns."""
    shares = [
        {name: seconds / times[LORA] for name, seconds in times.items()}
        for times in about["seconds"].values()
    ]
    return {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}


def _can_be_beaten(told: Mapping[str, Judged]) -> str:
    """By one of these rivals with no more numbers."""
    verdicts = {judged.verdict for name, judged in told.items() if name not in LARGER}
    return (
        "holds"
        if "beats" in verdicts
        else "inconclusive"
        if "inconclusive" in verdicts
        else "does not hold"
    )


def board_claims(
    table: pd.DataFrame, budgets: Sequence[str] = (NUMBERS, OPERATIONS)
) -> list[Claim]:
    """The claims of lesson 09, judged by the recorded runs."""
    found = Evidence(table)
    return [*(beaten(found, budget) for budget in budgets), somewhere(found), *tuned_alpha(found)]
