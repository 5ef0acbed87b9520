"""Lesson 06, distillation: a small student of a large teacher."""

from ftkit.lessons.distillation import claims, exercises, study, teachers, trial
from ftkit.lessons.lesson import Lesson

LESSON = Lesson(
    "06_distillation",
    record=study.record,
    seeds=study.SEEDS,
    judge=claims.distill_claims,
    exercises=exercises,
    trial=trial.trial,
    probe=trial.probe_answers,
    opens_at={
        "bench": "library",
        "temperature": 2.0,
        "weight": 0.9,
        "transfer": trial.MOST_TRANSFER,
        "body": "two blocks",
        "lr": study.PANEL_LR,
    },
    more=study.about_teachers,
    reads=(teachers.answers_path(),),
    before=lambda: teachers.make_answers(teachers.answers_path()),
    writes=(teachers.answers_path(),),
)
