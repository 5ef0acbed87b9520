"""Lesson 03, the limits of LoRA: far tasks, cost, forgetting."""

from ftkit.lessons.lesson import Lesson
from ftkit.lessons.limits_of_lora import claims_cost, claims_far_tasks, exercises, study, trial
from ftkit.lessons.limits_of_lora.step_costs import cost_shares, costs_by_batch
from ftkit.lessons.transfer_learning.trial import movement_by_part

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
    probe=movement_by_part,
    opens_at={"bench": trial.NEAR_TO_FAR[4], "way": trial.LORA, "rank": 4, "lr": 3e-3},
    more=lambda: {"court": cost_shares(), "prices": costs_by_batch()},
)
