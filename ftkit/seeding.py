"""From a name to randomness: a number in [0, 1), or a random stream of its own."""

import hashlib
import re
from typing import TYPE_CHECKING

from ftkit import checks

if TYPE_CHECKING:
    import torch


def unit_hash(text: str) -> float:
    """Hash the words of `text` to a number in [0, 1); case, spaces and punctuation do not count.

    >>> unit_hash("Return the dot product.") == unit_hash("return the  dot-product")
    True
    """
    words = " ".join(re.findall(r"[a-z0-9]+", text.lower()))
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big") / 2**64


def stream(seed: int, name: str) -> "torch.Generator":
    """The random stream of `name` under `seed`.

    Its numbers depend on these two alone, not on what else is drawn, or in which order.

    Raises:
        ValueError: the seed is no whole number, or below 0.
    """
    checks.seed(seed)
    import torch  # imported here, because the docstring miner runs without it

    return torch.Generator().manual_seed(int(seed) + int(unit_hash(name) * 2**48))
