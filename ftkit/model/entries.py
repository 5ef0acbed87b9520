"""Single entries of weights: the change that trains them, the space that names them, `top`."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from ftkit import checks
from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.change import Change, EmbeddingChange, LinearChange

WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


class SparseChange(LinearChange):
    """weight + trainable `values`, which start at 0, at a few positions.

    The base class of `Entries` and `OutputRows`. `transposed` says that a linear layer stores its
    weight as (in, out).
    """

    values: nn.Parameter
    transposed: bool

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _SparseLinear.apply(x, weight, bias, self.values, self)

    def out_in(self, weight: Tensor) -> Tensor:
        """The changed weight as (out, in)."""
        now = self.rounded(weight)
        return now.t() if self.transposed else now

    def values_gradient(self, g: Tensor, inputs: Tensor) -> Tensor:
        """The gradient of `values`, for gradients g (n, out) of the answers to inputs (n, in)."""
        raise NotImplementedError


class _SparseLinear(torch.autograd.Function):
    """A linear layer whose weight is changed by `change`: y = x (W + change)' + bias.

    The changed weight is formed in the forward pass and again in the backward pass, and freed after
    each: nothing of the weight's size is kept between the two. Autograd would keep it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        values: Tensor,
        change: SparseChange,
    ) -> Tensor:
        # The backward pass reads the values through `change`. They are saved as well, so that
        # autograd raises an error if an optimizer writes them between the two passes.
        ctx.save_for_backward(x, weight, values)
        ctx.change = change
        return F.linear(x, change.out_in(weight), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, _), change = ctx.saved_tensors, ctx.change
        g = gradients[0].flatten(0, -2)  # dL/dy, (n, out)
        g_x = (g @ change.out_in(weight)).view(x.shape) if ctx.needs_input_grad[0] else None
        g_bias = g.sum(0) if ctx.needs_input_grad[2] else None
        return g_x, None, g_bias, change.values_gradient(g, x.flatten(0, -2)), None


