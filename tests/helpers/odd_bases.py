"""Small networks whose code does not call the forward of each layer that owns a weight."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

WIDTH = 8


class Calls(nn.Module):
    """Some modules, and the function that computes with them."""

    def __init__(self, compute: Callable[[Any, Tensor], Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.parts, self.compute = nn.ModuleList(parts), compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self.parts, x)


class Borrowed(nn.Module):
    """An output layer that borrows the table of an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.inner = nn.Embedding(6, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.inner(x + self.table(torch.arange(5)))), self.table.weight)


class Lists(nn.Module):
    """Weights in a list and in a dictionary of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ParameterList([torch.randn(WIDTH, WIDTH) for _ in range(2)])
        self.dict = nn.ParameterDict({"last": torch.randn(WIDTH, WIDTH)})

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.list:
            x = torch.tanh(x @ weight)
        return x @ self.dict["last"]


class Tripled(nn.Linear):
    """A linear layer that does more in its forward."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)


class Hooked(nn.Module):
    """A hook that reads the weight of its module, and code that reads shapes and types."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.inner.register_forward_hook(lambda layer, given, x: x + layer.weight.sum(0))

    def forward(self, x: Tensor) -> Tensor:
        like = next(self.parameters())
        return self.inner(x.to(like)) + torch.zeros_like(like).sum() + like.new_zeros(WIDTH)


def encoder(**options: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def attention(**options: Any) -> nn.Module:
    return Calls(
        lambda parts, x: parts[0](x, x, x, need_weights=False)[0],
        nn.MultiheadAttention(WIDTH, 2, batch_first=True, **options),
    )


def recurrent(kind: type[nn.Module], **options: Any) -> nn.Module:
    return Calls(lambda parts, x: parts[0](x)[0], kind(WIDTH, WIDTH, batch_first=True, **options))


READERS: dict[str, Callable[[], nn.Module]] = {
    "encoder": encoder,
    "encoder with gelu, norm first": lambda: encoder(activation="gelu", norm_first=True),
    "attention": attention,
    "attention with several widths": lambda: attention(kdim=WIDTH, vdim=WIDTH, add_bias_kv=True),
    "decoder": lambda: Calls(
        lambda parts, x: parts[0](x, x), nn.TransformerDecoderLayer(WIDTH, 2, 16, batch_first=True)
    ),
    "lstm": lambda: recurrent(nn.LSTM, num_layers=2, bidirectional=True),
    "gru": lambda: recurrent(nn.GRU),
    "cell": lambda: Calls(lambda parts, x: parts[0](x[0]), nn.GRUCell(WIDTH, WIDTH)),
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH))),
    "orthogonal": lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(WIDTH, WIDTH))),
    "weight norm by a hook": lambda: nn.Sequential(weight_norm(nn.Linear(WIDTH, WIDTH))),
    "spectral norm by a hook": lambda: nn.Sequential(spectral_norm(nn.Linear(WIDTH, WIDTH))),
    "borrowed table": Borrowed,
    "lists of parameters": Lists,
    "a forward that does more": lambda: nn.Sequential(Tripled(WIDTH, WIDTH)),
    "a hook that reads the weight": Hooked,
    "convolution": lambda: Calls(
        lambda parts, x: parts[0](x.transpose(1, 2)), nn.Conv1d(WIDTH, WIDTH, 3)
    ),
    "bilinear": lambda: Calls(lambda parts, x: parts[0](x, x), nn.Bilinear(WIDTH, WIDTH, 4)),
    "bag of rows": lambda: Calls(
        lambda parts, x: parts[0](torch.arange(6).view(2, 3)) * x.mean(), nn.EmbeddingBag(7, WIDTH)
    ),
    "rows with a longest length": lambda: Calls(
        lambda parts, x: parts[0](torch.arange(6)) * x.mean(), nn.Embedding(7, WIDTH, max_norm=0.5)
    ),
    "compiled": lambda: nn.Sequential(
        nn.Linear(WIDTH, WIDTH),
        torch.compile(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()), backend="eager"),
    ),
}
