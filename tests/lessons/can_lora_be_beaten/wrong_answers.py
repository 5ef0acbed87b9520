"""Answers to the exercises on comparing honestly: wrong ones with the words that must name the
fault, and right ones."""

import itertools
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from scipy import stats

from ftkit.stats.paired import sign_flip


def wrong_flips() -> dict[str, tuple[Any, str]]:
    def flipped(differences: Any, signs: Any = (-1, 1)) -> Any:
        """The means of all flips."""
        return np.array(
            [
                np.mean(np.multiply(way, differences))
                for way in itertools.product(signs, repeat=len(differences))
            ]
        )

    def above(d: Any) -> Any:
        return int((np.abs(flipped(d)) >= abs(np.mean(d))).sum())

    def right(d: Any) -> Any:
        return above(d) / 2 ** len(d)

    def by_chance(d: Any) -> Any:
        ways = np.random.default_rng(0).choice((-1, 1), (10_000, len(d)))
        return (np.abs(ways @ d) >= abs(sum(d))).mean()

    def permuted(d: Any) -> Any:
        means = [np.mean(way) for way in itertools.islice(itertools.permutations(d), 100)]
        return np.mean([abs(mean) >= abs(np.mean(d)) - 1e-9 for mean in means])

    def in_place(d: Any) -> Any:
        p = right(d)
        for i in range(len(d)):
            d[i] = -d[i]
        return p

    def ranked(d: Any) -> Any:
        return stats.wilcoxon(d, method="exact" if 0 not in d else "auto").pvalue

    return {
        "larger alone": (
            lambda d: (flipped(d) >= np.mean(d)).mean(),
            "yours counts the means that are at least as large",
        ),
        "smaller alone": (
            lambda d: (flipped(d) <= np.mean(d)).mean(),
            "yours counts the means that are at most as large",
        ),
        "one tail of the size": (
            lambda d: (flipped(d) >= abs(np.mean(d))).mean(),
            "that is half of it",
        ),
        "halved": (lambda d: right(d) / 2, "that is half of it"),
        "doubled": (lambda d: 2 * right(d), "that is twice it"),
        "one size": (lambda d: (np.abs(flipped(d)) >= np.mean(d)).mean(), "its size is wanted"),
        "two upper tails": (
            lambda d: 2 * (flipped(d) >= np.mean(d)).mean(),
            "twice the larger means is wrong",
        ),
        "two upper tails, cut": (
            lambda d: min(1, 2 * (flipped(d) >= np.mean(d)).mean()),
            "its size is wanted",
        ),
        "strictly": (lambda d: (np.abs(flipped(d)) > abs(np.mean(d))).mean(), "`>=`, not `>`"),
        "no mirror": (
            lambda d: (above(d) - 1) / 2 ** len(d),
            "one flip is missing in the numerator, the one",
        ),
        "no identity": (
            lambda d: (above(d) - 1) / (2 ** len(d) - 1),
            "one flip is missing in numerator and denominator",
        ),
        "neither": (lambda d: (above(d) - 2) / (2 ** len(d) - 2), "two flips are missing"),
        "plus one": (
            lambda d: (above(d) + 1) / (2 ** len(d) + 1),
            "the + 1 belongs to random flips",
        ),
        "one minus": (lambda d: 1 - right(d), "that is 1 - p"),
        "count": (above, "that is the number of flips that count"),
        "permuted": (permuted, "another order of the differences does not change their mean"),
        "zero": (lambda d: 0, "p is never 0"),
        "t-test": (lambda d: stats.ttest_1samp(d, 0.0).pvalue, "that is the p of a t-test"),
        "sign test": (
            lambda d: min(
                1,
                2 * stats.binom.cdf(min(sum(x > 0 for x in d), sum(x < 0 for x in d)), len(d), 0.5),
            ),
            "the sign test",
        ),
        "Wilcoxon": (ranked, "that is Wilcoxon's test"),
        "left out": (
            lambda d: (np.abs(flipped(d, (0, 1))) >= abs(np.mean(d))).mean(),
            "a sign is 1 or -1",
        ),
        "sums": (
            lambda d: (len(d) * np.abs(flipped(d)) >= abs(np.mean(d))).mean(),
            "yours compares sums with the observed mean",
        ),
        "by chance": (by_chance, "that is near; the exact number is wanted"),
        "rounded": (lambda d: round(right(d), 2), "p is 0.375, yours is 0.38: that is near"),
        "nothing if they cancel": (
            lambda d: right(d) if sum(d) else 0.0,
            "differences that cancel, [1.0, -1.0, 2.0, -2.0], p is 1",
        ),
        "not a number": (lambda d: float("nan"), "yours is nan"),
        "every mean": (lambda d: flipped(d), "must be one number, got a numpy.ndarray"),
        "text": (lambda d: f"{right(d)}", "must be one number, got a str"),
        "a yes": (lambda d: right(d) < 0.05, "must be one number, got a bool"),
        "in place": (in_place, "writes into `differences`"),
        "no return": (lambda d: print(end=""), "is a `return` missing?"),
        "two methods": (lambda first, second: 0.5, "must take (differences)"),
    }


