"""Lesson 05, sparse fine-tuning: single entries of the weights."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.sparse import claims, exercises, mask_probe, study, trial

LESSON = Lesson(
    "05_sparse",
    record=study.record,
    seeds=study.SEEDS,
    judge=lambda table, about: claims.sparse_claims(table),
    exercises=exercises,
    trial=trial.trial,
    probe=mask_probe.probe_mask,
    opens_at={"bench": "opening", "criterion": "random", "density": 0.01, "lr": 0.1},
)
