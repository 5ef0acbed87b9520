"""Sparse fine-tuning: a few entries of the weights move, or a few rows, and everything dense stays frozen."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ftkit.model.adapted import Adapted, linear_layers, select
from ftkit.model.change import Change
from ftkit.model.entries import Chosen, Entries, SparseChange, exact_count, largest, top, top_each
from ftkit.seeding import stream

CRITERIA = ("random", "largest", "smallest")


@dataclass(frozen=True)
class Sparse:
    """A share of the entries of all weights that fit moves: exactly max(1, round(density n)) of n, chosen once, without data.

    "random" (Xu and Zhang 2024, "Random Masking Finds Winning Tickets"), "largest" by magnitude (Super-Tuning, arXiv:2607.09287) or
    "smallest". For a choice that needs data see `top`. The fewer entries, the larger the learning rate
    must be, roughly as 1/sqrt(k). Memory shrinks to the entries; operations do not, for the gradient is formed before it is gathered.

    `Sparse(1.0, where="*")` runs as full fine-tuning runs, but for rounding: it learns the difference from the base, which keeps digits
    that the sum of the two has lost.

    Args:
        density: the share of the entries that move, above 0 and at most 1.
        criterion: "random", "largest" or "smallest".
        where: glob patterns over the names of the weights, with commas between.
        seed: decides the random choice; each weight has a random stream of its own.

    Raises:
        ValueError: a density outside (0, 1] or another criterion; from `changes`, if a pattern fits no weight.

    >>> len(Sparse(0.5, where="*").chosen(nn.Linear(3, 3)))
    6
    """

    density: float = 0.01
    criterion: str = "random"
    where: str = "body.*"
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.density, self.criterion)

    def chosen(self, model: nn.Module) -> Chosen:
        """The entries of `model` that would move."""
        return top(self._scores(model), self.density)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        return self.chosen(model).changes(model)

    def _scores(self, model: nn.Module) -> dict[str, Tensor]:
        weights = select(model, self.where)
        return {
            name: _criterion(self.criterion, w.detach().abs(), stream(self.seed, f"sparse {name}"))
            for name, w in weights.items()
        }


@dataclass(frozen=True)
class SparseEach(Sparse):
    """The same share of every weight by itself; a class of its own, because its count is another one: no weight goes without."""

    def chosen(self, model: nn.Module) -> Chosen:
        return top_each(self._scores(model), self.density)


def regrown(model: Adapted, scores: Mapping[str, Tensor], share: float) -> Adapted:
    """A new model on the same base in which the `share` of the entries with the smallest |value| made way for as many others.

    The others have the largest |score| of all scored entries that are not kept; a dropped one may come back, at 0. What is kept keeps its
    value, so k stays; other spaces stay as they are. Go on with a further `train`, whose optimizer is new: the old one's averages belong to
    the old entries, and would move the new ones by a momentum that was never theirs.

    After Evci et al. 2020 (RigL), arXiv:1911.11134, and Ansell et al. 2024 (SpIEL), arXiv:2401.16405.

    Args:
        scores: the gradient at the model as it stands: `gradient(model.merged(), batches)` of `ftkit.model.entry_scores`.
        share: from 0 (no entry makes way) to 1 (all do).

    Raises:
        ValueError: a share outside [0, 1], a model without sparse entries, or too few scores for the places to fill.
    """
    old = {name: change for name, change in model.changes.items() if isinstance(change, Entries)}
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share:g}; 0.2 is a usual start")
    if not old:
        raise ValueError(
            f"the model must have sparse entries to regrow, got {model}; adapt with Sparse or Chosen first"
        )
    total = sum(len(change.values) for change in old.values())
    moving = round(share * total)
    stay = largest({name: change.values.abs() for name, change in old.items()}, total - moving)
    kept = {name: old[name].indices[at].long() for name, at in stay.items()}
    grown = _others(scores, kept, moving)
    everywhere = {
        n: torch.cat([part[n] for part in (kept, grown) if n in part]) for n in {**kept, **grown}
    }
    others = [space for space in model.spaces if not isinstance(space, Chosen | Sparse)]
    again = Adapted(model.base, Chosen(everywhere), *others)
    with torch.no_grad():
        for name, change in again.changes.items():
            if not isinstance(change, Entries):
                change.load_state_dict(model.changes[name].state_dict())
            elif name in kept:
                change.values[torch.searchsorted(change.indices.long(), kept[name])] = old[
                    name
                ].values[stay[name]]
    return again


def _others(
    scores: Mapping[str, Tensor], kept: Mapping[str, Tensor], count: int
) -> dict[str, Tensor]:
    """The `count` positions with the largest |score| that are not kept."""
    free = {name: score.detach().abs().flatten() for name, score in scores.items()}
    for name in free.keys() & kept.keys():
        free[name][kept[name]] = -1.0  # below every |score|
    room = sum(int((score >= 0).sum()) for score in free.values())
    if room < count:
        raise ValueError(
            f"{count} entries must find a new place, got {room} scores of others; score more weights or lower the share"
        )
    return largest(free, count)


class OutputRows(SparseChange):
    """weight + a trained row for some outputs of a linear layer; the gradient of the other rows is never computed.

    `values` is (r, in); `rows` (r,), int32, names the outputs.
    """

    rows: Tensor

    def __init__(self, weight: Tensor, rows: Tensor, transposed: bool = False) -> None:
        super().__init__()
        self.transposed = transposed
        self.values = nn.Parameter(
            weight.new_zeros(len(rows), weight.shape[0 if transposed else 1])
        )
        self.register_buffer("rows", rows.to(weight.device, torch.int32))

    def forward(self, weight: Tensor) -> Tensor:
        return (
            weight.index_add(1, self.rows, self.values.t())
            if self.transposed
            else weight.index_add(0, self.rows, self.values)
        )

    def values_gradient(self, g: Tensor, inputs: Tensor) -> Tensor:
        return g.index_select(1, self.rows).t() @ inputs


@dataclass(frozen=True)
class Rows:
    """Whole output rows of every linear layer move, the same share in each: max(1, round(density n)) of n rows, chosen without data.

    Structured, so that operations are saved and not only memory: the weight's gradient shrinks to the rows. After Yang et al. 2024 (S2FT),
    arXiv:2412.06289, who also couple the rows of one layer with the columns of the next; here each layer chooses by itself.

    Args:
        density: the share of the rows that move, above 0 and at most 1.
        criterion: "random", or the "largest" or "smallest" by the row's Euclidean length.
        where: glob patterns over the names of the weights, with commas between; of what fits, the weights of linear layers change.
        seed: decides the random choice; each weight has a random stream of its own.

    Raises:
        ValueError: a density outside (0, 1] or another criterion; from `changes`, if `where` fits no weight of a linear layer.

    >>> Rows(0.5, where="*").changes(nn.Sequential(nn.Linear(3, 4)))["0.weight"].values.shape
    torch.Size([2, 3])
    """

    density: float = 0.05
    criterion: str = "random"
    where: str = "body.*"
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.density, self.criterion)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        layers = linear_layers(model)
        found = {
            name: weight for name, weight in select(model, self.where).items() if name in layers
        }
        if not found:
            some = ", ".join(list(layers)[:3]) or "none"
            raise ValueError(
                f"Rows' where must fit the weight of a linear layer, got {self.where!r}; linear layers here: {some}"
            )
        return {
            name: self._change(name, weight, isinstance(layers[name], Conv1D))
            for name, weight in found.items()
        }

    def _change(self, name: str, weight: Tensor, transposed: bool) -> OutputRows:
        lengths = weight.detach().norm(dim=0 if transposed else 1)
        scores = _criterion(self.criterion, lengths, stream(self.seed, f"rows {name}"))
        return OutputRows(
            weight,
            largest({name: scores}, exact_count(self.density, len(scores)))[name],
            transposed,
        )


def _check(density: float, criterion: str) -> None:
    exact_count(density, 1)
    if criterion not in CRITERIA:
        raise ValueError(
            f"criterion must be one of {', '.join(CRITERIA)}, got {criterion!r}; for scores from data use top"
        )


def _criterion(criterion: str, magnitudes: Tensor, generator: torch.Generator) -> Tensor:
    """Scores of the same shape: the largest are chosen."""
    if criterion == "random":
        return torch.rand(magnitudes.shape, generator=generator).to(magnitudes.device)
    return magnitudes if criterion == "largest" else -magnitudes
