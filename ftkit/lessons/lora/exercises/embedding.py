"""An exercise that takes LoRA to another layer: an embedding, which looks rows up where a linear layer multiplies."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.teaching.checking import ObservedScale, check_scales, kind, scale_between, tensor
from ftkit.teaching.exercise import NotAttempted, Wrong, exercise
from ftkit.teaching.learner_code import is_stub


@dataclass(frozen=True)
class Setting:
    """Sizes that all differ, so that a shape says what it is the shape of."""

    vocabulary: int
    width: int
    rank: int
    alpha: float

    def __str__(self) -> str:
        return f"rank {self.rank} and alpha {self.alpha:g}"


_SETTINGS = [Setting(11, 7, 3, 12.0), Setting(13, 5, 4, 2.0), Setting(9, 6, 2, 5.0)]
_SOLUTION = """
class LoRAEmbedding(nn.Module):
    def __init__(self, embedding, rank, alpha):
        super().__init__()
        vocabulary, width = embedding.weight.shape
        self.embedding = embedding.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, vocabulary) / rank**0.5)
        self.b = nn.Parameter(torch.zeros(width, rank))
        self.scale = alpha / rank

    def forward(self, ids):
        return self.embedding(ids) + self.scale * (self.a.T[ids] @ self.b.T)
"""


@exercise(
    "LoRA for an embedding",
    difficulty=4,
    minutes=20,
    hints=[
        "An embedding is a linear layer that reads one-hot vectors: what is x A' if x is one-hot?",
        "`self.a.T[ids]` looks up `rank` numbers for every id, whatever the shape of ids; `@ self.b.T` makes them as wide as the rest.",
        "Freeze the embedding with `requires_grad_(False)`; make A and B `nn.Parameter`s; draw one at random and leave the other at zero.",
    ],
    solution=_SOLUTION,
)
def lora_embedding(yours: Any) -> str:
    """`yours` is a class, LoRAEmbedding(embedding, rank, alpha), with forward(ids) = embedding(ids) + alpha/rank * A[:, ids]' B'."""
    _is_class(yours)
    with torch.random.fork_rng(
        devices=[]
    ):  # what the learner's code draws must not move the notebook's own random numbers
        torch.manual_seed(0)
        check_scales(
            [_checked(yours, setting) for setting in _SETTINGS],
            "embedding(ids) + scale * (A.T[ids] @ B.T)",
        )
    return "LoRA is not tied to linear layers: only the columns of A whose ids occur in a batch get a gradient, as in the embedding itself."


def _is_class(yours: Any) -> None:
    if isinstance(yours, nn.Module) or not callable(yours):
        raise Wrong(
            f"hand over the class LoRAEmbedding itself, without brackets behind its name; this is {kind(yours)}"
        )
    if inspect.isclass(yours) and issubclass(yours, nn.Module):
        own = [
            parent
            for parent in yours.__mro__[: yours.__mro__.index(nn.Module)]
            if {"__init__", "forward"} & vars(parent).keys()
        ]
        if not own or is_stub(yours.forward):
            raise NotAttempted
    try:
        inspect.signature(yours).bind("embedding", "rank", "alpha")
    except TypeError:
        raise Wrong(
            f"LoRAEmbedding must take (embedding, rank, alpha), in this order; yours takes {inspect.signature(yours)}"
        ) from None


def _checked(yours: Any, setting: Setting) -> ObservedScale:
    embedding = nn.Embedding(setting.vocabulary, setting.width)
    before = embedding.weight.detach().clone()
    layer = yours(embedding, setting.rank, setting.alpha)
    if not isinstance(layer, nn.Module):
        raise Wrong(
            f"LoRAEmbedding must be an nn.Module, as its parameters are found through that; yours makes {kind(layer)}"
        )
    _changes_nothing(layer, before, setting)
    a, b = _factors(layer, setting)
    if not a.any() and not b.any():
        words = "A and B both start at zero: then A's gradient, which has B in it, and B's, which has A in it, are zero for ever"
        raise Wrong(f"{words}; draw one of them at random")
    found = _scale(layer, a, b, before, setting)
    if not torch.equal(embedding.weight, before):
        raise Wrong(
            "yours writes into the weight of the embedding it was given; the base must stay as it was"
        )
    return ObservedScale(setting.rank, setting.alpha, setting.vocabulary, setting.width, found)


def _answer(layer: nn.Module, shape: tuple[int, ...], setting: Setting) -> tuple[Tensor, Tensor]:
    """The layer's answer to ids of that shape, with its graph, and the ids."""
    ids = torch.randint(
        setting.vocabulary, shape, generator=torch.Generator().manual_seed(len(shape))
    )
    answer = layer(ids.clone())
    if answer is ...:
        raise NotAttempted
    tensor(
        answer,
        f"for ids of shape {shape}, what forward returns",
        (*shape, setting.width),
        "(*ids.shape, width)",
    )
    return answer, ids


