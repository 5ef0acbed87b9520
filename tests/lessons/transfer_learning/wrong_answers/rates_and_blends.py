"""Answers to the exercises on learning rates per part and on interpolated weights.

Wrong ones come with words that the message must contain.
"""

from typing import Any

import torch


def wrong_rates() -> dict[str, tuple[Any, str]]:
    def by_name(blocks: int, lr: float, decay: float) -> Any:
        return {f"block {i}": lr / decay ** (blocks - i) for i in range(blocks + 1)}

    return {
        "from the top": (
            lambda blocks, lr, decay: [lr / decay**i for i in range(blocks + 1)],
            "from the top down",
        ),
        "one step too low": (
            lambda blocks, lr, decay: [lr / decay ** (blocks + 1 - i) for i in range(blocks + 1)],
            "must get lr itself",
        ),
        "grows downward": (
            lambda blocks, lr, decay: [lr * decay ** (blocks - i) for i in range(blocks + 1)],
            "they should change less",
        ),
        "grows upward": (
            lambda blocks, lr, decay: [lr * decay**i for i in range(blocks + 1)],
            "from the embeddings up",
        ),
        "equal steps": (
            lambda blocks, lr, decay: [lr * (i + 1) / (blocks + 1) for i in range(blocks + 1)],
            "that falls by equal steps",
        ),
        "multiples": (
            lambda blocks, lr, decay: [
                lr / max(1, decay * (blocks - i)) for i in range(blocks + 1)
            ],
            "divide again at each part",
        ),
        "embeddings as the first block": (
            lambda blocks, lr, decay: [
                lr / decay ** (blocks - max(1, i)) for i in range(blocks + 1)
            ],
            "one step below the first block",
        ),
        "one learning rate": (
            lambda blocks, lr, decay: [lr] * (blocks + 1),
            "one learning rate for all parts",
        ),
        "factors": (
            lambda blocks, lr, decay: [decay ** (i - blocks) for i in range(blocks + 1)],
            "without lr",
        ),
        "a root": (
            lambda blocks, lr, decay: [lr / decay ** ((blocks - i) / 2) for i in range(blocks + 1)],
            "the learning rates must be [5.69e-05, 0.000148, 0.000385, 0.001], yours are",
        ),
        "no embeddings": (
            lambda blocks, lr, decay: [lr / decay**i for i in range(blocks)],
            "the answer must have 4 learning rates, got 3",
        ),
        "a dict": (by_name, "must be a list of learning rates, got a dict"),
        "pairs": (
            lambda blocks, lr, decay: [(i, lr) for i in range(blocks + 1)],
            "Every entry must be one number",
        ),
        "one number": (
            lambda blocks, lr, decay: lr / decay,
            "must be a list of learning rates, got a float",
        ),
    }


def right_rates() -> dict[str, Any]:
    def step_by_step(blocks: int, lr: float, decay: float) -> list[float]:
        found = [lr]
        for _ in range(blocks):
            found.insert(0, found[0] / decay)
        return found

    return {
        "step by step": step_by_step,
        "a tensor": lambda blocks, lr, decay: (
            lr * decay ** torch.arange(-blocks, 1, dtype=torch.float64)
        ),
        "a generator": lambda blocks, lr, decay: (
            lr * (1 / decay) ** below for below in reversed(range(blocks + 1))
        ),
    }


def wrong_mix() -> dict[str, tuple[Any, str]]:
    def each(mix: Any) -> Any:
        return lambda before, after, share: {
            name: mix(before[name], after[name], share) for name in before
        }

    def in_place(before: Any, after: Any, share: float) -> Any:
        for name in before:
            before[name] += share * (after[name] - before[name])
        return before

    def only_matrices(before: Any, after: Any, share: float) -> Any:
        return {
            name: torch.lerp(value, after[name], share)
            for name, value in before.items()
            if value.ndim == 2
        }

    def keeps_biases(before: Any, after: Any, share: float) -> Any:
        return {
            name: torch.lerp(value, after[name], share if value.ndim == 2 else 1.0)
            for name, value in before.items()
        }

    return {
        "swapped": (each(lambda b, f, a: a * b + (1 - a) * f), "the two ends are swapped"),
        "weights for change": (each(lambda b, f, a: b + a * f), "not of their change"),
        "the change": (each(lambda b, f, a: a * (f - b)), "the change alone"),
        "half": (each(lambda b, f, a: 0.5 * b + 0.5 * f), "that is half-way for every share"),
        "after": (each(lambda b, f, a: f.clone()), "the weights after, for every share"),
        "before": (each(lambda b, f, a: b.clone()), "the weights before, for every share"),
        "wrong sign": (each(lambda b, f, a: b + a * (b - f)), "the wrong sign"),
        "all of after": (
            each(lambda b, f, a: (1 - a) * b + f),
            "that adds all of the weights after",
        ),
        "squared": (
            each(lambda b, f, a: torch.lerp(b, f, a * a)),
            "are not that far from before to after",
        ),
        "biases go all the way": (keeps_biases, "the weights `body.0.bias` are not that far"),
        "matrices alone": (only_matrices, "got none for `body.0.bias`"),
        "in place": (in_place, "writes into `before`"),
        "one tensor": (
            lambda before, after, share: before["head.weight"],
            "must be a dict {name: tensor}, got a torch.Tensor",
        ),
        "rounded": (
            each(lambda b, f, a: torch.lerp(b, f, a).half()),
            "the dtype of the input",
        ),
    }


def right_mix() -> dict[str, Any]:
    def stepwise(before: Any, after: Any, share: float) -> Any:
        mixed = {name: value.clone() for name, value in before.items()}
        for name, value in mixed.items():
            value.mul_(1 - share).add_(after[name], alpha=share)
        return mixed

    return {
        "lerp": lambda before, after, share: {
            name: torch.lerp(before[name], after[name], share) for name in before
        },
        "on copies": stepwise,
    }
