"""Planted bugs of distillation: code that runs, looks right, and is not. Each can be imported, and a test shows what it does wrong.

They have no docstrings: a listing counts from its first line, and the story beside it says what the code should do.
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
    """Asks for the bug in `faint_teacher`: the mean over rows and classes."""
    return bug(
        faint_teacher,
        lines={
            4: "The mean over all entries, which `reduction='mean'` takes too, divides by rows times classes. The sum over the classes "
            "belongs to the divergence: `batchmean` divides by the rows alone. With eight classes this teacher is eight times too faint."
        },
        nudges={
            2: "The student's answers as logarithms: that is what `kl_div` wants first.",
            3: "The teacher's answers as probabilities: that is what `kl_div` wants second.",
            5: "T^2 is right, and it is there once. Is what it multiplies as large as it should be?",
        },
        story="T^2 KL(teacher || student), the mean over the rows. It is never negative, zero for equal logits, and with more classes the "
        "teacher counts for less and less.",
    )


def is_turned_round() -> Bug:
    """Asks for the bug in `turned_round`: student and teacher in each other's place."""
    return bug(
        turned_round,
        lines={
            4: "`kl_div(log_a, b)` is KL(b || a): the student comes first, as logarithms. This is KL(student || teacher), by which a "
            "student may leave out what its teacher holds possible. It must be log_q of the student, p of the teacher, `kl_div(log_q, p)`."
        },
        nudges={
            2: "A right logarithm of the teacher's probabilities. Where does it go?",
            3: "Right probabilities of the student. Where do they go?",
            5: "T^2 is right, whichever way round the divergence is.",
        },
        story="T^2 KL(teacher || student). It reads like the formula, p before q, and is zero for equal logits. But it is another number.",
    )


def is_wavering() -> Bug:
    """Asks for the bug in `wavering_teacher`: it answers in training mode."""
    why = "The teacher's dropout is on, so that it contradicts itself from batch to batch. A teacher must be in eval mode."
    return bug(
        wavering_teacher,
        lines={
            3: f"{why} Only the student belongs into this loop.",
            4: f"{why} `student.train()` and `teacher.eval()` are right.",
        },
        nudges={
            2: "Right: the student's numbers alone are trained.",
            6: "Right: nothing of the teacher needs a gradient. But that does not say which mode it answers in.",
            7: "The temperature is right. Ask the teacher the same thing twice: what does it say?",
            8: "Right: the student's own answers, as logarithms, at the teacher's temperature; its dropout may be on while it learns.",
            9: "Right: 16 is T^2, the student comes first, and the mean is over rows.",
        },
        story="A student with dropout learns from a large network with dropout. The loss falls and stops falling far too early.",
    )
