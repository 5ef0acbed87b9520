"""The learning rates of lesson 01 that are evaluated on test were the best on valid."""

from helpers.recorded_rates import check_best_on_valid, recorded_runs, tuned_groups

from ftkit.lessons.transfer_learning.study import FAR_LRS, FREEZING, RECIPE_LRS


def test_the_best_learning_rates_of_the_recipes_and_the_far_task_are_inside_their_grids() -> None:
    table, seeds = recorded_runs("01_transfer_learning")
    groups = list(tuned_groups(table[table["method"] != FREEZING], ["method", "bench"]))
    far = {(method, "digits as text") for method in FAR_LRS}
    recipes = {(method, "library") for method in RECIPE_LRS}
    assert {group.key for group in groups} == far | recipes | {("first block", "opening")}
    for group in groups:
        check_best_on_valid(group, seeds)
