"""The space slot: where may the change live?

    minimise over phi:  E over batches of  L( f(x; theta0 + delta(phi)), batch )

`Adapted(base, *spaces)` is the base plus a change. A `Space` names the weights that may change and
gives each of them a `Change`. `Adapted` owns the parameters of these changes, phi, and nothing
else: the base, theta0, is shared and never written. README.md explains how.
"""

import copy
import fnmatch
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers.pytorch_utils import Conv1D

from ftkit.model.change import Change, Dense, EmbeddingChange, LinearChange, Space
from ftkit.model.delta import Delta, before_and_after
from ftkit.seeding import stream

Module = TypeVar("Module", bound=nn.Module)
Forward = Callable[..., Any]


def select(model: nn.Module, where: str) -> dict[str, nn.Parameter]:
    """Select the weights of `model` whose names match `where`.

    Args:
        where: glob patterns over the names of the weights, with commas between. A tied weight has
            several names; each of them matches, and the weight is listed once, by its first name.

    Returns:
        `{weight name: weight}`, in the order of the model.

    Raises:
        ValueError: a pattern matches no weight (the nearest names are given), or `where` is no
            string.
    """
    if not isinstance(where, str):
        raise ValueError(
            f"where must be a string of patterns with commas between, got {where!r}; "
            "'body.*' is the whole body"
        )
    first_name = {id(weight): name for name, weight in model.named_parameters()}
    by_any_name = dict(model.named_parameters(remove_duplicate=False))
    selected: dict[str, nn.Parameter] = {}
    for pattern in (part.strip() for part in where.split(",")):
        matches = fnmatch.filter(by_any_name, pattern)
        if not matches:
            near = get_close_matches(pattern, by_any_name, n=3, cutoff=0.3) or list(by_any_name)[:3]
            raise ValueError(f"no weight fits {pattern!r}; the nearest names are {', '.join(near)}")
        for name in matches:
            weight = by_any_name[name]
            selected[first_name[id(weight)]] = weight
    return {name: selected[name] for name in first_name.values() if name in selected}


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """All linear layers of `model`, by the names of their weights.

    A linear layer is an `nn.Linear`, or GPT-2's `Conv1D`, which stores its weight transposed.
    """
    return {
        f"{name}.weight": layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D)
    }


def twin(base: Module, requires_grad: bool = False) -> Module:
    """Copy the module tree of `base` without its memory: new modules around the same tensors.

    The new parameters are objects of their own, so `requires_grad` and `.grad` of the base stay
    as they are. A weight that is tied in the base is tied in the twin.
    """
    # deepcopy looks each object up in `memo` before it copies it. With every buffer and parameter
    # in there, it copies the modules alone.
    memo: dict[int, Any] = {id(buffer): buffer for buffer in base.buffers()}
    for weight in base.parameters():
        memo[id(weight)] = nn.Parameter(weight.detach(), requires_grad=requires_grad)
    return copy.deepcopy(base, memo)


