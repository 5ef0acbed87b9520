"""(IA)3: scale keys, values and the inner features of the feed-forward layers."""

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
    """Multiply each key, value and inner feature of the body by a learned factor, 1 at the start.

    Liu et al. 2022, arXiv:2205.05638. A factor on a layer's output scales the rows of its weight
    and its bias; a factor on its input scales the columns. So after merging nothing is left to
    compute. Starts at the base exactly; merges.

    Args:
        where: glob patterns over the names of the weights. Of the matching weights, those of keys,
            values and second feed-forward layers change, by their names in BERT, RoBERTa,
            DistilBERT, ViT and GPT-2 (whose keys and values have no weight of their own, and stay).

    Raises:
        ValueError: from `changes`, if `where` matches none of them.
    """

    where: str = "body.*"

    def changes(self, model: nn.Module) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        weights = dict(model.named_parameters())
        for name, matrix in matrices(model, self.where, "IA3").items():
            if INNER.fullmatch(name):
                changes[name] = Columns(matrix)
            elif KEYS_AND_VALUES.fullmatch(name):
                changes[name] = rows = Rows(matrix)
                bias = name.removesuffix("weight") + "bias"
                if bias in weights:
                    changes[bias] = Along(rows)
        if not changes:
            raise ValueError(
                "IA3's where must fit keys, values or second feed-forward layers by a name it "
                f"knows, got {self.where!r}; give patterns that match some"
            )
        return changes


class Rows(Change):
    """diag(l) weight, with l (out,), 1 at the start: a factor on each output feature."""

    def __init__(self, matrix: Matrix) -> None:
        super().__init__()
        self.transposed = matrix.transposed
        self.l = nn.Parameter(matrix.weight.new_ones(matrix.out_features))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.l if self.transposed else self.l.unsqueeze(1))


class Columns(Change):
    """weight diag(l), with l (in,), 1 at the start: a factor on each input feature."""

    def __init__(self, matrix: Matrix) -> None:
        super().__init__()
        self.transposed = matrix.transposed
        self.l = nn.Parameter(matrix.weight.new_ones(matrix.in_features))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.l.unsqueeze(1) if self.transposed else self.l)


class Along(Change):
    """Scale a bias by the factors on the rows; they belong to the rows and are counted there."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = (rows,)  # in a tuple, so that its parameters do not belong to this one too

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self._rows[0].l
