"""The space slot: where may the change live?

    minimise over phi:  E over batches of  L( f(x; theta0 + delta(phi)), batch )

`Adapted(base, *spaces)` is the base plus a change. A `Space` names the weights that may change and
gives each of them a `Change`. `Adapted` owns the parameters of these changes, phi, and nothing
else: the base, theta0, is shared and never written. README.md explains how.
"""

import fnmatch
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ftkit import checks
from ftkit.model.belonging import differences, facts
from ftkit.model.change import Change, Dense, Space, at_least_float32, float32_or_better
from ftkit.model.changed_modules import RefuseOldWeights, changed_twin
from ftkit.model.changed_modules import twin as twin
from ftkit.model.delta import Delta, copied
from ftkit.seeding import stream
from ftkit.storage import whole_file


def used_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """All weights of `model` by name, without those that take no part in its answer.

    A `Net` names these in its `unused_weights`. To change them would cost and change nothing.
    """
    unused = getattr(model, "unused_weights", ())
    return {name: weight for name, weight in model.named_parameters() if name not in unused}


def select(model: nn.Module, where: str) -> dict[str, nn.Parameter]:
    """Select the weights of `model` whose names match `where`.

    Args:
        where: glob patterns over the names of the weights, with commas between. A tied weight has
            several names; each of them matches, and the weight is listed once, by its first name.

    Returns:
        `{weight name: weight}`, in the order of the model, without the weights that take no part in
        the model's answer.

    Raises:
        ValueError: a pattern matches no weight (the nearest names are given), or only weights that
            take no part in the answer; or `where` is no string.
    """
    if not isinstance(where, str):
        raise ValueError(
            f"where must be a string of patterns with commas between, got {where!r}; "
            "'body.*' is the whole body"
        )
    first_name = {id(weight): name for name, weight in used_weights(model).items()}
    by_any_name = dict(model.named_parameters(remove_duplicate=False))
    selected: dict[str, nn.Parameter] = {}
    for pattern in (part.strip() for part in where.split(",")):
        matches = fnmatch.filter(by_any_name, pattern)
        if not matches:
            near = get_close_matches(pattern, by_any_name, n=3, cutoff=0.3) or list(by_any_name)[:3]
            raise ValueError(f"no weight fits {pattern!r}; the nearest names are {', '.join(near)}")
        used = [by_any_name[name] for name in matches if id(by_any_name[name]) in first_name]
        if not used:
            raise ValueError(
                f"where must fit weights that take part in the answer, got {pattern!r}, which fits "
                f"unused ones alone, such as {matches[0]}; leave it out"
            )
        for weight in used:
            selected[first_name[id(weight)]] = weight
    return {name: selected[name] for name in first_name.values() if name in selected}


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """All linear layers of `model` that take part in its answer, by the names of their weights.

    A linear layer is an `nn.Linear`, or GPT-2's `Conv1D`, which stores its weight transposed. A
    layer that computes its weight from others (`weight_norm`) has no weight of its own.
    """
    unused = getattr(model, "unused_weights", ())
    return {
        f"{name}.weight".removeprefix("."): layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D)
        and "weight" in layer._parameters
        and f"{name}.weight" not in unused
    }


