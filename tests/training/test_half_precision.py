"""A base in half precision trains, validates and is measured like one in float32."""

import copy
from itertools import islice
from typing import Any

import pytest
import torch
from helpers.laws import HALVES, HEAD, batch_of
from helpers.nets import net, small_task
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.model.change import Change, at_least_float32
from ftkit.model.entry_scores import fisher, gradient
from ftkit.model.objective import supervised
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.techniques.adalora import AdaLoRA
from ftkit.techniques.distillation import Distillation, Teacher
from ftkit.techniques.dora import DoRA
from ftkit.techniques.freeze import Only
from ftkit.techniques.ia3 import IA3
from ftkit.techniques.lora import LoRA
from ftkit.techniques.sparse import Rows, Sparse
from ftkit.techniques.task_balancing import GradNorm, PCGrad, Uncertainty
from ftkit.techniques.task_mixing import Together
from ftkit.techniques.vera import VeRA
from ftkit.training.background_validation import in_background
from ftkit.training.cost import measure, peak
from ftkit.training.loop import evaluate, frozen_features, train

by_dtype = pytest.mark.parametrize("dtype", HALVES, ids=str)


def half(dtype: torch.dtype, *tasks: Task) -> Net:
    return net("distilbert", *tasks).to(dtype)


@pytest.mark.parametrize("space", [LoRA(4), Only("body.*"), Sparse(0.05)], ids=repr)
def test_bfloat16_reaches_the_accuracy_of_float32(space: Any, docs: Task) -> None:
    accuracies = []
    for dtype in (torch.float32, torch.bfloat16):
        base = copy.deepcopy(load_base("mini", docs)).to(dtype)
        model = Adapted(base, space, HEAD)
        list(train(model, docs, steps=80, lr=1e-3, validations=0))
        accuracies.append(evaluate(model, docs, rows=400).accuracy)
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.03)
    assert min(accuracies) > 0.5


@by_dtype
@pytest.mark.parametrize(("name", "data"), [("mini", "docs"), ("mini-vit", "digits")])
def test_a_base_that_is_loaded_in_half_precision_trains(
    name: str, data: str, dtype: torch.dtype
) -> None:
    task = load_task(data)
    base = load_base(name, task, dtype=dtype)
    assert {weight.dtype for weight in base.parameters()} == {dtype}
    model = Adapted(base, LoRA(4), HEAD)
    losses = [
        event.values["train/loss"]
        for event in train(model, task, steps=30, lr=3e-3, validations=0)
        if event.stage == "train"
    ]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert evaluate(model.merged(), task, rows=100).accuracy == pytest.approx(
        evaluate(model, task, rows=100).accuracy, abs=0.03
    )


@by_dtype
@pytest.mark.parametrize("space", [Only("*"), Sparse(1.0, where="*")], ids=repr)
def test_a_step_that_half_precision_would_lose_is_kept(dtype: torch.dtype, space: Any) -> None:
    layer = nn.Linear(4, 4, bias=False).to(dtype)
    nn.init.ones_(layer.weight)
    model = Adapted(layer, space)
    step = 1e-4
    assert torch.ones((), dtype=dtype) + step == 1
    optimizer = torch.optim.SGD(model.parameters(), lr=step)
    for _ in range(30):
        optimizer.zero_grad()
        model(torch.eye(4, dtype=dtype)).sum().backward()
        optimizer.step()
    expected = torch.full((4, 4), -30 * step)
    torch.testing.assert_close(model.delta()["weight"], expected, atol=1e-6, rtol=1e-3)
    assert (model(torch.eye(4, dtype=dtype)) < 1).all()


@pytest.mark.parametrize(
    "space",
    [LoRA(4), AdaLoRA(4), VeRA(8), Sparse(0.1), Rows(0.2), DoRA(4), IA3(), Only("body.*")],
    ids=repr,
)
def test_autocast_computes_in_half_precision_what_float32_computes(space: Any) -> None:
    base, batch = net("distilbert"), batch_of("distilbert")
    model = Adapted(base, space, HEAD)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = model(batch)
            (loss,) = supervised(model, batch).values()
        assert logits.dtype == (torch.bfloat16 if enabled else torch.float32)
        parameters = model.trainable()
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    assert gradients[1].dtype == torch.float32
    difference = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 0 < difference < 0.1


@by_dtype
def test_cached_features_have_the_dtype_of_the_body(dtype: torch.dtype) -> None:
    base, task = half(dtype), small_task()
    events = list(train(Adapted(base, HEAD), task, steps=8, size=6, validations=3))
    assert all(torch.tensor(list(event.values.values())).isfinite().all() for event in events)
    features = frozen_features(base, task.train)
    direct = base.features(task.batch("train", torch.arange(24)))
    assert features.dtype == direct.dtype == dtype
    torch.testing.assert_close(features, direct, atol=0.05, rtol=0.05)


