"""Exercises on how much each task counts: how often it comes, and what its loss weighs."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ftkit.lesson.exercise import Wrong, exercise
from ftkit.lesson.exercises.asking import Case, ask, fault, kind, tensor, usable

_SIZES = [
    Case(([100, 400, 2500], 0.5), "100, 400 and 2,500 rows and exponent 0.5"),
    Case(([32, 4000], 1.0), "32 and 4,000 rows and exponent 1"),
    Case(([32, 4000], 0.0), "32 and 4,000 rows and exponent 0"),
    Case(([30, 10, 90], 0.3), "30, 10 and 90 rows and exponent 0.3"),
]


def _over_sum(powers: list[float]) -> list[float]:
    return [power / sum(powers) for power in powers]


def _softmax(values: list[float]) -> list[float]:
    return _over_sum([math.exp(value - max(values)) for value in values])


def _shares(sizes: list[int], exponent: float) -> list[float]:
    return _over_sum([n**exponent for n in sizes])


_SHARE_FAULTS: dict[str, Callable[[list[int], float], list[float]]] = {
    "these are the powers; divide by their sum": lambda n, a: [size**a for size in n],
    "that ignores the exponent, as if it were 1": lambda n, a: _over_sum([float(size) for size in n]),
    "that is each task alike, as if the exponent were 0": lambda n, a: [1 / len(n)] * len(n),
    "that multiplies by the exponent, which cancels; raise to it": lambda n, a: _over_sum([size * (a or 1.0) for size in n]),
    "that raises the shares by size, whose sum is not 1 any more; divide again": lambda n, a: [s**a for s in _shares(n, 1.0)],
    "that favours the small tasks; the exponent must not be negative": lambda n, a: _shares(n, -a),
    "that divides by the largest, not by the sum": lambda n, a: [(size / max(n)) ** a for size in n],
    "that is the root with exponent 1 / a; raise to the exponent itself": lambda n, a: _shares(n, 1 / a if a else 0.0),
    "that is a softmax of the sizes": lambda n, a: _softmax([a * size for size in n]),
}


@exercise(
    "How often each task comes",
    difficulty=1,
    minutes=5,
    hints=[
        "With exponent 1 a task comes as often as it has rows; with 0 each comes alike. What lies between?",
        "First raise every size to the exponent; then make the shares sum to 1.",
        "`powers = [n**exponent for n in sizes]`, and each of them over `sum(powers)`.",
    ],
    solution="""
def shares(sizes, exponent):
    powers = [size**exponent for size in sizes]
    return [power / sum(powers) for power in powers]
