"""What was learned, as a value: the difference between two sets of weights, which can be added, scaled and laid on a base.

Arithmetic on such differences is due to Ilharco et al. 2023, "Editing Models with Task Arithmetic", arXiv:2212.04089.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class Delta(Mapping[str, Tensor]):
    """`{weight name: change of that weight}`, dense and detached; a weight that is not named did not change.

    >>> d = Delta({"w": torch.ones(2)})
    >>> (0.5 * d + d - d)["w"]
    tensor([0.5000, 0.5000])
    """

    def __init__(self, changed: Mapping[str, Tensor]) -> None:
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
        total = dict(self._changed)
        for name, value in other.items():
            total[name] = total[name] + value if name in total else value
        return Delta(total)

    def __mul__(self, factor: float) -> "Delta":
        return Delta({name: factor * value for name, value in self.items()})

    __rmul__ = __mul__

    def __neg__(self) -> "Delta":
        return self * -1.0

    def __sub__(self, other: "Delta") -> "Delta":
        return self + -other

    def norm(self) -> float:
        """The Euclidean length of the whole change."""
        return float(sum(float(value.double().square().sum()) for value in self.values()) ** 0.5)

    def on(self, base: Module) -> Module:
        """A copy of `base` with this change added to its weights, in float32 or better and rounded once; `base` stays as it was.

        Raises:
            ValueError: a weight of the change is missing in `base` or has another shape; all of them are named.
        """
        weights = dict(base.named_parameters(remove_duplicate=False))
        shapes = {
            name: tuple(weights[name].shape) if name in weights else "missing" for name in self
        }
        wrong = [
            f"{n} is {shapes[n]} there and {tuple(v.shape)} here"
            for n, v in self.items()
            if shapes[n] != tuple(v.shape)
        ]
        if wrong:
            raise ValueError(
                f"a delta must fit the weights of its base, got: {'; '.join(wrong)}; use the base it was learned on"
            )
        moved = copy.deepcopy(base)
        targets = dict(moved.named_parameters(remove_duplicate=False))
        with torch.no_grad():
            for name, value in self.items():
                targets[name].copy_(wide(targets[name]) + wide(value.to(targets[name].device)))
        return moved


def wide(value: Tensor) -> Tensor:
    """The numbers in float32 if they have fewer bits: in half precision a small change is lost beside its weight."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def formed(weight: Tensor, change: nn.Module, beside: bool) -> tuple[Tensor, Tensor]:
    """The weight and the changed weight, detached and wide. `beside` says that the change acts beside the weight and is never rounded to
    its precision, so that it is formed in float32 too; any other is formed as the model forms it in each pass."""
    before = wide(weight.detach())
    with torch.no_grad():
        if beside and before.dtype != weight.dtype:
            return before, copy.deepcopy(change).to(before)(before).detach()
        return before, wide(change(weight).detach())
