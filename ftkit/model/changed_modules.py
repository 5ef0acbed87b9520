"""How the modules of a network get to compute with changed weights.

The changed network is a twin of the base: new modules around the base's own tensors. Only the
modules that own a changed weight are touched, each in the cheapest way that its change allows:

1. In place of the weight. A `Dense` change holds the whole changed weight as its parameter. The
   twin's module gets this parameter instead of the base's. (In half precision the parameter has
   more bits than the weight, so way 2 is used.)
2. As an attribute. Reading the weight gives the changed weight: `module.weight` computes it. So
   whatever reads the weight gets the change: the module's own forward, another module, an output
   layer that borrows the table of an embedding, or a fused operation that reads the weights of
   several layers and calls none of their forwards.
3. By a short way, in addition. A `LinearChange` on a linear layer, or an `EmbeddingChange` on an
   embedding, computes the layer's answer without the whole changed weight. Its method takes the
   place of the forward of this one module.

For ways 2 and 3 the module gets a class of its own, derived from its class. Its attributes, hooks,
mode and children stay, so the code of the base around it (attention, residuals, methods of its own)
runs as it is written and knows nothing of changes.

Tied weights: two modules that share a weight in the base share one parameter object in the twin.
Changes are therefore looked up by the identity of the parameter, not by its name. Both modules get
the same `Change` object, so the weight stays tied while it changes.
"""

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import new_class
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from ftkit.model.change import Change, Dense, EmbeddingChange, LinearChange
from ftkit.model.delta import computed_tensors

Module = TypeVar("Module", bound=nn.Module)


def twin(base: Module, requires_grad: bool = False) -> Module:
    """Copy the module tree of `base` around the same weights: no weight gets memory of its own.

    The new parameters are objects of their own, so `requires_grad` and `.grad` of the base stay
    as they are. A weight that is tied in the base is tied in the twin. What a forward pass may
    write is copied: buffers, and the table of an embedding that rescales its rows (`max_norm`).

    Raises:
        ValueError: `base` is the changed network of an adaptation.
    """
    if any("_acting" in vars(module) for module in base.modules()):
        raise ValueError(
            f"a base must have plain weights, got the changed network {type(base).__name__} of an "
            "adaptation; use its merged()"
        )
    # deepcopy looks each object up in `memo` before it copies it. With every parameter in there, it
    # copies the rest alone.
    memo = computed_tensors(base)
    for buffer in base.buffers():
        memo[id(buffer)] = buffer.detach().clone()
    rescaled = {
        id(module.weight)
        for module in base.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm
    }
    for weight in base.parameters():
        value = weight.detach().clone() if id(weight) in rescaled else weight.detach()
        memo[id(weight)] = nn.Parameter(value, requires_grad=requires_grad)
    return copy.deepcopy(base, memo)


def changed_twin(
    base: Module, changes: Mapping[str, Change]
) -> tuple[Module, list[tuple[str, Tensor]]]:
    """A twin of `base` that computes with the changed weights.

    Returns:
        The twin, and the tensors that hold the old values of changed weights, each with its name.

    Raises:
        ValueError: a weight with a change is inside a module that was compiled to TorchScript.
    """
    _check_not_scripted(base, changes)
    net = twin(base)
    old: list[tuple[str, Tensor]] = [
        (name, weight)
        for module in (base, net)
        for name, weight in module.named_parameters()
        if name in changes
    ]
    change_of = {id(weight): changes[name] for name, weight in old}
    for module in net.modules():
        acting: dict[str, _Acting] = {}  # the changes that act when the module reads its weights
        for attribute, weight in module._parameters.items():
            change = change_of.get(id(weight))
            if weight is None or change is None:
                continue
            if isinstance(change, Dense) and change.value.dtype == weight.dtype:
                module._parameters[attribute] = change.value
            else:
                acting[attribute] = (change, weight.detach())
        if acting:
            _act(module, acting)
    return net, old


def _check_not_scripted(base: nn.Module, changes: Mapping[str, Change]) -> None:
    for path, module in base.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            inside = [name for name in changes if name.startswith(f"{path}." if path else "")]
            if inside:
                raise ValueError(
                    f"a weight with a change must be in a plain module, got {inside[0]!r} in the "
                    f"TorchScript module {path!r}; adapt the module that torch.jit was given"
                )


_Acting = tuple[Change, Tensor]
"""A change, and the weight in the base."""


