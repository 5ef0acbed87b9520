"""Whatever reads a changed weight sees the change, or is refused by name."""

import copy
from typing import Any

import pytest
import torch
from helpers.laws import batch_of, learn
from helpers.nets import net
from helpers.odd_bases import READERS, WIDTH, encoder
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.change import Change
from ftkit.techniques.bitfit import with_biases
from ftkit.techniques.dora import DoRA
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.techniques.sparse import Sparse

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def inputs() -> Tensor:
    return torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(1))


def trained(base: nn.Module, *spaces: Any, lr: float = 1e-2) -> Adapted:
    """An adaptation that Adam has moved for three steps; then in evaluation mode."""
    model, x = Adapted(base, *spaces).train(), inputs()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    return model.eval()


def spaces_for(base: nn.Module) -> list[Any]:
    spaces = [Only("*"), Sparse(0.5, where="*")]
    if linear_layers(base):
        spaces += [LoRA(2, where="*"), DoRA(2, where="*")]
    return spaces


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_sees_the_change_with_and_without_gradients(reader: str) -> None:
    torch.manual_seed(0)
    base, x = READERS[reader](), inputs()
    kept = {name: value.clone() for name, value in base.state_dict().items()}
    for space in spaces_for(base):
        model = trained(base, space)
        assert all(torch.equal(kept[name], value) for name, value in base.state_dict().items())
        before = Adapted(base, space).eval()
        with_gradients = model(x).detach()
        with torch.no_grad():
            answer = model(x)  # torch's fused operations run only here
            torch.testing.assert_close(answer, with_gradients, **CLOSE)
            torch.testing.assert_close(model.merged()(x), answer, **CLOSE)
            torch.testing.assert_close(model.delta().on(base).eval()(x), answer, **CLOSE)
            assert (answer - before(x)).abs().max() > 1e-4, space


def test_the_fast_path_of_the_encoder_is_taken_and_reads_changed_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x, seen = trained(encoder(), LoRA(2, where="*")), inputs(), []
    fused = torch._transformer_encoder_layer_fwd

    def watched(*args: Any) -> Tensor:
        seen.append(args[5])  # the weight of the attention's output layer
        return fused(*args)

    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", watched)
    with torch.no_grad():
        model(x)
    name = "layers.0.self_attn.out_proj.weight"
    changed = {key: now for key, _, now in model.changed()}
    assert len(seen) == 2 and torch.equal(seen[0], changed[name])
    assert not torch.equal(seen[0], model.base.get_parameter(name))


def test_the_first_call_gives_the_same_bits_as_the_next_ones() -> None:
    for name in ("mini", "gpt2"):
        model, batch = Adapted(net(name), LoRA(2), Sparse(0.1, where="body.*.bias")), batch_of(name)
        first, second = model(batch), model(batch)
        assert torch.equal(first, second)


class Outside(nn.Module):
    """A layer, and code that has got hold of its weight in another way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        weight = self.layer.weight
        self.how, self.list, self.closure = how, [weight], lambda x: F.linear(x, weight)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "closure":
            return self.closure(x)
        if self.how == "list":
            return torch.addmm(self.layer.bias, x.flatten(0, 1), self.list[0])
        if self.how == "parameters":
            return self.layer(x) * sum(w.square().sum() for w in self.parameters())
        return F.linear(x, self.layer._parameters["weight"])  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["closure", "list", "parameters", "registry"])
@pytest.mark.parametrize("space", [LoRA(2, where="*"), Sparse(0.5, where="*")], ids=repr)
def test_code_that_reads_the_old_weight_is_refused_by_name(how: str, space: Any) -> None:
    model = Adapted(Outside(how), space)
    for _ in range(2):  # an error is no first call
        with pytest.raises(ValueError, match="on the base's value of 'layer.weight'; let the code"):
            model(inputs())
    if how == "closure":
        return  # a deep copy of such a base refers to the base's weight, with or without the kit
    copied = copy.deepcopy(model)
    with torch.no_grad(), pytest.raises(ValueError, match="must be read as an attribute of its"):
        copied(inputs())


def test_code_that_reads_a_weight_without_a_change_may_do_so() -> None:
    Adapted(Outside("closure"), Only("layer.bias"))(inputs())


def test_a_module_in_torchscript_is_refused_by_name_and_others_beside_it_are_not() -> None:
    scripted = torch.jit.script(nn.Linear(WIDTH, WIDTH))
    base = nn.Sequential(nn.Linear(WIDTH, WIDTH), scripted)
    with pytest.raises(ValueError, match="got '1.weight' in the TorchScript module '1';"):
        Adapted(base, Only("*.weight"))
    with pytest.raises(ValueError, match="got 'weight' in the TorchScript module '';"):
        Adapted(scripted, Only("weight"))
    traced = torch.jit.trace(nn.Linear(WIDTH, WIDTH), inputs())
    with pytest.raises(ValueError, match="adapt the module that torch.jit was given"):
        Adapted(nn.Sequential(traced), Sparse(0.5, where="*"))
    model = trained(base, LoRA(2, where="0.*"))
    torch.testing.assert_close(model.merged()(inputs()), model(inputs()), **CLOSE)


@pytest.mark.parametrize("space", [LoRA(2), Sparse(0.1)], ids=repr)
def test_a_changed_network_is_no_base(space: Any) -> None:
    model = Adapted(net("bert"), space)
    for use in (Adapted, with_biases, lambda base: base.fresh_heads(0)):
        with pytest.raises(ValueError, match="the changed network Net of an adaptation; use its m"):
            use(model.net)
    Adapted(model.merged(), space)


def test_lora_names_no_layer_whose_weight_is_computed() -> None:
    base = READERS["weight norm"]()
    with pytest.raises(ValueError, match="linear layers here: none"):
        Adapted(base, LoRA(2, where="*"))


def test_an_error_in_a_change_is_not_taken_for_a_missing_attribute() -> None:
    class Broken(Change):
        def forward(self, weight: Tensor) -> Tensor:
            return weight + self.missing

    class Everywhere:
        def changes(self, model: nn.Module) -> dict[str, Change]:
            return {"weight": Broken()}

    model = Adapted(nn.Linear(WIDTH, WIDTH), Everywhere())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="Broken has an error: .*'missing'"):
        model(inputs())


@pytest.mark.parametrize("space", [LoRA(2), Only("*"), DoRA(2), Sparse(0.1)], ids=repr)
def test_a_deep_copy_learns_by_itself(space: Any) -> None:
    model, batch = Adapted(net("bert"), space), batch_of("bert")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        before = model(batch)
        assert torch.equal(twin(batch), before)
    learn(twin, "bert")
    with torch.no_grad():
        assert torch.equal(model(batch), before)
        assert not torch.equal(twin(batch), before)
        torch.testing.assert_close(twin.merged()(batch), twin(batch), **CLOSE)


def test_hooks_of_a_changed_layer_run_once() -> None:
    base, calls = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)), []
    for layer in base:
        layer.register_forward_hook(lambda *_: calls.append(1))
    Adapted(base, Sparse(0.5, where="*"))(inputs())
    assert len(calls) == 2