class Adapted(nn.Module):
    """`base` plus the changes of `spaces`. Call it as you call the base.

    It starts in the mode of the base (training or evaluation); `train()` and `eval()` set the mode
    of the changed network, not of the base. It stays on the device and in the dtype of the base;
    the parameters of the changes are in float32 or better (see `Change`).

    Args:
        base: any module; it is shared, not copied, and never written.
        spaces: where the change may live; two spaces may not change the same weight. Without any,
            all weights are trainable.
        seed: decides the starting values of changes that start at random; each weight has a random
            stream of its own.

    Raises:
        ValueError: two spaces change the same weight, an argument is of another kind, or a weight
            cannot change because its module is compiled to TorchScript; in the first call, if code
            of the base reads the weight in a way that does not see the change.
    """

    def __init__(self, base: nn.Module, *spaces: Space, seed: int = 0) -> None:
        super().__init__()
        checks.instance("base", base, nn.Module, "a network", "load_base('mini', task) is one")
        for space in spaces:
            if isinstance(space, type) or not hasattr(space, "changes"):
                raise ValueError(
                    f"each space must be an object such as LoRA(4), got {checks.shown(space)}; "
                    "pass spaces one by one, each made by a call of its class"
                )
        checks.seed(seed)
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
            self.changes = {name: Dense(weight) for name, weight in used_weights(base).items()}
        weights = dict(base.named_parameters())
        for name, change in self.changes.items():
            # Before the draw: random starting values are the same for every dtype of the base.
            change.to(float32_or_better(weights[name].dtype))
            change.draw(stream(seed, name))
        self.phi = _module_tree(self.changes)
        # In a tuple, so that PyTorch does not register the two networks as submodules:
        # state_dict() and parameters() of this module are phi alone.
        net, old = changed_twin(base, self.changes)
        self._nets = (base, net)
        self._old = old  # until the first call
        super().train(base.training)

    @property
    def base(self) -> Any:
        """The network without the change."""
        return self._nets[0]

    @property
    def net(self) -> Any:
        """The changed network: the methods and memory of the base, plus the changes."""
        return self._nets[1]

    def train(self, mode: bool = True) -> "Adapted":
        """Set the mode of the changed network; that of the base stays."""
        super().train(mode)
        self.net.train(mode)
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self._old or torch.compiler.is_compiling():
            return self.net(*args, **kwargs)
        with RefuseOldWeights(self._old):
            answer = self.net(*args, **kwargs)
        self._old = []
        return answer

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.parameters())
        spaces = ", ".join(map(repr, self.spaces))
        return f"Adapted({type(self.base).__name__}, {spaces}): {count:,} trainable parameters"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Adapted":
        """Refuse to move the changes alone: `to`, `cuda`, `half` and the like call this."""
        weight = next(self.base.parameters(), None)
        if weight is not None and fn(weight) is not weight:
            raise ValueError(
                "an Adapted must stay on the device and in the dtype of its base, got a move to "
                "another; move the base first: Adapted(base.to(...), ...)"
            )
        return self

    def trainable(self, prefix: str = "") -> list[nn.Parameter]:
        """The trainable parameters of the weights whose names start with `prefix`."""
        checks.text("prefix", prefix)
        return [
            parameter
            for name, change in self.changes.items()
            if name.startswith(prefix)
            for parameter in change.parameters()
        ]

    def trains(self, prefix: str) -> bool:
        """Whether this model changes any weight whose name starts with `prefix`."""
        checks.text("prefix", prefix)
        return any(name.startswith(prefix) for name in self.changes)

    def changed(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield (name, weight in the base, weight now) for each weight that has a change.

        The tensors are detached, and in float32 or better: a weight is not rounded to the dtype of
        the base, where a small change would be lost.
        """
        weights = dict(self.base.named_parameters())
        for name, change in self.changes.items():
            before = at_least_float32(weights[name].detach())
            with torch.no_grad():
                now = change(before).detach()
            yield name, before, now

    def moved_buffers(self) -> dict[str, Tensor]:
        """The buffers that forward passes have written, as they are now, by each of their names.

        For example the running statistics of a `BatchNorm` in training mode.
        """
        before = dict(self.base.named_buffers(remove_duplicate=False))
        return {
            name: now
            for name, now in self.net.named_buffers(remove_duplicate=False)
            if name not in before or not torch.equal(before[name], now)
        }

    def delta(self) -> Delta:
        """The learned change so far, as a value of its own; it includes moved buffers.

        Raises:
            ValueError: a forward pass gave a buffer another shape.
        """
        difference = {name: now - before for name, before, now in self.changed()}
        buffers = dict(self.base.named_buffers(remove_duplicate=False))
        for name, now in self.moved_buffers().items():
            if name not in buffers or buffers[name].shape != now.shape:
                raise ValueError(
                    f"a buffer must keep its shape for a delta, got {name!r} with "
                    f"{tuple(now.shape)}; use merged()"
                )
            difference[name] = at_least_float32(now) - at_least_float32(buffers[name])
        return Delta(difference)

    def merged(self) -> Any:
        """A plain copy of the base with the change added to its weights.

        Each sum is formed in float32 or better and rounded once. The copy knows nothing of spaces.
        It has the buffers and the mode of this model.
        """
        net = copied(self.base)
        weights = dict(net.named_parameters())
        with torch.no_grad():
            for name, _, now in self.changed():
                weights[name].copy_(now)
        give_buffers_and_mode(self.net, net)
        return net

    # What is saved
    # -------------
    # The state is phi, and the buffers that differ from the base's. What it belongs to goes with it
    # as metadata, which PyTorch keeps beside the tensors of a state: `torch.save` stores it, and
    # `save` writes it into the header of its file.

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, value in self.moved_buffers().items():
            path, _, attribute = name.rpartition(".")
            if attribute not in self.net.get_submodule(path)._non_persistent_buffers_set:
                destination[f"{prefix}{_BUFFERS}{name}"] = value if keep_vars else value.detach()
        destination._metadata[prefix[:-1]]["belongs to"] = self._belongs_to()

    def _belongs_to(self) -> dict[str, Any]:
        return {"spaces": repr(list(self.spaces)), "facts": facts(self.base, self.changes)}

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any
    ) -> None:
        # Before anything is written: an error leaves the model as it was.
        if local_metadata.get("assign_to_params_buffers"):
            raise ValueError(
                "the parameters must stay the objects that the network computes with, got "
                "assign=True; load with assign=False, which copies the values"
            )
        self._check_belongs(local_metadata.get("belongs to"))
        self._check_positions(state_dict, prefix)
        saved = {
            key.removeprefix(prefix + _BUFFERS): state_dict.pop(key)
            for key in list(state_dict)
            if key.startswith(prefix + _BUFFERS)
        }
        base = dict(self.base.named_buffers(remove_duplicate=False))
        for name, now in self.net.named_buffers(remove_duplicate=False):
            value = saved.pop(name, base.get(name))
            if value is not None:
                _set_buffer(self.net, name, value.to(now))
        state_dict.update({f"{prefix}{_BUFFERS}{name}": value for name, value in saved.items()})
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def _check_belongs(self, saved: dict[str, Any] | None) -> None:
        if saved is None:
            return
        here = self._belongs_to()
        if found := differences(saved["facts"], here["facts"]):
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise ValueError(
                f"a state must belong to its model, got one of {saved['spaces']} for "
                f"{here['spaces']}: {found[0]}{more}; adapt the base of the state with its spaces"
            )

    def _check_positions(self, state: dict[str, Tensor], prefix: str) -> None:
        """Refuse a state with other whole numbers: those of a `Sparse` say which entries train."""
        for name, ours in self.phi.named_buffers():
            theirs = state.get(f"{prefix}phi.{name}")
            if theirs is None or ours.is_floating_point() or theirs.shape != ours.shape:
                continue
            if not torch.equal(theirs.to(ours), ours):
                raise ValueError(
                    f"a state must have the positions of its model, got others in {name!r}; "
                    "adapt with the space of the state, or with Chosen of its positions"
                )

    def save(self, path: str | Path) -> None:
        """Write the state to a safetensors file, and what it belongs to.

        `save_file` of safetensors writes the tensors alone; then nothing but their shapes and
        positions can be checked when they are loaded.
        """
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        with whole_file(Path(path)) as new:
            save_file(tensors, new, metadata={"belongs to": json.dumps(self._belongs_to())})

    def load(self, path: str | Path) -> None:
        """Load the state from a file that `save` wrote.

        Raises:
            ValueError: the state belongs to another space, or to another base; the model stays as
                it was.
        """
        state = OrderedDict(load_file(path))
        with safe_open(path, "pt") as file:
            about = (file.metadata() or {}).get("belongs to")
        if about is not None:
            state._metadata = {"": {"belongs to": json.loads(about)}}  # type: ignore[attr-defined]
        self.load_state_dict(state)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Set a model, or the changed network of an `Adapted`, to evaluation mode in this block.

    At the end each module gets its own mode back.
    """
    changed = model.net.modules() if isinstance(model, Adapted) else ()
    modes = [(module, module.training) for module in (*model.modules(), *changed)]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def give_buffers_and_mode(live: nn.Module, net: nn.Module) -> None:
    """Give `net` copies of the buffers of `live`, and each of its modules the same mode.

    Both are copies of one network.
    """
    for name, value in live.named_buffers(remove_duplicate=False):
        _set_buffer(net, name, value)
    for name, module in live.named_modules():
        net.get_submodule(name).training = module.training


_BUFFERS = "buffers."


def _set_buffer(net: nn.Module, name: str, value: Tensor) -> None:
    """Give `net` a copy of `value` as its buffer of that name."""
    path, _, attribute = name.rpartition(".")
    net.get_submodule(path)._buffers[attribute] = value.detach().clone()


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
