"""Lesson 09, can LoRA be beaten? A leaderboard by budget."""

from ftkit.lessons.can_lora_be_beaten import claims, exercises, study, trial
from ftkit.lessons.lesson import Lesson
from ftkit.lessons.transfer_learning.trial import movement_by_part

LESSON = Lesson(
    "09_can_lora_be_beaten",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.board_claims(table),
    exercises=exercises,
    trial=trial.trial,
    probe=movement_by_part,
    opens_at={
        "bench": "opening",
        "method": "sparse, random",
        "rank": trial.MIDDLE,
        "examples": trial.MOST_EXAMPLES,
        "lr": 3e-2,
    },
    more=lambda: {"seconds": study.seconds()},
)
