"""The laws of a space.

A technique's test inherits them: `class TestLaws(SpaceLaws): specimens = [...]`.
"""

from typing import Any, ClassVar

import pytest
import torch
from helpers.nets import NETS, net, task_for
from torch.nn import functional as F

import ftkit
from ftkit.cli.run_arms import with_head
from ftkit.model.adapted import Adapted
from ftkit.tasks.task import Batch
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.training.loop import train

HEAD = Only("heads.*")
HALVES = (torch.bfloat16, torch.float16)
PLACES = [
    *(("cpu", dtype) for dtype in HALVES),
    *(pytest.param(("cuda", dtype), marks=pytest.mark.gpu) for dtype in (torch.float32, *HALVES)),
]
"""Other devices and types of a base than the ones of all other tests."""


def batch_of(name: str, size: int = 6) -> Batch:
    """The first rows of a task for the net of that name."""
    return task_for(name).batch("train", torch.arange(size))


def learn(model: Adapted, name: str, steps: int = 4) -> list[Any]:
    """Train `model` for a few steps and return the events."""
    return list(
        train(model, task_for(name), steps=steps, lr=1e-2, size=6, validations=2, valid_rows=12)
    )


class SpaceLaws:
    """Each specimen, a space, obeys each law on each net."""

    specimens: ClassVar[list[Any]] = []

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "space" in metafunc.fixturenames:
            metafunc.parametrize("space", self.specimens, ids=repr)
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", NETS)
        if "place" in metafunc.fixturenames:
            metafunc.parametrize("place", PLACES, ids=str)

    def test_a_new_adaptation_changes_no_answer(self, space: Any, name: str) -> None:
        base, batch = net(name), batch_of(name)
        with torch.no_grad():
            assert torch.equal(base(batch), Adapted(base, space)(batch))

    def test_training_leaves_the_base_as_it_was(self, space: Any, name: str) -> None:
        base = net(name)
        before = {key: value.clone() for key, value in base.state_dict().items()}
        flags = [p.requires_grad for p in base.parameters()]
        model = adapted(base, space)
        learn(model, name)
        assert all(torch.equal(before[key], value) for key, value in base.state_dict().items())
        assert flags == [p.requires_grad for p in base.parameters()]
        assert all(p.grad is None for p in base.parameters())
        assert model.delta().norm() > 0

    def test_it_trains_no_more_parameters_than_it_says(self, space: Any, name: str) -> None:
        base = net(name)
        model = adapted(base, space)
        learn(model, name)
        moved, weights = model.merged(), dict(base.named_parameters())
        for key, now in moved.named_parameters():
            if key not in model.changes:
                assert torch.equal(now, weights[key]), key
        # Whole numbers in the state are positions, which are not trained.
        state = [value for value in model.state_dict().values() if value.is_floating_point()]
        assert sum(p.numel() for p in model.parameters()) == sum(value.numel() for value in state)

    def test_weight_decay_and_another_method_move_only_the_weights_it_changes(
        self, space: Any, name: str
    ) -> None:
        """A key bias moves too, although its gradient is 0.

        Weight decay shrinks it, and Adam follows rounding errors.
        """
        base = net(name)
        before = {key: value.clone() for key, value in base.state_dict().items()}
        other = Adapted(base, LoRA(2, alpha=7.0), HEAD)
        learn(other, name, steps=2)
        learned = {key: value.clone() for key, value in other.state_dict().items()}
        model = adapted(base, space)
        plain_decay(model, name)
        moved = {
            key
            for key, now in model.merged().named_parameters()
            if not torch.equal(now, before[key])
        }
        assert moved == set(model.changes)
        assert all(torch.equal(before[key], value) for key, value in base.state_dict().items())
        assert all(torch.equal(learned[key], value) for key, value in other.state_dict().items())

    def test_merged_equals_adapted(self, space: Any, name: str) -> None:
        base, batch = net(name), batch_of(name)
        model = adapted(base, space)
        learn(model, name)
        with torch.no_grad():
            answer = model(batch)
            torch.testing.assert_close(model.merged()(batch), answer, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(model.delta().on(base)(batch), answer, atol=1e-5, rtol=1e-4)

    def test_the_repr_rebuilds_it(self, space: Any) -> None:
        name = type(space).__name__
        assert name in ftkit.__all__, f"{name} must be public; add it to ftkit/__init__.pyi"
        assert eval(repr(space), {each: getattr(ftkit, each) for each in ftkit.__all__}) == space

    @pytest.mark.usefixtures("deterministic")
    def test_the_same_seed_is_the_same_run(self, space: Any, name: str) -> None:
        base = net(name)
        first = learn(adapted(base, space, seed=3), name)
        torch.rand(7)  # a run draws from no random stream but its own
        assert learn(adapted(base, space, seed=3), name) == first

    def test_the_learned_change_comes_back_from_its_state(self, space: Any, name: str) -> None:
        base, batch = net(name), batch_of(name)
        model = adapted(base, space)
        learn(model, name)
        again = adapted(base, space, seed=9)
        again.load_state_dict(model.state_dict())
        with torch.no_grad():
            assert torch.equal(again(batch), model(batch))

    def test_on_another_device_and_in_half_precision(self, space: Any, place: Any) -> None:
        """The laws above within the rounding of the type; the changes stay in float32."""
        (device, dtype), name = place, "distilbert"
        base, batch = net(name).to(device, dtype), batch_of(name)
        before = {key: value.clone() for key, value in base.state_dict().items()}
        model, again = adapted(base, space), adapted(base, space, seed=9)
        with torch.no_grad():
            start = base(batch)
            assert torch.equal(model(batch), start)
        assert model.delta().norm() == 0
        learn(model, name)
        assert {(p.dtype, p.device) for p in model.parameters()} == {(torch.float32, base.device)}
        assert all(torch.equal(before[key], value) for key, value in base.state_dict().items())
        again.load_state_dict(model.state_dict())
        with torch.no_grad():
            answer = model(batch)
            assert answer.dtype == dtype and torch.equal(again(batch), answer)
            rounding = 4 * torch.finfo(dtype).eps * answer.abs().max().item()
            assert (answer - start).abs().max() > 2 * rounding
            for merged in (model.merged(), model.delta().on(base)):
                torch.testing.assert_close(merged(batch), answer, atol=rounding, rtol=0)

    def test_starting_values_do_not_depend_on_type_or_default_device(self, space: Any) -> None:
        base = net("distilbert").bfloat16()
        here = Adapted(net("distilbert").bfloat16().float(), space)
        with torch.device("meta"):
            there = Adapted(base, space)
        for one, other in zip(here.phi.modules(), there.phi.modules(), strict=True):
            for a, b in zip(tensors(one), tensors(other), strict=True):
                assert torch.equal(a, b)


def tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    """The parameters and buffers of a module itself, saved or not."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def plain_decay(model: Adapted, name: str) -> None:
    """Do two steps of plain AdamW, whose decay also moves parameters without a gradient."""
    batch = batch_of(name)
    optimizer = torch.optim.AdamW(model.trainable(), lr=1e-2, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(batch), batch.labels).backward()
        optimizer.step()


def adapted(base: Any, space: Any, seed: int = 0) -> Adapted:
    """Adapt `base` with the space, and with a trainable head if the space has none."""
    return Adapted(base, *with_head(space, base), seed=seed)