def _act(module: nn.Module, acting: dict[str, _Acting]) -> None:
    """Let `module` compute with these changes of its weights."""
    forward = _short_way(module, acting["weight"][0]) if "weight" in acting else None
    # In the module's dictionary, so that a deep copy of the network refers to copied changes.
    vars(module)["_acting"] = acting
    kind: Any = type(module)
    module.__class__ = _changed_class(kind, tuple(acting), forward)


@lru_cache(maxsize=256)
def _changed_class(
    kind: Any, attributes: tuple[str, ...], forward: Callable[..., Any] | None
) -> Any:
    """A class like `kind` whose `attributes` are changed weights, and with another `forward`."""
    members: dict[str, Any] = {name: _changed_attribute(name) for name in attributes}
    if forward is not None:
        members["forward"] = forward
    members |= {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return new_class(kind.__name__, (kind,), exec_body=lambda body: body.update(members))


def _changed_attribute(name: str) -> property:
    def changed(module: Any) -> Tensor:
        change, weight = module._acting[name]
        try:
            return change.rounded(weight)
        except AttributeError as error:
            # nn.Module would take it for a missing attribute, and read the base's weight instead.
            raise RuntimeError(f"{type(change).__name__} has an error: {error}") from error

    return property(changed)


def _short_way(module: nn.Module, change: Change) -> Callable[..., Any] | None:
    """A forward that needs no changed weight, if change and module have one.

    It replaces the plain lookup or product alone: a subclass may do more in its forward, and so
    does an embedding that rescales its rows or its gradients.
    """
    if "forward" in vars(module):
        return None
    forward = type(module).forward
    if isinstance(change, LinearChange) and forward in (nn.Linear.forward, Conv1D.forward):
        return _linear_forward
    if (
        isinstance(change, EmbeddingChange)
        and forward is nn.Embedding.forward
        and not (module.max_norm or module.scale_grad_by_freq)
    ):
        return _embedding_forward
    return None


def _linear_forward(layer: Any, input: Tensor) -> Tensor:
    """The short way of a linear layer; its bias may have a change too."""
    change, weight = layer._acting["weight"]
    bias, device = layer.bias, input.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        # As autocast does for a plain linear layer; it does not know the products of the short way.
        dtype = torch.get_autocast_dtype(device)
        input, weight = input.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    # The answer gets its shape here, outside of the change's own backward pass. Some bodies
    # (DeBERTa, Swin v2) write into it, and autograd allows that for such a view alone.
    answer = change.linear(input.reshape(-1, input.shape[-1]), weight, bias)
    return answer.view(*input.shape[:-1], answer.shape[-1])


def _embedding_forward(layer: Any, input: Tensor) -> Tensor:
    """The short way of an embedding: only the rows that `input` asks for are changed."""
    change, weight = layer._acting["weight"]
    return change.embedding(input, weight, layer.padding_idx)


class RefuseOldWeights(TorchDispatchMode):
    """While active, refuse an operation on the base's value of a weight that has a change.

    Changes act where a module reads its weight as an attribute. Code that has got hold of the
    weight in another way (a list of parameters, a closure, the base itself) would compute with the
    old value. Such code cannot be found by looking at modules, but its operations show it. The mode
    sees operations below autograd and changes no answer.

    Args:
        old: the tensors that nothing may read, each with the name of its weight.
    """

    def __init__(self, old: list[tuple[str, Tensor]]) -> None:
        super().__init__()
        self._old = old  # keeps the tensors alive, so that no other tensor gets their ids
        self._names = {id(weight): name for name, weight in old}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        operation = func.__name__.partition(".")[0]
        # These two kinds read the shape and type of a tensor, not its values.
        if not operation.startswith("new_") and not operation.endswith("_like"):
            for value in _flat((*args, *(kwargs or {}).values())):
                if name := self._names.get(id(value)):
                    raise ValueError(
                        "a weight with a change must be read as an attribute of its module, got "
                        f"{operation!r} on the base's value of {name!r}; "
                        "let the code of the base read it from the module, or leave it out of where"
                    )
        return func(*args, **(kwargs or {}))


def _flat(values: Any) -> list[Any]:
    """The values, and those inside lists and tuples among them."""
    return [
        part
        for value in values
        for part in (_flat(value) if isinstance(value, list | tuple) else [value])
    ]
