"""Lesson 07, multi-task learning: two tasks on one body."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.multitask import claims, exercises, study, trial

LESSON = Lesson(
    "07_multitask",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.multitask_claims(table),
    exercises=exercises,
    trial=trial.trial,
    probe=True,
    opens_at={"pair": trial.HELPS, "way": trial.FIXED_WEIGHTS, "share": 0.5, "lr": 1e-3},
)
