"""Mode and buffers belong to the changed network, not to the base."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.laws import HEAD, batch_of
from helpers.nets import net, small_task
from helpers.odd_bases import WIDTH
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm

from ftkit.model.adapted import Adapted
from ftkit.model.delta import Delta
from ftkit.model.entry_scores import gradient
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.techniques.sparse import Sparse, regrown
from ftkit.training.background_validation import in_background
from ftkit.training.cost import measure
from ftkit.training.loop import evaluate, train


class Counter(nn.Module):
    """A module with buffers of its own: one is written in place, one replaced, one not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("last", torch.zeros(WIDTH), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean((0, 1))
            self.last = x.detach()[0, 0].clone()
        return x + self.mean + 0.1 * self.calls + self.last


class Columns(nn.Module):
    """Apply a module of (rows, features, length) to (rows, length, features)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.transpose(1, 2)).transpose(1, 2)


def linear() -> nn.Module:
    return nn.Linear(WIDTH, WIDTH)


MEMBERS = {
    "batch norm": lambda: nn.Sequential(linear(), Columns(nn.BatchNorm1d(WIDTH)), linear()),
    "instance norm": lambda: nn.Sequential(
        linear(), Columns(nn.InstanceNorm1d(WIDTH, affine=True, track_running_stats=True))
    ),
    "dropout": lambda: nn.Sequential(linear(), nn.Dropout(0.5), linear()),
    "dropout in attention": lambda: nn.TransformerEncoderLayer(
        WIDTH, 2, 16, dropout=0.5, batch_first=True
    ),
    "dropout in a recurrent layer": lambda: nn.Sequential(
        linear(), First(nn.LSTM(WIDTH, WIDTH, 2, dropout=0.5, batch_first=True))
    ),
    "a counter": lambda: nn.Sequential(linear(), Counter(), linear()),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(linear()), linear()),
    "spectral norm by a hook": lambda: nn.Sequential(spectral_norm(linear()), linear()),
}


class First(nn.Module):
    """The first of the answers of a module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0]


def inputs(seed: int = 0) -> Tensor:
    return torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(seed)) + 1


