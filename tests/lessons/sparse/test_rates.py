"""The learning rates of lesson 05 that are evaluated on test were the best on valid."""

from collections import Counter

from helpers.recorded_rates import check_best_on_valid, recorded_runs, tuned_groups

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.lessons.sparse.study import MASK_SETTINGS, SPARSE


def test_the_best_learning_rates_of_the_masks_and_references_are_inside_their_grids() -> None:
    table, seeds = recorded_runs("05_sparse")
    groups = list(tuned_groups(table, ["method", *MASK_SETTINGS]))
    assert Counter(group.key[0] for group in groups) == {SPARSE: 26, FULL: 3, FROZEN: 3}
    for group in groups:
        check_best_on_valid(group, seeds)
