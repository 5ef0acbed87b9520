"""(IA)3: keys, values and the inner features of the feed-forward layers, each times a learned number."""

import re
from dataclasses import dataclass

from torch import Tensor, nn

from ftkit.model.change import Change
from ftkit.model.low_rank import Matrix, matrices

KEYS_AND_VALUES = re.compile(r".*\.(key|value|k_proj|v_proj|k_lin|v_lin)\.weight")
INNER = re.compile(
    r".*(?<!attention)\.output\.dense\.weight|.*\.mlp\.(fc2|c_proj)\.weight|.*\.ffn\.lin2\.weight"
)
"""The layers that read the inner features."""


@dataclass(frozen=True)
class IA3:
    """Each key, value and inner feature of the body is multiplied by a number that starts at 1.

    Liu et al. 2022, arXiv:2205.05638. A factor on what a layer answers with is one on the rows of its weight and on its bias; a factor on
    what it reads is one on the columns: nothing is left to compute once it is merged.

    Args:
        where: glob patterns over the names of the weights; of what fits, those of keys, values and second feed-forward layers change, as
            they are called in BERT, RoBERTa, DistilBERT, ViT and GPT-2 (whose keys and values have no weight of their own, and stay).

    Raises:
        ValueError: from `changes`, if `where` fits none of them.
    """

    where: str = "body.*"

    def changes(self, model: nn.Module) -> dict[str, Change]:
        found: dict[str, Change] = {}
        weights = dict(model.named_parameters())
        for name, matrix in matrices(model, self.where, "IA3").items():
            if INNER.fullmatch(name):
                found[name] = Columns(matrix)
            elif KEYS_AND_VALUES.fullmatch(name):
                found[name] = rows = Rows(matrix)
                bias = name.removesuffix("weight") + "bias"
                if bias in weights:
                    found[bias] = Along(rows)
        if not found:
            raise ValueError(
                f"IA3's where must fit keys, values or second feed-forward layers by a name it knows, got {self.where!r}"
            )
        return found


class Rows(Change):
    """diag(l) weight, with l (out,) from 1: a factor on each feature that the layer answers with."""

    def __init__(self, matrix: Matrix) -> None:
        super().__init__()
        self.transposed = matrix.transposed
        self.l = nn.Parameter(matrix.weight.new_ones(matrix.out_features))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.l if self.transposed else self.l.unsqueeze(1))


class Columns(Change):
    """weight diag(l), with l (in,) from 1: a factor on each feature that the layer reads."""

    def __init__(self, matrix: Matrix) -> None:
        super().__init__()
        self.transposed = matrix.transposed
        self.l = nn.Parameter(matrix.weight.new_ones(matrix.in_features))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.l.unsqueeze(1) if self.transposed else self.l)


class Along(Change):
    """The bias of a layer, times the factors on its rows; they are the rows' and are counted there."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = (rows,)  # in a tuple, so that its numbers do not belong to this one too

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self._rows[0].l