def everything(module: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers, also those that are not saved."""
    named = (*module.named_parameters(), *module.named_buffers())
    return {name: value.detach().clone() for name, value in named}


def trained(base: nn.Module, *spaces: Any) -> Adapted:
    model = Adapted(base, *spaces).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    for step in range(3):
        optimizer.zero_grad()
        model(inputs(step)).square().mean().backward()
        optimizer.step()
    return model


@pytest.fixture(params=MEMBERS)
def base(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = MEMBERS[request.param]()
    return made


@pytest.mark.parametrize(
    "spaces", [(LoRA(2, where="*"),), (Sparse(0.5, where="*"),), (Only("*"),)], ids=repr
)
def test_training_writes_nothing_of_the_base_and_eval_reaches_the_network(
    base: nn.Module, spaces: Any
) -> None:
    before, modes = everything(base), [module.training for module in base.modules()]
    model, x = trained(base, *spaces), inputs(9)
    assert all(torch.equal(before[name], value) for name, value in everything(base).items())
    model.eval()
    with torch.no_grad():
        answer = model(x)
        for _ in range(2):
            assert torch.equal(model(x), answer), "nothing is random and nothing moves any more"
        torch.testing.assert_close(model.merged()(x), answer, atol=1e-5, rtol=1e-4)
        rebuilt = model.delta().on(base).eval()
        torch.testing.assert_close(rebuilt(x), answer, atol=1e-5, rtol=1e-4)
    assert modes == [module.training for module in base.modules()]
    assert all(torch.equal(before[name], value) for name, value in everything(base).items())


def test_the_state_brings_the_buffers_back(base: nn.Module, tmp_path: Path) -> None:
    if any(isinstance(module, Counter) for module in base.modules()):
        base[1].last = None  # its module says that it is not saved
        base[1].forward = lambda x: x
    spaces = (Only("*.bias"),)
    model, x = trained(base, *spaces).eval(), inputs(9)
    again = trained(base, *spaces).eval()  # its buffers have moved elsewhere
    trained_more = again.train()
    for seed in range(20, 24):
        trained_more(inputs(seed))
    again.eval().load_state_dict(model.state_dict())
    stored = Adapted(base, *spaces).eval()
    model.save(tmp_path / "change.safetensors")
    stored.load(tmp_path / "change.safetensors")
    with torch.no_grad():
        assert torch.equal(again(x), model(x))
        assert torch.equal(stored(x), model(x))
    again.load_state_dict(Adapted(base, *spaces).state_dict())
    assert not again.moved_buffers()


def test_a_state_of_buffers_that_the_base_lacks_is_refused() -> None:
    model = Adapted(nn.Sequential(linear()), Only("*"))
    state = {**model.state_dict(), "buffers.1.running_mean": torch.zeros(WIDTH)}
    with pytest.raises(RuntimeError, match="buffers.1.running_mean"):
        model.load_state_dict(state)


def test_only_buffers_that_moved_are_part_of_state_and_delta() -> None:
    torch.manual_seed(0)
    base = MEMBERS["batch norm"]()
    model = Adapted(base, Only("0.*"))
    assert set(model.state_dict()) == {"phi.0.weight.value", "phi.0.bias.value"}
    assert set(model.delta()) == {"0.weight", "0.bias"}
    model.train()(inputs())
    moved = {f"1.inner.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(model.moved_buffers()) == moved
    assert {name for name in model.state_dict() if name.startswith("buffers.")} == {
        f"buffers.{name}" for name in moved
    }
    delta = model.delta()
    assert set(delta) == {"0.weight", "0.bias", *moved}
    assert delta["1.inner.num_batches_tracked"] == 1
    halfway = (0.5 * delta).on(base)[1].inner.running_mean
    torch.testing.assert_close(halfway, 0.5 * model.net[1].inner.running_mean)
    assert model.merged()[1].inner.num_batches_tracked == 1


def test_buffers_that_are_not_saved_are_in_the_merged_copy_alone() -> None:
    base = MEMBERS["a counter"]()
    model = trained(base, Only("0.*"))
    assert "buffers.1.calls" in model.state_dict() and "buffers.1.last" not in model.state_dict()
    assert torch.equal(model.merged()[1].last, model.net[1].last)
    assert model.merged()[1].calls == 3 and base[1].calls == 0


def test_a_buffer_of_another_shape_has_no_delta() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = linear()
            self.register_buffer("seen", torch.zeros(0))

        def forward(self, x: Tensor) -> Tensor:
            self.seen = x.detach().flatten()
            return self.layer(x)

    model = Adapted(Keeps(), Only("*"))
    model(inputs())
    with pytest.raises(ValueError, match=r"keep its shape for a delta, got 'seen' with \(160,\)"):
        model.delta()
    assert len(model.merged().seen) == 160 and len(model.base.seen) == 0


@pytest.mark.parametrize("mode", [True, False])
def test_an_adaptation_starts_in_the_mode_of_its_base(mode: bool) -> None:
    base = MEMBERS["dropout"]().train(mode)
    base[0].eval()
    model = Adapted(base, LoRA(2, where="*"))
    assert model.training is mode
    assert [module.training for module in model.net.modules()] == [
        module.training for module in base.modules()
    ]
    assert model.train().net[1].training and not model.eval().net[1].training
    assert base[1].training is mode


def test_a_merged_copy_has_the_mode_of_the_model() -> None:
    model = Adapted(MEMBERS["dropout"](), LoRA(2, where="*")).eval()
    assert not any(module.training for module in model.merged().modules())
    assert all(module.training for module in model.base.modules())


def test_a_model_with_regrown_entries_keeps_buffers_and_mode() -> None:
    base = MEMBERS["batch norm"]()
    model = trained(base, Sparse(0.2, where="*")).eval()
    scores = {name: torch.rand(weight.shape) for name, weight in base.named_parameters()}
    after = regrown(model, scores, share=0.0)
    assert not after.training and not after.net[1].inner.training
    with torch.no_grad():
        torch.testing.assert_close(after(inputs()), model(inputs()))


def test_two_adaptations_have_buffers_of_their_own() -> None:
    base = MEMBERS["batch norm"]()
    one, two = (Adapted(base, Only("0.*")).train() for _ in range(2))
    one(inputs())
    assert one.moved_buffers() and not two.moved_buffers()


def test_a_base_of_the_kit_stays_in_evaluation_mode() -> None:
    base, batch = net("mini"), batch_of("mini")
    model = Adapted(base, LoRA(2)).train()
    assert not any(module.training for module in model.net.modules())
    with torch.no_grad():
        assert torch.equal(model(batch), base(batch))


def in_training_mode() -> Any:
    """A net that has dropout and running statistics, unlike those of the kit."""

    class Free(type(net("bert"))):  # type: ignore[misc]
        def train(self, mode: bool = True) -> Any:
            return nn.Module.train(self, mode)

    base = copy.deepcopy(net("bert"))
    base.__class__ = Free
    base.heads["tiny"] = nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 2))
    return base.train()


def test_an_evaluation_runs_in_evaluation_mode_and_gives_each_module_its_mode_back() -> None:
    model = Adapted(in_training_mode(), Only("heads.*"))
    model.net.heads["tiny"][1].eval()
    modes = [module.training for module in model.net.modules()]
    first = evaluate(model, small_task())
    assert evaluate(model, small_task()).loss == first.loss
    assert [module.training for module in model.net.modules()] == modes
    assert not model.moved_buffers()


def modes(model: Adapted) -> dict[str, Any]:
    return {"probe/modes": [float(module.training) for module in model.net.modules()]}


def test_validations_in_the_background_have_the_modes_and_buffers_of_their_step() -> None:
    def run() -> list[Any]:
        torch.manual_seed(0)
        model = Adapted(in_training_mode(), Only("heads.*"))
        model.net.heads["tiny"][1].eval()  # dropout draws from one stream for all threads
        for module in model.net.body.modules():
            module.training = False
        events = train(model, small_task(), steps=6, lr=1e-2, size=6, validations=3, probe=modes)
        return sorted(events, key=lambda event: (event.step, event.stage))

    between = run()
    with in_background():
        assert run() == between
    of_modes = [event.values["probe/modes"] for event in between if event.stage == "probe"]
    assert {0.0, 1.0} == set(of_modes[0])


def test_measuring_a_cost_and_scoring_entries_write_no_buffer() -> None:
    base, task = in_training_mode(), small_task()
    before = everything(base)
    model = Adapted(base, HEAD)
    measure(model, task.batch("train", torch.arange(6)))
    assert not model.moved_buffers()
    gradient(base, [task.batch("train", torch.arange(6))])
    assert all(torch.equal(before[name], value) for name, value in everything(base).items())


def test_the_table_of_an_embedding_that_rescales_its_rows_is_not_written() -> None:
    class Rescaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.layer = nn.Embedding(5, WIDTH, max_norm=0.1), linear()

        def forward(self, ids: Tensor) -> Tensor:
            return self.layer(self.table(ids))

    base = Rescaled()
    before = everything(base)
    model, ids = Adapted(base, LoRA(2, where="layer.*")), torch.arange(5)
    answer = model(ids)
    assert all(torch.equal(before[name], value) for name, value in everything(base).items())
    torch.testing.assert_close(model.merged()(ids), answer)


def test_moving_the_changes_alone_is_refused() -> None:
    base = nn.Sequential(linear())
    model = Adapted(base, LoRA(2, where="*"))
    assert model.to("cpu").float() is model
    for move in (model.double, model.half, lambda: model.to("meta")):
        with pytest.raises(
            ValueError, match=r"move the base first: Adapted\(base.to\(...\), ...\)"
        ):
            move()
    half = Adapted(base.bfloat16(), LoRA(2, where="*"))
    assert {p.dtype for p in half.to(torch.bfloat16).parameters()} == {torch.float32}


def test_a_delta_names_a_missing_buffer() -> None:
    with pytest.raises(ValueError, match="1.running_mean is missing there"):
        Delta({"1.running_mean": torch.zeros(2)}).on(linear())
