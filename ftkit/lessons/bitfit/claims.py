"""Claims of papers about BitFit, judged by the recorded runs of lesson 04."""

from typing import Any

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL
from ftkit.experiments.tables import where
from ftkit.lessons.bitfit.study import GROUPS_BENCH, GROUPS_EXAMPLES
from ftkit.lessons.bitfit.trial import ALL_GROUPS, GROUPS, SAME_HEAD, TWO_GROUPS
from ftkit.teaching.claim_table import Claim, Finding
from ftkit.teaching.recorded_evidence import RecordedRuns
from ftkit.teaching.verdicts import judge_differences, judge_shares
from ftkit.training.loop import HEAD_LR

ZAKEN = "Ben Zaken, Ravfogel and Goldberg 2022, arXiv:2106.10199"
BITFIT = "BitFit"


class Evidence(RecordedRuns):
    """The recorded runs of lesson 04."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__(table)
        self._tested = table[table["quantity"] == "test/accuracy"]
        self.benches = list(dict.fromkeys(self._tested["bench"]))

    def settings(
        self,
        bench: str,
        examples: int | None = None,
        method: str = BITFIT,
        groups: str = ALL_GROUPS,
    ) -> dict[str, Any]:
        """Select BitFit on some groups of biases, or a reference method.

        Without `examples`, the runs with every number of examples.
        """
        settings: dict[str, Any] = {
            "bench": bench,
            "method": method,
            "groups": groups if method == BITFIT else "",
        }
        if examples is not None:
            settings["examples"] = examples
        return settings

    def cost(self, name: str, bench: str, method: str = BITFIT) -> float:
        """Return one entry of the cost table, the median over the runs; BitFit's on all biases."""
        return super().cost(name, bench, method=method)

    def sizes(self, bench: str) -> list[int]:
        """Return the numbers of examples that were recorded on a benchmark, smallest first."""
        return sorted(int(size) for size in where(self._tested, bench=bench)["examples"].unique())

    def minus(self, bench: str, examples: int, method: str) -> np.ndarray:
        """Return the accuracy of BitFit on all biases minus that of a reference, one a seed."""
        return self.test(bench, examples) - self.test(bench, examples, method)

    def at(self, end: int, method: str) -> dict[str, np.ndarray]:
        """Return BitFit minus a reference by benchmark; the key names the number of examples.

        Args:
            end: 0 for the fewest examples, -1 for the most.
        """
        sizes = {bench: self.sizes(bench)[end] for bench in self.benches}
        return {f"{bench} ({n:,})": self.minus(bench, n, method) for bench, n in sizes.items()}

    def alone(self) -> dict[str, float]:
        """Return the mean accuracy on test with one group of biases trained alone, best first."""
        means = {
            group: float(self.test(GROUPS_BENCH, GROUPS_EXAMPLES, groups=group).mean())
            for group in GROUPS["mini"]
        }
        return dict(sorted(means.items(), key=lambda item: -item[1]))


def little_data(runs: Evidence) -> Claim:
    """Judge whether BitFit does at least as well as full fine-tuning with little data."""
    return Claim(
        "With little data BitFit does as well as full fine-tuning, or better.",
        ZAKEN,
        "BitFit minus full fine-tuning with the fewest examples (in brackets), "
        "each at its best learning rate; test, points",
        *judge_differences(runs.at(0, FULL), {"ties", "beats"}),
    )


def much_data(runs: Evidence) -> Claim:
    """Judge whether full fine-tuning does better with much data."""
    return Claim(
        "With more data it falls behind.",
        ZAKEN,
        "BitFit minus full fine-tuning with the most examples (in brackets), "
        "each at its best learning rate; test, points",
        *judge_differences(runs.at(-1, FULL), {"loses"}),
    )


def gap_grows(runs: Evidence) -> Claim:
    """Judge whether BitFit falls further behind with more data: a difference of differences."""
    changes = {}
    for bench in runs.benches:
        sizes = runs.sizes(bench)
        fewest, most = runs.minus(bench, sizes[0], FULL), runs.minus(bench, sizes[-1], FULL)
        changes[bench] = fewest - most
    return Claim(
        "More data help full fine-tuning more than BitFit.",
        ZAKEN,
        "BitFit minus full with the fewest examples, minus the same with the most, by seed; "
        "test, points",
        *judge_differences(changes, {"beats"}),
    )


def beats_frozen(runs: Evidence) -> Claim:
    """Judge whether training the biases beats training the head alone."""
    return Claim(
        "Training the biases beats a head on the frozen body.",
        ZAKEN,
        "BitFit minus the frozen body, with the most examples; "
        f"the head's learning rate is {HEAD_LR:g} for both; test, points",
        *judge_differences(runs.at(-1, SAME_HEAD), {"beats"}),
    )


def pair_is_enough(runs: Evidence) -> Claim:
    """Judge whether two groups of biases do as well as all."""
    pair = runs.test(GROUPS_BENCH, GROUPS_EXAMPLES, groups=TWO_GROUPS)
    difference = pair - runs.test(GROUPS_BENCH, GROUPS_EXAMPLES)
    return Claim(
        "The biases of the query and of the feed-forward layer's first half are enough.",
        ZAKEN,
        f"{TWO_GROUPS.replace('+', ' and ')} minus all biases, {GROUPS_EXAMPLES:,} examples, "
        "each at its best learning rate; test, points",
        *judge_differences({GROUPS_BENCH: difference}, {"ties", "beats"}),
    )


def hundred_times_the_rate(runs: Evidence) -> Claim:
    """Judge whether BitFit needs a hundred times the learning rate of full fine-tuning.

    A factor of three, one step of the grid, counts as the same.
    """
    results, ratios = [], []
    for bench in runs.benches:
        of_bench = [
            runs.rate(bench, size) / runs.rate(bench, size, FULL) for size in runs.sizes(bench)
        ]
        results.append(Finding(bench, ", ".join(f"{ratio:.1f}x" for ratio in of_bench)))
        ratios += of_bench
    return Claim(
        "BitFit needs a hundred times the learning rate of full fine-tuning.",
        "the settings of the authors' code: 1e-5 for full, 1e-3 for BitFit",
        "the learning rate chosen on valid for BitFit over that for full, for each number of "
        "examples; one step of the grid counts as the same",
        results,
        "holds" if all(30 < ratio < 350 for ratio in ratios) else "does not hold",
    )


def share_of_cost(runs: Evidence) -> Claim:
    """Judge whether a thousandth of the parameters costs a thousandth."""
    shares = {
        bench: runs.share_of({"bench": bench, "method": FULL}, {"bench": bench})
        for bench in runs.benches
    }
    return Claim(
        "The cost of training falls with the number of trainable parameters.",
        "often heard",
        "all biases over full fine-tuning: trainable parameters; "
        "bytes of weights, gradients, AdamW and activations; FLOPs; measured",
        *judge_shares(shares),
    )


def bitfit_claims(table: pd.DataFrame) -> list[Claim]:
    """Judge every claim of lesson 04 by its recorded runs."""
    runs = Evidence(table)
    return [
        little_data(runs),
        much_data(runs),
        gap_grows(runs),
        beats_frozen(runs),
        pair_is_enough(runs),
        hundred_times_the_rate(runs),
        share_of_cost(runs),
    ]
