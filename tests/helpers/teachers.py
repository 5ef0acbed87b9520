"""Teachers whose answers can be checked, and small students."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.model.adapted import Adapted
from ftkit.model.base import load_base
from ftkit.tasks.task import Batch, Task, table
from ftkit.techniques.distillation import (
    divergence,
)
from ftkit.training.loop import train

ROWS, CLASSES = 16, 5


def logits(seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(
        ROWS, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def gradient(temperature: float, squared: bool = True) -> Tensor:
    """The gradient of the divergence at the student's logits, with or without the factor T^2."""
    z = logits(0).requires_grad_()
    divergence(z, logits(1), temperature).backward()
    assert z.grad is not None
    return z.grad if squared else z.grad / temperature**2


def lengths(count: int = 150) -> Task:
    """Rows that a reader sorts by length: the text of row i has 1 + 7 i mod `count` words."""
    texts = [" ".join(["table"] * (1 + 7 * i % count)) for i in range(count)]
    rows = table(texts, [i % 3 for i in range(count)], ["a", "b", "c"], page=list(range(count)))
    return Task("lengths", ("a", "b", "c"), rows, rows, rows)


class Counting(nn.Module):
    """A teacher that answers with the text, so that an answer in the wrong row shows.

    It counts the rows that it was asked about.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.asked, self.labels, self.longest = (
            load_base("mini").reader,
            0,
            set[int](),
            list[int](),
        )
        self.eval()

    def forward(self, batch: Batch) -> Tensor:
        self.asked += len(batch)
        self.labels |= set(batch.labels.tolist())
        texts = batch.data[batch.rows.tolist()]["text"]
        self.longest.append(max(len(text.split()) for text in texts))
        return says(texts)


def says(texts: list[str]) -> Tensor:
    return torch.tensor([[len(text), len(text) % 4, 10.0] for text in texts])


def learn(
    model: Adapted, task: Task, objective: Callable[..., Any], steps: int = 5, lr: float = 1e-2
) -> list[Any]:
    return list(
        train(
            model,
            task,
            steps=steps,
            lr=lr,
            size=6,
            objective=objective,
            validations=2,
            valid_rows=12,
        )
    )
