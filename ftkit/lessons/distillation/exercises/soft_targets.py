"""Exercises on soft answers: probabilities at a temperature, and the loss of distillation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ftkit.teaching.checking import Case, Misreadings, check_cases, kind, tensor
from ftkit.teaching.exercise import Wrong, exercise


def _logits(rows: int, classes: int, scale: float, seed: int) -> Tensor:
    return scale * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


SOFTENED = [
    Case((_logits(4, 3, 2.0, 0), 4.0), "4 rows of 3 classes at T = 4"),
    Case((_logits(3, 5, 2.0, 1), 0.5), "3 rows of 5 classes at T = 0.5"),
    Case((_logits(3, 3, 2.0, 2), 3.0), "3 rows of 3 classes at T = 3"),
    Case((torch.tensor([[900.0, 880.0, 0.0]]), 2.0), "logits as large as 900 at T = 2", edge=True),
]


def _soften(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).softmax(-1)


wrong_softening = Misreadings(
    {
        "that multiplies by the temperature; a high one must flatten": (
            lambda z, t: (z * t).softmax(-1)
        ),
        "that is T = 1; the temperature is not used": lambda z, t: z.softmax(-1),
        "that divides the probabilities, so they no longer sum to 1; divide the logits": (
            lambda z, t: z.softmax(-1) / t
        ),
        "that is softmax of softmax; probabilities are not logits": (
            lambda z, t: (z.softmax(-1) / t).softmax(-1)
        ),
        "that is p to the power 1/T, which must be made to sum to 1 again": (
            lambda z, t: z.softmax(-1) ** (1 / t)
        ),
        "that sums to 1 down each column; the classes are along the last dimension": (
            lambda z, t: (z / t).softmax(0)
        ),
        "that is the logarithm of what is asked for": lambda z, t: (z / t).log_softmax(-1),
        "that divides by T twice; T^2 belongs before the loss": (
            lambda z, t: (z / t**2).softmax(-1)
        ),
    }
)


def _read_probabilities(answer: Any, case: Case) -> Tensor:
    if case.edge and isinstance(answer, Tensor) and not bool(torch.isfinite(answer).all()):
        raise Wrong(
            f"for {case.words} the answer holds nan or inf: exp overflows; "
            "use softmax, or subtract each row's largest logit first"
        )
    what = f"for {case.words} the answer"
    return tensor(answer, what, case.given[0].shape, "(rows, classes)").float()


def _same_probabilities(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-5)


def _explain_probabilities(case: Case, wanted: Tensor, answer: Tensor) -> str:
    off = float((answer - wanted).abs().max())
    return f"for {case.words} a probability is off by up to {off:.3g}"


@exercise(
    "Probabilities at a temperature",
    difficulty=1,
    minutes=5,
    hints=[
        "What must happen to the logits so that a large T makes all classes nearly equal, and "
        "T = 1 changes nothing?",
        "Divide the logits by T; then softmax, along which dimension?",
        "`(logits / temperature).softmax(-1)`. An exp of your own overflows for large logits; "
        "softmax does not.",
    ],
    solution="""
def soften(logits, temperature):
    return (logits / temperature).softmax(-1)
""",
)
def soften(yours: Any) -> str:
    """`yours(logits, temperature)` is the softmax of the logits at a temperature, (rows, classes).

    The logits are (rows, classes); the temperature is above 0.
    """
    check_cases(
        yours,
        "logits, temperature",
        _soften,
        SOFTENED,
        wrong_softening,
        read=_read_probabilities,
        same=_same_probabilities,
        explain=_explain_probabilities,
    )
    return (
        "At a high temperature the classes that the teacher did not choose become visible. "
        "That is what a student can learn from."
    )


def _hard(z: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with the labels, summed over labelled rows, divided by all rows."""
    return F.cross_entropy(z, labels, ignore_index=-1, reduction="sum") / len(labels)


def _soft(z: Tensor, of: Tensor, t: float) -> Tensor:
    """KL(of || z) at a temperature, without T^2."""
    return F.kl_div((z / t).log_softmax(-1), (of / t).softmax(-1), reduction="batchmean")


