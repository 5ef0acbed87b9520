"""Answers to lesson 05's exercises on masks that look at data: wrong ones with the words that must
name the fault, and right ones."""

from typing import Any

import torch
from torch.func import grad, vmap
from torch.nn import functional as F


def _rows(weight: Any, x: Any, labels: Any) -> Any:
    """The gradient of each row's loss, (rows, classes, width)."""
    error = torch.softmax(x @ weight.T, -1) - F.one_hot(labels, len(weight))
    return error[:, :, None] * x[:, None, :]


def wrong_fisher() -> dict[str, tuple[Any, str]]:
    def backward_once(weight: Any, x: Any, labels: Any) -> Any:
        w = weight.clone().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(x @ w.T, labels), w)[0] ** 2

    def in_place(weight: Any, x: Any, labels: Any) -> Any:
        x /= x.norm()
        return _rows(weight, x, labels).square().mean(0)

    def likeliest(weight: Any, x: Any, labels: Any) -> Any:
        return _rows(weight, x, (x @ weight.T).argmax(-1)).square().mean(0)

    def expected(weight: Any, x: Any, labels: Any) -> Any:
        p = torch.softmax(x @ weight.T, -1)
        return (p * (1 - p)).T @ x**2 / len(x)

    return {
        "of the model's own labels": (expected, "what the model itself expects of labels"),
        "square of the mean": (backward_once, "that is the square of the mean gradient"),
        "square of the sum": (
            lambda weight, x, labels: _rows(weight, x, labels).sum(0) ** 2,
            "the square of the summed gradient",
        ),
        "sum": (
            lambda weight, x, labels: (_rows(weight, x, labels) ** 2).sum(0),
            "that is the sum over the rows",
        ),
        "sizes": (
            lambda weight, x, labels: _rows(weight, x, labels).abs().mean(0),
            "Fisher information has squares",
        ),
        "size of the mean": (
            lambda weight, x, labels: _rows(weight, x, labels).mean(0).abs(),
            "the size of the mean gradient",
        ),
        "mean gradient": (
            lambda weight, x, labels: _rows(weight, x, labels).mean(0),
            "that is the mean gradient itself",
        ),
        "variance": (
            lambda weight, x, labels: _rows(weight, x, labels).var(0, unbiased=False),
            "that is the variance",
        ),
        "root": (
            lambda weight, x, labels: (_rows(weight, x, labels) ** 2).mean(0).sqrt(),
            "that is the root",
        ),
        "likeliest class": (likeliest, "each row is scored by its likeliest class"),
        "of the mean loss": (
            lambda weight, x, labels: ((_rows(weight, x, labels) / len(x)) ** 2).sum(0),
            "the mean is taken once",
        ),
        "divided before squaring": (
            lambda weight, x, labels: ((_rows(weight, x, labels) / len(x)) ** 2).mean(0),
            "divided by the number",
        ),
        "half": (
            lambda weight, x, labels: 0.5 * (_rows(weight, x, labels) ** 2).mean(0),
            "yours is 0.5 times what it must be",
        ),
        "each row apart": (
            lambda weight, x, labels: _rows(weight, x, labels) ** 2,
            "must have the shape (classes, width) = (3, 4)",
        ),
        "turned": (
            lambda weight, x, labels: (_rows(weight, x, labels) ** 2).mean(0).T,
            "that is transposed",
        ),
        "in double": (
            lambda weight, x, labels: (_rows(weight, x, labels) ** 2).mean(0).double(),
            "the dtype of the input",
        ),
        "in place": (in_place, "writes into `x`"),
        "no return": (lambda weight, x, labels: print(end=""), "returns None"),
        "arguments": (lambda weight, x: weight, "must take (weight, x, labels), in this order"),
    }


def right_fisher() -> dict[str, Any]:
    def loop(weight: Any, x: Any, labels: Any) -> Any:
        w, total = weight.clone().requires_grad_(), torch.zeros_like(weight)
        for i in range(len(x)):
            loss = F.cross_entropy(x[i : i + 1] @ w.T, labels[i : i + 1])
            total += torch.autograd.grad(loss, w)[0].square()
        return total / len(x)

    def mapped(weight: Any, x: Any, labels: Any) -> Any:
        def loss(w: Any, row: Any, label: Any) -> Any:
            return F.cross_entropy(row @ w.T, label)

        return vmap(grad(loss), (None, 0, 0))(weight, x, labels).square().mean(0)

    def of_squares(weight: Any, x: Any, labels: Any) -> Any:
        error = torch.softmax(x @ weight.T, -1) - F.one_hot(labels, len(weight))
        return (error**2).T @ x**2 / len(x)

    return {"a loop": loop, "vmap": mapped, "a product of squares": of_squares}


