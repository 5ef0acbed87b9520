"""BitFit: only the bias terms move. And biases for networks that were pretrained without."""

from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from ftkit.model.adapted import select, twin
from ftkit.model.change import Change, Dense

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class BitFit:
    """The bias terms move and nothing else: those of the linear layers and those of the layer norms (0.1 % of BERT-base).

    Ben Zaken, Ravfogel and Goldberg 2022, arXiv:2106.10199. The head is not a bias: give it a space of its own.

    Args:
        where: glob patterns over the names of the weights, with commas between; what fits and is no bias is an error.

    Raises:
        ValueError: from `changes`, if the model has no biases (`with_biases` adds some), a pattern fits no weight, or one fits something
            else than biases.

    >>> list(BitFit("*.bias").changes(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))))
    ['0.bias', '1.bias']
    """

    where: str = "body.*.bias"

    def changes(self, model: nn.Module) -> dict[str, Change]:
        if not any(
            name.endswith(".bias") and not name.startswith("heads.")
            for name, _ in model.named_parameters()
        ):
            raise ValueError(
                "BitFit's model must have biases below its heads, got one without any; with_biases(model) adds zeros to learn"
            )
        found = select(model, self.where)
        if others := [name for name in found if not name.endswith(".bias")]:
            raise ValueError(
                f"BitFit's where must fit biases alone, got {self.where!r}, which fits {others[0]}; end it with .bias"
            )
        return {name: Dense(bias) for name, bias in found.items()}


def with_biases(net: Module) -> Module:
    """`net` with a bias of zeros for every `nn.Linear` that has none: on the memory of `net`, which stays as it is, with its answers.

    What BitFit learns then is no pretrained bias but a new one, so the change cannot be laid on `net` itself, only on this.

    >>> wide = with_biases(nn.Sequential(nn.Linear(2, 3, bias=False)))
    >>> wide[0].bias.tolist()
    [0.0, 0.0, 0.0]
    """
    net = twin(net, requires_grad=True)
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.detach().new_zeros(layer.out_features))
    return net
