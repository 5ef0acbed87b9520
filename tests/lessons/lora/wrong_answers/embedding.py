"""Answers to the exercise on an embedding: wrong ones with words of the message, right ones."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Right(nn.Module):
    """A right LoRAEmbedding, of which most wrong ones change one part."""

    def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.embedding.weight.requires_grad = False
        self.scale = self.scaled(rank, alpha, *embedding.weight.shape)
        self.start(rank, *embedding.weight.shape)

    def scaled(self, rank: int, alpha: float, vocabulary: int, width: int) -> float:
        return alpha / rank

    def start(self, rank: int, vocabulary: int, width: int) -> None:
        self.a = nn.Parameter(torch.randn(rank, vocabulary))
        self.b = nn.Parameter(torch.zeros(width, rank))

    def change(self, ids: Any) -> Any:
        return F.embedding(ids, self.a.T) @ self.b.T

    def forward(self, ids: Any) -> Any:
        return self.embedding(ids) + self.scale * self.change(ids)


def _with(**parts: Any) -> type[Right]:
    return type("LoRAEmbedding", (Right,), parts)


def _zeros(self: Any, rank: int, vocabulary: int, width: int) -> None:
    self.a, self.b = (
        nn.Parameter(torch.zeros(rank, vocabulary)),
        nn.Parameter(torch.zeros(width, rank)),
    )


def _random(self: Any, rank: int, vocabulary: int, width: int) -> None:
    self.a, self.b = (
        nn.Parameter(torch.randn(rank, vocabulary)),
        nn.Parameter(torch.randn(width, rank)),
    )


def _plain(self: Any, rank: int, vocabulary: int, width: int) -> None:
    self.a, self.b = (
        torch.randn(rank, vocabulary, requires_grad=True),
        torch.zeros(width, rank, requires_grad=True),
    )


def _one_plain(self: Any, rank: int, vocabulary: int, width: int) -> None:
    self.a, self.b = torch.randn(rank, vocabulary), nn.Parameter(torch.zeros(width, rank))


def _biased(self: Any, rank: int, vocabulary: int, width: int) -> None:
    _one_plain(self, rank, vocabulary, width)
    self.a, self.up = nn.Parameter(self.a), nn.Parameter(torch.zeros(width))


def wrong_embedding() -> dict[str, tuple[Any, str]]:
    class Trainable(Right):
        def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
            super().__init__(embedding, rank, alpha)
            self.embedding.weight.requires_grad = True

    class Misnamed(nn.Module):
        def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
            super().__init__()

        def call(self, ids: Any) -> Any:
            return ids

    class NoSuper(nn.Module):
        def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
            self.embedding = embedding

        def forward(self, ids: Any) -> Any:
            return self.embedding(ids)

    class Writes(Right):
        def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
            super().__init__(embedding, rank, alpha)
            self.first = True

        def forward(self, ids: Any) -> Any:
            answer = super().forward(ids)
            if not self.first:
                self.embedding.weight[0] += 1e-9 + self.embedding.weight[0].abs().max()
            self.first = ids.dim() == 2 and self.first
            return answer

    class Cached(Right):
        def start(self, rank: int, vocabulary: int, width: int) -> None:
            super().start(rank, vocabulary, width)
            self.table = self.a.T @ self.b.T

        def change(self, ids: Any) -> Any:
            return self.table[ids]

    class NoReturn(Right):
        def forward(self, ids: Any) -> Any:
            super().forward(ids)

    class NoModule:
        def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
            self.embedding = embedding

        def __call__(self, ids: Any) -> Any:
            return self.embedding(ids)

    def scale(factor: Callable[..., float]) -> type[Right]:
        return _with(scaled=lambda self, *sizes: factor(*sizes))

    return {
        "both zero": (_with(start=_zeros), "A and B both start at zero"),
        "neither zero": (_with(start=_random), "one of the two factors must start at zero"),
        "the embedding is trainable": (
            Trainable,
            "the embedding's own weight is (`embedding.weight`); freeze it",
        ),
        "factors not parameters": (
            _with(start=_plain),
            "A of shape (3, 11) must be trainable, got no trainable parameter",
        ),
        "A no parameter": (
            _with(start=_one_plain),
            "A of shape (3, 11) must be trainable, got `b` (7, 3) alone",
        ),
        "a bias too": (
            _with(start=_biased),
            "Only A and B may be trainable, but `up` of shape (7,) is as well",
        ),
        "alpha": (
            scale(lambda r, alpha, *_: alpha),
            "must be scaled by 4, yours is scaled by 12; that is alpha",
        ),
        "no scale": (scale(lambda *_: 1.0), "the factor alpha / rank is missing"),
        "width for rank": (
            scale(lambda r, alpha, v, width: alpha / width),
            "divided by the number of columns of the weight",
        ),
        "upside down": (scale(lambda r, alpha, *_: r / alpha), "that is rank / alpha"),
        "the change alone": (
            _with(forward=lambda self, ids: self.scale * self.change(ids)),
            "add `embedding(ids)` to the change",
        ),
        "detached": (
            _with(change=lambda self, ids: self.a.T[ids].detach() @ self.b.T),
            "No gradient reaches A",
        ),
        "data": (
            _with(change=lambda self, ids: self.a.data.T[ids] @ self.b.data.T),
            "No gradient reaches A",
        ),
        "no_grad": (_with(forward=torch.no_grad()(Right.forward)), "No gradient reaches A"),
        "made in advance": (Cached, "Forward must compute the change from the current A and B"),
        "columns in the wrong order": (
            _with(
                change=lambda self, ids: (
                    (self.a[:, ids.flatten()].reshape(*ids.shape, -1)) @ self.b.T
                )
            ),
            "with scale = 4 or any other",
        ),
        "flattens": (
            _with(forward=lambda self, ids: Right.forward(self, ids.flatten())),
            "got (6, 7)",
        ),
        "A[:, ids] as it is": (
            _with(change=lambda self, ids: self.a[:, ids] @ self.b.T),
            "Your code raised RuntimeError",
        ),
        "misnamed forward": (Misnamed, 'is missing the required "forward" function'),
        "no super().__init__()": (NoSuper, "cannot assign module before Module.__init__() call"),
        "no return": (NoReturn, "got None; is a `return` missing?"),
        "returns the ids": (
            _with(forward=lambda self, ids: ids),
            "must have the shape (*ids.shape, width) = (2, 3, 7), got (2, 3)",
        ),
        "writes into the base": (Writes, "writes into the weight of the embedding"),
        "no module": (NoModule, "must be an nn.Module"),
        "an instance": (
            Right(nn.Embedding(3, 2), 1, 2.0),
            "Pass the class LoRAEmbedding itself",
        ),
        "arguments": (
            type("L", (Right,), {"__init__": lambda self, embedding: None}),
            "must take (embedding, rank, alpha), in this order",
        ),
    }


def right_embedding() -> dict[str, Any]:
    class Transposed(Right):
        def start(self, rank: int, vocabulary: int, width: int) -> None:
            self.down = nn.Embedding(vocabulary, rank)
            self.up = nn.Linear(rank, width, bias=False)
            nn.init.zeros_(self.up.weight)

        def change(self, ids: Any) -> Any:
            return self.up(self.down(ids))

    class OneHot(Right):
        def change(self, ids: Any) -> Any:
            one_hot = F.one_hot(ids, self.a.shape[1]).to(self.a)
            return torch.einsum("...v,rv,wr->...w", one_hot, self.a, self.b)

    class AtZeroInA(Right):
        def start(self, rank: int, vocabulary: int, width: int) -> None:
            self.factors = nn.ParameterList(
                [torch.zeros(rank, vocabulary), torch.randn(width, rank)]
            )

        def change(self, ids: Any) -> Any:
            return self.factors[0][:, ids].movedim(0, -1) @ self.factors[1].T

    class OnACopy(Right):
        def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
            super().__init__(
                nn.Embedding.from_pretrained(embedding.weight.detach().clone()), rank, alpha
            )

    class Dense(Right):
        def change(self, ids: Any) -> Any:
            return (self.b @ self.a).T[ids]

    def factory(embedding: Any, rank: int, alpha: float) -> nn.Module:
        return Right(embedding, rank, alpha)

    named = {
        "lookup": Right,
        "layers": Transposed,
        "one-hot einsum": OneHot,
        "A at zero": AtZeroInA,
        "a copy": OnACopy,
    }
    return named | {"the whole product": Dense, "a function that makes one": factory}
