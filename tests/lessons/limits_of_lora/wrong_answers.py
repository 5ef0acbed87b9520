"""Answers to the exercises of lesson 03: wrong ones with words of the message, and right ones."""

import bisect
import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import torch


def wrong_step_share() -> dict[str, tuple[Any, str]]:
    def over(lora: Any, passes: int = 3) -> Any:
        return lambda shapes, r: (
            sum(lora(n * m, r * (n + m)) for n, m in shapes)
            / (passes * sum(n * m for n, m in shapes))
        )

    right = over(lambda w, ab: 2 * w + 3 * ab)

    def pops(shapes: Any, rank: int) -> Any:
        share = right(shapes, rank)
        shapes.pop()
        return share

    return {
        "a third": (
            lambda s, r: 1 / 3,
            "that is the forward pass alone; a step has a backward pass, too",
        ),
        "forward alone": (
            over(lambda w, ab: w + ab),
            "the factors and the frozen weight have a backward pass, too",
        ),
        "no way back": (over(lambda w, ab: w + 3 * ab), "it hands the gradient to its input"),
        "no factors": (lambda s, r: 2 / 3, "the two factors are missing"),
        "no weight": (over(lambda w, ab: 3 * ab), "the frozen weight multiplies as well"),
        "factors once": (over(lambda w, ab: 2 * w + ab), "the factors count once"),
        "factors twice": (over(lambda w, ab: 2 * w + 2 * ab), "the factors count twice"),
        "nothing saved": (over(lambda w, ab: 3 * w + 3 * ab), "needs no gradient of its own"),
        "multiplied": (
            lambda s, r: 2 / 3 + r,
            "A and B are applied one after the other, so their products add",
        ),
        "A alone": (
            lambda s, r: 2 / 3 + r * sum(m for _, m in s) / sum(n * m for n, m in s),
            "that is A (rank, in) alone",
        ),
        "B alone": (
            lambda s, r: 2 / 3 + r * sum(n for n, _ in s) / sum(n * m for n, m in s),
            "that is B (out, rank) alone",
        ),
        "trainable parameters": (over(lambda w, ab: ab, 1), "the fraction of trainable parameters"),
        "full as two": (over(lambda w, ab: 2 * w + 3 * ab, 2), "yours counts two"),
        "full as one": (over(lambda w, ab: 2 * w + 3 * ab, 1), "yours counts one"),
        "two operations for LoRA": (
            over(lambda w, ab: 2 * (2 * w + 3 * ab)),
            "yours counts two for LoRA and one for the other",
        ),
        "mean of ratios": (
            lambda s, r: np.mean([2 / 3 + r * (n + m) / (n * m) for n, m in s]),
            "that is the mean of the layers' ratios",
        ),
        "sum of ratios": (
            lambda s, r: sum(right([layer], r) for layer in s),
            "that is the sum of the layers' ratios",
        ),
        "the first layer": (lambda s, r: right([s[0]], r), "only the first layer"),
        "upside down": (lambda s, r: 1 / right(s, r), "that is upside down"),
        "saving": (lambda s, r: 1 - right(s, r), "the saving, not the cost"),
        "percent": (lambda s, r: 100 * right(s, r), "that is in percent"),
        "rounded": (
            lambda s, r: round(right(s, r), 2),
            "takes 0.854 of the products of a full step, yours says 0.850",
        ),
        "not a number": (lambda s, r: float("nan"), "yours says nan"),
        "text": (lambda s, r: f"{right(s, r)}", "must be one number, got a str"),
        "by layer": (
            lambda s, r: [right([layer], r) for layer in s],
            "must be one number, got a list",
        ),
        "a tensor by layer": (lambda s, r: torch.ones(3), "must be one number, got a torch.Tensor"),
        "both numbers": (lambda s, r: (1, 2), "must be one number, got a tuple"),
        "pops": (pops, "writes into `shapes`"),
        "one input": (lambda shapes: 1.0, "must take (shapes, rank)"),
    }


