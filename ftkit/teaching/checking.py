"""Calling what a learner wrote, and words for what comes back: its type, its shape, its numbers."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ftkit.teaching.exercise import NotAttempted, Wrong
from ftkit.teaching.learner_code import is_stub


def as_function(yours: Any, takes: str) -> Callable[..., Any]:
    """`yours` as something that can be called with what `takes` names; a class that can be called once made is made."""
    if inspect.isclass(yours) and any("__call__" in vars(parent) for parent in yours.__mro__):
        yours = yours()
    if not callable(yours) or inspect.isclass(yours):
        raise Wrong(
            f"hand over a function that takes ({takes}), without brackets behind its name; this is {kind(yours)}"
        )
    _accepts(yours, takes)
    return yours


def _accepts(yours: Any, takes: str) -> None:
    try:
        signature = inspect.signature(yours)
    except (TypeError, ValueError):  # some functions written in C have none
        return
    try:
        signature.bind(*takes.split(", "))
    except TypeError:
        raise Wrong(
            f"your function must take ({takes}), in this order; yours takes {signature}"
        ) from None


def call(yours: Callable[..., Any], takes: str, *given: Any) -> Any:
    """What `yours` answers to copies of `given`; words if it answers nothing, or writes into them."""
    copies = copy.deepcopy(given)
    answer = yours(*copies)
    if answer is ... or (answer is None and is_stub(yours)):
        raise NotAttempted
    for name, before, after in zip(takes.split(", "), given, copies, strict=True):
        if not _equal(before, after):
            how = next((how for of, how in _NEW.items() if isinstance(before, of)), "")
            raise Wrong(
                f"your function writes into `{name}`, which belongs to the caller; make a new one instead{how}"
            )
    if answer is None:
        raise Wrong("your function returns None; is a `return` missing?")
    return answer


_NEW = {
    Tensor: " (`x + 1`, not `x += 1`)",
    pd.DataFrame: " (`table.assign(best=...)`, not `table['best'] = ...`)",
    list: " (`sorted(x)`, not `x.sort()`; `x[1:]`, not `x.pop(0)`)",
}


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return torch.equal(before, after)
    return bool(before.equals(after) if isinstance(before, pd.DataFrame) else before == after)


def kind(value: Any) -> str:
    """What `value` is, in words.

    >>> kind([1]), kind(None), kind(int)
    ('a list', 'None', 'the class int')
    """
    if value is None:
        return "None"
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    package, name = type(value).__module__.split(".")[0], type(value).__name__
    name = name if package == "builtins" else f"{package}.{name}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def tensor(
    value: Any, what: str, shape: Sequence[int], names: str, like: Tensor | None = None
) -> Tensor:
    """`value`, if it is a tensor of real, finite numbers of that shape (and of the dtype of `like`); words if not."""
    if not isinstance(value, Tensor):
        raise Wrong(
            f"{what} must be a torch.Tensor, got {kind(value)}{'; is a `return` missing?' if value is None else ''}"
        )
    if tuple(value.shape) != tuple(shape):
        turned = (
            "; that is transposed"
            if tuple(value.shape) == tuple(shape)[::-1] and len(shape) > 1
            else ""
        )
        raise Wrong(
            f"{what} must have the shape {names} = {tuple(shape)}, got {tuple(value.shape)}{turned}"
        )
    if not value.dtype.is_floating_point or (like is not None and value.dtype != like.dtype):
        wanted = (
            "a float dtype" if like is None else f"the dtype of what it was made from, {like.dtype}"
        )
        raise Wrong(f"{what} must have {wanted}, got {value.dtype}")
    if not bool(torch.isfinite(value).all()):
        raise Wrong(f"{what} holds nan or inf; were all its numbers set?")
    return value.detach()


@dataclass(frozen=True)
class Case:
    """One input: what the learner's code is called with, and how to speak of it."""

    given: tuple[Any, ...]
    words: str


def diagnose(
    answers: Sequence[Any],
    cases: Sequence[Case],
    faults: Mapping[str, Callable[..., Any]],
    same: Callable[[Any, Any], bool],
) -> str:
    """The words of the first known fault that gives these very answers to all cases, as the end of a sentence; empty if none does."""
    for words, wrong in faults.items():
        if all(
            same(answer, wrong(*case.given)) for answer, case in zip(answers, cases, strict=True)
        ):
            return f": {words}"
    return ""


