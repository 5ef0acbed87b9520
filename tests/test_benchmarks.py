"""The methods that the benchmarks compare with full fine-tuning do what their names say."""

from typing import Any

import pytest
import torch
from helpers.nets import small_task
from torch import Tensor, nn

from benchmarks.techniques import Method, objectives
from ftkit import Adapted, Net, load_base
from ftkit.experiments.step_time import stepper
from ftkit.model.objective import supervised
from ftkit.tasks.task import Batch

TASK, OTHER = small_task("docs"), small_task("other")
BATCHES = [TASK.batch("train", rows) for rows in torch.tensor([[3, 1, 20, 8], [0, 2, 5, 11]])]


@pytest.fixture(scope="module")
def base() -> Net:
    return load_base("mini", TASK)


@pytest.fixture(scope="module")
def methods(base: Net) -> dict[str, Method]:
    return objectives("mini", base, TASK, OTHER, BATCHES)


def read(batch: Any) -> list[str]:
    parts = [batch] if isinstance(batch, Batch) else batch
    return sorted(text for part in parts for text in part.data.select(part.rows.tolist())["text"])


def test_all_methods_read_the_same_sentences_with_their_own_labels(
    methods: dict[str, Method],
) -> None:
    for _, batches, _ in methods.values():
        assert [read(batch) for batch in batches] == [read(batch) for batch in BATCHES]
    (_, of_student, _), *joint = methods.values()
    for ours, batch in zip(of_student, BATCHES, strict=True):
        assert torch.equal(ours.labels, batch.labels)
    for _, batches, _ in joint:
        for batch in batches:
            assert [(part.task, len(part)) for part in batch] == [("docs", 2), ("other", 2)]


def test_a_step_does_not_run_the_teacher_and_its_logits_are_those_of_the_base(
    base: Net, methods: dict[str, Method]
) -> None:
    calls = []
    hook = base.register_forward_hook(lambda *_: calls.append(1))
    try:
        model, batches, objective = next(iter(methods.values()))
        stepper(model, batches, objective)()
        assert not calls
        torch.testing.assert_close(objective.teacher(batches[1]), base(BATCHES[1]).detach())
    finally:
        hook.remove()


def test_a_step_minimises_the_sum_of_the_objectives_terms() -> None:
    def twice(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        return {"up": model(batch).sum(), "down": -3 * model(batch).sum()}

    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    stepper(layer, [torch.ones(1, 2)], twice)()
    assert (layer.weight > before).all()
    assert stepper(layer, [torch.ones(1, 2)], twice)() > 0


def test_a_step_minimises_the_supervised_loss_by_default(base: Net) -> None:
    model = Adapted(base)
    before = supervised(model, BATCHES[0])["labels"].item()
    step = stepper(model, BATCHES[:1])
    for _ in range(5):
        step()
    assert supervised(model, BATCHES[0])["labels"].item() < before
