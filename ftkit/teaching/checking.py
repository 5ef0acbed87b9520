"""Check a learner's function against cases, and name the misconception behind a wrong answer.

Most exercises are one call of `check_cases`. It needs three things from an exercise: the right
function, a few `Case`s, and the misreadings: wrong functions, each with the words that name it.

>>> from math import hypot
>>> cases = [Case((3, 4), "sides 3 and 4"), Case((5, 12), "sides 5 and 12")]
>>> misreading = Misreadings()
>>> @misreading("that is the sum of the sides; the root of the sum of their squares is wanted")
... def added(a, b):
...     return a + b
>>> check_cases(lambda a, b: a + b, "a, b", hypot, cases, misreading)
Traceback (most recent call last):
ftkit.teaching.exercise.Wrong: for sides 3 and 4 the answer must be 5, yours is 7: that is the sum \
of the sides; the root of the sum of their squares is wanted

The readers (`number`, `whole_number`, `numbers`, `listed`, `parts`, `tensor`) turn what the
learner returned into a value that can be compared, or refuse it in words.
"""

import copy
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor

from ftkit.teaching.exercise import NotAttempted, Wrong
from ftkit.teaching.learner_code import is_stub

Function = TypeVar("Function", bound=Callable[..., Any])


# Cases and misreadings


@dataclass(frozen=True)
class Case:
    """One input of an exercise.

    Attributes:
        given: the arguments that the learner's function is called with.
        words: how a message names this input, as in "for {words} the answer must be ...".
        edge: whether this is an edge case (an empty list, an exact tie). Edge cases are checked
            after all others have passed, and the misreadings are not compared on them: there many
            wrong functions agree.
    """

    given: tuple[Any, ...]
    words: str
    edge: bool = False


class Misreadings(dict[str, Callable[..., Any]]):
    """Wrong functions by the words that name what is wrong with them; it decorates them.

    >>> misreading = Misreadings()
    >>> @misreading("that is the sum; the mean is wanted")
    ... def total(values):
    ...     return sum(values)
    >>> misreading["that is the sum; the mean is wanted"]([1, 2])
    3
    """

    def __call__(self, words: str) -> Callable[[Function], Function]:
        """Add the decorated function under `words`, which end the message of a wrong answer."""

        def add(wrong: Function) -> Function:
            self[words] = wrong
            return wrong

        return add


def close(one: Any, other: Any, tolerance: float = 1e-5) -> bool:
    """Whether two answers are equal up to rounding.

    Numbers and tensors may differ by `tolerance` times the larger of 1 and the size of `other`.
    Lists, tuples and mappings are compared entry by entry, everything else by `==`. For another
    tolerance pass `same=partial(close, tolerance=1e-3)`.

    >>> close([1.0, 2.0], [1.0, 2.000001]), close({"a": 1.0}, {"a": 1.1}), close([1.0], [1.0, 2.0])
    (True, False, False)
    """
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _close_tensors(one, other, tolerance)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            close(value, other[key], tolerance) for key, value in one.items()
        )
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(
            close(a, b, tolerance) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, Real) and isinstance(other, Real):
        return _close_numbers(one, other, tolerance)
    return bool(one == other)


def _close_numbers(one: Any, other: Any, tolerance: float) -> bool:
    return bool(abs(one - other) <= tolerance * max(1.0, abs(other)))


def _close_tensors(one: Tensor, other: Tensor, tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    return torch.allclose(one, other.to(one), rtol=tolerance, atol=tolerance)


def written(value: Any, digits: int = 4) -> str:
    """Write numbers, and lists or tensors of numbers, as a message shows them.

    >>> written(1 / 3), written(12_345), written([0.5, 2.0]), written((1, 2), digits=2)
    ('0.3333', '12,345', '[0.5, 2]', '[1, 2]')
    """
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(entry, digits) for entry in value)}]"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def explain_value(case: Case, wanted: Any, answer: Any) -> str:
    """Say which answer is right for `case` and which one was given."""
    return f"for {case.words} the answer must be {written(wanted)}, yours is {written(answer)}"


_NEAR = (
    ": that is near; the exact number is wanted, so do not round, and do not draw random numbers"
)


