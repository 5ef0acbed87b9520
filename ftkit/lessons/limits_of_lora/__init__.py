"""Lesson 03, the limits of LoRA: far tasks, cost, forgetting."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.limits_of_lora import claims_cost, claims_far_tasks, exercises, study, trial
from ftkit.lessons.limits_of_lora.step_costs import court, everywhere
from ftkit.lessons.transfer_learning.trial import moved

LESSON = Lesson(
    "03_limits_of_lora",
    record=study.record,
    seeds=trial.SEEDS,
    judge=lambda table, about: [
        *claims_far_tasks.far_claims(table),
        *claims_cost.cost_claims(table, about),
    ],
    exercises=exercises,
    trial=trial.trial,
    probe=moved,
    opens_at={"bench": trial.PLACES[4], "way": trial.LORA, "rank": 4, "lr": 3e-3},
    more=lambda: {"court": court(), "prices": everywhere()},
)
