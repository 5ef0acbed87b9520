"""Answers to lesson 06's exercises on soft answers: wrong ones with the words that must name the
fault, and right ones."""

from typing import Any

import torch
from torch.nn import functional as F


def wrong_soften() -> dict[str, tuple[Any, str]]:
    def by_hand(logits: Any, temperature: Any) -> Any:
        powers = (logits / temperature).exp()
        return powers / powers.sum(-1, keepdim=True)

    def in_place(logits: Any, temperature: Any) -> Any:
        logits /= temperature
        return logits.softmax(-1)

    return {
        "multiplied": (lambda z, t: (z * t).softmax(-1), "multiplies by the temperature"),
        "no temperature": (lambda z, t: z.softmax(-1), "the temperature is not used"),
        "divided after": (lambda z, t: z.softmax(-1) / t, "no longer sum to 1; divide the logits"),
        "softmax twice": (lambda z, t: (z.softmax(-1) / t).softmax(-1), "softmax of softmax"),
        "a power": (lambda z, t: z.softmax(-1) ** (1 / t), "must be made to sum to 1 again"),
        "down the rows": (lambda z, t: (z / t).softmax(0), "down each column"),
        "logarithms": (lambda z, t: (z / t).log_softmax(-1), "the logarithm of what is asked for"),
        "t squared": (lambda z, t: (z / t**2).softmax(-1), "divides by T twice"),
        "exp overflows": (
            by_hand,
            "logits as large as 900 at T = 2 the answer holds nan or inf: exp overflows",
        ),
        "off by a little": (
            lambda z, t: (z / (t + 1)).softmax(-1),
            "a probability is off by up to",
        ),
        "the answer alone": (
            lambda z, t: (z / t).argmax(-1),
            "must have the shape (rows, classes) = (4, 3), got (4,)",
        ),
        "a list": (lambda z, t: (z / t).softmax(-1).tolist(), "must be a torch.Tensor, got a list"),
        "in place": (in_place, "writes into `logits`"),
        "arguments": (lambda z: z, "must take (logits, temperature), in this order"),
    }


def right_soften() -> dict[str, Any]:
    def powers(logits: Any, temperature: Any) -> Any:
        shifted = (logits - logits.max(-1, keepdim=True).values) / temperature
        return shifted.exp() / shifted.exp().sum(-1, keepdim=True)

    return {
        "softmax": lambda logits, temperature: (logits / temperature).softmax(-1),
        "shifted powers": powers,
        "from logarithms": lambda logits, temperature: F.log_softmax(
            logits.double() / temperature, dim=1
        ).exp(),
        "powers made to sum to 1": lambda logits, temperature: F.normalize(
            F.softmax(logits.double(), -1) ** (1 / temperature), p=1, dim=-1
        ),
    }


def parts(z: Any, of: Any, y: Any, t: float) -> tuple[Any, Any]:
    hard = F.cross_entropy(z, y, ignore_index=-1, reduction="sum") / len(y)
    return hard, F.kl_div((z / t).log_softmax(-1), (of / t).softmax(-1), reduction="batchmean")


