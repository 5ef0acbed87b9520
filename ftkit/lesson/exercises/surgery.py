"""An exercise on gradient surgery: two gradients, each without what opposes the other."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftkit.lesson.exercise import Wrong, exercise
from ftkit.lesson.exercises.asking import Case, ask, fault, kind, tensor, usable

Two = tuple[Tensor, Tensor]


def _opposed(seed: int, numbers: int, towards: float) -> Case:
    """A pair of gradients whose product has the sign of `towards`."""
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, numbers, generator=generator, dtype=torch.float64)
    other = other + (towards * 2 - float(one @ other) / float(one @ one)) * one
    return Case((one, other), f"a = {_words(one)} and b = {_words(other)}, whose product is {float(one @ other):+.2f},")


def _words(values: Tensor) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in values.tolist())}]"


_CASES = [_opposed(1, 3, -0.4), _opposed(2, 4, 0.3), _opposed(3, 3, -1.0), _opposed(4, 2, -0.2)]


def _free(one: Tensor, of: Tensor) -> Tensor:
    """`one` without its part along `of`, where the two oppose each other."""
    dot = one @ of
    return one - dot / (of @ of) * of if dot < 0 else one


def _right(a: Tensor, b: Tensor) -> Two:
    return _free(a, b), _free(b, a)


def _if_opposed(mend: Callable[[Tensor, Tensor], Two]) -> Callable[[Tensor, Tensor], Two]:
    return lambda a, b: mend(a, b) if a @ b < 0 else (a, b)


def _unit(a: Tensor) -> Tensor:
    return a / a.norm()


_FAULTS: dict[str, Callable[[Tensor, Tensor], Two]] = {
    "only the first gives way; the second must too, to the first as it was, since after its own step nothing opposes": lambda a, b: (
        _free(a, b),
        b,
    ),
    "it projects where the two agree as well; a part that helps the other must stay": lambda a, b: (
        a - (a @ b) / (b @ b) * b,
        b - (a @ b) / (a @ a) * a,
    ),
    "it projects where they agree, and not where they oppose each other": lambda a, b: (
        (a, b) if a @ b < 0 else (a - (a @ b) / (b @ b) * b, b - (a @ b) / (a @ a) * a)
    ),
    "it divides by the length of the other, not by its square": _if_opposed(
        lambda a, b: (a - (a @ b) / b.norm() * b, b - (a @ b) / a.norm() * a)
    ),
    "it divides by its own square, not by that of the other": _if_opposed(
        lambda a, b: (a - (a @ b) / (a @ a) * b, b - (a @ b) / (b @ b) * a)
    ),
    "it takes away a part along itself, not along the other": _if_opposed(
        lambda a, b: (a - (a @ b) / (b @ b) * a, b - (a @ b) / (a @ a) * b)
    ),
    "the part along the other is added where it must be taken away": _if_opposed(
        lambda a, b: (a + (a @ b) / (b @ b) * b, b + (a @ b) / (a @ a) * a)
    ),
    "only the second gives way; both must": lambda a, b: (a, _free(b, a)),
    "that is the part that is kept away from: what must be taken off, not what is left": _if_opposed(
        lambda a, b: ((a @ b) / (b @ b) * b, (a @ b) / (a @ a) * a)
    ),
    "nothing is taken away at all": lambda a, b: (a, b),
    "the two are handed back in the other order": lambda a, b: _right(a, b)[::-1],
    "a gradient that opposes the other is dropped; only its opposed part should go": _if_opposed(
        lambda a, b: (torch.zeros_like(a), torch.zeros_like(b))
    ),
    "the results are scaled to length 1": lambda a, b: (_unit(_free(a, b)), _unit(_free(b, a))),
}


@exercise(
    "Gradient surgery",
    difficulty=3,
    minutes=12,
    hints=[
        "Two gradients oppose each other where `a @ b` is negative. What part of a points against b?",
        "The part of a along b is `(a @ b) / (b @ b) * b`. Take it off where the product is negative, and leave a alone where it is not.",
        "Then b in the same way, along a as it *was*. With `a @ b < 0`: `a - (a @ b) / (b @ b) * b, b - (a @ b) / (a @ a) * a`.",
    ],
    solution="""
def surgery(a, b):
    dot = a @ b
    if dot >= 0:
        return a, b
    return a - dot / (b @ b) * b, b - dot / (a @ a) * a
""",
)
def surgery(yours: Any) -> str:
    """`yours(a, b)`: two gradients (numbers,), each without what opposes the other, as a pair; where they agree, as they are."""
    yours = usable(yours, "a, b")
    answers = [_pair(ask(yours, "a, b", *case.given), case) for case in _CASES]
    why = fault(answers, _CASES, _FAULTS, _same)
    for case, got in zip(_CASES, answers, strict=True):
        right = _right(*case.given)
        for name, one, wanted in zip("ab", got, right, strict=True):
            if not torch.allclose(one, wanted, atol=1e-6):
                raise Wrong(f"for {case.words} {name} must become {_words(wanted)}, yours becomes {_words(one)}{why}")
    return "Now neither step undoes the other's at first order. Whether that helps is another question: two batches of one task oppose too."


def _pair(answer: Any, case: Case) -> Two:
    if isinstance(answer, Tensor) and answer.shape == (2, len(case.given[0])):
        answer = tuple(answer)  # two rows are two gradients
    if not isinstance(answer, Sequence) or len(answer) != 2:
        raise Wrong(f"the answer must be the two new gradients, got {kind(answer)}; return a, b, and not their sum")
    a, b = (
        tensor(new, f"the new {name}", old.shape, "that of the old", like=old)
        for name, new, old in zip("ab", answer, case.given, strict=True)
    )
    return a, b


def _same(got: Two, wrong: Two) -> bool:
    return all(torch.allclose(one, other, atol=1e-6) for one, other in zip(got, wrong, strict=True))