""",
)
def shares(yours: Any) -> str:
    """`yours(sizes, exponent)`: for tasks of these numbers of rows their shares of the steps, in proportion to size ** exponent."""
    yours = usable(yours, "sizes, exponent")
    answers = [_listed(ask(yours, "sizes, exponent", *case.given), case) for case in _SIZES]
    why = fault(answers, _SIZES, _SHARE_FAULTS, _near)
    for case, got in zip(_SIZES, answers, strict=True):
        if not _near(got, right := _shares(*case.given)):
            raise Wrong(f"for {case.words} the shares must be {_words(right)}, yours are {_words(got)}{why}")
    steps = 80 * _shares([32, 4000], 1.0)[0]
    return f"By size, a task of 32 rows beside one of 4,000 gets {steps:.1f} of 80 steps; with exponent 0 it gets 40."


def _listed(answer: Any, case: Case) -> list[float]:
    if isinstance(answer, str | Mapping) or not hasattr(answer, "__iter__"):
        raise Wrong(f"the answer must be a list of shares, got {kind(answer)}")
    try:
        found = [float(share) for share in answer]
    except (TypeError, ValueError):
        raise Wrong("every share must be a number; list the shares alone, in the order of the sizes") from None
    if len(found) != len(case.given[0]):
        raise Wrong(f"for {case.words} there must be {len(case.given[0])} shares, yours are {len(found)}")
    return found


def _near(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) <= 1e-6 * max(1.0, abs(b)) for a, b in zip(one, other, strict=True))


def _words(found: list[float]) -> str:
    return f"[{', '.join(f'{share:.4g}' for share in found)}]"


def _losses(seed: int, tasks: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    losses, s = torch.rand(tasks, generator=generator) * 3 + 0.2, torch.randn(tasks, generator=generator)
    return Case((losses, s), f"losses {_words(losses.tolist())} and s {_words(s.tolist())}")


_TWO = [_losses(1, 2), _losses(2, 3), _losses(3, 1)]
_TOTAL_FAULTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "without `+ s / 2` the weights fall to zero and the loss with them": lambda loss, s: (torch.exp(-s) * loss).sum(),
    "the sign of s in the weight is wrong: a large s must make a task count less": lambda loss, s: (torch.exp(s) * loss + s / 2).sum(),
    "the second term must be half of s": lambda loss, s: (torch.exp(-s) * loss + s).sum(),
    "that divides by s, which is a logarithm; divide by exp(s)": lambda loss, s: (loss / s + s / 2).sum(),
    "that is the mean; the tasks are summed": lambda loss, s: (torch.exp(-s) * loss + s / 2).mean(),
    "that is the form for regression, with exp(-s) / 2": lambda loss, s: (torch.exp(-s) * loss / 2 + s / 2).sum(),
    "that is the plain sum: s is not used": lambda loss, s: loss.sum(),
    "s is the logarithm of the variance, not of the deviation: exp(-s), not exp(-2 s)": lambda loss, s: (
        torch.exp(-2 * s) * loss + s
    ).sum(),
    "the second term is subtracted": lambda loss, s: (torch.exp(-s) * loss - s / 2).sum(),
}


@exercise(
    "Weights that are learned",
    difficulty=2,
    minutes=8,
    hints=[
        "Each task has one number s, the logarithm of a variance. What does a task count for, and what does it cost to count for little?",
        "A task's term is `exp(-s) * loss + s / 2`. Which gradient pulls s up, which pulls it down?",
        "`(torch.exp(-s) * losses + s / 2).sum()`; leave it a tensor, so that gradients can flow to losses and to s.",
    ],
    solution="""
def uncertain(losses, s):
    return (torch.exp(-s) * losses + s / 2).sum()
""",
)
def uncertain(yours: Any) -> str:
    """`yours(losses, s)`: both (tasks,); the loss of all tasks together, a tensor without dimensions: the sum of exp(-s) loss + s / 2."""
    yours = usable(yours, "losses, s")
    answers = [tensor(ask(yours, "losses, s", *case.given), "the answer", (), "no dimension") for case in _TWO]
    why = fault(answers, _TWO, _TOTAL_FAULTS, torch.allclose)
    for case, got in zip(_TWO, answers, strict=True):
        right = (torch.exp(-case.given[1]) * case.given[0] + case.given[1] / 2).sum()
        if not torch.allclose(got, right, atol=1e-5):
            raise Wrong(f"for {case.words} the loss must be {float(right):.4f}, yours is {float(got):.4f}{why}")
    _flows(yours)
    return "At its best s, log(2 L), every task's exp(-s) L is a half, whatever L is. So a task with a large loss gets a small weight."


def _flows(yours: Callable[..., Any]) -> None:
    """Words, if no gradient reaches the losses or s."""
    losses, s = (value.clone().requires_grad_() for value in _TWO[1].given)
    total = yours(losses, s)
    if not total.requires_grad:
        raise Wrong("no gradient leaves your answer; is it made of `.item()`, `float`, or under `no_grad`?")
    for name, found in zip(("losses", "s"), torch.autograd.grad(total, [losses, s], allow_unused=True), strict=True):
        if found is None:
            raise Wrong(f"no gradient reaches `{name}`; use it as it is, without `.detach()` or `.data`")
        right = torch.exp(-s) if name == "losses" else -torch.exp(-s) * losses + 0.5
        if not torch.allclose(found, right.detach(), atol=1e-5):
            raise Wrong(f"the value is right and the gradient at `{name}` is not; is a part of it detached?")
