"""Planted bugs of lesson 06: code that runs, looks right, and is wrong.

The tests run each of them and show what it does wrong. The listings have no docstrings, because
their lines are counted from the first one; the story of each hunt says what the code should do.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit.teaching.bug_hunt import Bug, bug

Batches = Iterable[Tensor]


def faint_teacher(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_q = F.log_softmax(student / temperature, dim=-1)
    p = F.softmax(teacher / temperature, dim=-1)
    kl = F.kl_div(log_q, p, reduction="none").mean()
    return temperature**2 * kl


def turned_round(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_p = F.log_softmax(teacher / temperature, dim=-1)
    q = F.softmax(student / temperature, dim=-1)
    kl = F.kl_div(log_p, q, reduction="batchmean")
    return temperature**2 * kl


def wavering_teacher(student: nn.Module, teacher: nn.Module, batches: Batches, lr: float) -> None:
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr)
    for model in (student, teacher):
        model.train()
    for x in batches:
        with torch.no_grad():
            p = F.softmax(teacher(x) / 4, dim=-1)
        log_q = F.log_softmax(student(x) / 4, dim=-1)
        loss = 16 * F.kl_div(log_q, p, reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def is_too_faint() -> Bug:
    """Ask for the bug in `faint_teacher`: it takes the mean over rows and classes."""
    return bug(
        faint_teacher,
        lines={
            4: "This is the mean over all entries, as with `reduction='mean'`: it divides by rows "
            "times classes. But a divergence is a sum over the classes; `batchmean` divides by the "
            "rows alone. With eight classes this teacher counts for an eighth of what it should.",
        },
        nudges={
            2: "The student's log-probabilities: `kl_div` takes them first.",
            3: "The teacher's probabilities: `kl_div` takes them second.",
            5: "T^2 is right, and it is there once. Is the number that it multiplies large enough?",
        },
        story="T^2 KL(teacher || student), the mean over the rows. It is never negative, and zero "
        "for equal logits. But the more classes there are, the less the teacher counts.",
    )


def is_turned_round() -> Bug:
    """Ask for the bug in `turned_round`: student and teacher have changed places."""
    return bug(
        turned_round,
        lines={
            4: "`kl_div(log_a, b)` is KL(b || a): the student's log-probabilities come first. This "
            "is KL(student || teacher), which lets a student leave out classes that its teacher "
            "finds likely. Use the student's log q and the teacher's p: `kl_div(log_q, p)`.",
        },
        nudges={
            2: "The logarithm of the teacher's probabilities is right. Where does it go?",
            3: "The student's probabilities are right. Where do they go?",
            5: "T^2 is right, in whichever direction the divergence goes.",
        },
        story="T^2 KL(teacher || student). It reads like the formula, p before q, and is zero for "
        "equal logits. But it is another number.",
    )


def is_wavering() -> Bug:
    """Ask for the bug in `wavering_teacher`: the teacher is in training mode."""
    why = (
        "The teacher's dropout is on, so it contradicts itself from batch to batch. "
        "A teacher must be in eval mode."
    )
    return bug(
        wavering_teacher,
        lines={
            3: f"{why} Only the student belongs in this loop.",
            4: f"{why} Call `student.train()` and `teacher.eval()`.",
        },
        nudges={
            2: "Right: only the student's parameters are trained.",
            6: "Right: the teacher needs no gradients. But `no_grad` does not set its mode.",
            7: "The temperature is right. Ask the teacher the same thing twice: what do you get?",
            8: "Right: the student's log-probabilities, at the teacher's temperature. The "
            "student's dropout may be on while it learns.",
            9: "Right: 16 is T^2, the student comes first, and the mean is over the rows.",
        },
        story="A student with dropout learns from a large network with dropout. The loss falls, "
        "and then stops falling far too early.",
    )
