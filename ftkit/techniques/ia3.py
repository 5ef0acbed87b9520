"""(IA)3: scale keys, values and the inner features of the feed-forward layers."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ftkit import checks
from ftkit.model.adapted import linear_layers, used_weights
from ftkit.model.change import Change
from ftkit.model.low_rank import Matrix, matrices

KEYS = re.compile(r".*\.(key|k_proj|k_lin|key_proj|attn\.k)\.weight")
VALUES = re.compile(r".*\.(value|v_proj|v_lin|value_proj|attn\.v)\.weight")
FUSED = re.compile(r".*\.attn\.c_attn\.weight")
"""Queries, keys and values in one `Conv1D`, one after the other, as in GPT-2."""
INNER = re.compile(
    r".*(?<!attention)\.output\.dense\.weight"
    r"|.*\.mlp\.(fc2|c_proj|down_proj|fc_out|dense2)\.weight"
    r"|.*\.layers\.\d+\.fc2\.weight|.*\.ffns?(\.\d+)?\.lin2\.weight|.*\.ffn_output\.weight"
)
"""The layers that read the inner features."""


@dataclass(frozen=True)
class IA3:
    """Multiply each key, value and inner feature of the body by a learned factor, 1 at the start.

    Liu et al. 2022, arXiv:2205.05638, who propose it for few examples and train it with two
    further losses, which are not here. A factor on a layer's output scales the rows of its weight
    and its bias; a factor on its input scales the columns. So after merging nothing is left to
    compute. Starts at the base exactly; merges.

    Args:
        where: glob patterns over the names of the weights. Of the matching weights, those of keys,
            values and second feed-forward layers change. They are found by their names in BERT,
            DistilBERT, GPT-2, Llama, ViT and their relatives.

    Raises:
        ValueError: from `changes`, if a part of some attention block has no name that is known, or
            `where` matches none of them.
    """

    where: str = "body.*"

    def __post_init__(self) -> None:
        checks.patterns("where", self.where)

    def changes(self, model: nn.Module) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        weights = used_weights(model)
        selected = matrices(model, self.where, "IA3")
        _check_names(model)
        for name, matrix in selected.items():
            if INNER.fullmatch(name):
                changes[name] = Columns(matrix)
            elif rows := _rows(name, matrix):
                changes[name] = rows
                bias = name.removesuffix("weight") + "bias"
                if bias in weights:
                    changes[bias] = Along(rows)
        if not changes:
            raise ValueError(
                "IA3's where must fit keys, values or second feed-forward layers by a name it "
                f"knows, got {self.where!r}; give patterns that match some"
            )
        return changes


def _rows(name: str, matrix: Matrix) -> "Rows | None":
    """The change of a weight of keys or values; None for any other weight."""
    if KEYS.fullmatch(name) or VALUES.fullmatch(name):
        return Rows(matrix)
    if FUSED.fullmatch(name) and matrix.transposed:
        return Rows(matrix, queries=matrix.in_features)
    return None


def _check_names(model: nn.Module) -> None:
    """Refuse a body in which IA3 would miss keys, values or inner features of a block.

    Raises:
        ValueError: an attention has linear layers, but none that is known to give its keys or
            values; or there are fewer known second feed-forward layers than attentions.
    """
    layers, attentions = linear_layers(model), _attentions(model)
    for prefix in attentions:
        inside = [name for name in layers if name.startswith(prefix)]
        fused = any(FUSED.fullmatch(n) and isinstance(layers[n], Conv1D) for n in inside)
        for part, pattern in {"keys": KEYS, "values": VALUES}.items():
            if not fused and not any(map(pattern.fullmatch, inside)):
                raise ValueError(_unknown(part, f"none in {prefix[:-1]}", inside))
    inner = [name for name in layers if INNER.fullmatch(name)]
    if len(inner) < len(attentions):
        others = [name for name in layers if not name.startswith((*attentions, "heads."))]
        got = f"{len(inner)} for {len(attentions)} blocks"
        raise ValueError(_unknown("second feed-forward layer", got, others))


def _unknown(part: str, got: str, names: list[str]) -> str:
    some = ", ".join(names[:4]) or "none"
    return (
        f"IA3 must find the {part} of every attention block by a name it knows, got {got}; "
        f"linear layers there: {some}; use LoRA, for example"
    )


def _attentions(model: nn.Module) -> list[str]:
    """The name prefixes of the attention modules of a model, the outermost ones that are used."""
    used, found = used_weights(model), list[str]()
    for name, module in model.named_modules():
        prefix = f"{name}."
        if (
            "Attention" in type(module).__name__
            and not prefix.startswith(tuple(found))
            and any(weight.startswith(prefix) for weight in used)
        ):
            found.append(prefix)
    return found


class Rows(Change):
    """diag(l) weight, with l (out,), 1 at the start: a factor on each output feature.

    The first `queries` features keep the factor 1; l is shorter then.
    """

    def __init__(self, matrix: Matrix, queries: int = 0) -> None:
        super().__init__()
        self.transposed, self.queries = matrix.transposed, queries
        self.l = nn.Parameter(matrix.weight.new_ones(matrix.out_features - queries))

    @property
    def factors(self) -> Tensor:
        """The factor on each output feature, (out,)."""
        return torch.cat([self.l.new_ones(self.queries), self.l]) if self.queries else self.l

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.factors if self.transposed else self.factors.unsqueeze(1))


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
        return weight * self._rows[0].factors
