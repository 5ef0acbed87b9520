"""Exercises on soft answers: probabilities at a temperature, and the loss of distillation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise


def _logits(rows: int, classes: int, scale: float, seed: int) -> Tensor:
    return scale * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


_SOFTENED = [
    Case((_logits(4, 3, 2.0, 0), 4.0), "4 rows of 3 classes at T = 4"),
    Case((_logits(3, 5, 2.0, 1), 0.5), "3 rows of 5 classes at T = 0.5"),
    Case((_logits(3, 3, 2.0, 2), 3.0), "3 rows of 3 classes at T = 3"),
]
_HUGE = Case((torch.tensor([[900.0, 880.0, 0.0]]), 2.0), "logits as large as 900 at T = 2")
_MISSOFTENED: dict[str, Callable[[Tensor, float], Tensor]] = {
    "that multiplies by the temperature; a high one must flatten": lambda z, t: (z * t).softmax(-1),
    "that is T = 1; the temperature is not used": lambda z, t: z.softmax(-1),
    "that divides the probabilities, so they no longer sum to 1; divide the logits": lambda z, t: (
        z.softmax(-1) / t
    ),
    "that is softmax of softmax; probabilities are no logits": lambda z, t: (
        z.softmax(-1) / t
    ).softmax(-1),
    "that is p to the power 1/T, which must be made to sum to 1 again": lambda z, t: (
        z.softmax(-1) ** (1 / t)
    ),
    "that sums to 1 down each column; the classes lie along the last dimension": lambda z, t: (
        z / t
    ).softmax(0),
    "that is the logarithm of what is asked for": lambda z, t: (z / t).log_softmax(-1),
    "that divides by T twice; T^2 belongs before the loss": lambda z, t: (z / t**2).softmax(-1),
}


@exercise(
    "Probabilities at a temperature",
    difficulty=1,
    minutes=5,
    hints=[
        "What must happen to the logits so that a large T makes all classes nearly alike, and T = 1 changes nothing?",
        "Divide the logits by T; then softmax, along which dimension?",
        "`(logits / temperature).softmax(-1)`. An exp of your own overflows for large logits; softmax does not.",
    ],
    solution="""
def soften(logits, temperature):
    return (logits / temperature).softmax(-1)
""",
)
def soften(yours: Any) -> str:
    """`yours(logits, temperature)` are the probabilities (rows, classes) that logits (rows, classes) mean at a temperature above 0."""
    takes = "logits, temperature"
    yours = as_function(yours, takes)
    answers = [_softened(yours, takes, case) for case in (*_SOFTENED, _HUGE)]
    why = diagnose(
        answers[:-1],
        _SOFTENED,
        _MISSOFTENED,
        lambda got, wrong: torch.allclose(got, wrong, atol=1e-5),
    )
    for case, got in zip((*_SOFTENED, _HUGE), answers, strict=True):
        right = (case.given[0] / case.given[1]).softmax(-1)
        if not torch.allclose(got, right, atol=1e-5):
            raise Wrong(
                f"for {case.words} a probability is off by up to {float((got - right).abs().max()):.3g}{why}"
            )
    return "At a high temperature the classes that the teacher did not choose become visible, and that is what a student can learn from."


def _softened(yours: Callable[..., Any], takes: str, case: Case) -> Tensor:
    said = call(yours, takes, *case.given)
    if case is _HUGE and isinstance(said, Tensor) and not bool(torch.isfinite(said).all()):
        raise Wrong(
            f"for {case.words} the answer holds nan or inf: exp overflows; use softmax, or subtract each row's largest first"
        )
    return tensor(
        said, f"for {case.words} the answer", case.given[0].shape, "(rows, classes)"
    ).float()


def _hard(z: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(z, labels, ignore_index=-1, reduction="sum") / len(labels)


def _soft(z: Tensor, of: Tensor, t: float) -> Tensor:
    """KL(of || z) at a temperature, without T^2."""
    return F.kl_div((z / t).log_softmax(-1), (of / t).softmax(-1), reduction="batchmean")


def _kd(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * t**2 * _soft(z, of, t)


def _taught(
    rows: int, classes: int, seed: int, t: float, weight: float, bare: tuple[int, ...]
) -> Case:
    labels = torch.arange(rows) % classes
    labels[list(bare)] = -1
    given = (
        _logits(rows, classes, 1.5, seed),
        _logits(rows, classes, 2.5, seed + 50),
        labels,
        t,
        weight,
    )
    return Case(given, f"{rows} rows, {len(bare)} without a label, T = {t:g}, weight {weight:g}")


_TAUGHT = [
    _taught(6, 4, 3, 4.0, 0.3, ()),
    _taught(7, 3, 4, 2.0, 0.8, (0, 4, 5)),
    _taught(5, 6, 5, 3.0, 0.6, (2,)),
]
_BARE = _taught(4, 3, 6, 2.0, 0.5, (0, 1, 2, 3))
_MISTAUGHT: dict[str, Callable[[Tensor, Tensor, Tensor, float, float], Tensor]] = {
    "the factor T^2 is missing": lambda z, of, y, t, w: (1 - w) * _hard(z, y) + w * _soft(z, of, t),
    "the teacher's part is the cross-entropy with its answers; take off their entropy, and it is the divergence": lambda z, of, y, t, w: (
        (1 - w) * _hard(z, y) + w * t**2 * F.cross_entropy(z / t, (of / t).softmax(-1))
    ),
    "the factor is T^2; yours is T": lambda z, of, y, t, w: (
        (1 - w) * _hard(z, y) + w * t * _soft(z, of, t)
    ),
    "student and teacher have changed places; the teacher's probabilities weigh the sum": lambda z, of, y, t, w: (
        (1 - w) * _hard(z, y) + w * t**2 * _soft(of, z, t)
    ),
    "that is the mean over rows and classes (`reduction='mean'`); divide by the rows (`batchmean`)": lambda z, of, y, t, w: (
        (1 - w) * _hard(z, y) + w * t**2 * _soft(z, of, t) / z.shape[-1]
    ),
    "that is the sum over the rows for the teacher's part; take the mean": lambda z, of, y, t, w: (
        (1 - w) * _hard(z, y) + w * t**2 * _soft(z, of, t) * len(z)
    ),
    "weight and 1 - weight have changed places; the weight is the teacher's": lambda z, of, y, t, w: (
        _kd(z, of, y, t, 1 - w)
    ),
    "the labels are asked at the temperature; it is for the soft answers alone": lambda z, of, y, t, w: (
        (1 - w) * _hard(z / t, y) + w * t**2 * _soft(z, of, t)
    ),
    "the labels' part is divided by the labelled rows; divide by all, so that a label weighs the same everywhere": lambda z, of, y, t, w: (
        (1 - w) * F.cross_entropy(z, y, ignore_index=-1) + w * t**2 * _soft(z, of, t)
    ),
    "the labels' part is missing": lambda z, of, y, t, w: w * t**2 * _soft(z, of, t),
    "the teacher's part is missing": lambda z, of, y, t, w: (1 - w) * _hard(z, y),
    "the two parts are added without their weights": lambda z, of, y, t, w: (
        _hard(z, y) + t**2 * _soft(z, of, t)
    ),
}


@exercise(
    "The loss of distillation",
    difficulty=3,
    minutes=15,
    hints=[
        "Two parts: the cross-entropy with the labels at T = 1, and T^2 times the divergence of the two softened answers.",
        "`F.kl_div` takes the student first, as logarithms, then the teacher as probabilities, and `reduction='batchmean'`.",
        "For rows without a label: `F.cross_entropy(student, labels, ignore_index=-1, reduction='sum') / len(labels)`.",
    ],
    solution="""
