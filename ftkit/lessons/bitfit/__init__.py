"""Lesson 04, BitFit: the biases alone."""

from ftkit.lessons.bitfit import claims, exercises, study, trial
from ftkit.lessons.lesson import Lesson

LESSON = Lesson(
    "04_bitfit",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.bitfit_claims(table),
    exercises=exercises,
    trial=trial.trial,
    probe=trial.movement_by_group,
    opens_at={"bench": "opening", "groups": trial.ALL_GROUPS, "examples": 2000, "lr": 3e-2},
)
