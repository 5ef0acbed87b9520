"""(IA)3 alone; the laws of all relatives of LoRA are in test_lora_family.py."""

from pathlib import Path

import pytest
import torch
from helpers.checkpoints import save
from helpers.lora_relatives import parameters
from helpers.nets import net

from ftkit.model.adapted import Adapted
from ftkit.model.base import load_base
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
        [("mini-vit", 3 * 5), ("distilbert", 2 * 5), ("roberta", 2 * 5), ("gpt2", 2 * 3)],
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

    def test_gpt2_keeps_its_queries_and_scales_its_keys_and_values(self) -> None:
        """They share a weight of (in, 3 in): queries, keys and values side by side."""
        model = Adapted(net("gpt2"), IA3())
        layer, x = model.base.body.h[0].attn.c_attn, torch.randn(3, 16)
        scale = torch.linspace(0.5, 2, 32)
        model.changes["body.h.0.attn.c_attn.weight"].l.data.copy_(scale)
        expected = layer(x) * torch.cat([torch.ones(16), scale])
        torch.testing.assert_close(model.net.body.h[0].attn.c_attn(x), expected)
        assert parameters(IA3(), "gpt2") == 2 * (32 + 64)

    @pytest.mark.parametrize(
        ("model_type", "parts"),
        [
            ("llama", ("self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj")),
            ("opt", ("self_attn.k_proj", "self_attn.v_proj", "fc2")),
            ("gptj", ("attn.k_proj", "attn.v_proj", "mlp.fc_out")),
            ("mpnet", ("attention.attn.k", "attention.attn.v", "output.dense")),
            ("albert", ("attention.key", "attention.value", "ffn_output")),
            ("deberta-v2", ("self.key_proj", "self.value_proj", "output.dense")),
        ],
    )
    def test_every_block_is_reached(
        self, model_type: str, parts: tuple[str, ...], tmp_path: Path
    ) -> None:
        sizes = {"embedding_size": 8} if model_type == "albert" else {}
        sizes |= {"ffn_dim": 24, "word_embed_proj_dim": 16} if model_type == "opt" else {}
        sizes |= {"rotary_dim": 4} if model_type == "gptj" else {}
        base = load_base(save(tmp_path, model_type, **sizes))
        changed = [name for name in IA3().changes(base) if name.endswith(".weight")]
        blocks = 1 if model_type == "albert" else 2
        for part in parts:
            assert sum(f".{part}.weight" in name for name in changed) == blocks, part
        assert len(changed) == blocks * 3

    @pytest.mark.parametrize(
        ("model_type", "missed"),
        [
            ("gpt_neox", r"keys .* got none in body.layers.0.attention; .*query_key_value"),
            ("phi3", r"keys .* got none in body.layers.0.self_attn; .*qkv_proj"),
            ("deberta", r"keys .* got none in body.encoder.layer.0.attention; .*in_proj"),
            (
                "mixtral",
                r"second feed-forward layer .* got 0 for 2 blocks; linear layers there: none",
            ),
        ],
    )
    def test_a_body_that_it_would_reach_in_part_is_refused(
        self, model_type: str, missed: str, tmp_path: Path
    ) -> None:
        base = load_base(save(tmp_path, model_type, num_key_value_heads=2))
        with pytest.raises(ValueError, match=f"IA3 must find the {missed}"):
            IA3().changes(base)

    def test_a_pattern_may_still_choose_a_part(self) -> None:
        chosen = IA3("body.encoder.layer.1.output.dense.weight").changes(net("bert"))
        assert list(chosen) == ["body.encoder.layer.1.output.dense.weight"]