def wrong_loss() -> dict[str, tuple[Any, str]]:
    def with_(combine: Any) -> Any:
        return lambda z, of, y, t, w: combine(*parts(z, of, y, t), t, w, z)

    def swapped(z: Any, of: Any, y: Any, t: Any, w: Any) -> Any:
        soft = F.kl_div((of / t).log_softmax(-1), (z / t).softmax(-1), reduction="batchmean")
        return (1 - w) * parts(z, of, y, t)[0] + w * t**2 * soft

    def hot(z: Any, of: Any, y: Any, t: Any, w: Any) -> Any:
        return (1 - w) * parts(z / t, of, y, t)[0] + w * t**2 * parts(z, of, y, t)[1]

    def known(z: Any, of: Any, y: Any, t: Any, w: Any) -> Any:
        return (1 - w) * F.cross_entropy(z, y, ignore_index=-1) + w * t**2 * parts(z, of, y, t)[1]

    def no_logarithm(z: Any, of: Any, y: Any, t: Any, w: Any) -> Any:
        soft = F.kl_div((z / t).softmax(-1), (of / t).softmax(-1), reduction="batchmean")
        return (1 - w) * parts(z, of, y, t)[0] + w * t**2 * soft

    def in_place(z: Any, of: Any, y: Any, t: Any, w: Any) -> Any:
        y[y < 0] = 0
        return F.cross_entropy(z, y)

    return {
        "no t squared": (
            with_(lambda hard, soft, t, w, z: (1 - w) * hard + w * soft),
            "the factor T^2 is missing",
        ),
        "cross-entropy": (
            lambda z, of, y, t, w: (
                (1 - w) * parts(z, of, y, t)[0]
                + w * t**2 * F.cross_entropy(z / t, (of / t).softmax(-1))
            ),
            "subtract their entropy, and it is the divergence",
        ),
        "t": (
            with_(lambda hard, soft, t, w, z: (1 - w) * hard + w * t * soft),
            "the factor is T^2; yours is T",
        ),
        "swapped": (swapped, "student and teacher are swapped"),
        "mean": (
            with_(lambda hard, soft, t, w, z: (1 - w) * hard + w * t * t * soft / z.shape[1]),
            "the mean over rows and classes",
        ),
        "sum": (
            with_(lambda hard, soft, t, w, z: (1 - w) * hard + w * t * t * soft * len(z)),
            "the sum over the rows",
        ),
        "weights swapped": (
            with_(lambda hard, soft, t, w, z: w * hard + (1 - w) * t * t * soft),
            "weight and 1 - weight are swapped",
        ),
        "labels at t": (hot, "the labels' part uses the temperature"),
        "labelled rows": (known, "divided by the labelled rows; divide by all"),
        "teacher alone": (
            with_(lambda hard, soft, t, w, z: w * t * t * soft),
            "the labels' part is missing",
        ),
        "labels alone": (
            with_(lambda hard, soft, t, w, z: (1 - w) * hard),
            "the teacher's part is missing",
        ),
        "unweighted": (
            with_(lambda hard, soft, t, w, z: hard + t * t * soft),
            "without their weights",
        ),
        "no logarithm": (no_logarithm, "the loss is"),
        "ignores no -1": (
            lambda z, of, y, t, w: F.cross_entropy(z, y),
            "leave a row with the label -1 out",
        ),
        "a float": (
            lambda z, of, y, t, w: float(kit(z, of, y, t, w)),
            "a tensor without dimensions, got a float",
        ),
        "detached": (
            lambda z, of, y, t, w: kit(z, of, y, t, w).detach(),
            "no gradient reaches the student",
        ),
        "a detached student": (
            lambda z, of, y, t, w: kit(z.detach(), of, y, t, w),
            "no gradient reaches the student",
        ),
        "half of it detached": (
            with_(lambda hard, soft, t, w, z: (1 - w) * hard + w * t * t * soft.detach()),
            "the gradient at the student is not",
        ),
        "a loss a row": (
            lambda z, of, y, t, w: (z - of).square().mean(-1),
            "must have the shape () = (), got (6,)",
        ),
        "both parts": (
            lambda z, of, y, t, w: {"labels": 0.0},
            "must be a number, a tensor without dimensions, got a dict",
        ),
        "in place": (in_place, "writes into `labels`"),
        "arguments": (
            lambda student, teacher: 0.0,
            "must take (student, teacher, labels, temperature, weight), in this order",
        ),
    }


def kit(student: Any, teacher: Any, labels: Any, temperature: Any, weight: Any) -> Any:
    from ftkit import divergence

    hard = F.cross_entropy(student, labels, ignore_index=-1, reduction="none").mean()
    return (1 - weight) * hard + weight * divergence(student, teacher, temperature)


def right_loss() -> dict[str, Any]:
    def by_hand(student: Any, teacher: Any, labels: Any, temperature: Any, weight: Any) -> Any:
        known = labels >= 0
        picked = student.log_softmax(-1)[known, labels[known]].sum() / len(labels)
        p, q = ((z.double() / temperature).softmax(-1) for z in (teacher, student))
        return -(1 - weight) * picked + weight * temperature**2 * (p * (p / q).log()).sum(-1).mean()

    def logarithms(student: Any, teacher: Any, labels: Any, temperature: Any, weight: Any) -> Any:
        log_q, log_p = ((z / temperature).log_softmax(-1) for z in (student, teacher))
        soft = F.kl_div(log_q, log_p, reduction="sum", log_target=True) / len(student)
        hard = F.nll_loss(student.log_softmax(-1), labels, ignore_index=-1, reduction="sum") / len(
            labels
        )
        return torch.lerp(hard, temperature * temperature * soft, weight)

    return {
        "the kit's divergence": kit,
        "sums of probabilities": by_hand,
        "logarithms of both": logarithms,
    }