def test_cached_features_follow_a_body_that_changes_its_dtype() -> None:
    base, task = net("distilbert"), small_task()
    single = frozen_features(base, task.train)
    double = frozen_features(base.double(), task.train)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert frozen_features(base, task.train) is double


@by_dtype
def test_an_evaluation_computes_its_loss_in_float32(dtype: torch.dtype) -> None:
    base, task = half(dtype), small_task()
    result = evaluate(base, task)
    with torch.no_grad():
        logits = base(task.batch("test", torch.arange(24))).float()
    expected = nn.functional.cross_entropy(logits, task.labels("test"))
    assert result.loss == pytest.approx(float(expected), rel=2e-2)


@by_dtype
def test_the_loss_of_a_step_is_computed_in_float32(dtype: torch.dtype) -> None:
    base, batch = half(dtype), batch_of("distilbert")
    (loss,) = supervised(base, batch).values()
    assert torch.equal(loss, nn.functional.cross_entropy(base(batch).float(), batch.labels))


@by_dtype
def test_background_validations_equal_those_between_steps(dtype: torch.dtype) -> None:
    def run() -> list[Any]:
        model = Adapted(half(dtype), LoRA(2), HEAD)
        events = train(model, small_task(), steps=6, lr=1e-2, size=6, validations=3)
        return sorted(events, key=lambda event: (event.step, event.stage))

    between = run()
    with in_background():
        assert run() == between


@by_dtype
def test_a_cost_counts_changes_in_float32_and_weights_in_half_precision(
    dtype: torch.dtype,
) -> None:
    base = half(dtype)
    model = Adapted(base, LoRA(2), HEAD)
    cost, highest = measure(model, batch_of("distilbert")), peak(model, batch_of("distilbert"))
    lora = sum(p.numel() for p in model.trainable("body."))
    of_base = sum(p.numel() for p in base.parameters())
    assert cost.weights == 2 * of_base + 4 * lora
    assert cost.gradients == 4 * cost.trainable
    assert cost.optimizer == 8 * cost.trainable
    assert cost.gradients + cost.optimizer < highest.outside_forward


@by_dtype
def test_scores_from_data_are_formed_in_float32(dtype: torch.dtype) -> None:
    base, task = half(dtype), small_task()
    batches = list(islice(task.batches(6, torch.Generator().manual_seed(0)), 2))
    for scores in (gradient(base, batches), fisher(base, batches)):
        assert {score.dtype for score in scores.values()} == {torch.float32}
    exact = fisher(half(dtype).float(), batches)
    name = "body.transformer.layer.0.attention.q_lin.weight"
    tiny = fisher(base, batches)[name]
    assert (tiny > 0).float().mean() > 0.9 * (exact[name] > 0).float().mean()
    torch.testing.assert_close(tiny.sum(), exact[name].sum(), rtol=0.1, atol=0)


@by_dtype
def test_objectives_of_several_tasks_and_of_a_teacher_run(dtype: torch.dtype) -> None:
    tasks = (small_task("one"), small_task("two"))
    base = half(dtype, *tasks)
    for objective in (PCGrad(), GradNorm(), Uncertainty(tasks)):
        model = Adapted(base, LoRA(2), HEAD)
        events = list(
            train(
                model, Together(tasks), steps=2, size=6, objective=objective, validations=0, lr=1e-2
            )
        )
        assert model.delta().norm() > 0 and len(events) == 2
    teacher = Teacher(Adapted(base, LoRA(2)))
    model = Adapted(base, LoRA(2), HEAD)
    list(train(model, tasks[0], steps=2, size=6, objective=Distillation(teacher), lr=1e-2))
    assert model.delta().norm() > 0


@by_dtype
def test_a_change_that_knows_nothing_of_types_works(dtype: torch.dtype) -> None:
    class Scaled(Change):
        def __init__(self, weight: torch.Tensor) -> None:
            super().__init__()
            self.factor = nn.Parameter(weight.new_ones(len(weight), 1))

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return self.factor * weight

    class Everywhere:
        def changes(self, model: nn.Module) -> dict[str, Change]:
            return {"weight": Scaled(model.get_parameter("weight"))}

    layer, x = nn.Linear(8, 8).to(dtype), torch.ones(2, 8, dtype=dtype)
    model = Adapted(layer, Everywhere())  # type: ignore[arg-type]
    assert torch.equal(model(x), layer(x))
    with torch.no_grad():
        model.changes["weight"].factor.add_(1e-4)
    assert model.changes["weight"].factor.dtype == torch.float32
    assert torch.equal(model.merged()(x), model(x))
    torch.testing.assert_close(
        model.delta()["weight"], 1e-4 * at_least_float32(layer.weight.detach()), rtol=1e-2, atol=0
    )