def _regrown(
    indices: Any,
    values: Any,
    scores: Any,
    moving: int,
    drop: Any = torch.abs,
    grow: Any = torch.abs,
) -> Any:
    stay = drop(values).argsort(descending=True)[: len(values) - moving]
    free = grow(scores).clone()
    free[indices[stay]] = -torch.inf
    new = free.argsort(descending=True)[:moving]
    return torch.cat([indices[stay], new]), torch.cat([values[stay], torch.zeros(moving)])


def wrong_regrow() -> dict[str, tuple[Any, str]]:
    def taken(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        stay = values.abs().argsort(descending=True)[: len(values) - moving]
        new = scores.abs().argsort(descending=True)[:moving]
        return torch.cat([indices[stay], new]), torch.cat([values[stay], torch.zeros(moving)])

    def never_back(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        stay = values.abs().argsort(descending=True)[: len(values) - moving]
        free = scores.abs().clone()
        free[indices] = -1
        return torch.cat([indices[stay], free.argsort(descending=True)[:moving]]), torch.cat(
            [values[stay], torch.zeros(moving)]
        )

    def keeps_value(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        places, _ = _regrown(indices, values, scores, moving)
        return places, torch.zeros(len(scores)).index_put((indices,), values)[places]

    def starts_at_score(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        places, new = _regrown(indices, values, scores, moving)
        return places, torch.where(new == 0, scores[places], new)

    def grows_only(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        places, new = _regrown(indices, values, scores, moving)
        return places[-moving:], new[-moving:]

    def zeros_for_taken(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        stay, free = (
            values.abs().argsort(descending=True)[: len(values) - moving],
            scores.abs().clone(),
        )
        free[indices[stay]] = 0  # a free place may have 0 as well
        return torch.cat([indices[stay], free.topk(moving).indices]), torch.cat(
            [values[stay], torch.zeros(moving)]
        )

    def in_place(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        scores[indices] = 0
        return _regrown(indices, values, scores, moving)

    names = "indices, values, scores, moving"
    return {
        "drops by sign": (
            lambda i, v, s, m: _regrown(i, v, s, m, drop=lambda x: x),
            "drops the most negative",
        ),
        "drops the largest": (
            lambda i, v, s, m: _regrown(i, v, s, m, drop=lambda x: -x.abs()),
            "drops the largest values",
        ),
        "grows by sign": (
            lambda i, v, s, m: _regrown(i, v, s, m, grow=lambda x: x),
            "goes by size; yours goes by sign",
        ),
        "grows where flat": (
            lambda i, v, s, m: _regrown(i, v, s, m, grow=lambda x: -x.abs()),
            "where the loss is flattest",
        ),
        "never back": (never_back, "a dropped position may come back, at zero; yours forbids it"),
        "keeps the old value": (keeps_value, "starts at zero; yours keeps its old value"),
        "starts at the score": (starts_at_score, "must be 0, in yours it is"),
        "nothing moves": (lambda i, v, s, m: (i, v), "nothing has moved"),
        "taken places": (taken, "names a position twice"),
        "zeros for taken places": (zeros_for_taken, "names a position twice"),
        "only the new ones": (grows_only, "there must be 5 indices as before"),
        "one too many": (
            lambda i, v, s, m: _regrown(i, v, s, m + 1),
            "should be among the new indices",
        ),
        "places as floats": (
            lambda i, v, s, m: (_regrown(i, v, s, m)[0].float(), v),
            "must be a tensor of whole numbers",
        ),
        "only places": (
            lambda i, v, s, m: _regrown(i, v, s, m)[0],
            "must be the pair (indices, values)",
        ),
        "in place": (in_place, "writes into `scores`"),
        "arguments": (
            lambda indices, values, scores: (indices, values),
            f"must take ({names}), in this order",
        ),
    }


def right_regrow() -> dict[str, Any]:
    def lists(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        ranked = sorted(
            zip(indices.tolist(), values.tolist(), strict=True), key=lambda pair: -abs(pair[1])
        )
        mask = dict(ranked[: len(ranked) - moving])
        free = sorted(
            (place for place in range(len(scores)) if place not in mask),
            key=lambda place: -abs(float(scores[place])),
        )
        mask.update(dict.fromkeys(free[:moving], 0.0))
        return torch.tensor(sorted(mask)), torch.tensor([mask[place] for place in sorted(mask)])

    def dense(indices: Any, values: Any, scores: Any, moving: int) -> Any:
        whole = torch.zeros(len(scores)).index_put((indices,), values)
        drop = indices[values.abs().topk(moving, largest=False).indices]
        whole[drop] = 0
        kept = (
            torch.zeros(len(scores), dtype=torch.bool)
            .index_fill(0, indices, True)
            .index_fill(0, drop, False)
        )
        new = scores.abs().masked_fill(kept, -1).topk(moving).indices
        places = kept.index_fill(0, new, True).nonzero().squeeze(1)
        return [places, whole[places]]

    return {"sorted tensors": _regrown, "lists": lists, "a dense vector": dense}
