"""Answers to lesson 05's exercises on chosen entries: wrong ones with the words that must name the
fault, and right ones."""

import heapq
import math
from typing import Any

import torch


def _k(numbers: int, density: float) -> int:
    return max(1, round(density * numbers))


def wrong_bytes() -> dict[str, tuple[Any, str]]:
    return {
        "no gradient": (
            lambda numbers, density: (8 * _k(numbers, density), 8 * _k(numbers, density)),
            "the gradient is missing",
        ),
        "no averages": (
            lambda numbers, density: (4 * _k(numbers, density), 8 * _k(numbers, density)),
            "Adam's two averages are missing",
        ),
        "no position": (
            lambda numbers, density: (12 * _k(numbers, density), 4 * _k(numbers, density)),
            "does not say where it belongs",
        ),
        "int64": (
            lambda numbers, density: (12 * _k(numbers, density), 12 * _k(numbers, density)),
            "8 are those of an int64",
        ),
        "values too": (
            lambda numbers, density: (16 * _k(numbers, density), 8 * _k(numbers, density)),
            "that counts the values too",
        ),
        "one average": (
            lambda numbers, density: (8 * _k(numbers, density), 4 * _k(numbers, density)),
            "Adam keeps two averages",
        ),
        "dense mask": (
            lambda numbers, density: (12 * numbers, 8 * _k(numbers, density)),
            "that is what a dense mask costs",
        ),
        "full": (lambda numbers, density: (12 * numbers, 4 * numbers), "that is full fine-tuning"),
        "numbers, not bytes": (
            lambda numbers, density: (3 * _k(numbers, density), 2 * _k(numbers, density)),
            "those are counts of numbers",
        ),
        "swapped": (
            lambda numbers, density: (8 * _k(numbers, density), 12 * _k(numbers, density)),
            "the two are swapped",
        ),
        "none at all": (
            lambda numbers, density: (12 * round(density * numbers), 8 * round(density * numbers)),
            "one is still trained",
        ),
        "rounded down": (
            lambda numbers, density: (
                12 * max(1, int(density * numbers)),
                8 * max(1, int(density * numbers)),
            ),
            "`int` rounds down; the nearest",
        ),
        "rounded down to none": (
            lambda numbers, density: (12 * int(density * numbers), 8 * int(density * numbers)),
            "`int` rounds down, and",
        ),
        "rounded up": (
            lambda numbers, density: (
                12 * math.ceil(density * numbers),
                8 * math.ceil(density * numbers),
            ),
            "yours says",
        ),
        "floats": (
            lambda numbers, density: (12.0 * _k(numbers, density), 8.0 * _k(numbers, density)),
            "`round` gives an int",
        ),
        "one number": (
            lambda numbers, density: 20 * _k(numbers, density),
            "must be a pair (bytes to train, bytes to keep), got an int",
        ),
        "arguments": (lambda numbers: (12, 8), "must take (numbers, density), in this order"),
    }


def right_bytes() -> dict[str, Any]:
    def written_out(numbers: int, density: float) -> list[int]:
        k = round(numbers * density) or 1
        gradient, averages, values, positions = 4 * k, 8 * k, 4 * k, 4 * k
        return [gradient + averages, values + positions]

    return {
        "in one line": lambda numbers, density: (
            12 * max(1, round(density * numbers)),
            8 * max(1, round(density * numbers)),
        ),
        "written out": written_out,
    }


def wrong_exactly() -> dict[str, tuple[Any, str]]:
    def at(scores: Any, positions: Any) -> Any:
        mask = torch.zeros(scores.numel(), dtype=torch.bool)
        mask[positions] = True
        return mask.view(scores.shape)

    def first(scores: Any, count: int) -> Any:
        return at(scores, scores.flatten().sort(descending=True, stable=True).indices[:count])

    def threshold(scores: Any, count: int) -> Any:
        return scores.abs().flatten().topk(count).values[-1]

    def in_place(scores: Any, count: int) -> Any:
        return first(scores.abs_(), count)

    return {
        "at least": (
            lambda scores, count: scores.abs() >= threshold(scores, count),
            "all that equal the threshold are in",
        ),
        "more than": (
            lambda scores, count: scores.abs() > threshold(scores, count),
            "all that equal the threshold are out",
        ),
        "by sign": (first, "that goes by sign"),
        "smallest": (lambda scores, count: first(-scores.abs(), count), "column 1 should be True"),
        "last of equal": (
            lambda scores, count: first(scores.abs().flip(0, 1), count).flip(0, 1),
            "among equal ones the lower position comes first",
        ),
        "the others": (
            lambda scores, count: ~first(scores.abs(), count),
            "that is the rest",
        ),
        "the first entries": (
            lambda scores, count: at(scores, torch.arange(count)),
            "whatever their scores",
        ),
        "one more": (
            lambda scores, count: first(scores.abs(), count + 1),
            "that is one entry too many",
        ),
        "one less": (
            lambda scores, count: first(scores.abs(), count - 1),
            "that is one entry too few",
        ),
        "topk": (
            lambda scores, count: at(scores, scores.abs().flatten().topk(count).indices),
            "`topk` promises no order among equal ones",
        ),
        "each row": (
            lambda scores, count: torch.stack(
                [first(row.abs(), max(1, count // len(scores))) for row in scores]
            ),
            "should be True, in yours it is not",
        ),
        "numbers": (
            lambda scores, count: first(scores.abs(), count).float(),
            "must hold True and False",
        ),
        "positions": (
            lambda scores, count: scores.abs().flatten().topk(count).indices,
            "must hold True and False",
        ),
        "flat": (
            lambda scores, count: first(scores.abs(), count).flatten(),
            "must have the shape of the scores",
        ),
        "a list": (
            lambda scores, count: first(scores.abs(), count).tolist(),
            "must be a torch.Tensor, got a list",
        ),
        "in place": (in_place, "writes into `scores`"),
        "arguments": (lambda scores: scores > 0, "must take (scores, count), in this order"),
    }


def right_exactly() -> dict[str, Any]:
    def sorted_positions(scores: Any, count: int) -> Any:
        order = scores.abs().flatten().sort(descending=True, stable=True).indices
        mask = torch.zeros(scores.numel(), dtype=torch.bool)
        mask[order[:count]] = True
        return mask.view(scores.shape)

    def heap(scores: Any, count: int) -> Any:
        sizes = scores.abs().flatten().tolist()
        chosen = set(heapq.nlargest(count, range(len(sizes)), key=lambda i: (sizes[i], -i)))
        return torch.tensor([i in chosen for i in range(len(sizes))]).reshape(scores.shape)

    def fill_up(scores: Any, count: int) -> Any:
        flat = scores.abs().flatten()
        least = flat.topk(count).values[-1]
        mask = flat > least
        equal = (flat == least).nonzero().squeeze(1)
        mask[equal[: count - int(mask.sum())]] = True
        return mask.reshape(scores.shape)

    return {"sorted": sorted_positions, "a heap": heap, "a threshold, then filled up": fill_up}
