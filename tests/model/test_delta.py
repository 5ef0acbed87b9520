from typing import Any

import pytest
import torch
from helpers.laws import HEAD, batch_of, learn
from helpers.nets import net
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.model.delta import Delta
from ftkit.techniques.adalora import AdaLoRA
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.dora import DoRA
from ftkit.techniques.freeze import Only
from ftkit.techniques.ia3 import IA3
from ftkit.techniques.lora import LoRA
from ftkit.techniques.sparse import Rows, Sparse
from ftkit.techniques.vera import VeRA

HALVES = (torch.bfloat16, torch.float16)


def test_a_change_and_its_opposite_cancel() -> None:
    base = net("bert")
    model = Adapted(base, LoRA(2), HEAD)
    learn(model, "bert")
    delta = model.delta()
    assert (delta - delta).norm() == 0
    back = (-delta).on(delta.on(base))
    for name, weight in base.named_parameters():
        torch.testing.assert_close(
            dict(back.named_parameters())[name], weight, atol=1e-6, rtol=1e-6
        )


def test_changes_of_different_weights_add_in_any_order() -> None:
    base, batch = net("bert"), batch_of("bert")
    deltas = []
    for space in (Only("body.*.bias"), Only("heads.*")):
        model = Adapted(base, space)
        learn(model, "bert")
        deltas.append(model.delta())
    with torch.no_grad():
        assert torch.equal(
            (deltas[0] + deltas[1]).on(base)(batch), (deltas[1] + deltas[0]).on(base)(batch)
        )


def test_half_of_a_delta_has_half_its_norm() -> None:
    delta = Delta({"w": torch.tensor([2.0, -4.0])})
    assert (0.5 * delta)["w"].tolist() == [1.0, -2.0]
    assert (0.5 * delta).norm() == pytest.approx(0.5 * delta.norm())


def test_on_does_not_write_the_base() -> None:
    base = net("bert")
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    Delta({"heads.tiny.bias": torch.ones(2)}).on(base)
    assert all(torch.equal(before[name], weight) for name, weight in base.state_dict().items())


def test_a_delta_of_another_base_is_refused_with_every_name() -> None:
    wrong = Delta({"heads.tiny.bias": torch.ones(3), "nobody": torch.ones(1)})
    with pytest.raises(
        ValueError,
        match=r"heads.tiny.bias is \(2,\) there and \(3,\) here; nobody is missing there",
    ):
        wrong.on(net("bert"))


def test_adding_and_removing_a_delta_many_times_does_not_drift() -> None:
    base, batch = net("bert"), batch_of("bert")
    model = Adapted(base, LoRA(2, alpha=7.0), HEAD)
    learn(model, "bert")
    delta, there, back = model.delta(), model.merged(), base
    for _ in range(50):
        there = delta.on(back)
        back = (-delta).on(there)
    for name, weight in base.named_parameters():
        torch.testing.assert_close(back.get_parameter(name), weight, atol=1e-6, rtol=0)
        torch.testing.assert_close(
            there.get_parameter(name), model.merged().get_parameter(name), atol=1e-6, rtol=0
        )
    with torch.no_grad():
        torch.testing.assert_close(there(batch), model(batch), atol=1e-5, rtol=0)
        assert (there(batch) - base(batch)).abs().max() > 1e-2


class TestHalfPrecision:
    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_a_sum_is_formed_in_float32_and_rounded_once(self, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        layer, change = nn.Linear(40, 30).to(dtype), 0.1 * torch.randn(30, 40)
        moved = Delta({"weight": change}).on(layer).weight
        assert moved.dtype == dtype and torch.equal(
            moved, (layer.weight.float() + change).to(dtype)
        )
        assert not torch.equal(moved, layer.weight + change.to(dtype)), (
            "rounding the change first gives another sum"
        )

    def test_changes_too_small_for_the_weight_are_kept_and_add_up(self) -> None:
        layer = nn.Sequential(nn.Linear(3, 2).bfloat16())
        nn.init.ones_(layer[0].weight)
        model = Adapted(layer, LoRA(1, alpha=1.0, where="*"))
        for part in model.parameters():
            nn.init.constant_(part, 2**-6)
        delta = model.delta()
        assert set(delta["0.weight"].flatten().tolist()) == {2**-12}
        assert torch.equal(delta.on(layer)[0].weight, layer[0].weight), "one alone is lost"
        assert set((64 * delta).on(layer)[0].weight.flatten().tolist()) == {1 + 2**-6}
        assert set(sum([delta] * 63, delta).on(layer)[0].weight.flatten().tolist()) == {1 + 2**-6}

    @pytest.mark.parametrize(
        "space",
        [LoRA(3, 7.0), AdaLoRA(3, 7.0), Sparse(0.1, where="*"), Rows(0.5), Only("*")],
        ids=repr,
    )
    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_merged_is_the_float32_result_rounded_once(
        self, dtype: torch.dtype, space: Any
    ) -> None:
        base = net("bert").to(dtype)
        model, single = Adapted(base, space), Adapted(net("bert").to(dtype).float(), space)
        for part in model.parameters():
            nn.init.normal_(part, std=0.3)
        single.load_state_dict(model.state_dict())
        merged = model.merged()
        for name, weight in single.merged().named_parameters():
            assert torch.equal(merged.get_parameter(name), weight.to(dtype)), name
        for name, change in single.delta().items():
            torch.testing.assert_close(model.delta()[name], change)

    @pytest.mark.parametrize(
        "space",
        [LoRA(2), AdaLoRA(2), DoRA(2), IA3(), VeRA(4), BitFit(), Sparse(0.1), Rows(0.5)],
        ids=repr,
    )
    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_an_untrained_change_has_a_delta_of_zero(self, dtype: torch.dtype, space: Any) -> None:
        assert Adapted(net("bert").to(dtype), space).delta().norm() == 0
