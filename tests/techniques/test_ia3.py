"""(IA)3 alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import pytest
import torch
from helpers.lora_relatives import parameters
from helpers.nets import net

from ftkit.model.adapted import Adapted
from ftkit.techniques.ia3 import IA3


class TestIA3:
    def test_keys_values_and_inner_features_change_and_nothing_else(self) -> None:
        layers = {f"body.encoder.layer.{i}." for i in (0, 1)}
        parts = (
            "attention.self.key.weight",
            "attention.self.key.bias",
            "attention.self.value.weight",
            "attention.self.value.bias",
        )
        wanted = {layer + part for layer in layers for part in (*parts, "output.dense.weight")}
        assert set(IA3().changes(net("bert"))) == wanted
        assert parameters(IA3()) == 2 * (16 + 16 + 24)

    @pytest.mark.parametrize(
        ("name", "weights"),
        [("mini-vit", 3 * 5), ("distilbert", 2 * 5), ("roberta", 2 * 5), ("gpt2", 2)],
    )
    def test_other_bodies_have_them_too(self, name: str, weights: int) -> None:
        assert len(IA3().changes(net(name))) == weights

    def test_a_value_is_scaled_with_its_bias(self) -> None:
        model = Adapted(net("bert"), IA3())
        layer, x = model.base.body.encoder.layer[0].attention.self.value, torch.randn(3, 16)
        layer.bias.data.normal_()
        name = "body.encoder.layer.0.attention.self.value"
        scale = torch.linspace(0.5, 2, 16)
        model.changes[f"{name}.weight"].l.data.copy_(scale)
        torch.testing.assert_close(model.net.get_submodule(name)(x), scale * layer(x))
