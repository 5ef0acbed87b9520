"""An exercise on LoRA for an embedding, which looks rows up where a linear layer multiplies."""

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
    """Sizes of an embedding and its change. All differ, so that a shape says what it belongs to."""

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
        "An embedding is a linear layer whose inputs are one-hot vectors: what is x A' if x is "
        "one-hot?",
        "`self.a.T[ids]` looks up `rank` values for every id, for any shape of ids; `@ self.b.T` "
        "makes them as wide as the embedding.",
        "Freeze the embedding with `requires_grad_(False)`. Make A and B `nn.Parameter`s; start "
        "one at random and the other at zero.",
    ],
    solution=_SOLUTION,
)
def lora_embedding(yours: Any) -> str:
    """`yours` is a class LoRAEmbedding(embedding, rank, alpha), an nn.Module.

    Its forward(ids) is embedding(ids) + alpha/rank * A[:, ids]' B', with A (rank, vocabulary) and
    B (width, rank). Only A and B are trainable, and a new one answers as the embedding does.
    """
    _check_class(yours)
    # What the learner's code draws must not change the notebook's own random numbers.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        observed = [_check_setting(yours, setting) for setting in _SETTINGS]
        check_scales(observed, "embedding(ids) + scale * (A.T[ids] @ B.T)")
    return (
        "LoRA is not limited to linear layers. Only the columns of A whose ids occur in a batch "
        "get a gradient, as in the embedding itself."
    )


def _check_class(yours: Any) -> None:
    if isinstance(yours, nn.Module) or not callable(yours):
        raise Wrong(
            "pass the class LoRAEmbedding itself, without brackets after its name; "
            f"this is {kind(yours)}"
        )
    if inspect.isclass(yours) and issubclass(yours, nn.Module) and _is_stub_class(yours):
        raise NotAttempted
    signature = inspect.signature(yours)
    try:
        signature.bind("embedding", "rank", "alpha")
    except TypeError:
        raise Wrong(
            "LoRAEmbedding must take (embedding, rank, alpha), in this order; "
            f"yours takes {signature}"
        ) from None


def _is_stub_class(yours: type[nn.Module]) -> bool:
    """Return whether no class below nn.Module defines a method, or forward does nothing."""
    below = yours.__mro__[: yours.__mro__.index(nn.Module)]
    written = any({"__init__", "forward"} & vars(parent).keys() for parent in below)
    return not written or is_stub(yours.forward)


def _check_setting(yours: Any, setting: Setting) -> ObservedScale:
    embedding = nn.Embedding(setting.vocabulary, setting.width)
    before = embedding.weight.detach().clone()
    layer = yours(embedding, setting.rank, setting.alpha)
    if not isinstance(layer, nn.Module):
        raise Wrong(
            "LoRAEmbedding must be an nn.Module, so that its parameters are found; "
            f"yours makes {kind(layer)}"
        )
    _check_start(layer, before, setting)
    a, b = _factors(layer, setting)
    if not a.any() and not b.any():
        raise Wrong(
            "A and B both start at zero: the gradient of A has B in it, and that of B has A, so "
            "both stay zero forever; start one of them at random"
        )
    scale = _scale(layer, a, b, before, setting)
    if not torch.equal(embedding.weight, before):
        raise Wrong(
            "yours writes into the weight of the embedding that it was given; "
            "the base must stay unchanged"
        )
    return ObservedScale(setting.rank, setting.alpha, setting.vocabulary, setting.width, scale)


def _answer(layer: nn.Module, shape: tuple[int, ...], setting: Setting) -> tuple[Tensor, Tensor]:
    """Return the layer's answer to ids of that shape, with its graph, and the ids."""
    generator = torch.Generator().manual_seed(len(shape))
    ids = torch.randint(setting.vocabulary, shape, generator=generator)
    answer = layer(ids.clone())
    if answer is ...:
        raise NotAttempted
    what = f"for ids of shape {shape}, the answer of forward"
    tensor(answer, what, (*shape, setting.width), "(*ids.shape, width)")
    return answer, ids