def _changes_nothing(layer: nn.Module, weight: Tensor, setting: Setting) -> None:
    for shape in ((2, 3), (4,)):
        answer, ids = _answer(layer, shape, setting)
        far = float((answer.detach() - weight[ids]).abs().max())
        if far > 1e-5:
            alone = not bool(answer.any())
            why = (
                "add `embedding(ids)` to the change"
                if alone
                else "one of the two factors must start at zero"
            )
            raise Wrong(
                f"a new LoRAEmbedding must answer as the embedding does, yours differs by up to {far:.3g}; {why}"
            )


def _factors(layer: nn.Module, setting: Setting) -> tuple[nn.Parameter, nn.Parameter]:
    """A and B among the layer's parameters; either may be stored transposed. Words if another number trains, or one of them does not."""
    train = {name: weight for name, weight in layer.named_parameters() if weight.requires_grad}
    sizes = {"A": (setting.rank, setting.vocabulary), "B": (setting.width, setting.rank)}
    found: dict[str, nn.Parameter] = {}
    for name, weight in train.items():
        which = next(
            (factor for factor, size in sizes.items() if tuple(weight.shape) in (size, size[::-1])),
            None,
        )
        if tuple(weight.shape) == (setting.vocabulary, setting.width):
            raise Wrong(
                f"only the factors may train, but the embedding's own weight does (`{name}`); freeze it with `requires_grad_(False)`"
            )
        if which is None or which in found:
            raise Wrong(
                f"only A and B may train, but `{name}` of shape {tuple(weight.shape)} does as well"
            )
        found[which] = weight
    for which, size in sizes.items():
        if which not in found:
            seen = (
                ", ".join(f"`{name}` {tuple(weight.shape)}" for name, weight in train.items())
                or "nothing"
            )
            raise Wrong(
                f"{which} of shape {size} must train, but what trains is {seen}; is it an `nn.Parameter` set on self?"
            )
    return found["A"], found["B"]


def _scale(
    layer: nn.Module, a: nn.Parameter, b: nn.Parameter, weight: Tensor, setting: Setting
) -> float | None:
    """By how much the layer scales its change, with both factors set to random numbers; words if no gradient reaches one of them."""
    nn.init.normal_(a)
    nn.init.normal_(b)
    answer, ids = _answer(layer, (2, 3), setting)
    _reaches(answer, a, b)
    rows = a.detach() if a.shape[0] == setting.vocabulary else a.detach().t()
    columns = b.detach() if b.shape[0] == setting.rank else b.detach().t()
    change = rows[ids] @ columns
    if scale_between(answer.detach(), torch.zeros_like(change), change) is not None:
        raise Wrong(f"for {setting} yours answers with the change alone; add `embedding(ids)`")
    return scale_between(answer.detach(), weight[ids], change)


def _reaches(answer: Tensor, a: nn.Parameter, b: nn.Parameter) -> None:
    """Words if no gradient of `answer` reaches one of the factors."""
    try:
        if answer.requires_grad:
            answer.square().sum().backward()
    except RuntimeError:  # autograd sees that a factor has moved since it was read
        raise Wrong(
            "the change must be computed in forward, from A and B as they are then; yours was computed before"
        ) from None
    for name, one in (("A", a), ("B", b)):
        if one.grad is None or not one.grad.any():
            raise Wrong(
                f"no gradient reaches {name}; is it used in forward as it is, without `.data`, `detach` or `no_grad`?"
            )
