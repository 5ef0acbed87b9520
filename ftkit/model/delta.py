"""`Delta`: a learned change as a value, which can be added, scaled and applied to a base.

It is the difference between two sets of weights. Ilharco et al. 2023, "Editing Models with Task
Arithmetic", arXiv:2212.04089, introduced arithmetic on such differences.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ftkit import checks
from ftkit.model.change import at_least_float32

Module = TypeVar("Module", bound=nn.Module)


MOST_FACTOR = 1e30
"""Of a delta; times more than that, float32 overflows."""


class Delta(Mapping[str, Tensor]):
    """`{weight name: change of that weight}`, dense and detached.

    A weight that is not in it did not change. If training moved buffers, such as the running mean
    of a `BatchNorm`, it has their differences too, by their names.

    >>> d = Delta({"w": torch.ones(2)})
    >>> (0.5 * d + d - d)["w"]
    tensor([0.5000, 0.5000])
    """

    __array_ufunc__ = None  # lets numpy leave 0.5 * delta to the delta

    def __init__(self, changed: Mapping[str, Tensor]) -> None:
        if not isinstance(changed, Mapping):
            raise ValueError(
                "a delta must be made of {weight name: tensor}, "
                f"got {checks.shown(changed)}; model.delta() makes one"
            )
        for name, value in changed.items():
            advice = "model.delta() makes a delta"
            checks.instance(f"the change of {name!r}", value, Tensor, "a tensor", advice)
        self._changed = {name: value.detach() for name, value in changed.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self._changed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._changed)

    def __len__(self) -> int:
        return len(self._changed)

    def __repr__(self) -> str:
        return f"Delta of {len(self)} weights, norm {self.norm():.3g}"

    def __add__(self, other: "Delta") -> "Delta":
        checks.instance("the other", other, Delta, "a Delta", "scale one with a number times it")
        total = dict(self._changed)
        for name, value in other.items():
            total[name] = total[name] + value if name in total else value
        return Delta(total)

    def __mul__(self, factor: float) -> "Delta":
        if isinstance(factor, Tensor) and factor.ndim == 0:
            factor = factor.item()
        checks.number(
            "the factor", factor, -MOST_FACTOR, MOST_FACTOR, advice="0.5 * delta is half of it"
        )
        scale = float(factor)  # torch takes no whole numbers above 2**63
        return Delta({name: scale * value for name, value in self.items()})

    __rmul__ = __mul__

    def __neg__(self) -> "Delta":
        return self * -1.0

    def __sub__(self, other: "Delta") -> "Delta":
        checks.instance("the other", other, Delta, "a Delta", "scale one with a number times it")
        return self + -other

    def norm(self) -> float:
        """The Euclidean norm of the whole change."""
        return float(sum(float(value.double().square().sum()) for value in self.values()) ** 0.5)

    def on(self, base: Module) -> Module:
        """Copy `base` and add this change to the weights (and buffers) of the copy.

        Each sum is formed in float32 or better and rounded once. `base` stays as it is.

        Raises:
            ValueError: a weight of the change is missing in `base` or has another shape; all of
                them are named.
        """
        checks.instance("base", base, nn.Module, "a network", "load_base('mini', task) is one")
        self._check_fits(base)
        moved = copied(base)
        weights = _tensors(moved)
        with torch.no_grad():
            for name, value in self.items():
                weight = weights[name]
                weight.copy_(at_least_float32(weight) + at_least_float32(value.to(weight.device)))
        return moved

    def _check_fits(self, base: nn.Module) -> None:
        weights = _tensors(base)
        misfits = []
        for name, value in self.items():
            there = tuple(weights[name].shape) if name in weights else "missing"
            here = tuple(value.shape)
            if there != here:
                misfits.append(f"{name} is {there} there and {here} here")
        if misfits:
            raise ValueError(
                f"a delta must fit the weights of its base, got: {'; '.join(misfits)}; "
                "use the base it was learned on"
            )


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    """The weights and buffers of a network, by each of their names."""
    return {
        **dict(net.named_buffers(remove_duplicate=False)),
        **dict(net.named_parameters(remove_duplicate=False)),
    }


def copied(net: Module) -> Module:
    """Copy a network, with memory of its own."""
    return copy.deepcopy(net, computed_tensors(net))


def computed_tensors(net: nn.Module) -> dict[int, Any]:
    """A memo for `deepcopy`: copies of the tensors that modules computed and keep as attributes.

    `weight_norm` keeps such a tensor. `deepcopy` refuses those that autograd computed, although the
    next forward pass computes them again.
    """
    return {
        id(value): value.detach().clone()
        for module in net.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
