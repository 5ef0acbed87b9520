"""The features of a body, and the check by a random batch that a body has some.

The check runs when a base is loaded. So a body that cannot be read is refused before any training,
and what takes no part in its answer is known.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.model.adapted import twin

Inputs = dict[str, Tensor]
"""The inputs of a body by name: `input_ids` and `attention_mask`, or `pixel_values`."""

_TOLERANCE = {torch.float32: 1e-4}
"""How far answers of the same row may differ by rounding, relative to the largest."""


def features(body: Any, inputs: Inputs, pooling: str = "mean") -> Tensor:
    """Compute the features of each row, (n, width).

    Args:
        body: its `last_hidden_state` has the shape (n, tokens, width).
        inputs: tokens whose `attention_mask` is 0 are padding.
        pooling: "mean" is the mean hidden state of the tokens that are no padding, "cls" the hidden
            state of the first token.
    """
    hidden = body(**inputs).last_hidden_state
    if pooling == "cls":
        return hidden[:, 0]
    mask = inputs.get("attention_mask")
    if mask is None:
        return hidden.mean(1)
    # In half precision a sum over many tokens can overflow.
    precise = torch.promote_types(hidden.dtype, torch.float32)
    weight = mask.unsqueeze(-1).to(precise)
    return ((hidden.to(precise) * weight).sum(1) / weight.sum(1)).to(hidden.dtype)


def random_texts(tokens: Tensor, pad: int) -> tuple[Inputs, Inputs]:
    """Two random texts of 8 and 5 tokens in one batch, and the shorter one alone."""
    ids = _random_ids(tokens, (2, 8))
    mask = torch.ones_like(ids)
    ids[1, 5:], mask[1, 5:] = pad, 0
    alone = {"input_ids": ids[1:, :5], "attention_mask": mask[1:, :5]}
    return {"input_ids": ids, "attention_mask": mask}, alone


def random_images(channels: int, size: int, dtype: torch.dtype) -> tuple[Inputs, Inputs]:
    """Two random images in one batch, and the second one alone."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn((2, channels, size, size), generator=generator).to(dtype)
    return {"pixel_values": pixels}, {"pixel_values": pixels[1:]}


def find_unused(
    body: Any, batch: Inputs, alone: Inputs, pooling: str, width: int
) -> frozenset[str]:
    """Check that a body can be read, and find the weights that take no part in its features.

    These are the weights that get no gradient, such as those of a pooler.

    Args:
        batch: two rows.
        alone: the second of them, without padding.
        pooling: as in `features`.
        width: the number of features that the body should have.

    Raises:
        ValueError: the answer has no hidden states of the shape (rows, tokens, width), they are
            not finite, or the answer for a row depends on the other row or on padding.
        Exception: any other error of the body.
    """
    net = twin(body, requires_grad=True)
    _check_shape(net, batch, width)
    with torch.enable_grad():
        together = features(net, batch, pooling)
    with torch.no_grad():
        by_itself = features(net, alone, pooling)
    if not (together.isfinite().all() and by_itself.isfinite().all()):
        raise ValueError(f"its hidden states are not finite in {str(together.dtype)[6:]}")
    if _differ(together[1], by_itself[0]):
        raise ValueError("its answer for a row depends on padding or on the other rows")
    weights = dict(net.named_parameters())
    gradients = torch.autograd.grad(together.sum(), list(weights.values()), allow_unused=True)
    by_name = zip(weights, gradients, strict=True)
    return frozenset(name for name, gradient in by_name if gradient is None)


def check_memory(body: Any, tokens: Tensor, longest: int, pooling: str) -> None:
    """Check that the answer for a long text stays the same after a short text was read.

    BigBird changes its kind of attention for good when it reads a short text.

    Raises:
        ValueError: the answer changes.
    """
    net = twin(body)
    short, long = (_whole_text(tokens, length) for length in (min(3, longest), longest))
    with torch.no_grad():
        before = features(net, long, pooling)
        features(net, short, pooling)
        after = features(net, long, pooling)
    if _differ(after, before):
        raise ValueError("its answer for a text depends on the texts that it has read before")


def _differ(answer: Tensor, expected: Tensor) -> bool:
    """Whether two answers for the same text differ by more than rounding."""
    tolerance = _TOLERANCE.get(expected.dtype, 0.05) * expected.abs().max()
    return bool((answer - expected).abs().max() > tolerance)


def _whole_text(tokens: Tensor, length: int) -> Inputs:
    """One random text without padding."""
    ids = _random_ids(tokens, (1, length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _check_shape(body: Any, batch: Inputs, width: int) -> None:
    """Check that there are hidden states of this width, one for each token of a text.

    Raises:
        ValueError: there are none, or they have another shape.
    """
    with torch.no_grad():
        answer = body(**batch)
    hidden = getattr(answer, "last_hidden_state", None)
    if not isinstance(hidden, Tensor):
        raise ValueError(f"its {type(answer).__name__} has no last_hidden_state")
    shape = tuple(hidden.shape)
    # The number of tokens of an image is the body's own choice.
    tokens = tuple(batch["input_ids"].shape[1:]) if "input_ids" in batch else shape[1:-1][:1]
    if shape[:-1] != (2, *tokens):
        raise ValueError(f"its hidden states have the shape {shape}, not (rows, tokens, width)")
    if shape[-1] != width:
        raise ValueError(
            f"its hidden states have the width {shape[-1]}, but its config.json gives no such "
            "hidden_size"
        )


def longest_text(body: nn.Module, tokens: Tensor, lengths: Iterable[int]) -> int:
    """The first of the `lengths`, in tokens, that the body can read.

    The body must be on the CPU: there, a position that does not exist is an error.

    Raises:
        Exception: the error of the body for the last length, if it can read none.
    """
    failure: Exception = ValueError("it can read no token")
    net = twin(body)  # some bodies change their modules by what they read
    for length in lengths:
        try:
            with torch.no_grad():
                net(**_whole_text(tokens, length))
        # The class of the error depends on how the body looks positions up.
        except Exception as error:
            failure = error
        else:
            return length
    raise failure


def _random_ids(tokens: Tensor, shape: tuple[int, int]) -> Tensor:
    """Draw token ids from `tokens`; always the same ones."""
    drawn = torch.randint(len(tokens), shape, generator=torch.Generator().manual_seed(0))
    return tokens[drawn]
