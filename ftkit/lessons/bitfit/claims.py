"""What the papers say of BitFit, and what the recorded runs of lesson 04 say to it."""

import numpy as np
import pandas as pd

from ftkit.experiments.benchmark import FULL
from ftkit.experiments.rate_search import chosen
from ftkit.experiments.tables import where
from ftkit.lessons.bitfit.study import ALL, GROUPS, GROUPS_AT, GROUPS_ON, PAIR, SAME_HEAD
from ftkit.teaching.claim_table import Claim
from ftkit.teaching.verdicts import judged
from ftkit.training.loop import HEAD_LR

ZAKEN = "Ben Zaken, Ravfogel and Goldberg 2022, arXiv:2106.10199"
BITFIT = "BitFit"


class Evidence:
    """The recorded table of lesson 04, asked as its claims need it. Rates are chosen on valid; accuracies are on test."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.read = table[table["quantity"] == "test/accuracy"]
        self.benches = list(dict.fromkeys(self.read["bench"]))

    def sizes(self, bench: str) -> list[int]:
        """The numbers of examples that were recorded on a bench, smallest first."""
        return sorted(
            int(size) for size in self.read[self.read["bench"] == bench]["examples"].unique()
        )

    def test(
        self, bench: str, examples: int, method: str = BITFIT, groups: str = ALL
    ) -> np.ndarray:
        """Accuracy on test, one a seed, of BitFit on some groups or of a rail, at its best rate."""
        found = self._read(bench, examples, method, groups).sort_values("seed")
        assert len(found) and not found["seed"].duplicated().any(), (
            bench,
            examples,
            method,
            groups,
        )
        return found["value"].to_numpy()

    def minus(self, bench: str, examples: int, method: str) -> np.ndarray:
        """BitFit on all biases minus a rail: accuracy on test, one a seed."""
        return self.test(bench, examples) - self.test(bench, examples, method)

    def at(self, end: int, method: str) -> dict[str, np.ndarray]:
        """For each bench BitFit minus a rail with the fewest examples (`end` 0) or the most (-1), which the key names."""
        return {
            f"{bench} ({n:,})": self.minus(bench, n, method)
            for bench in self.benches
            for n in [self.sizes(bench)[end]]
        }

    def rate(self, bench: str, examples: int, method: str = BITFIT, groups: str = ALL) -> float:
        """The rate that was chosen on valid."""
        return chosen(self._read(bench, examples, method, groups))

    def cost(self, name: str, bench: str, method: str = BITFIT) -> float:
        """One entry of the bill, the median over the runs; for BitFit on all biases."""
        rows = where(
            self.table,
            bench=bench,
            method=method,
            quantity=f"cost/{name}",
            groups=ALL if method == BITFIT else "",
        )
        return float(rows["value"].median())

    def alone(self) -> dict[str, float]:
        """For each group of biases the mean accuracy on test if it moves alone, at its best rate, best first."""
        means = {
            group: float(self.test(GROUPS_ON, GROUPS_AT, groups=group).mean())
            for group in GROUPS["mini"]
        }
        return dict(sorted(means.items(), key=lambda item: -item[1]))

    def _read(self, bench: str, examples: int, method: str, groups: str) -> pd.DataFrame:
        return where(
            self.read,
            bench=bench,
            examples=examples,
            method=method,
            groups=groups if method == BITFIT else "",
        )


def little_data(found: Evidence) -> Claim:
    """With little data BitFit does at least as well as full fine-tuning."""
    figures, says = judged(found.at(0, FULL), {"ties", "beats"})
    experiment = "BitFit minus full fine-tuning with the fewest examples (in brackets), each at its best rate; test, points"
    return Claim(
        "With little data BitFit does as well as full fine-tuning, or better.",
        ZAKEN,
        experiment,
        figures,
        says,
    )


def much_data(found: Evidence) -> Claim:
    """With much data full fine-tuning does better."""
    figures, says = judged(found.at(-1, FULL), {"loses"})
    experiment = "BitFit minus full fine-tuning with the most examples (in brackets), each at its best rate; test, points"
    return Claim("With more data it falls behind.", ZAKEN, experiment, figures, says)


def gap_grows(found: Evidence) -> Claim:
    """The more data, the further BitFit lies behind: the difference of the differences."""
    ends = {bench: (found.sizes(bench)[0], found.sizes(bench)[-1]) for bench in found.benches}
    changes = {
        bench: found.minus(bench, least, FULL) - found.minus(bench, most, FULL)
        for bench, (least, most) in ends.items()
    }
    figures, says = judged(changes, {"beats"})
    experiment = "BitFit minus full with the fewest examples, minus the same with the most, by seed; test, points"
    return Claim("Data help full fine-tuning more than BitFit.", ZAKEN, experiment, figures, says)


def beats_frozen(found: Evidence) -> Claim:
    """Moving the biases brings more than the head alone."""
    figures, says = judged(found.at(-1, SAME_HEAD), {"beats"})
    experiment = f"BitFit minus the frozen body, with the most examples; the head's rate is {HEAD_LR:g} for both; test, points"
    return Claim(
        "Moving the biases brings more than a head on the frozen body.",
        ZAKEN,
        experiment,
        figures,
        says,
    )


def pair_is_enough(found: Evidence) -> Claim:
    """Two groups do as well as all."""
    difference = found.test(GROUPS_ON, GROUPS_AT, groups=PAIR) - found.test(GROUPS_ON, GROUPS_AT)
    figures, says = judged({GROUPS_ON: difference}, {"ties", "beats"})
    experiment = f"{PAIR.replace('+', ' and ')} minus all biases, {GROUPS_AT:,} examples, each at its best rate; test, points"
    return Claim(
        "The biases of the query and of the feed-forward layer's first half are enough.",
        ZAKEN,
        experiment,
        figures,
        says,
    )


def hundred_times_the_rate(found: Evidence) -> Claim:
    """BitFit wants a hundred times the learning rate of full fine-tuning; within a factor of three, one step of the grid, is the same."""
    ratios = {
        bench: [found.rate(bench, n) / found.rate(bench, n, FULL) for n in found.sizes(bench)]
        for bench in found.benches
    }
    every = [ratio for values in ratios.values() for ratio in values]
    figures = "; ".join(
        f"{bench} {', '.join(f'{ratio:.1f}x' for ratio in values)}"
        for bench, values in ratios.items()
    )
    says = "holds" if all(30 < ratio < 350 for ratio in every) else "does not hold"
    experiment = "the rate chosen on valid for BitFit over that for full, for each number of examples; one step of the grid counts as the same"
    source = "the settings of the authors' code: 1e-5 for full, 1e-3 for BitFit"
    return Claim(
        "BitFit wants a hundred times the learning rate of full fine-tuning.",
        source,
        experiment,
        figures,
        says,
    )


def share_of_cost(found: Evidence) -> Claim:
    """A thousandth of the numbers is a thousandth of the cost."""
    kinds, parts, off = ("weights", "gradients", "optimizer", "activations"), [], []
    for bench in found.benches:
        numbers, flops = (
            found.cost(name, bench) / found.cost(name, bench, FULL)
            for name in ("trainable", "flops")
        )
        memory = sum(found.cost(kind, bench) for kind in kinds) / sum(
            found.cost(kind, bench, FULL) for kind in kinds
        )
        parts.append(
            f"{bench} {numbers:.1%} of the numbers, {memory:.0%} of the bytes, {flops:.0%} of the FLOPs"
        )
        off.append(min(memory, flops) / numbers)
    experiment = "all biases over full fine-tuning: numbers that train; bytes of weights, gradients, AdamW and activations; FLOPs; measured"
    says = "does not hold" if min(off) > 2 else "holds"
    return Claim(
        "Training few numbers costs as little as they are few.",
        "often heard",
        experiment,
        "; ".join(parts),
        says,
    )


def bitfit_claims(table: pd.DataFrame) -> list[Claim]:
    """Every claim of lesson 04, judged by the recorded runs."""
    found = Evidence(table)
    judges = (
        little_data,
        much_data,
        gap_grows,
        beats_frozen,
        pair_is_enough,
        hundred_times_the_rate,
        share_of_cost,
    )
    return [judge(found) for judge in judges]