class Entries(SparseChange, EmbeddingChange):
    """weight + one trainable value at each of k positions.

    Optimizer, gradient and state hold k values, never a dense mask. `indices` (k,), int32, count
    the entries of the weight as it is stored, row by row; they are part of the state, which is
    therefore complete by itself, at 8 bytes an entry.

    No operations are saved: the backward pass of a linear layer forms the layer's whole gradient
    for a moment and keeps k values of it. Of an embedding, only the rows that a batch asks for are
    formed, and only their gradient.

    Raises:
        ValueError: an index is outside the weight.
    """

    indices: Tensor

    def __init__(self, weight: Tensor, indices: Tensor, transposed: bool = False) -> None:
        super().__init__()
        last = min(weight.numel(), 2**31) - 1
        for index in (int(indices.min()), int(indices.max())):
            if not 0 <= index <= last:
                raise ValueError(
                    f"indices must be from 0 to {last} in {tuple(weight.shape)}, got {index}; "
                    "choose them for this base"
                )
        self.transposed = transposed
        self.values = nn.Parameter(weight.new_zeros(len(indices)))
        self.register_buffer("indices", indices.to(weight.device, torch.int32))

    def forward(self, weight: Tensor) -> Tensor:
        return weight.flatten().index_add(0, self.indices, self.values).view(weight.shape)

    def values_gradient(self, g: Tensor, inputs: Tensor) -> Tensor:
        whole = inputs.t() @ g if self.transposed else g.t() @ inputs
        return whole.flatten().index_select(0, self.indices)

    def embedding(self, ids: Tensor, weight: Tensor, padding: int | None) -> Tensor:
        height, width = weight.shape
        # 1. The different rows that the batch asks for, and where each id finds its own in them.
        asked, positions = ids.long().unique(return_inverse=True)
        # 2. For each row of the table its position in `asked`, or -1.
        position_of = asked.new_full((height,), -1)
        position_of.index_copy_(0, asked, torch.arange(len(asked), device=asked.device))
        # 3. The entries that lie in those rows.
        position = position_of[self.indices // width]
        here = (position >= 0).nonzero().squeeze(1)
        values = self.values[here]
        if padding is not None:
            in_padding = position[here] == position_of[padding]
            values = torch.where(in_padding, values.detach(), values)
        # 4. The change of those rows alone, (asked, width). The table itself is only read.
        flat = position[here] * width + self.indices[here] % width
        rows = values.new_zeros(len(asked) * width).index_add(0, flat, values)
        changed = F.embedding(ids, weight) + F.embedding(positions, rows.view(-1, width))
        return changed.to(weight.dtype)


class Chosen:
    """A space of single entries: `{weight name: positions}`.

    Positions count the entries of the weight as it is stored, row by row. A `Chosen` is a value:
    two are equal if their entries are, in whatever order they were given.

    Raises:
        ValueError: positions that are no whole numbers, no entry at all, or one that is named
            twice; from `changes`, if a weight is missing or too small.

    >>> Chosen({"weight": torch.tensor([5, 0])})
    Chosen(2 entries of 1 weight, f82a5e18)
    """

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        if not isinstance(entries, Mapping) or not all(isinstance(key, str) for key in entries):
            raise ValueError(
                "entries must be {weight name: positions}, "
                f"got {checks.shown(entries)}; top(scores, 0.01) chooses some"
            )
        for name, indices in entries.items():
            if not isinstance(indices, Tensor) or indices.dtype not in WHOLE:
                raise ValueError(
                    f"positions must be tensors of whole numbers, got others for {name!r}; "
                    "torch.tensor([0, 5]) names two"
                )
        self.entries = {
            name: entries[name].detach().cpu().flatten().sort().values
            for name in sorted(entries)
            if entries[name].numel()
        }
        if not self.entries:
            raise ValueError(
                "at least one entry must be chosen, got none; for no change at all, leave it out"
            )
        for name, indices in self.entries.items():
            if len(indices.unique()) < len(indices):
                raise ValueError(
                    f"each entry must be named once, got one of {name!r} twice; use unique()"
                )
        content = hashlib.blake2b(digest_size=16)
        for name, indices in self.entries.items():
            content.update(name.encode() + b"\0" + indices.to(torch.int64).numpy().tobytes())
        self._content = content.hexdigest()

    @classmethod
    def of(cls, model: Adapted) -> "Chosen":
        """The entries that a sparse model trains.

        Raises:
            ValueError: there are none.
        """
        checks.instance("model", model, Adapted, "an Adapted", "write Adapted(base, Sparse(0.01))")
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
        for name in self.entries:
            if name not in weights:
                raise ValueError(
                    f"every weight of {self} must be in the base, got {name!r}, which is not; "
                    "choose them for this base"
                )
        return {
            name: Entries(weights[name], indices, isinstance(layers.get(name), Conv1D))
            for name, indices in self.entries.items()
        }


def top(scores: Mapping[str, Tensor], density: float) -> Chosen:
    """Choose the entries with the largest scores of all weights together.

    Args:
        scores: for each candidate weight a tensor of its shape, finite; see
            `ftkit.model.entry_scores`.
        density: the share of the entries, above 0 and at most 1. Of n entries exactly
            max(1, round(density n)) are chosen; of equal scores, the first.

    Raises:
        ValueError: a density outside (0, 1], a score that is not finite, or no scores.

    >>> top({"w": torch.tensor([1.0, 3.0, 3.0, 3.0])}, 0.5).entries
    {'w': tensor([1, 2])}
    """
    check_scores(scores)
    entries = sum(score.numel() for score in scores.values())
    return Chosen(largest(scores, exact_count(density, entries)))


def top_each(scores: Mapping[str, Tensor], density: float) -> Chosen:
    """Choose the entries with the largest scores of each weight by itself.

    Of a weight of n entries max(1, round(density n)) are chosen, however low their scores.
    Arguments and errors are those of `top`.
    """
    check_scores(scores)
    return Chosen(
        {
            name: largest({name: score}, exact_count(density, score.numel()))[name]
            for name, score in scores.items()
        }
    )


def check_scores(scores: Any) -> None:
    """Refuse what are no scores: `{weight name: tensor of real numbers}`.

    Raises:
        ValueError: as the summary says.
    """
    if not isinstance(scores, Mapping):
        raise ValueError(
            "scores must be {weight name: tensor}, "
            f"got {checks.shown(scores)}; gradient(base, batches) makes some"
        )
    for name, score in scores.items():
        is_real = isinstance(score, Tensor) and not score.is_complex()
        if not is_real or score.dtype == torch.bool:
            raise ValueError(
                f"scores must be tensors of real numbers, got {checks.shown(score)} for {name!r}; "
                "gradient(base, batches) makes some"
            )


def exact_count(density: float, entries: int) -> int:
    """Count the entries of a density: density * entries, rounded (a half to even), at least 1.

    Raises:
        ValueError: the density is no number, or outside (0, 1].
    """
    if not isinstance(density, float) and not checks.is_number(density):
        raise ValueError(
            f"density must be a number above 0 and at most 1, got {checks.shown(density)}; "
            "0.01 is one entry in a hundred"
        )
    if not 0 < density <= 1:
        raise ValueError(
            f"density must be above 0 and at most 1, got {checks.shown(density)}; "
            "for no change at all, leave the space out"
        )
    return max(1, round(density * entries))


def largest(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The positions of the `count` largest scores, by weight; of equal scores, the first.

    Raises:
        ValueError: a score is not finite.
    """
    for name, score in scores.items():
        if not score.isfinite().all():
            raise ValueError(
                f"scores must be finite, got others for {name!r}; "
                "find the step at which the loss became nan or infinite"
            )
    flat = torch.cat([s.detach().flatten() for s in scores.values()]) if scores else torch.empty(0)
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    if count and len(flat):
        # The count-th largest score is the threshold. Everything above it is chosen. Several
        # scores may be equal to it: of those, take the first until the count is right.
        threshold = flat.kthvalue(len(flat) - count + 1).values
        mask = flat > threshold
        missing = count - int(mask.sum())
        mask[(flat == threshold).nonzero().squeeze(1)[:missing]] = True
    parts = mask.split([score.numel() for score in scores.values()])
    return {name: part.nonzero().squeeze(1) for name, part in zip(scores, parts, strict=True)}
