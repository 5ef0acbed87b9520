"""Sparse fine-tuning: a few entries or rows of the weights are trainable, the rest is frozen."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ftkit import checks
from ftkit.model.adapted import Adapted, give_buffers_and_mode, select
from ftkit.model.change import Change, at_least_float32
from ftkit.model.entries import (
    Chosen,
    Entries,
    SparseChange,
    check_scores,
    exact_count,
    largest,
    top,
    top_each,
)
from ftkit.model.low_rank import Matrix, matrices
from ftkit.seeding import stream

CRITERIA = ("random", "largest", "smallest")


@dataclass(frozen=True)
class Sparse:
    """Train a share of the entries of all selected weights, chosen once and without data.

    Exactly max(1, round(density n)) of n entries are trainable. They are chosen at random (Xu and
    Zhang 2024, "Random Masking Finds Winning Tickets"), or as the largest or smallest in magnitude
    (PEFT's tuner `supertuning` offers both). For a choice that needs data see `top`.

    Starts at the base exactly; merges. The fewer entries k, the larger the learning rate has to be,
    roughly as 1/sqrt(k). Memory shrinks with the entries. Operations do not: the whole gradient is
    formed before its entries are gathered.

    `Sparse(1.0, where="*")` equals full fine-tuning up to rounding: it learns the difference from
    the base, which keeps digits that the sum of the two loses.

    Args:
        density: the share of the entries that is trainable, above 0 and at most 1.
        criterion: "random", "largest" or "smallest".
        where: glob patterns over the names of the weights, separated by commas.
        seed: decides the random choice; each weight has its own random stream.

    Raises:
        ValueError: the density is outside (0, 1], or the criterion is unknown; from `changes`, if a
            pattern matches no weight.

    >>> len(Sparse(0.5, where="*").chosen(nn.Linear(3, 3)))
    6
    """

    density: float = 0.01
    criterion: str = "random"
    where: str = "body.*"
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.density, self.criterion, self.where, self.seed)

    def chosen(self, model: nn.Module) -> Chosen:
        """Choose the entries of `model` that will be trainable."""
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
    """Train the same share of the entries of every weight, at least one of each.

    `Sparse` compares the entries of all weights instead, so a weight may get none.
    """

    def chosen(self, model: nn.Module) -> Chosen:
        return top_each(self._scores(model), self.density)


def regrown(model: Adapted, scores: Mapping[str, Tensor], share: float) -> Adapted:
    """Return a new model whose smallest sparse entries are replaced by promising ones.

    The `share` of the entries with the smallest |value| is dropped, and as many new entries start
    at 0: those with the largest |score| among all scored entries that are not kept. A dropped entry
    may come back, at 0. Kept entries keep their values, so their number k stays; other spaces are
    unchanged. Continue with another `train`, whose optimizer is new: the averages of the old one
    belong to the old entries, and would move the new ones.

    After Evci et al. 2020 (RigL), arXiv:1911.11134, and Ansell et al. 2024 (SpIEL),
    arXiv:2401.16405.

    Args:
        model: an adaptation with sparse entries; it is not changed.
        scores: for each weight a tensor of its shape, the gradient at the current model:
            `gradient(model.merged(), batches)` of `ftkit.model.entry_scores`.
        share: from 0 (no entry is dropped) to 1 (all are).

    Raises:
        ValueError: the share is outside [0, 1], the model has no sparse entries, or there are too
            few scores for the new entries.
    """
    checks.instance("model", model, Adapted, "an Adapted", "write Adapted(base, Sparse(0.01))")
    check_scores(scores)
    checks.share("share", share, "0.2 is a usual start")
    old = {name: change for name, change in model.changes.items() if isinstance(change, Entries)}
    if not old:
        raise ValueError(
            f"the model must have sparse entries to regrow, got {model}; "
            "adapt with Sparse or Chosen first"
        )
    total = sum(len(change.values) for change in old.values())
    dropped = round(share * total)
    # 1. Keep the entries with the largest values, over all weights together.
    kept = _survivors(old, total - dropped)
    # 2. Choose as many new ones where the loss is steepest.
    positions = {name: survivors.positions for name, survivors in kept.items()}
    new = _new_entries(scores, positions, dropped)
    # 3. Adapt the base with both, and copy the values that were learned.
    chosen = {
        name: torch.cat([part[name] for part in (positions, new) if name in part])
        for name in {**positions, **new}
    }
    others = [space for space in model.spaces if not isinstance(space, Chosen | Sparse)]
    regrown_model = Adapted(model.base, Chosen(chosen), *others)
    _carry_over(model, regrown_model, kept)
    give_buffers_and_mode(model.net, regrown_model.train(model.training).net)
    return regrown_model


@dataclass(frozen=True)
class _Kept:
    """The kept entries of one weight: flat `positions` (k,) in it, int64, and `values` (k,)."""

    positions: Tensor
    values: Tensor


def _survivors(old: Mapping[str, Entries], count: int) -> dict[str, _Kept]:
    """The `count` entries with the largest |value|, over all weights together."""
    magnitudes = {name: change.values.abs() for name, change in old.items()}
    return {
        name: _Kept(old[name].indices[at].long(), old[name].values[at])
        for name, at in largest(magnitudes, count).items()
    }


def _new_entries(
    scores: Mapping[str, Tensor], kept: Mapping[str, Tensor], count: int
) -> dict[str, Tensor]:
    """The flat positions of the `count` entries with the largest |score| that are not kept."""
    free = {name: score.detach().abs().flatten() for name, score in scores.items()}
    for name in free.keys() & kept.keys():
        free[name][kept[name]] = -1.0  # below every |score|
    room = sum(int((score >= 0).sum()) for score in free.values())
    if room < count:
        raise ValueError(
            f"the scores must have {count} free entries to grow, got {room}; "
            "score more weights or lower the share"
        )
    return largest(free, count)


def _carry_over(old: Adapted, new: Adapted, kept: Mapping[str, _Kept]) -> None:
    """Copy into `new` the values of kept entries, and the state of all other changes."""
    with torch.no_grad():
        for name, change in new.changes.items():
            if not isinstance(change, Entries):
                change.load_state_dict(old.changes[name].state_dict())
            elif name in kept:
                # Indices are sorted, so a binary search finds where each kept entry is now.
                at = torch.searchsorted(change.indices.long(), kept[name].positions)
                change.values[at] = kept[name].values


class OutputRows(SparseChange):
    """Add a trainable row to some output rows of a linear layer's weight.

    The gradient of the other rows is never computed. `values` is (r, in); `rows` (r,), int32, are
    the indices of the outputs.
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
    """Train whole output rows of every linear layer, the same share in each, chosen without data.

    max(1, round(density n)) of n rows are trainable. The structure saves operations as well as
    memory: the weight's gradient shrinks to these rows. After Yang et al. 2024 (S2FT),
    arXiv:2412.06289, who also couple the rows of one layer with the columns of the next; here each
    layer chooses by itself. Starts at the base exactly; merges.

    Args:
        density: the share of the rows that is trainable, above 0 and at most 1.
        criterion: "random", or the "largest" or "smallest" by the row's Euclidean length.
        where: glob patterns over the names of the weights, separated by commas; of the matching
            weights, those of linear layers change.
        seed: decides the random choice; each weight has its own random stream.

    Raises:
        ValueError: the density is outside (0, 1], or the criterion is unknown; from `changes`, if
            `where` matches no weight of a linear layer.

    >>> Rows(0.5, where="*").changes(nn.Sequential(nn.Linear(3, 4)))["0.weight"].values.shape
    torch.Size([2, 3])
    """

    density: float = 0.05
    criterion: str = "random"
    where: str = "body.*"
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.density, self.criterion, self.where, self.seed)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        return {
            name: self._change(name, matrix)
            for name, matrix in matrices(model, self.where, "Rows").items()
        }

    def _change(self, name: str, matrix: Matrix) -> OutputRows:
        weight = matrix.weight
        lengths = at_least_float32(weight.detach()).norm(dim=0 if matrix.transposed else 1)
        scores = _criterion(self.criterion, lengths, stream(self.seed, f"rows {name}"))
        count = exact_count(self.density, len(scores))
        return OutputRows(weight, largest({name: scores}, count)[name], matrix.transposed)


def _check(density: float, criterion: str, where: str, seed: int) -> None:
    exact_count(density, 1)
    checks.one_of("criterion", criterion, CRITERIA, "for scores from data use top")
    checks.patterns("where", where)
    checks.seed(seed)


def _criterion(criterion: str, magnitudes: Tensor, generator: torch.Generator) -> Tensor:
    """Scores of the same shape as `magnitudes`; the entries with the largest are chosen."""
    if criterion == "random":
        drawn = torch.rand(magnitudes.shape, generator=generator, device="cpu")
        return drawn.to(magnitudes.device)
    return magnitudes if criterion == "largest" else -magnitudes
