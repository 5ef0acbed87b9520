"""Chosen entries of weights: the change that trains them, the space that names them, and how the best are found by a score."""

import hashlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.change import Change, EmbeddingChange, LinearChange


class Scattered(LinearChange):
    """weight + a few trained numbers at places of their own: `values`, which start at 0. The base of `Entries` and `OutputRows`.

    `transposed` says that a linear layer stores its weight as (in, out).
    """

    values: nn.Parameter
    transposed: bool

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _Formed.apply(x, weight, bias, self.values, self)

    def laid_out(self, weight: Tensor) -> Tensor:
        """The changed weight as (out, in)."""
        now: Tensor = self(weight)
        return now.t() if self.transposed else now

    def gathered(self, g: Tensor, inputs: Tensor) -> Tensor:
        """The gradient of `values`, for gradients g (n, out) of a layer's answers to inputs (n, in)."""
        raise NotImplementedError


class _Formed(torch.autograd.Function):
    """A linear layer with `change` in its weight, which is formed in each pass anew: nothing of the weight's size outlives a pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, values: Tensor, change: Scattered
    ) -> Tensor:
        ctx.save_for_backward(
            x, weight, values
        )  # values, so that autograd notices an update between the two passes
        ctx.change = change
        return F.linear(x, change.laid_out(weight), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, _), change = ctx.saved_tensors, ctx.change
        g = gradients[0].flatten(0, -2)
        g_x = (g @ change.laid_out(weight)).view(x.shape) if ctx.needs_input_grad[0] else None
        g_bias = g.sum(0) if ctx.needs_input_grad[2] else None
        return g_x, None, g_bias, change.gathered(g, x.flatten(0, -2)), None


class Entries(Scattered, EmbeddingChange):
    """weight + one trained number at each of k positions. The optimizer, the gradient and the state hold k numbers, never a dense mask.

    `indices` (k,), int32, count the entries of the weight as it is stored, row by row, so that the state is complete by itself at 8 bytes
    an entry. Operations are not saved: a linear layer's whole gradient exists for a moment, inside its backward pass, and k numbers are
    kept. Of an embedding only the rows that a batch asks for are formed, and their gradient.

    Raises:
        ValueError: an index is outside the weight.
    """

    indices: Tensor

    def __init__(self, weight: Tensor, indices: Tensor, transposed: bool = False) -> None:
        super().__init__()
        last = min(weight.numel(), 2**31) - 1
        if outside := [i for i in (int(indices.min()), int(indices.max())) if not 0 <= i <= last]:
            raise ValueError(
                f"indices must be from 0 to {last} in {tuple(weight.shape)}, got {outside[0]}; choose them for this base"
            )
        self.transposed = transposed
        self.values = nn.Parameter(weight.new_zeros(len(indices)))
        self.register_buffer("indices", indices.to(weight.device, torch.int32))

    def forward(self, weight: Tensor) -> Tensor:
        return weight.flatten().index_add(0, self.indices, self.values).view(weight.shape)

    def gathered(self, g: Tensor, inputs: Tensor) -> Tensor:
        whole = inputs.t() @ g if self.transposed else g.t() @ inputs
        return whole.flatten().index_select(0, self.indices)

    def embedding(self, ids: Tensor, weight: Tensor, padding: int | None) -> Tensor:
        (height, width), (asked, places) = weight.shape, ids.long().unique(return_inverse=True)
        place = asked.new_full((height,), -1).index_copy_(
            0, asked, torch.arange(len(asked), device=asked.device)
        )
        at = place[self.indices // width]
        here = (at >= 0).nonzero().squeeze(1)
        values, flat = self.values[here], at[here] * width + self.indices[here] % width
        if padding is not None:
            values = torch.where(at[here] == place[padding], values.detach(), values)
        rows = weight.new_zeros(len(asked) * width).index_add(0, flat, values)
        return F.embedding(ids, weight) + F.embedding(places, rows.view(-1, width))


class Chosen:
    """These entries move and no others: `{weight name: positions}`, counted row by row in the weight as it is stored.

    A value: equal if the entries are equal, in whatever order they were given.

    Raises:
        ValueError: positions that are no whole numbers, no entry at all, or one that is named twice; from `changes`, if a weight is missing
            or too small.

    >>> Chosen({"weight": torch.tensor([5, 0])})
    Chosen(2 entries of 1 weight, f82a5e18)
    """

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        if strange := [
            name
            for name, indices in entries.items()
            if not isinstance(indices, Tensor) or indices.is_floating_point()
        ]:
            raise ValueError(
                f"positions must be tensors of whole numbers, got others for {strange[0]!r}; torch.tensor([0, 5]) names two"
            )
        given = {
            name: entries[name].detach().cpu().flatten().sort().values
            for name in sorted(entries)
            if entries[name].numel()
        }
        if not given:
            raise ValueError(
                "at least one entry must be chosen, got none; for no change at all, leave it out"
            )
        if twice := [
            name for name, indices in given.items() if len(indices.unique()) < len(indices)
        ]:
            raise ValueError(
                f"each entry must be named once, got one of {twice[0]!r} twice; use unique()"
            )
        self.entries = given
        content = hashlib.blake2b(digest_size=16)
        for name, indices in given.items():
            content.update(name.encode() + b"\0" + indices.to(torch.int64).numpy().tobytes())
        self._content = content.hexdigest()

    @classmethod
    def of(cls, model: Adapted) -> "Chosen":
        """The entries that a sparse model trains.

        Raises:
            ValueError: there are none.
        """
        return cls(
            {
                name: change.indices
                for name, change in model.changes.items()
                if isinstance(change, Entries)
            }
        )

    def __len__(self) -> int:
        return sum(map(len, self.entries.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chosen) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __repr__(self) -> str:
        weights = f"{len(self.entries)} weight{'s' * (len(self.entries) > 1)}"
        return f"Chosen({len(self):,} entries of {weights}, {self._content[:8]})"

    def changes(self, model: nn.Module) -> dict[str, Change]:
        weights, layers = dict(model.named_parameters()), linear_layers(model)
        if missing := [name for name in self.entries if name not in weights]:
            raise ValueError(
                f"every weight of {self} must be in the base, got {missing[0]!r}, which is not; choose them for this base"
            )
        return {
            name: Entries(weights[name], i, isinstance(layers.get(name), Conv1D))
            for name, i in self.entries.items()
        }


def top(scores: Mapping[str, Tensor], density: float) -> Chosen:
    """The entries with the largest scores of all weights together: exactly max(1, round(density n)) of n; of equal ones, the first.

    Args:
        scores: for each weight that may move a tensor of its shape, finite; see `ftkit.model.entry_scores`.
        density: the share of the entries, above 0 and at most 1.

    Raises:
        ValueError: a density outside (0, 1], a score that is not finite, or no scores.

    >>> top({"w": torch.tensor([1.0, 3.0, 3.0, 3.0])}, 0.5).entries
    {'w': tensor([1, 2])}
    """
    return Chosen(largest(scores, exact_count(density, sum(s.numel() for s in scores.values()))))


def top_each(scores: Mapping[str, Tensor], density: float) -> Chosen:
    """The same within each weight by itself: max(1, round(density n)) entries of every weight of n entries, however low its scores."""
    return Chosen(
        {
            name: largest({name: s}, exact_count(density, s.numel()))[name]
            for name, s in scores.items()
        }
    )


def exact_count(density: float, entries: int) -> int:
    """How many of `entries` a density stands for: the nearest whole number (of a half, the even one), at least 1."""
    if not isinstance(density, Real):
        raise ValueError(
            f"density must be a number above 0 and at most 1, got {density!r}; 0.01 is one entry in a hundred"
        )
    if not 0 < density <= 1:
        raise ValueError(
            f"density must be above 0 and at most 1, got {density:g}; for no change at all, leave the space out"
        )
    return max(1, round(density * entries))


def largest(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The positions of the `count` largest scores, by weight. A threshold alone would take all of what is equal to it, or none."""
    flat = (
        torch.cat([score.detach().flatten() for score in scores.values()])
        if scores
        else torch.empty(0)
    )
    if not flat.isfinite().all():
        wrong = next(name for name, score in scores.items() if not score.isfinite().all())
        raise ValueError(
            f"scores must be finite, got others for {wrong!r}; look for a step at which the loss was not a number"
        )
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    if count and len(flat):
        threshold = flat.kthvalue(len(flat) - count + 1).values
        mask = flat > threshold
        mask[(flat == threshold).nonzero().squeeze(1)[: count - int(mask.sum())]] = True
    parts = mask.split([score.numel() for score in scores.values()])
    return {name: part.nonzero().squeeze(1) for name, part in zip(scores, parts, strict=True)}
