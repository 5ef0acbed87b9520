"""Freezing: the weights that are named may move, all others stay as they were pretrained."""

import re
from dataclasses import dataclass

from torch import nn

from ftkit.adapted import Change, Dense, select

_BLOCK = re.compile(r"^(.*\.)(\d+)\.")


@dataclass(frozen=True)
class Only:
    """Only the weights that fit `where` may move, each in all its entries; `Only("*")` is full fine-tuning.

    Args:
        where: glob patterns over the names of the weights, with commas between.

    Raises:
        ValueError: from `changes`, if a pattern fits no weight.

    >>> list(Only("*.bias").changes(nn.Sequential(nn.Linear(2, 2))))
    ['0.bias']
    """

    where: str = "*"

    def changes(self, model: nn.Module) -> dict[str, Change]:
        return {name: Dense(weight) for name, weight in select(model, self.where).items()}


@dataclass(frozen=True)
class LastBlocks:
    """Only the last `count` transformer blocks of the body may move, with whatever stands between them and the head (a final norm).

    `LastBlocks(0)` moves nothing of the body. Embeddings never move. After Lee, Tang and Lin 2019, "What Would Elsa Do?",
    arXiv:1911.03090.

    Args:
        count: 0 up to the number of blocks.

    Raises:
        ValueError: from `changes`, if the body has no numbered blocks, or fewer than `count`.
    """

    count: int

    def changes(self, model: nn.Module) -> dict[str, Change]:
        blocks = self.blocks(model)
        if not 0 <= self.count <= len(blocks):
            raise ValueError(f"count must be from 0 to {len(blocks)}, the number of blocks, got {self.count}")
        if self.count == 0:
            return {}
        body = [name for name, _ in model.named_parameters() if name.startswith("body.")]
        last = max(i for i, name in enumerate(body) if name.startswith(blocks[-1]))
        moving = [name for i, name in enumerate(body) if name.startswith(tuple(blocks[-self.count :])) or i > last]
        weights = dict(model.named_parameters())
        return {name: Dense(weights[name]) for name in moving}

    @staticmethod
    def blocks(model: nn.Module) -> list[str]:
        """The name prefixes of the body's blocks, first to last, such as `body.encoder.layer.0.`.

        Raises:
            ValueError: the body has no numbered blocks.
        """
        found = (_BLOCK.match(name) for name, _ in model.named_parameters() if name.startswith("body."))
        prefixes = list(dict.fromkeys(match.group(0) for match in found if match))
        if not prefixes:
            raise ValueError("the body must have numbered blocks (such as encoder.layer.0), got none; name weights with Only instead")
        return prefixes
