"""Lesson 08, the LoRA family: eight relatives, a line each."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.the_lora_family import claims, exercises, study, trial

LESSON = Lesson(
    "08_the_lora_family",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.family_claims(table),
    exercises=exercises,
    trial=trial.trial,
    probe=trial.row_changes,
    opens_at={"bench": "opening", "relative": "DoRA", "rank": 8, "lr": 1e-2},
)
