"""Freezing: the named weights are trainable, all others stay as they were pretrained."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ftkit import checks
from ftkit.model.adapted import select, used_weights
from ftkit.model.change import Change, Dense

_BLOCK = re.compile(r"^(.*\.)(\d+)\.")


@dataclass(frozen=True)
class Only:
    """Train the weights that match `where`, with all their entries; `Only("*")` trains all weights.

    Starts at the base exactly; merges.

    Args:
        where: glob patterns over the names of the weights, separated by commas.

    Raises:
        ValueError: from `changes`, if a pattern matches no weight.

    >>> list(Only("*.bias").changes(nn.Sequential(nn.Linear(2, 2))))
    ['0.bias']
    """

    where: str = "*"

    def __post_init__(self) -> None:
        checks.patterns("where", self.where)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        return {name: Dense(weight) for name, weight in select(model, self.where).items()}


@dataclass(frozen=True)
class LastBlocks:
    """Train the last `count` transformer blocks of the body, and what follows them (a final norm).

    `LastBlocks(0)` trains nothing of the body. Embeddings are always frozen. After Lee, Tang and
    Lin 2019, "What Would Elsa Do?", arXiv:1911.03090. Starts at the base exactly; merges.

    Args:
        count: from 0 to the number of blocks.

    Raises:
        ValueError: count is no whole number; from `changes`, if it is below 0, or the body has no
            numbered blocks, or fewer than `count`.
    """

    count: int

    def __post_init__(self) -> None:
        if not checks.is_whole(self.count):
            raise ValueError(
                f"count must be a whole number, got {checks.shown(self.count)}; it counts blocks"
            )

    def changes(self, model: nn.Module) -> dict[str, Change]:
        blocks = self.blocks(model)
        if not checks.is_whole(self.count) or self.count not in range(len(blocks) + 1):
            raise ValueError(
                f"count must be from 0 to {len(blocks)}, the number of blocks, "
                f"got {checks.shown(self.count)}; 0 trains nothing of the body"
            )
        if self.count == 0:
            return {}
        weights = used_weights(model)
        body = [name for name in weights if name.startswith("body.")]
        last = max(i for i, name in enumerate(body) if name.startswith(blocks[-1]))
        trained = [
            name
            for i, name in enumerate(body)
            if name.startswith(tuple(blocks[-self.count :])) or i > last
        ]
        return {name: Dense(weights[name]) for name in trained}

    @staticmethod
    def blocks(model: nn.Module) -> list[str]:
        """List the name prefixes of the body's blocks, first to last: `body.encoder.layer.0.`.

        Raises:
            ValueError: the body has no numbered blocks.
        """
        names = (name for name in used_weights(model) if name.startswith("body."))
        matches = (_BLOCK.match(name) for name in names)
        prefixes = list(dict.fromkeys(match.group(0) for match in matches if match))
        if not prefixes:
            raise ValueError(
                "the body must have numbered blocks (such as encoder.layer.0), got none; "
                "name weights with Only instead"
            )
        return prefixes


def discriminative(net: nn.Module, lr: float, decay: float = 2.6) -> Callable[[str], float]:
    """Make peak learning rates that fall from the top of the body to its bottom.

    The last block, and what follows it, gets `lr`; each block below gets the learning rate of the
    one above divided by `decay`; the embeddings get the smallest. Howard and Ruder 2018, "Universal
    Language Model Fine-tuning for Text Classification", arXiv:1801.06146.

    Args:
        net: the net whose blocks are counted.
        lr: the highest learning rate.
        decay: from 0.001 to 1000; 1 means one learning rate for all.

    Returns:
        A function from a weight's name to its learning rate, for `train(lr=...)`.

    Raises:
        ValueError: lr is below 0, decay outside its range, or the body has no numbered blocks.

    >>> body = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    >>> lr_of = discriminative(nn.ModuleDict({"body": body}), lr=1.0, decay=4.0)
    >>> lr_of("body.1.weight"), lr_of("body.0.weight")
    (1.0, 0.25)
    """
    checks.instance("net", net, nn.Module, "a network", "load_base('mini', task) is one")
    checks.number("lr", lr, least=0, advice="it is the learning rate of the last block")
    advice = "1 is one learning rate for all"
    checks.number("decay", decay, least=1e-3, most=1e3, above=0, advice=advice)
    blocks = LastBlocks.blocks(net)
    above = LastBlocks(len(blocks)).changes(net)

    def lr_of(name: str) -> float:
        block = next(
            (i for i, prefix in enumerate(blocks) if name.startswith(prefix)),
            len(blocks) - 1 if name in above else -1,
        )
        return lr / decay ** (len(blocks) - 1 - block)

    return lr_of
