"""Lesson 04, BitFit: the biases alone."""

from ftkit.lessons.bitfit import claims, exercises, study
from ftkit.lessons.lesson import Lesson

LESSON = Lesson(
    "04_bitfit",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.bitfit_claims(table),
    exercises=exercises,
    trial=study.trial,
    probe=study.movement_by_group,
    opens_at={"bench": "opening", "groups": study.ALL_GROUPS, "examples": 2000, "lr": 3e-2},
)
