"""The three slots combine without knowing each other.

Two tasks are distilled from one teacher into a student, through LoRA.
"""

import torch
from helpers.laws import HEAD
from helpers.nets import net, small_task

from ftkit.model.adapted import Adapted
from ftkit.tasks.task import Task, table
from ftkit.techniques.distillation import Distillation, Teacher, divergence, unlabelled
from ftkit.techniques.lora import LoRA
from ftkit.techniques.student import student
from ftkit.techniques.task_mixing import Mixture
from ftkit.training.loop import train


def sums_or_files() -> Task:
    """Another label of the sentences of `small_task`: is a sum or a mean spoken of?"""
    texts = small_task().train["text"][:]
    rows = table(texts, [int("sum" in text or "mean" in text) for text in texts], ["no", "yes"])
    return Task("sums", ("no", "yes"), rows, rows, rows)


def test_a_space_an_objective_and_a_mixture_work_together() -> None:
    tasks = small_task(), sums_or_files()
    large = net("bert", *tasks)
    taught = Adapted(large)
    list(train(taught, Mixture(tasks, (1.0, 1.0)), steps=60, lr=1e-2, size=8, validations=0))
    teacher, base = Teacher(taught.merged()), student(large, (0,)).fresh_heads(5)
    model, before = (
        Adapted(base, LoRA(2, alpha=5.0), HEAD),
        {name: value.clone() for name, value in base.state_dict().items()},
    )

    def far(task: Task) -> float:
        with torch.no_grad():
            batch = task.batch("train", torch.arange(24))
            return float(divergence(model(batch), teacher(batch), temperature=2.0))

    start = [far(task) for task in tasks]
    inputs = tuple(unlabelled(task) for task in tasks)
    list(
        train(
            model,
            Mixture(inputs, (1.0, 1.0)),
            steps=120,
            lr=1e-2,
            size=8,
            validations=0,
            objective=Distillation(teacher, 2.0, 1.0),
        )
    )
    assert all(far(task) < 0.5 * was for task, was in zip(tasks, start, strict=True)), (
        "the student nears the teacher on both tasks"
    )
    assert all(torch.equal(before[name], value) for name, value in base.state_dict().items())
    assert {name.split(".")[0] for name in model.changes} == {"body", "heads"}
    assert all(
        torch.linalg.matrix_rank(change) <= 2
        for name, change in model.delta().items()
        if name.startswith("body.")
    )