def number(answer: Any) -> float:
    """`answer` as a float, if it is one number of any kind; words if not."""
    try:
        if isinstance(answer, str | bool):
            raise TypeError
        return float(answer)
    except (TypeError, ValueError, RuntimeError):  # torch raises the last for a tensor of many
        raise Wrong(f"the answer must be one number, got {kind(answer)}") from None


def close(one: float, other: float) -> bool:
    """Whether two numbers are the same up to what float32 rounds away."""
    return abs(one - other) <= 1e-5 * max(1.0, abs(other))


_NEARLY = ": that is near; if yours draws by chance or rounds, let it do neither, the exact number is wanted"


def first_mismatch(
    yours: Callable[..., Any],
    takes: str,
    right: Callable[..., float],
    cases: Sequence[Case],
    faults: Mapping[str, Callable[..., float]],
) -> tuple[Case, float, float, str] | None:
    """The first case that `yours` answers wrongly: it, what is right, what was answered, and the words of the fault behind all answers."""
    answers = [number(call(yours, takes, *case.given)) for case in cases]
    rights = [right(*case.given) for case in cases]
    near = all(abs(one - other) <= 0.02 for one, other in zip(answers, rights, strict=True))
    why = diagnose(answers, cases, faults, close) or (_NEARLY if near else "")
    found = zip(cases, rights, answers, strict=True)
    return next(
        (
            (case, wanted, answer, why)
            for case, wanted, answer in found
            if not close(answer, wanted)
        ),
        None,
    )


@dataclass(frozen=True)
class Scaled:
    """By how much the learner's code scales a low-rank change; `found` is None if no factor explains what it does."""

    rank: int
    alpha: float
    out: int
    into: int
    found: float | None


_SCALES: dict[str, Callable[[Scaled], float]] = {
    "that is alpha, not yet divided by the rank": lambda s: s.alpha,
    "the factor alpha / rank is missing": lambda s: 1.0,
    "that is rank / alpha": lambda s: s.rank / s.alpha,
    "`//` rounds down; use `/`": lambda s: s.alpha // s.rank,
    "that is alpha / sqrt(rank), the factor of rsLoRA": lambda s: s.alpha / s.rank**0.5,
    "it is applied twice": lambda s: (s.alpha / s.rank) ** 2,
    "that is the root of alpha / rank": lambda s: (s.alpha / s.rank) ** 0.5,
    "that is alpha * rank": lambda s: s.alpha * s.rank,
    "alpha is divided by the number of rows of the weight, not by the rank": lambda s: (
        s.alpha / s.out
    ),
    "alpha is divided by the number of columns of the weight, not by the rank": lambda s: (
        s.alpha / s.into
    ),
    "it is subtracted where it must be added": lambda s: -s.alpha / s.rank,
    "the change is missing": lambda s: 0.0,
}


def factor(got: Tensor, base: Tensor, change: Tensor) -> float | None:
    """The s for which `got` is `base + s * change`; None if there is none."""
    moved, change = (got - base).double().flatten(), change.double().flatten()
    s = float(moved @ change / (change @ change))
    rest = float((moved - s * change).norm())
    return s if rest <= 1e-4 * float(got.norm() + base.norm()) else None


def scaled_rightly(seen: Sequence[Scaled], formula: str) -> None:
    """Words, if one of the factors is not alpha / rank."""
    for s in seen:
        right = s.alpha / s.rank
        start = f"for rank {s.rank} and alpha {s.alpha:g}"
        if s.found is None:
            raise Wrong(
                f"{start}, yours is not `{formula}`, and no other factor in the place of {right:g} makes it so"
            )
        if not _near(s.found, right):
            why = next(
                (
                    f"; {words}"
                    for words, wrong in _SCALES.items()
                    if all(_near(x.found, wrong(x)) for x in seen)
                ),
                "",
            )
            raise Wrong(
                f"{start} the change must be scaled by {right:g}, yours is scaled by {s.found:.4g}{why}"
            )


def _near(found: float | None, value: float) -> bool:
    return found is not None and abs(found - value) <= 1e-3 * max(1.0, abs(value))
