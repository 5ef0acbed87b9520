"""BitFit: only the bias terms move."""

from dataclasses import dataclass

from torch import nn

from ftkit.adapted import Change, Dense, select


@dataclass(frozen=True)
class BitFit:
    """The bias terms move and nothing else: those of the linear layers and those of the layer norms (0.1 % of BERT-base).

    Ben Zaken, Ravfogel and Goldberg 2022, arXiv:2106.10199. The head is not a bias: give it a space of its own.

    Args:
        where: glob patterns over the names of the weights, with commas between; what fits and is no bias is an error.

    Raises:
        ValueError: from `changes`, if a pattern fits no weight (some bodies have no biases), or fits something else than biases.

    >>> list(BitFit("*.bias").changes(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))))
    ['0.bias', '1.bias']
    """

    where: str = "body.*.bias"

    def changes(self, model: nn.Module) -> dict[str, Change]:
        found = select(model, self.where)
        if others := [name for name in found if not name.endswith(".bias")]:
            raise ValueError(f"BitFit's where must fit biases alone, got {self.where!r}, which fits {others[0]}; end it with .bias")
        return {name: Dense(bias) for name, bias in found.items()}
