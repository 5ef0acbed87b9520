"""In every lesson, each setting is evaluated on test at one learning rate, which is inside its
grid."""

import pytest
from helpers.recorded_rates import recorded_runs, tuned_groups

from ftkit.experiments.tables import MEASURED
from ftkit.lessons import Lesson, lessons


@pytest.mark.parametrize("lesson", lessons().values(), ids=lambda lesson: lesson.name)
def test_every_tuned_learning_rate_is_inside_its_grid(lesson: Lesson) -> None:
    table, _ = recorded_runs(lesson.name)
    by = [name for name in table.columns if name not in (*MEASURED, "seed", "lr")]
    groups = list(tuned_groups(table, by))
    assert groups
    for group in groups:
        tried = group.runs["lr"].unique()
        # A setting with one learning rate was not tuned, such as the head that copies BitFit's.
        assert len(tried) == 1 or tried.min() < group.lr < tried.max(), group.key
