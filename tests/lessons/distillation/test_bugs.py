"""The planted bugs of lesson 06 do what their stories say, in the lines that are named."""

import torch
from torch import Tensor, nn

from ftkit.lessons.distillation import bugs
from ftkit.techniques.distillation import divergence


def logits(seed: int, classes: int) -> Tensor:
    return 2 * torch.randn(6, classes, generator=torch.Generator().manual_seed(seed))


def test_the_faint_teacher_counts_too_little_by_the_number_of_classes() -> None:
    for classes in (2, 8):
        student, teacher = logits(0, classes), logits(1, classes)
        torch.testing.assert_close(
            classes * bugs.faint_teacher(student, teacher, 3.0), divergence(student, teacher, 3.0)
        )
        assert bugs.faint_teacher(student, student, 3.0).abs() < 1e-6


def test_turned_round_is_the_divergence_in_the_other_direction() -> None:
    student, teacher = logits(0, 5), logits(1, 5)
    torch.testing.assert_close(
        bugs.turned_round(student, teacher, 2.0), divergence(teacher, student, 2.0)
    )
    assert (
        bugs.turned_round(student, teacher, 2.0) - divergence(student, teacher, 2.0)
    ).abs() > 0.1
    assert bugs.turned_round(student, student, 2.0).abs() < 1e-6


def test_the_wavering_teacher_contradicts_itself() -> None:
    torch.manual_seed(0)
    student, teacher = nn.Linear(4, 3), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
    teacher.eval()
    before = [weight.clone() for weight in student.parameters()]
    bugs.wavering_teacher(student, teacher, [torch.ones(5, 4)] * 3, lr=1e-2)
    x = torch.ones(5, 4)
    assert teacher.training and not torch.equal(teacher(x), teacher(x))
    assert all(
        not torch.equal(old, new) for old, new in zip(before, student.parameters(), strict=True)
    ), "it trains"


def test_the_named_lines_hold_the_bug() -> None:
    for asked, line, words in (
        (bugs.is_too_faint(), 4, 'reduction="none").mean()'),
        (bugs.is_turned_round(), 4, "F.kl_div(log_p, q"),
        (bugs.is_wavering(), 4, "model.train()"),
        (bugs.is_wavering(), 3, "(student, teacher)"),
    ):
        assert words in asked.source.splitlines()[line - 1]
        assert asked.guess(line)
        assert not any(asked.guess(number) for number in asked.nudges)