def right_flips() -> dict[str, Any]:
    def bits(differences: Any) -> Fraction:
        n, seen = len(differences), abs(sum(differences))
        far = [
            abs(sum(-d if way >> i & 1 else d for i, d in enumerate(differences))) >= seen
            for way in range(2**n)
        ]
        return Fraction(sum(far), 2**n)

    def half(differences: Any) -> Any:
        """The mirror of each flip is as far from 0: the first sign may stay."""
        first, *others = differences
        means = [
            (first + np.dot(way, others)) / len(differences)
            for way in itertools.product((1, -1), repeat=len(others))
        ]
        return np.mean(np.abs(means) >= abs(np.mean(differences)))

    def counted(differences: Any) -> float:
        """Sum by sum, how many flips have it."""
        sums = Counter({Fraction(0): 1})
        for d in map(Fraction, differences):
            sums = Counter(
                {
                    s: sums[s - d] + sums[s + d]
                    for s in {s + sign * d for s in sums for sign in (1, -1)}
                }
            )
        seen = abs(sum(map(Fraction, differences)))
        return sum(count for s, count in sums.items() if abs(s) >= seen) / sums.total()

    def tensors(differences: Any) -> Any:
        d = torch.tensor(differences)
        ways = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * len(d))
        return ((ways * d).mean(1).abs() >= d.mean().abs()).float().mean()

    def tails(differences: Any) -> Any:
        sums = np.array(list(itertools.product((1, -1), repeat=len(differences)))) @ differences
        return min(1, 2 * min((sums >= sum(differences)).mean(), (sums <= sum(differences)).mean()))

    return {
        "bits": bits,
        "one sign kept": half,
        "sum by sum": counted,
        "a tensor": tensors,
        "two tails": tails,
        "scipy": sign_flip,
    }


