"""Lesson 02, LoRA: built by hand, compared, judged."""

from ftkit.experiments.step_time import lora_over_full
from ftkit.lessons.lesson import Lesson
from ftkit.lessons.lora import claims, exercises, study, trial

LESSON = Lesson(
    "02_lora",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.lora_claims(table, about, study.EQUAL_RANKS),
    exercises=exercises,
    trial=trial.trial,
    probe=trial.spectrum,
    opens_at={"bench": "opening", "rank": 4, "lr": 3e-3},
    more=lambda: {"lora_step_over_full_step": lora_over_full()},
)