def _loss(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * t**2 * _soft(z, of, t)


def _batch(
    rows: int, classes: int, seed: int, t: float, weight: float, unlabelled: tuple[int, ...]
) -> Case:
    labels = torch.arange(rows) % classes
    labels[list(unlabelled)] = -1
    student = _logits(rows, classes, 1.5, seed)
    teacher = _logits(rows, classes, 2.5, seed + 50)
    words = f"{rows} rows, {len(unlabelled)} without a label, T = {t:g}, weight {weight:g}"
    return Case((student, teacher, labels, t, weight), words, edge=len(unlabelled) == rows)


BATCHES = [
    _batch(6, 4, 3, 4.0, 0.3, ()),
    _batch(7, 3, 4, 2.0, 0.8, (0, 4, 5)),
    _batch(5, 6, 5, 3.0, 0.6, (2,)),
    _batch(4, 3, 6, 2.0, 0.5, (0, 1, 2, 3)),
]

wrong_loss = Misreadings()


@wrong_loss("the factor T^2 is missing")
def _no_factor(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * _soft(z, of, t)


@wrong_loss(
    "the teacher's part is the cross-entropy with its answers; subtract their entropy, and it is "
    "the divergence"
)
def _cross_entropy(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * t**2 * F.cross_entropy(z / t, (of / t).softmax(-1))


@wrong_loss("the factor is T^2; yours is T")
def _factor_t(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * t * _soft(z, of, t)


@wrong_loss("student and teacher are swapped; the teacher's probabilities weight the sum")
def _swapped(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * t**2 * _soft(of, z, t)


@wrong_loss(
    "that is the mean over rows and classes (`reduction='mean'`); divide by the rows (`batchmean`)"
)
def _mean_over_classes(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * t**2 * _soft(z, of, t) / z.shape[-1]


@wrong_loss("that is the sum over the rows for the teacher's part; take the mean")
def _summed(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y) + w * t**2 * _soft(z, of, t) * len(z)


@wrong_loss("weight and 1 - weight are swapped; the weight is the teacher's")
def _swapped_weights(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return _loss(z, of, y, t, 1 - w)


@wrong_loss("the labels' part uses the temperature; it is for the soft answers alone")
def _soft_labels(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z / t, y) + w * t**2 * _soft(z, of, t)


@wrong_loss(
    "the labels' part is divided by the labelled rows; divide by all, so that a label has the same "
    "weight everywhere"
)
def _mean_over_labelled(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * F.cross_entropy(z, y, ignore_index=-1) + w * t**2 * _soft(z, of, t)


@wrong_loss("the labels' part is missing")
def _teacher_alone(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return w * t**2 * _soft(z, of, t)


@wrong_loss("the teacher's part is missing")
def _labels_alone(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return (1 - w) * _hard(z, y)


@wrong_loss("the two parts are added without their weights")
def _unweighted(z: Tensor, of: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    return _hard(z, y) + t**2 * _soft(z, of, t)


def _read_loss(answer: Any, case: Case) -> Tensor:
    if not isinstance(answer, Tensor):
        raise Wrong(
            f"for {case.words} the loss must be a number, a tensor without dimensions, "
            f"got {kind(answer)}"
        )
    return tensor(answer, f"for {case.words} the loss", (), "()").float()


def _same_loss(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def _explain_loss(case: Case, wanted: Tensor, answer: Tensor) -> str:
    return f"for {case.words} the loss is {float(wanted):.4f}, yours is {float(answer):.4f}"


@exercise(
    "The loss of distillation",
    difficulty=3,
    minutes=15,
    hints=[
        "Two parts: the cross-entropy with the labels at T = 1, and T^2 times the divergence of "
        "the two softened answers.",
        "`F.kl_div` takes the student first, as logarithms, then the teacher as probabilities, "
        "and `reduction='batchmean'`.",
        "For rows without a label: "
        "`F.cross_entropy(student, labels, ignore_index=-1, reduction='sum') / len(labels)`.",
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
    """`yours(student, teacher, labels, temperature, weight)` is the loss of distillation, a scalar.

    (1 - weight) CE(labels) + weight T^2 KL(teacher || student), from logits (rows, classes). Both
    parts are means over all rows; a row with the label -1 adds nothing to the first.
    """
    takes = "student, teacher, labels, temperature, weight"
    try:
        check_cases(
            yours,
            takes,
            _loss,
            BATCHES,
            wrong_loss,
            read=_read_loss,
            same=_same_loss,
            explain=_explain_loss,
        )
    except IndexError as error:
        if "Target -1" not in str(error):
            raise
        raise Wrong(
            "your code asks for class -1; leave a row with the label -1 out of the labels' part"
        ) from None
    _check_gradient(yours, BATCHES[1])
    return (
        "This is the loss of ftkit's Distillation, in five lines. Each of its usual faults still "
        "trains, only worse."
    )


def _check_gradient(yours: Callable[..., Any], case: Case) -> None:
    """Check that a loss with the right value also has the right gradient at the student.

    Raises:
        Wrong: no gradient reaches the student, or another one.
    """
    student, *others = case.given
    student = student.clone().requires_grad_()
    answer, right = yours(student, *others), _loss(student, *others)
    gradient = None
    if answer.requires_grad:
        (gradient,) = torch.autograd.grad(answer, student, allow_unused=True)
    if gradient is None:
        raise Wrong(
            "the value is right, but no gradient reaches the student, so it would never learn; "
            "is there a `detach` or an `item`?"
        )
    if not torch.allclose(gradient, torch.autograd.grad(right, student)[0], rtol=1e-3, atol=1e-5):
        raise Wrong(
            "the value is right and the gradient at the student is not; is a part of it detached?"
        )