def _check_start(layer: nn.Module, weight: Tensor, setting: Setting) -> None:
    """Refuse a new layer that does not answer as the embedding does."""
    for shape in ((2, 3), (4,)):
        answer, ids = _answer(layer, shape, setting)
        distance = float((answer.detach() - weight[ids]).abs().max())
        if distance > 1e-5:
            remedy = (
                "one of the two factors must start at zero"
                if answer.any()
                else "add `embedding(ids)` to the change"
            )
            raise Wrong(
                "a new LoRAEmbedding must answer as the embedding does, "
                f"yours differs by up to {distance:.3g}; {remedy}"
            )


def _factors(layer: nn.Module, setting: Setting) -> tuple[nn.Parameter, nn.Parameter]:
    """Find A and B among the layer's parameters; either may be stored transposed.

    Raises:
        Wrong: anything else is trainable, or one of them is not.
    """
    trainable = {name: weight for name, weight in layer.named_parameters() if weight.requires_grad}
    sizes = {"A": (setting.rank, setting.vocabulary), "B": (setting.width, setting.rank)}
    factors: dict[str, nn.Parameter] = {}
    for name, weight in trainable.items():
        shape = tuple(weight.shape)
        if shape == (setting.vocabulary, setting.width):
            raise Wrong(
                "only the factors may be trainable, but the embedding's own weight is "
                f"(`{name}`); freeze it with `requires_grad_(False)`"
            )
        factor = next((f for f, size in sizes.items() if shape in (size, size[::-1])), None)
        if factor is None or factor in factors:
            raise Wrong(f"only A and B may be trainable, but `{name}` of shape {shape} is as well")
        factors[factor] = weight
    for factor, size in sizes.items():
        if factor not in factors:
            raise Wrong(
                f"{factor} of shape {size} must be trainable, got {_listing(trainable)}; "
                "is it an `nn.Parameter` set on self?"
            )
    return factors["A"], factors["B"]


def _listing(trainable: dict[str, nn.Parameter]) -> str:
    shapes = ", ".join(f"`{name}` {tuple(weight.shape)}" for name, weight in trainable.items())
    return f"{shapes} alone" if shapes else "no trainable parameter"


def _scale(
    layer: nn.Module, a: nn.Parameter, b: nn.Parameter, weight: Tensor, setting: Setting
) -> float | None:
    """Measure by how much the layer scales its change, with random numbers in both factors.

    Raises:
        Wrong: no gradient reaches one of the factors, or the answer is the change alone.
    """
    nn.init.normal_(a)
    nn.init.normal_(b)
    answer, ids = _answer(layer, (2, 3), setting)
    _check_gradients(answer, a, b)
    rows = a.detach() if a.shape[0] == setting.vocabulary else a.detach().t()
    columns = b.detach() if b.shape[0] == setting.rank else b.detach().t()
    change = rows[ids] @ columns
    if scale_between(answer.detach(), torch.zeros_like(change), change) is not None:
        raise Wrong(f"for {setting} yours returns the change alone; add `embedding(ids)`")
    return scale_between(answer.detach(), weight[ids], change)


def _check_gradients(answer: Tensor, a: nn.Parameter, b: nn.Parameter) -> None:
    """Refuse an answer from which no gradient reaches one of the factors."""
    try:
        if answer.requires_grad:
            answer.square().sum().backward()
    except RuntimeError:  # autograd sees that a factor has changed since it was used
        raise Wrong(
            "forward must compute the change from the current A and B; "
            "yours was computed before forward was called"
        ) from None
    for name, factor in (("A", a), ("B", b)):
        if factor.grad is None or not factor.grad.any():
            raise Wrong(
                f"no gradient reaches {name}; does forward use it directly, "
                "without `.data`, `detach` or `no_grad`?"
            )
