"""What is to be seen of a mask: how much of each part of the body moves, and where in each matrix."""

from fnmatch import fnmatch

import torch
from torch import Tensor

from ftkit.lessons.bitfit.study import GROUPS, block
from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.entries import Entries
from ftkit.techniques.sparse import OutputRows

CELLS = 12
"""A matrix is seen as so many times so many cells."""


def seen(model: Adapted) -> dict[str, float]:
    """The mask of a sparse model as readings, all in [0, 1]: `probe/density/<block>/<kind>`, the share of the body's entries of a kind in
    a block that move; and for each matrix of a linear layer `probe/mask/<block>/<kind>/<row>/<column>`, the same by cells of it."""
    totals: dict[str, list[int]] = {}
    cells: dict[str, float] = {}
    matrices = linear_layers(model.base)
    for name, weight in model.base.body.named_parameters(prefix="body"):
        key = f"{block(name)}/{kind(model.base.name, name)}"
        places = positions(model, name, weight)
        moving, every = totals.setdefault(key, [0, 0])
        totals[key] = [moving + len(places), every + weight.numel()]
        if name in matrices:
            cells |= {
                f"probe/mask/{key}/{i}/{j}": share
                for (i, j), share in by_cell(places, *weight.shape).items()
            }
    return {
        f"probe/density/{key}": moving / every for key, (moving, every) in totals.items()
    } | cells


def kind(base: str, name: str) -> str:
    """What a weight of a shipped body is: a matrix of a linear layer by what it does, an embedding, or else a bias or a part of a norm.

    >>> kind("mini", "body.encoder.layer.0.output.dense.weight"), kind("mini-vit", "body.layers.1.mlp.fc1.bias")
    ('feed-forward out', 'biases and norms')
    """
    matrices = {
        group: pattern.replace(".bias", ".weight")
        for group, pattern in GROUPS[base].items()
        if "norm" not in group
    }
    if found := [group for group, pattern in matrices.items() if fnmatch(name, pattern)]:
        return found[0]
    return (
        "embeddings"
        if "embeddings" in name and "Norm" not in name and not name.endswith(".bias")
        else "biases and norms"
    )


def positions(model: Adapted, name: str, weight: Tensor) -> Tensor:
    """Which entries of a weight move, counted row by row; none if the weight is frozen."""
    change = model.changes.get(name)
    if isinstance(change, Entries):
        return change.indices.long()
    if isinstance(change, OutputRows):
        return (
            change.rows.long()[:, None] * weight.shape[1] + torch.arange(weight.shape[1])
        ).flatten()
    return torch.empty(0, dtype=torch.long)


def by_cell(places: Tensor, height: int, width: int) -> dict[tuple[int, int], float]:
    """The share of each cell's entries that is among `places`, flat positions in a matrix of that height and width."""
    row, column = (torch.arange(size) * CELLS // size for size in (height, width))
    count = torch.bincount(
        row[places // width] * CELLS + column[places % width], minlength=CELLS**2
    )
    size = row.bincount(minlength=CELLS)[:, None] * column.bincount(minlength=CELLS)
    shares = (count.view(CELLS, CELLS) / size.clamp(min=1)).tolist()
    return {(i, j): share for i, row_of in enumerate(shares) for j, share in enumerate(row_of)}
