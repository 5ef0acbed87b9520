"""What a saved state belongs to: facts on changes and base that its tensors do not tell.

The same tensors mean another change under another alpha, with other frozen random matrices, or on
another base. `facts` describes these things in plain values, which go with a state; `differences`
compares two such descriptions.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ftkit.model.change import Change, Dense

Facts = dict[str, Any]
"""`{about: {what: value}}`; a value is a number, a text or a list of numbers."""

_SAMPLES = 8
_TOLERANCE = 2**-7
"""Samples count as equal if they differ by less than this share of the largest of them.

It is the rounding of bfloat16, so that a base in half precision is the same base.
"""


def facts(base: nn.Module, changes: Mapping[str, Change]) -> Facts:
    """Describe the changes of a model, and the weights of its base that its state does not hold.

    A weight is described by its shape and a few of its entries.
    """
    described: Facts = {f"the change of {name!r}": _of(change) for name, change in changes.items()}
    for name, weight in base.named_parameters():
        if not isinstance(changes.get(name), Dense):
            described[f"{name!r} of the base"] = _sampled({"": weight})
    return described


def _of(change: Change) -> dict[str, Any]:
    """The class of a change, its plain attributes (a scale), its shapes, its tensors not saved."""
    plain = {
        name: value
        for name, value in vars(change).items()
        if isinstance(value, int | float | str) and not name.startswith("_") and name != "training"
    }
    saved = change.state_dict(keep_vars=True)
    frozen = {name: value for name, value in change.named_buffers() if name not in saved}
    shapes = {f"shape {name}": list(value.shape) for name, value in change.named_parameters()}
    return {"class": type(change).__name__, **plain, **shapes, **_sampled(frozen)}


def _sampled(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The shape of each tensor, and a few of its entries, evenly spaced."""
    sampled: dict[str, Any] = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().reshape(-1)
        step = max(1, len(flat) // _SAMPLES)
        sampled[f"shape {name}".rstrip()] = list(tensor.shape)
        sampled[f"entries {name}".rstrip()] = flat[::step][:_SAMPLES].tolist()
    return sampled


def differences(there: Facts, here: Facts) -> list[str]:
    """Say what differs between the facts of a state and those of a model; empty if nothing does."""
    found = [f"{about} is only in the state" for about in there if about not in here]
    found += [f"{about} is only in the model" for about in here if about not in there]
    for about in (about for about in here if about in there):
        ours, theirs = here[about], there[about]
        for what in sorted(ours.keys() | theirs.keys()):
            for one, other in _unequal(theirs.get(what), ours.get(what)):
                found.append(f"{what} of {about} is {one} in the state and {other} in the model")
    return found


def _unequal(one: Any, other: Any) -> list[tuple[str, str]]:
    """The two values as text if they differ; of entries, the first two that differ."""
    if not (_is_entries(one) and _is_entries(other) and len(one) == len(other)):
        return [] if one == other else [(repr(one), repr(other))]
    bound = _TOLERANCE * max(map(abs, (*one, *other)), default=0)
    pairs = zip(one, other, strict=True)
    return [(f"{a:.3g}", f"{b:.3g}") for a, b in pairs if not abs(a - b) <= bound][:1]


def _is_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, float) for entry in value)