def right_step_share() -> dict[str, Any]:
    def pass_by_pass(shapes: Any, rank: int) -> float:
        full = lora = 0
        for out, into in shapes:
            for trains, numbers in ((False, out * into), (True, rank * into), (True, out * rank)):
                lora += numbers + numbers + (numbers if trains else 0)
            full += 2 * (out * into) * 3
        return 2 * lora / full

    def numpy(shapes: Any, rank: int) -> Any:
        out, into = np.array(shapes).T
        return 2 / 3 + rank * (out + into).sum() / (out @ into)

    def torch_too(shapes: Any, rank: int) -> Any:
        sizes = torch.tensor(shapes, dtype=torch.float32)
        return (2 * sizes.prod(1) + 3 * rank * sizes.sum(1)).sum() / (3 * sizes.prod(1)).sum()

    def weighted(shapes: Any, rank: int) -> Any:
        return np.average(
            [2 / 3 + rank * (n + m) / (n * m) for n, m in shapes],
            weights=[n * m for n, m in shapes],
        )

    def fraction(shapes: Any, rank: int) -> Any:
        return Fraction(2, 3) + Fraction(
            rank * sum(map(sum, shapes)), sum(n * m for n, m in shapes)
        )

    return {
        "pass by pass": pass_by_pass,
        "numpy": numpy,
        "a tensor": torch_too,
        "a weighted mean": weighted,
        "a fraction": fraction,
    }


def wrong_rank_needed() -> dict[str, tuple[Any, str]]:
    def first(enough: Any, none: Any = 0) -> Any:
        """Return the lowest rank from which all are enough."""

        def found(low: Any, margin: float) -> Any:
            best = none
            for rank in sorted(low, reverse=True):
                if not enough(low[rank], margin):
                    break
                best = rank
            return best

        return found

    right = first(lambda end, m: end > -m)

    def as_listed(low: Any, margin: float) -> Any:
        best = 0
        for rank, end in reversed(low.items()):
            if end <= -margin:
                break
            best = rank
        return best

    def next_one(low: Any, margin: float) -> Any:
        ok = [*((rank, low[rank] > -margin) for rank in sorted(low)), (None, True)]
        return next((rank for (rank, one), (_, two) in itertools.pairwise(ok) if one and two), 0)

    def highest_if_none(low: Any, margin: float) -> Any:
        return right(low, margin) or max(low)

    def pops(low: Any, margin: float) -> Any:
        rank = right(low, margin)
        low.popitem()
        return rank

    return {
        "each by itself": (
            lambda low, m: min((r for r in low if low[r] > -m), default=0),
            "yours looks at each rank by itself",
        ),
        "each by itself, sorted by end": (
            lambda low, m: min([r for r in low if low[r] > -m] or [0]),
            "looks at each rank by itself",
        ),
        "the next one": (next_one, "not only the next one"),
        "as listed": (as_listed, "the dict is in no order; go through"),
        "the first listed": (
            lambda low, m: next((r for r in low if low[r] > -m), 0),
            "is in no order, and every higher rank",
        ),
        "no minus": (first(lambda end, m: end > m), "the low end may be below 0"),
        "no margin": (first(lambda end, m: end > 0), "the margin is missing"),
        "size": (first(lambda end, m: abs(end) < m), "drops the sign of the low end"),
        "the wrong way": (
            lambda low, m: min((r for r in low if low[r] < -m), default=0),
            "behind by more than the margin",
        ),
        "the largest": (
            lambda low, m: max((r for r in low if low[r] > -m), default=0),
            "that is the largest rank that is enough",
        ),
        "the position": (
            lambda low, m: sorted(low).index(right(low, m)) if right(low, m) else 0,
            "that is the position of the rank",
        ),
        "the low end": (
            lambda low, m: low.get(right(low, m), 0),
            "that is the low end at the rank",
        ),
        "the last that is not": (
            lambda low, m: max([r for r in low if r < (right(low, m) or 99)], default=0),
            "that is the last rank that is not enough",
        ),
        "the number of ranks": (
            lambda low, m: sum(r >= right(low, m) for r in low) if right(low, m) else 0,
            "that is the number of ranks that are enough",
        ),
        "the best": (
            lambda low, m: sorted(low, key=low.get)[-1],
            "the rank with the highest low end",
        ),
        "the highest if none": (
            highest_if_none,
            "no rank is enough, so the answer must be 0, yours is 4",
        ),
        "minus one if none": (
            first(lambda end, m: end > -m, -1),
            "no rank is enough, so the answer must be 0, yours is -1",
        ),
        "endless if none": (
            first(lambda end, m: end > -m, float("inf")),
            "no rank is enough, so the answer must be 0, yours is inf",
        ),
        "None if none": (
            first(lambda end, m: end > -m, None),
            "returns None; return 0 if no rank is enough",
        ),
        "words if none": (first(lambda end, m: end > -m, "none"), "must be one number, got a str"),
        "the highest alone": (
            lambda low, m: right(low, m) or min((r for r in low if low[r] > -m), default=0),
            "the answer must be 0, yours is 2",
        ),
        "no return": (lambda low, m: print(end=""), "is a `return` missing?"),
        "all of them": (
            lambda low, m: [r for r in sorted(low) if low[r] > -m],
            "must be one number, got a list",
        ),
        "yes": (lambda low, m: True, "must be one number, got a bool"),
        "pops": (pops, "writes into `low`"),
        "a margin too many": (lambda low: 4, "must take (low, margin)"),
    }


