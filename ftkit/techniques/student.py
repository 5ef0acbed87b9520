"""Make a smaller net of some blocks of a larger one."""

import re
from collections.abc import Sequence
from typing import Any

from ftkit import checks
from ftkit.model.adapted import twin
from ftkit.model.base import Net

_BLOCK = re.compile(r"^(body\..*?\.)(\d+)\.")


def student(net: Net, blocks: Sequence[int], seed: int | None = None) -> Net:
    """Make a net with only these blocks of the body of `net`, and copies of all other weights.

    DistilBERT starts this way: Sanh et al. 2019, arXiv:1910.01108, take every second block.

    Args:
        net: the larger net; it shares no weight with the student. For an `Adapted`, pass
            `adapted.merged()`.
        blocks: the indices of the blocks, from 0, in ascending order.
        seed: draws all weights at random instead of copying them.

    Raises:
        ValueError: `blocks` is empty, not ascending, or has an index that does not exist; or the
            body is not one stack of blocks.
    """
    checks.instance("net", net, Net, "a Net", "load_base('mini', task) is one")
    if seed is not None:
        checks.seed(seed)
    stack = {match[0] for name, _ in net.named_parameters() if (match := _BLOCK.match(name))}
    count = getattr(net.body.config, "num_hidden_layers", 0)
    if not count or len(stack) != count:
        raise ValueError(
            f"the body must be one stack of numbered blocks, got {type(net.body).__name__}; "
            "use a base such as mini"
        )
    is_list = isinstance(blocks, Sequence) and all(map(checks.is_whole, blocks))
    if not is_list or not blocks or list(blocks) != sorted(set(blocks) & set(range(count))):
        raise ValueError(
            f"blocks must be some of 0 to {count - 1}, each once and ascending, "
            f"got {checks.shown(blocks)}; give those to keep"
        )
    shell: Any = twin(net)  # it has a config of its own; that of `net` does not change
    shell.body.config.num_hidden_layers = len(blocks)
    small: Net = shell.untrained(seed or 0).to(next(net.parameters()))
    if seed is None:
        weights, origin = net.state_dict(), lambda match: f"{match[1]}{blocks[int(match[2])]}."
        small.load_state_dict(
            {name: weights[_BLOCK.sub(origin, name)] for name in small.state_dict()}
        )
    return small