class Adapted(nn.Module):
    """`base` plus the changes of `spaces`. Call it as you call the base.

    Args:
        base: any module; it is shared, not copied, and never written.
        spaces: where the change may live; two spaces may not change the same weight. Without any,
            all weights are trainable.
        seed: decides the starting values of changes that start at random; each weight has a random
            stream of its own.

    Raises:
        ValueError: two spaces change the same weight.
    """

    def __init__(self, base: nn.Module, *spaces: Space, seed: int = 0) -> None:
        super().__init__()
        self.changes: dict[str, Change] = {}
        self.spaces, self.seed = spaces, seed
        owner: dict[str, Space] = {}
        for space in spaces:
            for name, change in space.changes(base).items():
                if name in owner:
                    raise ValueError(
                        f"both {owner[name]} and {space} change {name!r}; narrow one of them"
                    )
                owner[name], self.changes[name] = space, change
        if not spaces:
            self.changes = {name: Dense(weight) for name, weight in base.named_parameters()}
        for name, change in self.changes.items():
            change.draw(stream(seed, name))
        self.phi = _module_tree(self.changes)
        # In a tuple, so that PyTorch does not register the two networks as submodules:
        # state_dict() and parameters() of this module are phi alone.
        self._nets = (base, _changed_twin(base, self.changes))
        self.eval()

    @property
    def base(self) -> Any:
        """The network without the change."""
        return self._nets[0]

    @property
    def net(self) -> Any:
        """The changed network: the classes, methods and memory of the base, plus the changes."""
        return self._nets[1]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.net(*args, **kwargs)

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.parameters())
        spaces = ", ".join(map(repr, self.spaces))
        return f"Adapted({type(self.base).__name__}, {spaces}): {count:,} trainable parameters"

    def trainable(self, prefix: str = "") -> list[nn.Parameter]:
        """The trainable parameters of the weights whose names start with `prefix`."""
        return [
            parameter
            for name, change in self.changes.items()
            if name.startswith(prefix)
            for parameter in change.parameters()
        ]

    def trains(self, prefix: str) -> bool:
        """Whether this model changes any weight whose name starts with `prefix`."""
        return any(name.startswith(prefix) for name in self.changes)

    def changed(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield (name, weight in the base, weight now) for each weight that has a change.

        The tensors are detached, and in float32 or better.
        """
        weights = dict(self.base.named_parameters())
        for name, change in self.changes.items():
            unrounded = isinstance(change, LinearChange)
            yield name, *before_and_after(weights[name], change, unrounded)

    def delta(self) -> Delta:
        """The learned change so far, as a value of its own."""
        return Delta({name: now - before for name, before, now in self.changed()})

    def merged(self) -> Any:
        """A plain copy of the base with the change added to its weights.

        Each sum is formed in float32 or better and rounded once. The copy knows nothing of spaces.
        """
        net = copy.deepcopy(self.base)
        weights = dict(net.named_parameters())
        with torch.no_grad():
            for name, _, now in self.changed():
                weights[name].copy_(now)
        return net


def _module_tree(changes: dict[str, Change]) -> nn.Module:
    """Nest the changes in modules: keys of its `state_dict()` start with the names of weights."""
    root = nn.Module()
    for name, change in changes.items():
        node, (*path, last) = root, name.split(".")
        for part in path:
            if part not in node._modules:
                node.add_module(part, nn.Module())
            node = node.get_submodule(part)
        node.add_module(last, change)
    return root


# Three ways in which a change acts
# ---------------------------------
# The changed network is a twin of the base: new modules around the base's own tensors. Only the
# modules that own a changed weight are touched, each in the cheapest way that its change allows:
#
# 1. In place of the weight. A `Dense` change holds the whole changed weight as its parameter. The
#    twin's module gets this parameter instead of the base's, and keeps its own forward.
# 2. By a short way. A `LinearChange` on a linear layer, or an `EmbeddingChange` on an embedding,
#    computes the layer's answer without an autograd graph through the changed weight. Its method
#    replaces the forward of this one module.
# 3. In general. Any other change is a function of the weight. In each call the module computes the
#    changed weight and runs its class's forward on it; autograd does the rest.
#
# The module's class, attributes and children stay, so the code of the base around it (attention,
# residuals, methods of its own) runs as it is written and knows nothing of changes.
#
# Tied weights: two modules that share a weight in the base share one parameter object in the twin.
# Changes are therefore looked up by the identity of the parameter, not by its name. Both modules
# get the same `Change` object, so the weight stays tied while it changes.


def _changed_twin(base: Module, changes: dict[str, Change]) -> Module:
    """A twin of `base` that computes with the changed weights."""
    net = twin(base)
    change_of = {
        id(weight): changes[name] for name, weight in net.named_parameters() if name in changes
    }
    for module in net.modules():
        acting: dict[str, Change] = {}  # the changes of this module that act in its forward
        for attribute, weight in module._parameters.items():
            change = change_of.get(id(weight))
            if isinstance(change, Dense):
                module._parameters[attribute] = change.value
            elif change is not None:
                acting[attribute] = change
        if acting:
            module.forward = _changed_forward(module, acting)  # type: ignore[method-assign]
    return net


def _changed_forward(module: nn.Module, changes: dict[str, Change]) -> Forward:
    """A forward for `module` with these changes of its weights: the short way if there is one."""
    change = changes.get("weight")
    if isinstance(module, nn.Linear | Conv1D) and isinstance(change, LinearChange):
        return _linear_forward(module, change, changes.get("bias"))
    # The short way of an embedding looks rows up and does nothing else. A subclass may do more, and
    # so does an embedding that rescales its rows or its gradients.
    if (
        type(module) is nn.Embedding
        and isinstance(change, EmbeddingChange)
        and not (module.max_norm or module.scale_grad_by_freq)
    ):
        return _embedding_forward(module, change)
    return _general_forward(module, changes)


def _linear_forward(
    layer: nn.Linear | Conv1D, change: LinearChange, bias_change: Change | None
) -> Callable[[Tensor], Tensor]:
    """The short way of a linear layer; its bias may have a change too.

    A `Dense` change of the bias is no `bias_change`: its value is `layer.bias` already.
    """

    def forward(x: Tensor) -> Tensor:
        bias = bias_change(layer.bias) if bias_change is not None else layer.bias
        return change.linear(x, layer.weight, bias)

    return forward


def _embedding_forward(layer: nn.Embedding, change: EmbeddingChange) -> Callable[[Tensor], Tensor]:
    """The short way of an embedding: only the rows that `ids` ask for are changed."""

    def forward(ids: Tensor) -> Tensor:
        return change.embedding(ids, layer.weight, layer.padding_idx)

    return forward


def _general_forward(module: nn.Module, changes: dict[str, Change]) -> Forward:
    """The way of any change: form the changed weights, then run the module's forward on them."""
    # A shallow copy from before `forward` is replaced: it still has the forward of its class, and
    # shares parameters and children with `module`. Calling `module` here would recurse forever.
    original = copy.copy(module)

    def forward(*args: Any, **kwargs: Any) -> Any:
        changed = {
            attribute: change(getattr(module, attribute)) for attribute, change in changes.items()
        }
        return functional_call(original, changed, args, kwargs)

    return forward
