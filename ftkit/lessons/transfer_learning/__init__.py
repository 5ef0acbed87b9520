"""Lesson 01, transfer learning: how much of the network to freeze."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.transfer_learning import claims, exercises, study, trial

LESSON = Lesson(
    "01_transfer_learning",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.transfer_claims(table),
    exercises=exercises,
    trial=trial.trial,
    probe=trial.movement_by_part,
    opens_at={"bench": "opening", "frozen": 3, "lr": 3e-3},
)
