import pytest
import torch
from conftest import net
from laws import HEAD, batch_of, learn

from ftkit.adapted import Adapted
from ftkit.delta import Delta
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA


def test_a_change_and_its_opposite_are_nothing() -> None:
    base = net("bert")
    model = Adapted(base, LoRA(2), HEAD)
    learn(model, "bert")
    delta = model.delta()
    assert (delta - delta).norm() == 0
    back = (-delta).on(delta.on(base))
    for name, weight in base.named_parameters():
        torch.testing.assert_close(dict(back.named_parameters())[name], weight, atol=1e-6, rtol=1e-6)


def test_changes_of_different_weights_add_in_any_order() -> None:
    base, batch = net("bert"), batch_of("bert")
    deltas = []
    for space in (Only("body.*.bias"), Only("heads.*")):
        model = Adapted(base, space)
        learn(model, "bert")
        deltas.append(model.delta())
    with torch.no_grad():
        assert torch.equal((deltas[0] + deltas[1]).on(base)(batch), (deltas[1] + deltas[0]).on(base)(batch))


def test_half_of_it_lies_half_way() -> None:
    delta = Delta({"w": torch.tensor([2.0, -4.0])})
    assert (0.5 * delta)["w"].tolist() == [1.0, -2.0]
    assert (0.5 * delta).norm() == pytest.approx(0.5 * delta.norm())


def test_on_leaves_the_base() -> None:
    base = net("bert")
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    Delta({"heads.tiny.bias": torch.ones(2)}).on(base)
    assert all(torch.equal(before[name], weight) for name, weight in base.state_dict().items())


def test_a_delta_of_another_base_is_refused_with_every_name() -> None:
    wrong = Delta({"heads.tiny.bias": torch.ones(3), "nobody": torch.ones(1)})
    with pytest.raises(ValueError, match=r"heads.tiny.bias is \(2,\) there and \(3,\) here; nobody is missing there"):
        wrong.on(net("bert"))
