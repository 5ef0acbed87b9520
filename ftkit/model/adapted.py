"""The space slot: where may the change live? `Adapted(base, *spaces)` is the base plus a change; the base itself is never written.

    minimise over phi:  E over batches of  L( f(x; theta0 + delta(phi)), batch )

A `Space` names the weights that may change and gives each a `Change`; `Adapted` owns the changes' numbers, phi, and nothing else. Its
network is a private twin of the base's module tree on the base's own memory: a weight with a `Dense` change is replaced by that
change's parameter, a linear layer or an embedding with a cheap change (low-rank, or few entries) acts by its own short way, and
everything else is recomputed from base and change at each call.
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
from ftkit.model.delta import Delta, formed
from ftkit.seeding import stream

Module = TypeVar("Module", bound=nn.Module)


def select(model: nn.Module, where: str) -> dict[str, nn.Parameter]:
    """The weights of `model` whose name fits one of the comma-separated glob patterns in `where`; a tied weight is listed once.

    Raises:
        ValueError: a pattern fits no weight, and the nearest names are given; or `where` is no text.
    """
    if not isinstance(where, str):
        raise ValueError(
            f"where must be a text, patterns with commas between, got {where!r}; 'body.*' is the whole body"
        )
    first = {id(weight): name for name, weight in model.named_parameters()}
    every = dict(model.named_parameters(remove_duplicate=False))
    found: dict[str, nn.Parameter] = {}
    for pattern in (part.strip() for part in where.split(",")):
        fitting = fnmatch.filter(every, pattern)
        if not fitting:
            near = get_close_matches(pattern, every, n=3, cutoff=0.3) or list(every)[:3]
            raise ValueError(f"no weight fits {pattern!r}; the nearest names are {', '.join(near)}")
        found.update({first[id(every[name])]: every[name] for name in fitting})
    return {name: found[name] for name in first.values() if name in found}


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """`{weight name: layer}` of every linear layer of `model` (`nn.Linear`, or GPT-2's `Conv1D`, which stores its weight transposed)."""
    return {
        f"{name}.weight": layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D)
    }


def twin(base: Module, requires_grad: bool = False) -> Module:
    """A copy of the module tree of `base` that stands on the same memory: new layers, no new numbers."""
    memo: dict[int, Any] = {id(t): t for t in base.buffers()}
    memo |= {
        id(p): nn.Parameter(p.detach(), requires_grad=requires_grad) for p in base.parameters()
    }
    return copy.deepcopy(base, memo)


class Adapted(nn.Module):
    """`base` plus the changes of `spaces`. Call it as the base is called.

    Args:
        base: any module; it is shared, not copied, and never written.
        spaces: where the change may live; two spaces may not change the same weight. None means everything may move.
        seed: decides the starting values of changes that start at random; each weight has a random stream of its own.

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
        self.phi = _tree(self.changes)
        # In a tuple, so that neither module belongs to this one: state_dict() and parameters() are phi alone.
        self._nets = (base, _changed_twin(base, self.changes))
        self.eval()

    @property
    def base(self) -> Any:
        """The module under the change."""
        return self._nets[0]

    @property
    def net(self) -> Any:
        """The changed network: the base's classes and methods, on the base's memory, with the changes in place."""
        return self._nets[1]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.net(*args, **kwargs)

    def __repr__(self) -> str:
        trainable = sum(p.numel() for p in self.parameters())
        return f"Adapted({type(self.base).__name__}, {', '.join(map(repr, self.spaces))}): {trainable:,} numbers may move"

    def trainable(self, prefix: str = "") -> list[nn.Parameter]:
        """The numbers that train, of the weights whose name starts with `prefix`."""
        return [
            p
            for name, change in self.changes.items()
            if name.startswith(prefix)
            for p in change.parameters()
        ]

    def moves(self, prefix: str) -> bool:
        """Whether any weight whose name starts with `prefix` may move."""
        return any(name.startswith(prefix) for name in self.changes)

    def changed(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, weight in the base, weight now), detached and in float32 or better, for each weight that may move."""
        weights = dict(self.base.named_parameters())
        for name, change in self.changes.items():
            yield name, *formed(weights[name], change, beside=isinstance(change, LinearChange))

    def delta(self) -> Delta:
        """What was learned so far, as a value of its own."""
        return Delta({name: now - before for name, before, now in self.changed()})

    def merged(self) -> Any:
        """A plain copy of the base with the change written into its weights, rounded once; no trace of the spaces is left."""
        net = copy.deepcopy(self.base)
        weights = dict(net.named_parameters())
        with torch.no_grad():
            for name, _, now in self.changed():
                weights[name].copy_(now)
        return net


def _tree(changes: dict[str, Change]) -> nn.Module:
    """The changes as nested modules, so that the names in `state_dict()` are the names of the weights."""
    root = nn.Module()
    for name, change in changes.items():
        node, (*path, last) = root, name.split(".")
        for part in path:
            if part not in node._modules:
                node.add_module(part, nn.Module())
            node = node.get_submodule(part)
        node.add_module(last, change)
    return root


def _changed_twin(base: Module, changes: dict[str, Change]) -> Module:
    """A twin of `base` that computes with the changed weights; a weight tied in the base is changed in all its places."""
    net = twin(base)
    by_memory = {
        id(weight): changes[name] for name, weight in net.named_parameters() if name in changes
    }
    for module in net.modules():
        own = {
            attr: by_memory[id(w)]
            for attr, w in module._parameters.items()
            if w is not None and id(w) in by_memory
        }
        for attr, change in own.items():
            if isinstance(change, Dense):
                module._parameters[attr] = change.value
        if computed := {
            attr: change for attr, change in own.items() if not isinstance(change, Dense)
        }:
            module.forward = _changed_forward(module, computed)  # type: ignore[method-assign]
    return net


def _changed_forward(module: nn.Module, changes: dict[str, Change]) -> Callable[..., Any]:
    """The forward of `module` with some of its weights changed: by the short way where the change has one."""
    change = changes.get("weight")
    if isinstance(module, nn.Linear | Conv1D) and isinstance(change, LinearChange):
        beside = changes.get("bias", lambda bias: bias)
        return lambda x: change.linear(x, module.weight, beside(module.bias))
    if (
        type(module) is nn.Embedding
        and isinstance(change, EmbeddingChange)
        and not (module.max_norm or module.scale_grad_by_freq)
    ):
        return lambda ids: change.embedding(ids, module.weight, module.padding_idx)
    plain = copy.copy(module)

    def forward(*args: Any, **kwargs: Any) -> Any:
        now = {attr: c(getattr(module, attr)) for attr, c in changes.items()}
        return functional_call(plain, now, args, kwargs)

    return forward
