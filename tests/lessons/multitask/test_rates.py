"""The learning rates of lesson 07 that are evaluated on test were the best on valid."""

from collections import Counter

from helpers.recorded_rates import check_best_on_valid, recorded_runs, tuned_groups

from ftkit.lessons.multitask.study import BALANCE, DELTAS, JUDGED_PAIRS, TRANSFER
from ftkit.lessons.multitask.trial import LEARNED, SHARES


def test_every_tuned_learning_rate_was_the_best_on_valid() -> None:
    """Gradient conflicts use the learning rates of other parts; the pair of images has a single
    one."""
    table, seeds = recorded_runs("07_multitask")
    groups = list(tuned_groups(table, ["part", "method", "pair", "way", "share"]))
    balanced = len(JUDGED_PAIRS) * (len(SHARES) + len(LEARNED))
    parts = Counter(group.key[0] for group in groups)
    assert parts == {BALANCE: balanced, TRANSFER: 10, DELTAS: 1}
    for group in groups:
        chosen_by = "valid/both" if group.key[0] == BALANCE else "valid/accuracy"
        check_best_on_valid(group, seeds, chosen_by)