def wrong_expected() -> dict[str, tuple[Any, str]]:
    def weighed(values: Any, trials: int) -> Any:
        """By the differences of (i / n)^trials, of values as they stand."""
        return float(np.dot(values, np.diff((np.arange(len(values) + 1) / len(values)) ** trials)))

    def places(values: Any, weight: Any, first: int = 1) -> Any:
        return sum(value * weight(i, len(values)) for i, value in enumerate(sorted(values), first))

    def worst(values: Any, trials: int) -> Any:
        return places(
            values, lambda i, n: 1 - (1 - i / n) ** trials - (1 - (1 - (i - 1) / n) ** trials)
        )

    def shifted(first: int) -> Any:
        return lambda v, t: places(v, lambda i, n: (i / n) ** t - ((i - 1) / n) ** t, first)

    def by_chance(values: Any, trials: int) -> Any:
        return np.random.default_rng(0).choice(values, (10_000, trials)).max(1).mean()

    def without(values: Any, trials: int) -> Any:
        return np.mean([max(some) for some in itertools.combinations(values, trials)])

    def one_trial(values: Any, trials: int) -> Any:
        return max(values) if trials == 1 else weighed(sorted(values), trials)

    def sorts(values: Any, trials: int) -> Any:
        values.sort()
        return weighed(values, trials)

    return {
        "as they stand": (weighed, "the values are not sorted"),
        "falling": (lambda v, t: weighed(sorted(v)[::-1], t), "that is the expected worst"),
        "at least one draw": (worst, "that is the expected worst"),
        "maximum": (lambda v, t: max(v), "that is the best of all"),
        "mean": (lambda v, t: np.mean(v), "that is the mean, which is what one trial gives"),
        "no power": (
            lambda v, t: places(v, lambda i, n: i / n - (i - 1) / n),
            "raise `i / n` to the power of the trials",
        ),
        "times": (
            lambda v, t: places(v, lambda i, n: i / n * t - (i - 1) / n * t),
            "that multiplies by the trials",
        ),
        "without replacement": (without, "that draws without replacement"),
        "top ones": (
            lambda v, t: np.mean(np.sort(v)[::-1][:t]),
            "that is the mean of the top values",
        ),
        "first ones": (lambda v, t: max(v[:t]), "that is the best of the first values"),
        "from 0": (shifted(0), "the places are one too low"),
        "from 2": (shifted(2), "the places are one too high"),
        "nothing subtracted": (
            lambda v, t: places(v, lambda i, n: (i / n) ** t),
            "subtract that of the one before",
        ),
        "one minus": (
            lambda v, t: places(v, lambda i, n: 1 - (1 - i / n) ** t),
            "is the chance that at least one draw",
        ),
        "brackets": (
            lambda v, t: places(v, lambda i, n: i / n**t - (i - 1) / n**t),
            "raises n alone",
        ),
        "n not raised": (
            lambda v, t: places(v, lambda i, n: i**t / n - (i - 1) ** t / n),
            "n must be raised",
        ),
        "a set": (
            lambda v, t: weighed(sorted(set(v)), t),
            "two settings with equal values are two settings",
        ),
        "by chance": (by_chance, "that is near; the exact number is wanted"),
        "rounded": (
            lambda v, t: round(weighed(sorted(v), t), 2),
            "the expected best is 0.6281, yours is 0.63: that is near",
        ),
        "the best at one trial": (
            one_trial,
            "one trial, [0.62, 0.55, 0.7, 0.4] and 1 trial, the expected best is 0.5675, "
            "yours is 0.7",
        ),
        "at least 0": (lambda v, t: max(0.0, weighed(sorted(v), t)), "values below 0, ["),
        "no more trials than values": (
            lambda v, t: weighed(sorted(v), min(t, len(v))),
            "more trials than values, [",
        ),
        "not a number": (lambda v, t: float("nan"), "yours is nan"),
        "a curve": (
            lambda v, t: [weighed(sorted(v), k) for k in range(1, t + 1)],
            "must be one number, got a list",
        ),
        "text": (lambda v, t: str(weighed(sorted(v), t)), "must be one number, got a str"),
        "sorts": (sorts, "writes into `values`"),
        "no return": (lambda v, t: print(end=""), "is a `return` missing?"),
        "no trials": (lambda values: max(values), "must take (values, trials)"),
    }


def right_expected() -> dict[str, Any]:
    def every_draw(values: Any, trials: int) -> Any:
        return np.mean([max(draw) for draw in itertools.product(values, repeat=trials)])

    def layers(values: Any, trials: int) -> float:
        """The worst value, plus each step above it times the chance that a draw gets there."""
        ordered, n = sorted(values), len(values)
        steps = zip(itertools.pairwise(ordered), range(1, n), strict=True)
        return ordered[0] + sum((high - low) * (1 - (i / n) ** trials) for (low, high), i in steps)

    def fractions(values: Any, trials: int) -> Fraction:
        n = len(values)
        return sum(
            (
                Fraction(v) * (i**trials - (i - 1) ** trials) / n**trials
                for i, v in enumerate(sorted(values), 1)
            ),
            Fraction(0),
        )

    def tensors(values: Any, trials: int) -> Any:
        ordered = torch.tensor(values).sort().values
        below = (torch.arange(len(values) + 1) / len(values)) ** trials
        return ordered @ (below[1:] - below[:-1])

    def falling(values: Any, trials: int) -> Any:
        v, n = np.sort(values)[::-1], len(values)
        left = np.arange(n, 0, -1)
        return np.sum(v * ((left / n) ** trials - ((left - 1) / n) ** trials))

    return {
        "every draw": every_draw,
        "step by step": layers,
        "a fraction": fractions,
        "a tensor": tensors,
        "falling": falling,
    }