def kd_loss(student, teacher, labels, temperature, weight):
    F = torch.nn.functional
    hard = F.cross_entropy(student, labels, ignore_index=-1, reduction="sum") / len(labels)
    log_q, p = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    soft = F.kl_div(log_q, p, reduction="batchmean")
    return (1 - weight) * hard + weight * temperature**2 * soft
""",
)
def kd_loss(yours: Any) -> str:
    """`yours(student, teacher, labels, temperature, weight)` is (1 - weight) CE(labels) + weight T^2 KL(teacher || student), from logits
    (rows, classes); both are means over all rows, and a row with the label -1 adds nothing to the first."""
    takes = "student, teacher, labels, temperature, weight"
    yours = as_function(yours, takes)
    answers = [_loss(yours, takes, case) for case in _TAUGHT]
    why = diagnose(
        answers,
        _TAUGHT,
        _MISTAUGHT,
        lambda got, wrong: torch.allclose(got, wrong, rtol=1e-4, atol=1e-5),
    )
    for case in (*_TAUGHT, _BARE):
        right, got = _kd(*case.given), _loss(yours, takes, case)
        if not torch.allclose(got, right, rtol=1e-4, atol=1e-5):
            raise Wrong(
                f"for {case.words} the loss is {float(right):.4f}, yours is {float(got):.4f}{why}"
            )
    _trains(yours, _TAUGHT[1])
    return "The same loss as ftkit's Distillation, in five lines; each of its usual faults still trains, only worse."


def _loss(yours: Callable[..., Any], takes: str, case: Case) -> Tensor:
    try:
        said = call(yours, takes, *case.given)
    except IndexError as error:
        if "Target -1" in str(error):
            raise Wrong(
                f"for {case.words} your code asks for class -1; a row with the label -1 must be left out there"
            ) from None
        raise
    if not isinstance(said, Tensor):
        raise Wrong(
            f"for {case.words} the loss must be a number, a tensor without dimensions, got {kind(said)}"
        )
    return tensor(said, f"for {case.words} the loss", (), "()").float()


def _trains(yours: Callable[..., Any], case: Case) -> None:
    """Words, if the student would not learn from a loss whose value is right."""
    student, *others = case.given
    student = student.clone().requires_grad_()
    said, right = yours(student, *others), _kd(student, *others)
    found = torch.autograd.grad(said, student, allow_unused=True)[0] if said.requires_grad else None
    if found is None:
        raise Wrong(
            "the value is right, but no gradient reaches the student, so it would never learn; is there a `detach` or an `item`?"
        )
    if not torch.allclose(found, torch.autograd.grad(right, student)[0], rtol=1e-3, atol=1e-5):
        raise Wrong(
            "the value is right and the gradient at the student is not; is a part of it detached?"
        )
