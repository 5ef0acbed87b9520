"""What learners hand in, by exercise: wrong answers with the words that must name the fault, and right ones written differently."""

import operator
from collections.abc import Iterator
from functools import reduce
from typing import Any

from lessons.bitfit.wrong_answers.added_bias import right_added, wrong_added
from lessons.bitfit.wrong_answers.biases import (
    right_biases,
    right_fold,
    right_shift,
    wrong_biases,
    wrong_fold,
    wrong_shift,
)
from lessons.can_lora_be_beaten.wrong_answers import (
    right_expected,
    right_flips,
    right_same_numbers,
    wrong_expected,
    wrong_flips,
    wrong_same_numbers,
)
from lessons.distillation.wrong_answers.soft_targets import (
    right_loss,
    right_soften,
    wrong_loss,
    wrong_soften,
)
from lessons.distillation.wrong_answers.student_blocks import (
    right_blocks,
    right_inherited,
    wrong_blocks,
    wrong_inherited,
)
from lessons.limits_of_lora.wrong_answers import (
    right_at_equal,
    right_rank_needed,
    right_step_share,
    wrong_at_equal,
    wrong_rank_needed,
    wrong_step_share,
)
from lessons.lora.wrong_answers.embedding import right_embedding, wrong_embedding
from lessons.lora.wrong_answers.factors import right_count, right_merge, wrong_count, wrong_merge
from lessons.lora.wrong_answers.fair_comparison import right_tuned, wrong_tuned
from lessons.lora.wrong_answers.ranks import right_rank, wrong_rank
from lessons.multitask.wrong_answers.fronts_and_surgery import (
    right_surgery,
    right_undominated,
    wrong_surgery,
    wrong_undominated,
)
from lessons.multitask.wrong_answers.task_weights import (
    right_at_rest,
    right_shares,
    wrong_at_rest,
    wrong_shares,
)
from lessons.sparse.wrong_answers.entry_counts import (
    right_bytes,
    right_exactly,
    wrong_bytes,
    wrong_exactly,
)
from lessons.sparse.wrong_answers.scores_and_regrow import (
    right_fisher,
    right_regrow,
    wrong_fisher,
    wrong_regrow,
)
from lessons.the_lora_family.wrong_answers import (
    right_decompose,
    right_holm,
    right_principal,
    wrong_decompose,
    wrong_holm,
    wrong_principal,
)
from lessons.transfer_learning.wrong_answers.frozen_blocks import (
    right_moving,
    right_share,
    wrong_moving,
    wrong_share,
)
from lessons.transfer_learning.wrong_answers.rates_and_blends import (
    right_mix,
    right_rates,
    wrong_mix,
    wrong_rates,
)

WRONG = {
    "trainable_numbers": wrong_count(),
    "merge": wrong_merge(),
    "best_of_rank": wrong_rank(),
    "tuned": wrong_tuned(),
    "lora_embedding": wrong_embedding(),
    "flops_share": wrong_share(),
    "rates": wrong_rates(),
    "interpolate": wrong_mix(),
    "moving": wrong_moving(),
    "biases": wrong_biases(),
    "fold": wrong_fold(),
    "best_shift": wrong_shift(),
    "with_bias": wrong_added(),
    "bytes_of": wrong_bytes(),
    "exactly": wrong_exactly(),
    "per_example": wrong_fisher(),
    "regrow": wrong_regrow(),
    "shares": wrong_shares(),
    "at_rest": wrong_at_rest(),
    "surgery": wrong_surgery(),
    "undominated": wrong_undominated(),
    "soften": wrong_soften(),
    "inherited": wrong_inherited(),
    "kd_loss": wrong_loss(),
    "take_blocks": wrong_blocks(),
    "decompose": wrong_decompose(),
    "principal": wrong_principal(),
    "holm": wrong_holm(),
    "step_share": wrong_step_share(),
    "rank_needed": wrong_rank_needed(),
    "at_equal": wrong_at_equal(),
    "flips": wrong_flips(),
    "expected": wrong_expected(),
    "same_numbers": wrong_same_numbers(),
}
RIGHT = {
    "trainable_numbers": right_count(),
    "merge": right_merge(),
    "best_of_rank": right_rank(),
    "tuned": right_tuned(),
    "lora_embedding": right_embedding(),
    "flops_share": right_share(),
    "rates": right_rates(),
    "interpolate": right_mix(),
    "moving": right_moving(),
    "biases": right_biases(),
    "fold": right_fold(),
    "best_shift": right_shift(),
    "with_bias": right_added(),
    "bytes_of": right_bytes(),
    "exactly": right_exactly(),
    "per_example": right_fisher(),
    "regrow": right_regrow(),
    "shares": right_shares(),
    "at_rest": right_at_rest(),
    "surgery": right_surgery(),
    "undominated": right_undominated(),
    "soften": right_soften(),
    "inherited": right_inherited(),
    "kd_loss": right_loss(),
    "take_blocks": right_blocks(),
    "decompose": right_decompose(),
    "principal": right_principal(),
    "holm": right_holm(),
    "step_share": right_step_share(),
    "rank_needed": right_rank_needed(),
    "at_equal": right_at_equal(),
    "flips": right_flips(),
    "expected": right_expected(),
    "same_numbers": right_same_numbers(),
}


def wrong_answers() -> Iterator[tuple[str, str, Any, str]]:
    """(exercise, name, answer, words) of every planted wrong answer."""
    return (
        (exercise, name, *pair)
        for exercise, answers in WRONG.items()
        for name, pair in answers.items()
    )


def right_answers() -> Iterator[tuple[str, str, Any]]:
    """(exercise, name, answer) of every right answer."""
    return (
        (exercise, name, answer)
        for exercise, answers in RIGHT.items()
        for name, answer in answers.items()
    )


def tally_of(outcomes: dict[str, dict[str, list[bool]]]) -> str:
    """The table of tried, caught and accepted answers."""
    lines = [f"{'exercise':<20}{'wrong tried':>12}{'caught':>8}{'right tried':>13}{'accepted':>10}"]
    for exercise, seen in [*outcomes.items(), ("all", reduce(_joined, outcomes.values()))]:
        wrong, right = seen["wrong"], seen["right"]
        lines.append(
            f"{exercise:<20}{len(wrong):>12}{sum(wrong):>8}{len(right):>13}{sum(right):>10}"
        )
    return "\n".join(lines)


def _joined(one: dict[str, list[bool]], other: dict[str, list[bool]]) -> dict[str, list[bool]]:
    return {key: operator.add(one[key], other[key]) for key in one}
