"""BitFit: only the bias terms are trainable. And biases for networks pretrained without them."""

from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from ftkit import checks
from ftkit.model.adapted import linear_layers, select, twin, used_weights
from ftkit.model.change import Change, Dense

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class BitFit:
    """Train the bias terms alone: those of linear layers and layer norms (0.1 % of BERT-base).

    Ben Zaken, Ravfogel and Goldberg 2022, arXiv:2106.10199. Starts at the base exactly; merges. The
    head is not part of it: give it a space of its own.

    Args:
        where: glob patterns over the names of the weights, separated by commas; each match must be
            a bias.

    Raises:
        ValueError: from `changes`, if the model has no biases (`with_biases` adds some), a pattern
            matches no weight, or one matches something that is not a bias.

    >>> list(BitFit("*.bias").changes(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))))
    ['0.bias', '1.bias']
    """

    where: str = "body.*.bias"

    def __post_init__(self) -> None:
        checks.patterns("where", self.where)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        if not any(
            name.endswith(".bias") and not name.startswith("heads.") for name in used_weights(model)
        ):
            raise ValueError(
                "BitFit's model must have biases below its heads, got one without any; "
                "with_biases(model) adds trainable zeros"
            )
        selected = select(model, self.where)
        if others := [name for name in selected if not name.endswith(".bias")]:
            raise ValueError(
                f"BitFit's where must match biases alone, got {self.where!r}, "
                f"which matches {others[0]}; end it with .bias"
            )
        return {name: Dense(bias) for name, bias in selected.items()}


def with_biases(net: Module) -> Module:
    """Return `net` with a bias of zeros for every used `nn.Linear` that has none.

    The new net shares its memory with `net`, gives the same answers, and does not change `net`.
    BitFit then trains new biases, not pretrained ones, so a delta can be added to the new net, not
    to `net` itself.

    Raises:
        ValueError: `net` is no network.

    >>> wide = with_biases(nn.Sequential(nn.Linear(2, 3, bias=False)))
    >>> wide[0].bias.tolist()
    [0.0, 0.0, 0.0]
    """
    checks.instance("net", net, nn.Module, "a network", "load_base('mini', task) is one")
    net = twin(net, requires_grad=True)
    for layer in linear_layers(net).values():
        if isinstance(layer, nn.Linear) and layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.detach().new_zeros(layer.out_features))
    return net
