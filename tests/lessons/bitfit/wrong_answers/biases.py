"""Answers to lesson 04's exercises on biases.

Wrong ones come with words that the message must contain.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F


def _those(fits: Callable[[str], bool]) -> Any:
    return lambda names: [name for name in names if fits(name)]


def wrong_biases() -> dict[str, tuple[Any, str]]:
    def in_place(names: Any) -> Any:
        names.remove(names[0])
        return [name for name in names if name.startswith("body.") and name.endswith(".bias")]

    return {
        "the head too": (_those(lambda n: n.endswith(".bias")), "the head's bias is among them"),
        "no norms": (
            _those(lambda n: n.startswith("body.") and n.endswith(".bias") and "Norm" not in n),
            "LayerNorm.bias is missing: the biases of the norms are missing; "
            "BitFit trains them too",
        ),
        "bias anywhere": (
            _those(lambda n: n.startswith("body.") and "bias" in n),
            "`bias` occurs in other names too",
        ),
        "bias anywhere, head too": (
            _those(lambda n: "bias" in n),
            "`bias` anywhere in a name is not enough",
        ),
        "no dot": (
            _those(lambda n: n.startswith("body.") and n.endswith("bias")),
            "a weight may be called `debias`",
        ),
        "a set": (
            lambda names: {name for name in names if name.startswith("body.")},
            "must be a list of names, got a set",
        ),
        "heads anywhere": (
            _those(lambda n: n.endswith(".bias") and "heads" not in n),
            "`heads` occurs inside the body too",
        ),
        "everything else": (
            _those(lambda n: not n.endswith(".bias") or n.startswith("heads.")),
            "that is everything that BitFit does not train",
        ),
        "the body": (_those(lambda n: n.startswith("body.")), "that is the whole body"),
        "nothing": (lambda names: [], "that is nothing"),
        "endswith bias": (
            _those(lambda n: n.startswith("body.layer") and n.endswith("bias")),
            "body.embeddings.LayerNorm.bias is missing",
        ),
        "sorted": (
            lambda names: sorted(_those(lambda n: n.endswith(".bias"))(names)),
            "In a small BERT yours is not right",
        ),
        "one text": (lambda names: "body.layer.0.query.bias", "must be a list of names, got a str"),
        "a count": (lambda names: 3, "must be a list of names, got an int"),
        "writes into the list": (in_place, "writes into `names`"),
        "two arguments": (lambda names, weights: names, "must take (names), in this order"),
    }


def right_biases() -> dict[str, Any]:
    def loop(names: Any) -> Any:
        for name in names:
            first, *_, last = name.split(".")
            if (first, last) == ("body", "bias"):
                yield name

    return {
        "a comprehension": lambda names: [
            name for name in names if name.startswith("body.") and name.endswith(".bias")
        ],
        "a generator": loop,
        "a filter": lambda names: tuple(
            filter(lambda n: n.split(".")[0] == "body" and n.rpartition(".")[2] == "bias", names)
        ),
    }


def wrong_fold() -> dict[str, tuple[Any, str]]:
    def in_place(weight: Any, output: Any, value: Any) -> Any:
        output += weight @ value
        return output

    return {
        "as it was": (lambda w, o, v: o.clone(), "the value bias is lost"),
        "subtracted": (lambda w, o, v: o - w @ v, "adds -1 times `weight @ value`"),
        "twice": (lambda w, o, v: o + 2 * (w @ v), "adds 2 times `weight @ value`"),
        "alone": (lambda w, o, v: w @ v, "that is the value bias's part alone"),
        "ones": (lambda w, o, v: o + w.sum(1), "the entries of `value` are missing"),
        "mean value": (lambda w, o, v: o + w.sum(1) * v.mean(), "the entries of `value` differ"),
        "transposed": (lambda w, o, v: o + w.T @ v, "multiplies by the transposed weight"),
        "multiplied": (lambda w, o, v: o * (w @ v), "the two are multiplied"),
        "the value alone": (
            lambda w, o, v: v.clone(),
            "an output layer of shape (5, 5) the new bias is off",
        ),
        "a matrix": (
            lambda w, o, v: w * v + o[:, None],
            "must have the shape (out,) = (5,), got (5, 5)",
        ),
        "a column": (lambda w, o, v: (o + w @ v)[:, None], "got (5, 1)"),
        "both": (lambda w, o, v: o + w @ v + 1, "is off by up to 1"),
        "a list": (lambda w, o, v: (o + w @ v).tolist(), "must be a torch.Tensor, got a list"),
        "in place": (in_place, "writes into `output`"),
        "no return": (lambda w, o, v: print(end=""), "returns None"),
        "arguments": (lambda w, o: o, "must take (weight, output, value), in this order"),
    }


def right_fold() -> dict[str, Any]:
    return {
        "matmul": lambda weight, output, value: output + weight @ value,
        "a linear layer": lambda weight, output, value: F.linear(value, weight, output),
        "einsum": lambda weight, output, value: torch.einsum("oi,i->o", weight, value) + output,
        "sums of columns": lambda weight, output, value: (
            output + sum(v * weight[:, i] for i, v in enumerate(value))
        ),
    }


def wrong_shift() -> dict[str, tuple[Any, str]]:
    def rest(w: Any, x: Any, y: Any) -> Any:
        return y - x @ w.T

    return {
        "mean target": (lambda w, x, y: y.mean(0), "that is the mean target"),
        "sign": (lambda w, x, y: -rest(w, x, y).mean(0), "the wrong sign"),
        "sum": (lambda w, x, y: rest(w, x, y).sum(0), "the sum over the rows"),
        "median": (lambda w, x, y: rest(w, x, y).median(0).values, "that is the median"),
        "one number": (
            lambda w, x, y: rest(w, x, y).mean().repeat(len(w)),
            "that is one number for all outputs",
        ),
        "first row": (lambda w, x, y: rest(w, x, y)[0], "what the first row misses"),
        "gradient": (lambda w, x, y: 2 * rest(w, x, y).mean(0), "that is the gradient"),
        "half": (lambda w, x, y: rest(w, x, y).mean(0) / 2, "half of the best"),
        "zero": (lambda w, x, y: torch.zeros(len(w)), "no change at all"),
        "a mean a row": (
            lambda w, x, y: rest(w, x, y).mean(1),
            "must have the shape (out,) = (3,), got (40,)",
        ),
        "a row": (lambda w, x, y: rest(w, x, y).mean(0, keepdim=True), "got (1, 3)"),
        "a float": (
            lambda w, x, y: rest(w, x, y).mean().item(),
            "must be a torch.Tensor, got a float",
        ),
        "trimmed": (lambda w, x, y: rest(w, x, y)[:-3].mean(0), "the mean squared error can be"),
        "transposed": (lambda w, x, y: (y - x @ w).mean(0), "Your code raised RuntimeError"),
    }


def right_shift() -> dict[str, Any]:
    def descent(weight: Any, x: Any, targets: Any) -> Any:
        b = torch.zeros(len(weight), requires_grad=True)
        optimizer = torch.optim.SGD([b], lr=0.2)
        for _ in range(200):
            optimizer.zero_grad()
            (F.linear(x, weight, b) - targets).square().sum(1).mean().backward()
            optimizer.step()
        return b

    def least_squares(weight: Any, x: Any, targets: Any) -> Any:
        return torch.linalg.lstsq(torch.ones(len(x), 1), targets - x @ weight.T).solution[0]

    return {
        "the mean": lambda weight, x, targets: (targets - x @ weight.T).mean(0),
        "mean minus mean": lambda weight, x, targets: targets.mean(0) - weight @ x.mean(0),
        "gradient descent": descent,
        "least squares": least_squares,
        "in double": lambda weight, x, targets: (
            targets.double() - x.double() @ weight.double().T
        ).mean(0),
    }