def number(answer: Any, case: Case) -> float:
    """Read one number of any kind as a float.

    Raises:
        Wrong: it is not one number.
    """
    try:
        if isinstance(answer, str | bool):
            raise TypeError
        return float(answer)
    except (TypeError, ValueError, RuntimeError):  # torch raises the last for several numbers
        raise Wrong(f"for {case.words} the answer must be one number, got {kind(answer)}") from None


def check_cases(
    yours: Any,
    takes: str,
    right: Callable[..., Any],
    cases: Sequence[Case],
    misreadings: Mapping[str, Callable[..., Any]],
    *,
    read: Callable[[Any, Case], Any] = number,
    same: Callable[[Any, Any], bool] = close,
    explain: Callable[[Case, Any, Any], str] = explain_value,
) -> None:
    """Ask the learner's function for every case, and refuse the first wrong answer in words.

    1. `yours` must be a function that takes `takes`, and is called with copies of the arguments;
       it may not write into them (`as_function`, `call`).
    2. `read` turns each answer into a value, or refuses it.
    3. The first answer that is not the `same` as the right one is wrong. If one misreading gives
       the learner's answers to all cases, its words end the message.
    4. The edge cases come last, one group of their own, without misreadings.

    Args:
        yours: what the learner passed to the check.
        takes: the names of the parameters, "shapes, rank".
        right: the right function; it and the misreadings are called as `right(*case.given)`.
        cases: at least one; chosen so that every misreading differs from the right function, and
            from the other misreadings, on the cases that are not edge cases.
        misreadings: wrong functions by the words that name them, a dict or `Misreadings`. They
            return what `read` returns.
        read: `read(answer, case)` is the value that is compared; it may raise `Wrong`.
        same: `same(one, other)` compares an answer with the right one, and with a misreading's.
        explain: `explain(case, wanted, answer)` is the message for an answer that is not the same,
            without a full stop. An empty text accepts the answer after all, for an exercise with
            several right answers.

    Raises:
        Wrong: an answer is wrong; the message names the case and what was wanted.
        NotAttempted: `yours` is a stub.
    """
    yours = as_function(yours, takes)
    plain = [case for case in cases if not case.edge]
    edges = [case for case in cases if case.edge]
    for group, known in ((plain, misreadings), (edges, {})):
        answers = [read(call(yours, takes, *case.given), case) for case in group]
        rights = [right(*case.given) for case in group]
        for case, wanted, answer in zip(group, rights, answers, strict=True):
            message = "" if same(answer, wanted) else explain(case, wanted, answer)
            if message:
                why = diagnose(answers, group, known, same) or _near(answers, rights)
                raise Wrong(message + why)


def diagnose(
    answers: Sequence[Any],
    cases: Sequence[Case],
    misreadings: Mapping[str, Callable[..., Any]],
    same: Callable[[Any, Any], bool],
) -> str:
    """Find the first misreading that gives these answers to all cases.

    Returns:
        Its words as the end of a sentence, ": that is ..."; an empty text if there is none.
    """
    for words, wrong in misreadings.items():
        if all(
            same(answer, wrong(*case.given)) for answer, case in zip(answers, cases, strict=True)
        ):
            return f": {words}"
    return ""


def _near(answers: Sequence[Any], rights: Sequence[Any]) -> str:
    """A hint against rounding and sampling, if all answers are numbers close to the right ones."""
    pairs = list(zip(answers, rights, strict=True))
    if not all(isinstance(value, float) for pair in pairs for value in pair):
        return ""
    return _NEAR if all(abs(answer - wanted) <= 0.02 for answer, wanted in pairs) else ""


# Calling the learner's function


def as_function(yours: Any, takes: str) -> Callable[..., Any]:
    """Return `yours` as a function of the parameters in `takes`.

    A class whose instances can be called is instantiated.

    Raises:
        Wrong: it cannot be called, or not with these parameters.
    """
    if inspect.isclass(yours) and any("__call__" in vars(parent) for parent in yours.__mro__):
        yours = yours()
    if not callable(yours) or inspect.isclass(yours):
        raise Wrong(
            f"pass a function that takes ({takes}), without brackets after its name; "
            f"this is {kind(yours)}"
        )
    _check_parameters(yours, takes)
    return yours