def right_rank_needed() -> dict[str, Any]:
    def downwards(low: Any, margin: float) -> int:
        found = 0
        for rank, end in sorted(low.items(), reverse=True):
            if end < -margin:
                return found
            found = rank
        return found

    def after_the_last(low: Any, margin: float) -> int:
        behind = max((rank for rank, end in low.items() if end <= -margin), default=0)
        return min((rank for rank in low if rank > behind), default=0)

    def numpy(low: Any, margin: float) -> Any:
        ranks = np.array(sorted(low))
        ends = np.array([low[int(rank)] for rank in ranks])
        good = ranks[np.minimum.accumulate(ends[::-1])[::-1] > -margin]
        return good.min() if good.size else 0

    def tensors(low: Any, margin: float) -> Any:
        ranks = torch.tensor(sorted(low))
        bad = torch.tensor([low[int(rank)] < -margin for rank in ranks]).nonzero().flatten()
        return torch.cat([ranks, torch.tensor([0])])[int(bad.max()) + 1 if len(bad) else 0]

    return {
        "from the top down": downwards,
        "after the last that is behind": after_the_last,
        "numpy": numpy,
        "a tensor": tensors,
    }


def wrong_at_equal() -> dict[str, tuple[Any, str]]:
    def interp(points: Any, accuracy: float) -> Any:
        return np.interp(accuracy, *np.array(points).T)

    def between(mix: Any) -> Any:
        """Mix the two neighbours in accuracy; `t` is the share of the way to the upper one."""

        def found(points: Any, accuracy: float) -> Any:
            points = sorted(points)
            upper = min(bisect.bisect([x for x, _ in points], accuracy), len(points) - 1)
            (a, low), (b, high) = points[upper - 1 : upper + 1]
            return mix(low, high, (accuracy - a) / (b - a))

        return found

    def listed(points: Any, accuracy: float) -> Any:
        for one, other in itertools.pairwise(points):
            if min(one[0], other[0]) <= accuracy <= max(one[0], other[0]):
                return one[1] + (accuracy - one[0]) / (other[0] - one[0]) * (other[1] - one[1])
        return 0.0

    def apart(points: Any, accuracy: float) -> Any:
        return np.interp(accuracy, sorted(x for x, _ in points), sorted(y for _, y in points))

    def sorts(points: Any, accuracy: float) -> Any:
        points.sort()
        return interp(points, accuracy)

    def fitted(points: Any, accuracy: float) -> Any:
        slope, start = np.polyfit(*np.array(points).T, 1)
        return start + slope * accuracy

    def no_ends(points: Any, accuracy: float) -> Any:
        below, above = (
            [p for p in points if (p[0] < accuracy) is side and p[0] != accuracy]
            for side in (True, False)
        )
        (a, low), (b, high) = max(below), min(above)
        return low + (accuracy - a) / (b - a) * (high - low)

    return {
        "not sorted": (interp, "needs rising accuracies; sort them first"),
        "as listed": (listed, "neighbours in the list need not be"),
        "by forgetting": (
            lambda p, a: interp(sorted(p, key=lambda x: x[1]), a),
            "sorted by forgetting",
        ),
        "sorted apart": (apart, "keep each point together"),
        "nearest": (
            lambda p, a: sorted(p, key=lambda x: (x[0] - a) ** 2)[0][1],
            "that is the nearest point",
        ),
        "swapped": (lambda p, a: interp(sorted((y, x) for x, y in p), a), "the axes are swapped"),
        "mean": (lambda p, a: np.mean([y for _, y in p]), "that is the mean of all points"),
        "ends": (
            lambda p, a: interp([min(p), max(p)], a),
            "that is a line from the lowest point to the highest",
        ),
        "one line": (fitted, "that is one line fitted to all points"),
        "a curve": (
            lambda p, a: np.poly1d(np.polyfit(*np.array(p).T, len(p) - 1))(a),
            "that is a curve through all points",
        ),
        "weights swapped": (
            between(lambda low, high, t: t * low + (1 - t) * high),
            "weights of the two neighbours are swapped",
        ),
        "half-way": (between(lambda low, high, t: (low + high) / 2), "that is half-way between"),
        "below": (between(lambda low, high, t: low), "that is the neighbour below"),
        "above": (between(lambda low, high, t: high), "that is the neighbour above"),
        "the change alone": (
            between(lambda low, high, t: t * (high - low)),
            "only the change from the neighbour below",
        ),
        "the best": (lambda p, a: max(p)[1], "the forgetting of the most accurate point"),
        "the least": (lambda p, a: min(y for _, y in p), "the least forgetting of all"),
        "sorts": (sorts, "writes into `points`"),
        "fails at an end": (no_ends, "raised ValueError"),
        "nothing at a point": (
            lambda p, a: 0.0 if a in dict(p) else interp(sorted(p), a),
            "an accuracy that is a point's own, [",
        ),
        "outside at an end": (
            lambda p, a: 0.0 if a in (min(p)[0], max(p)[0]) else interp(sorted(p), a),
            "the lowest accuracy, [",
        ),
        "the pair": (lambda p, a: (a, interp(sorted(p), a)), "must be one number, got a tuple"),
        "none found": (lambda p, a: next((y for x, y in p if x == a), None), "returns None"),
        "text": (lambda p, a: str(interp(sorted(p), a)), "must be one number, got a str"),
        "the other way round": (lambda accuracy: accuracy, "must take (points, accuracy)"),
    }


