"""The mask of a sparse model as values for a picture."""

from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor

from ftkit.lessons.bitfit.trial import GROUPS, zero_based_block
from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.entries import Entries
from ftkit.techniques.sparse import OutputRows

CELLS = 12
"""Each matrix is shown as a grid of 12 x 12 cells."""


def probe_mask(model: Adapted) -> dict[str, Any]:
    """Measure which share of the entries is trained, by block and kind of weight, and where.

    All shares are in [0, 1]:

    - `probe/density/<block>/<kind>`: of all entries of this kind in this block.
    - `probe/mask/<block>/<kind>`: by cell of the matrix of a linear layer, 12 rows of 12 values.
    """
    counts: dict[str, tuple[int, int]] = {}
    masks: dict[str, list[list[float]]] = {}
    matrices = linear_layers(model.base)
    for name, weight in model.base.body.named_parameters(prefix="body"):
        key = f"{zero_based_block(name)}/{weight_kind(model.base.name, name)}"
        positions = trained_positions(model, name, weight)
        trained, entries = counts.get(key, (0, 0))
        counts[key] = trained + len(positions), entries + weight.numel()
        if name in matrices:
            masks[f"probe/mask/{key}"] = cell_shares(positions, *weight.shape)
    densities = {
        f"probe/density/{key}": trained / entries for key, (trained, entries) in counts.items()
    }
    return {**densities, **masks}


def weight_kind(base: str, name: str) -> str:
    """The kind of a weight in the body of a shipped base.

    Matrices of linear layers are named by what they do; the others are "embeddings" or "biases and
    norms".

    >>> weight_kind("mini", "body.encoder.layer.0.output.dense.weight")
    'feed-forward out'
    >>> weight_kind("mini-vit", "body.layers.1.mlp.fc1.bias")
    'biases and norms'
    """
    for group, pattern in GROUPS[base].items():
        if "norm" not in group and fnmatch(name, pattern.replace(".bias", ".weight")):
            return group
    is_table = "embeddings" in name and "Norm" not in name and not name.endswith(".bias")
    return "embeddings" if is_table else "biases and norms"


def trained_positions(model: Adapted, name: str, weight: Tensor) -> Tensor:
    """The flat positions of the trained entries of a weight, int64; none if it is frozen."""
    change = model.changes.get(name)
    if isinstance(change, Entries):
        return change.indices.long()
    if isinstance(change, OutputRows):
        width = weight.shape[1]
        return (change.rows.long()[:, None] * width + torch.arange(width)).flatten()
    return torch.empty(0, dtype=torch.long)


def cell_shares(positions: Tensor, height: int, width: int) -> list[list[float]]:
    """The share of each cell's entries that is among `positions`, flat positions in a matrix.

    Returns:
        12 rows of 12 shares in [0, 1].
    """
    # The cell's row of each row of the matrix, and the cell's column of each of its columns.
    cell_row, cell_column = (torch.arange(size) * CELLS // size for size in (height, width))
    cells = cell_row[positions // width] * CELLS + cell_column[positions % width]
    trained = torch.bincount(cells, minlength=CELLS**2).view(CELLS, CELLS)
    sizes = cell_row.bincount(minlength=CELLS)[:, None] * cell_column.bincount(minlength=CELLS)
    shares: list[list[float]] = (trained / sizes.clamp(min=1)).tolist()
    return shares