def _check_parameters(yours: Any, takes: str) -> None:
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
    """Call `yours` with copies of `given` and return its answer.

    Raises:
        NotAttempted: `yours` is a stub.
        Wrong: it writes into its arguments, or returns None.
    """
    copies = copy.deepcopy(given)
    answer = yours(*copies)
    if answer is ... or (answer is None and is_stub(yours)):
        raise NotAttempted
    for name, before, after in zip(takes.split(", "), given, copies, strict=True):
        if not _unchanged(before, after):
            remedy = next(
                (remedy for of, remedy in _REMEDIES.items() if isinstance(before, of)), ""
            )
            raise Wrong(
                f"your function writes into `{name}`, which belongs to the caller; "
                f"make a new one instead{remedy}"
            )
    if answer is None:
        raise Wrong("your function returns None; is a `return` missing?")
    return answer


_REMEDIES = {
    Tensor: " (`x + 1`, not `x += 1`)",
    pd.DataFrame: " (`table.assign(best=...)`, not `table['best'] = ...`)",
    list: " (`sorted(x)`, not `x.sort()`; `x[1:]`, not `x.pop(0)`)",
}


def _unchanged(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return torch.equal(before, after)
    if isinstance(before, pd.DataFrame):
        return before.equals(after)
    if isinstance(before, Mapping):
        return before.keys() == after.keys() and all(
            _unchanged(value, after[key]) for key, value in before.items()
        )
    return bool(before == after)


# Readers: an answer as a value that can be compared


def kind(value: Any) -> str:
    """Name the type of `value` for a message.

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


def whole_number(answer: Any, case: Case) -> int:
    """Read one whole number of any integer type.

    Raises:
        Wrong: it is not one whole number.
    """
    try:
        return operator.index(answer)
    except TypeError:
        remedy = "; a count needs no division and no float" if isinstance(answer, float) else ""
        raise Wrong(
            f"for {case.words} the answer must be a whole number (an int), "
            f"got {kind(answer)}{remedy}"
        ) from None


def listed(answer: Any, what: str, ordered: bool = True) -> list[Any]:
    """Read a list, a tuple, a generator or an array as a list; sets only if not `ordered`.

    Args:
        answer: what the learner returned.
        what: the plural noun for the entries, "names".
        ordered: whether the order of the entries matters.

    Raises:
        Wrong: it is a text, a mapping, or nothing that can be iterated over.
    """
    refused = isinstance(answer, str | Mapping) or (ordered and isinstance(answer, set | frozenset))
    if refused or not isinstance(answer, Iterable):
        raise Wrong(f"the answer must be a list of {what}, got {kind(answer)}")
    return list(answer)


def numbers(what: str, length: Callable[..., int]) -> Callable[[Any, Case], list[float]]:
    """Make a reader of lists of numbers.

    Args:
        what: the plural noun for the entries, "learning rates".
        length: `length(*case.given)` is how many there must be.

    Returns:
        A reader for `check_cases`, which raises `Wrong` for anything else.
    """

    def read(answer: Any, case: Case) -> list[float]:
        try:
            values = [float(value) for value in listed(answer, what)]
        except (TypeError, ValueError, RuntimeError):
            raise Wrong(
                f"every entry must be one number; return a flat list of the {what} alone"
            ) from None
        if len(values) != length(*case.given):
            raise Wrong(
                f"for {case.words} the answer must have {length(*case.given)} {what}, "
                f"got {len(values)}"
            )
        return values

    return read


def parts(answer: Any, case: Case, names: str) -> Sequence[Any]:
    """Read a tuple (or a list, or a stacked tensor) with one entry for each of `names`, "b, a".

    Raises:
        Wrong: it is not a tuple of this length.
    """
    count = len(names.split(", "))
    has_length = isinstance(answer, tuple | list)
    if (has_length or isinstance(answer, Tensor)) and len(answer) == count:
        return tuple(answer)
    noun = "pair" if count == 2 else "tuple"
    length = f" of {len(answer)}" if has_length else ""
    raise Wrong(
        f"for {case.words} the answer must be the {noun} ({names}), got {kind(answer)}{length}"
    )


def tensor(
    value: Any, what: str, shape: Sequence[int], names: str, like: Tensor | None = None
) -> Tensor:
    """Check that `value` is a tensor of finite floats with this shape, and detach it.

    Args:
        value: what the learner returned.
        what: the subject of a message, "for rank 4 the merged weight".
        shape: the shape that it must have.
        names: what the dimensions are, "(out, in)".
        like: a tensor whose dtype it must have; any float dtype will do without it.

    Raises:
        Wrong: one of these does not hold.
    """
    if not isinstance(value, Tensor):
        missing = "; is a `return` missing?" if value is None else ""
        raise Wrong(f"{what} must be a torch.Tensor, got {kind(value)}{missing}")
    has, wanted = tuple(value.shape), tuple(shape)
    if has != wanted:
        transposed = "; that is transposed" if has == wanted[::-1] and len(wanted) > 1 else ""
        raise Wrong(f"{what} must have the shape {names} = {wanted}, got {has}{transposed}")
    if not value.dtype.is_floating_point or (like is not None and value.dtype != like.dtype):
        dtype = "a float dtype" if like is None else f"the dtype of the input, {like.dtype}"
        raise Wrong(f"{what} must have {dtype}, got {value.dtype}")
    if not bool(torch.isfinite(value).all()):
        raise Wrong(f"{what} must be finite, got nan or inf; are all entries set?")
    return value.detach()


# The scale of a low-rank change


@dataclass(frozen=True)
class ObservedScale:
    """The factor by which a learner's code scales a low-rank change of a weight.

    Attributes:
        rank: the rank of the change.
        alpha: LoRA's alpha; the right scale is alpha / rank.
        out: rows of the weight.
        into: columns of the weight.
        scale: the factor that explains the learner's answer; None if no factor does.
    """

    rank: int
    alpha: float
    out: int
    into: int
    scale: float | None


_WRONG_SCALES: dict[str, Callable[[ObservedScale], float]] = {
    "that is alpha; divide it by the rank": lambda s: s.alpha,
    "the factor alpha / rank is missing": lambda s: 1.0,
    "that is rank / alpha": lambda s: s.rank / s.alpha,
    "`//` rounds down; use `/`": lambda s: s.alpha // s.rank,
    "that is alpha / sqrt(rank), the scale of rsLoRA": lambda s: s.alpha / s.rank**0.5,
    "alpha / rank is applied twice": lambda s: (s.alpha / s.rank) ** 2,
    "that is the square root of alpha / rank": lambda s: (s.alpha / s.rank) ** 0.5,
    "that is alpha * rank": lambda s: s.alpha * s.rank,
    "alpha is divided by the number of rows of the weight, not by the rank": (
        lambda s: s.alpha / s.out
    ),
    "alpha is divided by the number of columns of the weight, not by the rank": (
        lambda s: s.alpha / s.into
    ),
    "the change is subtracted; add it": lambda s: -s.alpha / s.rank,
    "the change is missing": lambda s: 0.0,
}


def scale_between(answer: Tensor, base: Tensor, change: Tensor) -> float | None:
    """Find the s with `answer = base + s * change`, up to rounding; None if there is none."""
    moved, direction = (answer - base).double().flatten(), change.double().flatten()
    s = float(moved @ direction / (direction @ direction))
    rest = float((moved - s * direction).norm())
    return s if rest <= 1e-4 * float(answer.norm() + base.norm()) else None


def check_scales(observed: Sequence[ObservedScale], formula: str) -> None:
    """Check that every observed scale is alpha / rank.

    Args:
        observed: at least one, with different ranks and alphas.
        formula: what the learner should compute, with `scale` in it.

    Raises:
        Wrong: one is not; the message names the likely mistake.
    """
    for s in observed:
        right = s.alpha / s.rank
        start = f"for rank {s.rank} and alpha {s.alpha:g}"
        if s.scale is None:
            raise Wrong(f"{start} yours is not `{formula}`, with scale = {right:g} or any other")
        if not _is_scale(s.scale, right):
            why = _why_scaled(observed)
            raise Wrong(
                f"{start} the change must be scaled by {right:g}, "
                f"yours is scaled by {s.scale:.4g}{why}"
            )


def _why_scaled(observed: Sequence[ObservedScale]) -> str:
    for words, wrong in _WRONG_SCALES.items():
        if all(_is_scale(s.scale, wrong(s)) for s in observed):
            return f"; {words}"
    return ""


def _is_scale(scale: float | None, value: float) -> bool:
    return scale is not None and abs(scale - value) <= 1e-3 * max(1.0, abs(value))
