"""A smaller net from a larger one: some of its blocks."""

import re
from collections.abc import Sequence
from typing import Any

from ftkit.model.adapted import twin
from ftkit.model.base import Net

_BLOCK = re.compile(r"^(body\..*?\.)(\d+)\.")


def student(net: Net, blocks: Sequence[int], seed: int | None = None) -> Net:
    """A net with only these blocks of the body of `net`, and copies of all its other weights: what DistilBERT starts from.

    Sanh et al. 2019, arXiv:1910.01108, take every second block. With a `seed`, all weights are drawn at random instead.

    Args:
        net: the larger one, which shares no weight with the student; of an `Adapted`, take `adapted.merged()`.
        blocks: numbers of blocks, from 0, rising.

    Raises:
        ValueError: no block, one that is not there, or not in rising order; or a body that is not one stack of blocks.
    """
    found = {match[0] for name, _ in net.named_parameters() if (match := _BLOCK.match(name))}
    count = getattr(net.body.config, "num_hidden_layers", 0)
    if not count or len(found) != count:
        raise ValueError(
            f"the body must be one stack of numbered blocks, got {type(net.body).__name__}; use a base such as mini"
        )
    if not blocks or list(blocks) != sorted(set(blocks) & set(range(count))):
        raise ValueError(
            f"blocks must be some of 0 to {count - 1}, each once and rising, got {tuple(blocks)}; name those to keep"
        )
    shell: Any = twin(net)  # whose config is its own, so that of `net` stays true
    shell.body.config.num_hidden_layers = len(blocks)
    small: Net = shell.untrained(seed or 0).to(next(net.parameters()))
    if seed is None:
        weights, origin = net.state_dict(), lambda match: f"{match[1]}{blocks[int(match[2])]}."
        small.load_state_dict(
            {name: weights[_BLOCK.sub(origin, name)] for name in small.state_dict()}
        )
    return small
