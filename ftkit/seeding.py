"""How a name becomes randomness: a number in [0, 1), or a random stream of its own."""

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the words of `text`: case, spaces and punctuation do not count.

    >>> unit_hash("Return the dot product.") == unit_hash("return the  dot-product")
    True
    """
    words = " ".join(re.findall(r"[a-z0-9]+", text.lower()))
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big") / 2**64


def stream(seed: int, name: str) -> "torch.Generator":
    """The random stream that belongs to `name` under `seed`: what else is drawn does not matter to it."""
    import torch  # here, since the miner of docstrings runs without it

    return torch.Generator().manual_seed(seed + int(unit_hash(name) * 2**48))