def right_at_equal() -> dict[str, Any]:
    def by_hand(points: Any, accuracy: float) -> float:
        below = max(p for p in points if p[0] <= accuracy)
        above = min(p for p in points if p[0] >= accuracy)
        t = 0.0 if above == below else (accuracy - below[0]) / (above[0] - below[0])
        return (1 - t) * below[1] + t * above[1]

    def hats(points: Any, accuracy: float) -> float:
        """Weigh each point by its nearness: 1 at the point itself, 0 at its neighbours."""
        x = np.array(sorted(points))
        return float(
            sum(
                np.interp(accuracy, x[:, 0], row) * y
                for row, y in zip(np.eye(len(x)), x[:, 1], strict=True)
            )
        )

    def tensors(points: Any, accuracy: float) -> Any:
        x, y = torch.tensor(sorted(points)).T.contiguous()
        k = torch.searchsorted(x, torch.tensor(accuracy)).clamp(1, len(x) - 1)
        return torch.lerp(y[k - 1], y[k], (accuracy - x[k - 1]) / (x[k] - x[k - 1]))

    return {
        "numpy": lambda points, accuracy: np.interp(accuracy, *zip(*sorted(points), strict=True)),
        "argsort": lambda points, accuracy: np.interp(
            [accuracy], *np.array(points)[np.argsort([x for x, _ in points])].T
        )[0],
        "by hand": by_hand,
        "hats": hats,
        "a tensor": tensors,
    }


WRONG = {
    "step_share": wrong_step_share(),
    "rank_needed": wrong_rank_needed(),
    "at_equal": wrong_at_equal(),
}
RIGHT = {
    "step_share": right_step_share(),
    "rank_needed": right_rank_needed(),
    "at_equal": right_at_equal(),
}

RISING = {
    "step_share": (2, 10),
    "rank_needed": (2, 10),
    "at_equal": (3, 12),
}
"""Difficulty and minutes of each exercise, in the order in which the notebook asks them."""