def wrong_same_parameters() -> dict[str, tuple[Any, str]]:
    def lora(shapes: Any, rank: int) -> Any:
        return sum(rank * into + out * rank for out, into in shapes)

    def entries(shapes: Any) -> Any:
        return int(np.prod(shapes, axis=1).sum())

    def share(shapes: Any, rank: int) -> Any:
        return lora(shapes, rank) / entries(shapes)

    def pops(shapes: Any, rank: int) -> Any:
        found = min(1, share(shapes, rank))
        shapes.pop()
        return found

    def each_cut(s: Any, r: int) -> Any:
        return sum(min(r * (n + m), n * m) for n, m in s) / entries(s)

    return {
        "mean of shares": (
            lambda s, r: np.mean([share([one], r) for one in s]),
            "that is the mean of the matrices' shares",
        ),
        "sum of shares": (
            lambda s, r: sum(share([one], r) for one in s),
            "that is the sum of the matrices' shares",
        ),
        "mean of shares, cut": (
            lambda s, r: min(1, np.mean([share([one], r) for one in s])),
            "the mean of the matrices' shares",
        ),
        "sum of shares, cut": (
            lambda s, r: min(1, sum(share([one], r) for one in s)),
            "the sum of the matrices' shares",
        ),
        "not cut": (share, "no more entries than the matrices: cut at 1"),
        "multiplied": (
            lambda s, r: sum(r * n * m for n, m in s) / entries(s),
            "A and B are applied one after the other",
        ),
        "multiplied, cut": (
            lambda s, r: min(1, sum(r * n * m for n, m in s) / entries(s)),
            "is out multiplied by in in the numerator",
        ),
        "max for min": (lambda s, r: max(1, share(s, r)), "`max` used instead of `min`"),
        "upside down, cut": (lambda s, r: min(1, entries(s) / lora(s, r)), "the share inverted"),
        "B alone": (
            lambda s, r: min(1, r * sum(n for n, _ in s) / entries(s)),
            "that is B (out, rank) alone",
        ),
        "A alone": (
            lambda s, r: min(1, r * sum(m for _, m in s) / entries(s)),
            "that is A (rank, in) alone",
        ),
        "no rank": (lambda s, r: lora(s, 1) / entries(s), "the rank is left out"),
        "percent": (lambda s, r: min(100, 100 * share(s, r)), "that is in percent"),
        "count": (lora, "that is the number of LoRA's parameters"),
        "root": (lambda s, r: min(1, share(s, r) ** 0.5), "that is the root"),
        "upside down": (lambda s, r: entries(s) / lora(s, r), "the share is inverted"),
        "frozen": (lambda s, r: 1 - min(1, share(s, r)), "that is the share that stays frozen"),
        "of both": (
            lambda s, r: lora(s, r) / (entries(s) + lora(s, r)),
            "the mask is inside the matrices",
        ),
        "sums multiplied": (
            lambda s, r: lora(s, r) / np.prod(np.sum(s, axis=0)),
            "yours multiplies the sums",
        ),
        "each cut": (each_cut, "cut their total at 1, not each matrix"),
        "the first": (lambda s, r: min(1, share(s[:1], r)), "only the first matrix"),
        "the last": (lambda s, r: min(1, share(s[-1:], r)), "only the last matrix"),
        "rounded": (
            lambda s, r: round(min(1, share(s, r)), 2),
            "the density is 0.1875, yours is 0.19: that is near",
        ),
        "by matrix": (
            lambda s, r: [min(1, share([one], r)) for one in s],
            "must be one number, got a list",
        ),
        "text": (lambda s, r: f"{share(s, r):.1%}", "must be one number, got a str"),
        "pops": (pops, "writes into `shapes`"),
        "no return": (lambda s, r: print(end=""), "is a `return` missing?"),
        "one matrix": (lambda out, into, rank: 0.5, "must take (shapes, rank)"),
    }


def right_same_parameters() -> dict[str, Any]:
    def numpy(shapes: Any, rank: int) -> Any:
        out, into = np.array(shapes).T
        return np.minimum(1, rank * (out + into).sum() / (out @ into))

    def tensors(shapes: Any, rank: int) -> Any:
        lora = sum(
            torch.empty(rank, into).numel() + torch.empty(out, rank).numel() for out, into in shapes
        )
        return torch.tensor(lora / sum(torch.empty(shape).numel() for shape in shapes)).clamp(max=1)

    def fraction(shapes: Any, rank: int) -> Any:
        share = Fraction(rank * sum(map(sum, shapes)), sum(out * into for out, into in shapes))
        return share if share < 1 else 1

    def weighted(shapes: Any, rank: int) -> Any:
        sizes = [out * into for out, into in shapes]
        return min(
            1.0, np.average([rank * (1 / out + 1 / into) for out, into in shapes], weights=sizes)
        )

    return {
        "numpy": numpy,
        "a tensor": tensors,
        "a fraction": fraction,
        "a weighted mean": weighted,
    }


WRONG = {
    "flips": wrong_flips(),
    "expected": wrong_expected(),
    "same_parameters": wrong_same_parameters(),
}
RIGHT = {
    "flips": right_flips(),
    "expected": right_expected(),
    "same_parameters": right_same_parameters(),
}

RISING = {
    "same_parameters": (1, 6),
    "flips": (2, 12),
    "expected": (3, 12),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
