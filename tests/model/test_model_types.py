"""Which model types of transformers work as a base, with which techniques.

Every type is one of three: it works, it is refused with a message, or its library part does not
apply. Anything else fails. `MODEL_TYPES.md` is the table of what came out; run this module as a
script to write it again.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import IMAGE, WORDS, save
from helpers.nets import digits

import ftkit.model
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, load_base
from ftkit.tasks.task import Batch, table
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.freeze import LastBlocks, Only
from ftkit.techniques.ia3 import IA3
from ftkit.techniques.lora import LoRA

TABLE = Path(ftkit.model.__file__).parent / "MODEL_TYPES.md"
SPACES = {
    "LoRA": LoRA(2),
    "BitFit": BitFit(),
    "IA3": IA3(),
    "LastBlocks": LastBlocks(1),
    "full body": Only("body.*"),
}

PADDED = {"pad_token_id": 1}  # as RoBERTa, which keeps positions for padding
OF_GPT = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
ONE_KEY = {"num_key_value_heads": 1}
OF_XLM = {"emb_dim": 16, "n_layers": 2, "n_heads": 2}
OF_MAMBA = {"state_size": 4, "expand": 2, "conv_kernel": 2}
SEQUENCE = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
}
STAGES = {"depths": [1, 1], "image_size": 8, "patch_size": 2, "num_channels": 3}
SWIN = STAGES | {"embed_dim": 8, "num_heads": [2, 2], "window_size": 2}
CONVOLUTIONS = {"num_channels": 3, "image_size": 32, "depths": [1, 1], "hidden_sizes": [8, 8]}

TEXTS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 8},
    "bart": SEQUENCE,
    "bert": {},
    "bert-generation": {},
    "biogpt": {},
    "big_bird": {"block_size": 4, "num_random_blocks": 1},
    "bloom": {"n_layer": 2, "n_head": 2},
    "bros": {},
    "camembert": PADDED,
    "canine": {"num_hash_buckets": 64, "local_transformer_stride": 4, "downsampling_rate": 2},
    "clip": {
        "text_config": {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1},
        "vision_config": {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1},
    },
    "clip_text_model": {"projection_dim": 8},
    "codegen": OF_GPT | {"n_head": 4, "num_attention_heads": 4, "rotary_dim": 2},
    "cohere": {},
    "convbert": {"embedding_size": 8, "conv_kernel_size": 3},
    "ctrl": OF_GPT | {"dff": 24},
    "data2vec-text": PADDED,
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "dpr": {},
    "electra": {"embedding_size": 8},
    "ernie": {},
    "esm": PADDED | {"position_embedding_type": "rotary", "mask_token_id": 4},
    "eurobert": {},
    "falcon": {"new_decoder_architecture": False},
    "flaubert": OF_XLM,
    "fnet": {},
    "gemma": ONE_KEY | {"head_dim": 8},
    "gemma2": ONE_KEY | {"head_dim": 8},
    "gpt2": OF_GPT,
    "gpt_bigcode": OF_GPT,
    "gpt_neo": {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
    "gpt_neox": {},
    "gptj": OF_GPT | {"rotary_dim": 4},
    "granite": ONE_KEY,
    "ibert": PADDED,
    "layoutlm": {},
    "led": SEQUENCE | {"attention_window": 4},
    "llama": ONE_KEY,
    "longformer": PADDED | {"attention_window": 4},
    "luke": PADDED | {"entity_vocab_size": 8, "entity_emb_size": 8},
    "markuplm": PADDED
    | {"max_xpath_tag_unit_embeddings": 8, "max_xpath_subs_unit_embeddings": 8}
    | {"tag_pad_id": 1, "subs_pad_id": 1, "xpath_unit_hidden_size": 8, "max_depth": 4},
    "megatron-bert": {},
    "mistral": ONE_KEY,
    "mamba": OF_MAMBA | {"time_step_rank": 2},
    "mamba2": OF_MAMBA | {"num_heads": 4, "head_dim": 8, "n_groups": 1},
    "mixtral": ONE_KEY | {"num_local_experts": 2},
    "mobilebert": {"embedding_size": 16, "true_hidden_size": 16, "intra_bottleneck_size": 16},
    "modernbert": {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    "mpnet": PADDED,
    "mpt": {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 40},
    "nystromformer": {"num_landmarks": 4, "segment_means_seq_len": 8},
    "olmo": {},
    "openai-gpt": OF_GPT,
    "opt": {"word_embed_proj_dim": 16, "ffn_dim": 24},
    "phi": {},
    "phi3": {},
    "qwen3": ONE_KEY | {"head_dim": 8},
    "reformer": {"attention_head_size": 8, "feed_forward_size": 24, "axial_pos_shape": [5, 8]}
    | {"axial_pos_embds_dim": [8, 8], "attn_layers": ["local"], "local_attn_chunk_length": 4},
    "rembert": {"input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": PADDED,
    "roberta-prelayernorm": PADDED,
    "roformer": {},
    "smollm3": ONE_KEY,
    "splinter": {},
    "squeezebert": {"embedding_size": 16}
    | {f"{part}_groups": 2 for part in ("q", "k", "v", "intermediate", "output")},
    "stablelm": ONE_KEY,
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2},
    "tapas": {"type_vocab_sizes": [3, 4, 4, 2, 4, 4, 4]},
    "visual_bert": {"visual_embedding_dim": 8},
    "xglm": {"d_model": 16, "ffn_dim": 24, "num_layers": 2, "attention_heads": 2},
    "xlm": OF_XLM,
    "xlm-roberta": PADDED,
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24}
    | {"max_position_embeddings": None},
    "xmod": PADDED | {"languages": ["en_XX"], "default_language": "en_XX"},
    "yoso": {},
}
IMAGES: dict[str, dict[str, Any]] = {
    "beit": IMAGE,
    "clip_vision_model": IMAGE,
    "convnext": CONVOLUTIONS | {"num_stages": 2},
    "data2vec-vision": IMAGE,
    "deit": IMAGE,
    "dinov2": IMAGE,
    "dinov2_with_registers": IMAGE,
    "dinov3_vit": IMAGE,
    "dpt": IMAGE,
    "focalnet": CONVOLUTIONS | {"embed_dim": 8, "focal_levels": [1, 1], "focal_windows": [3, 3]},
    "ijepa": IMAGE,
    "pixio": IMAGE,
    "resnet": CONVOLUTIONS | {"embedding_size": 8},
    "siglip_vision_model": IMAGE,
    "swin": SWIN,
    "swinv2": SWIN,
    "videomae": IMAGE | {"num_frames": 2, "tubelet_size": 2},
    "vit": IMAGE,
    "vit_mae": IMAGE,
    "vit_msn": IMAGE,
    "vitdet": IMAGE,
    "yolos": IMAGE | {"image_size": [8, 8], "num_detection_tokens": 2},
}
AUDIO: dict[str, dict[str, Any]] = {
    "wav2vec2": {"conv_dim": [8], "conv_kernel": [3], "conv_stride": [2]}
    | {"num_feat_extract_layers": 1}
    | {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
}
TYPES = TEXTS | IMAGES | AUDIO
WORKS, REFUSED, NOT = "works", "refused", "does not apply"


def some_rows(net: Net) -> Batch:
    """Four rows that the net can read; the last text is longer than it reads."""
    rows = torch.arange(4)
    if net.reader.kind == "image":
        return digits().batch("train", rows)
    draws = torch.Generator().manual_seed(1)
    lengths = (3, 7, 5, net.reader.longest + 9)
    drawn = [torch.randint(len(WORDS), (n,), generator=draws).tolist() for n in lengths]
    texts = [" ".join(WORDS[i] for i in ids) for ids in drawn]
    return Batch(table(texts, [0, 1, 0, 1], ["no", "yes"]), rows, rows % 2, "")


def load_or_none(folder: Path, model_type: str) -> Net | None:
    """The base of that type; None if load_base refuses it with its message."""
    save(folder, model_type, **TYPES[model_type])
    try:
        return load_base(folder)
    except ValueError as error:
        if f" of type {model_type} (" not in str(error):
            raise
        return None


def check_rows(net: Net) -> None:
    """Each row alone has the answer that it has in a batch with padding."""
    batch = some_rows(net)
    with torch.no_grad():
        together = net.features(batch)
        for i, row in enumerate(batch.rows):
            alone = net.features(Batch(batch.data, row[None], batch.labels[i : i + 1], ""))
            torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=1e-3)


def outcome(net: Net, space: Any) -> str:
    """Whether a space works on a net, or is refused with a message.

    It works if it starts at the base, every parameter gets a gradient, and after a random change
    the merged weights give the live answer.
    """
    batch = some_rows(net)
    try:
        model = Adapted(net, space)
    except ValueError as error:
        if ", got " not in str(error):
            raise
        return REFUSED
    with torch.no_grad():
        before = net.features(batch)
        torch.testing.assert_close(model.net.features(batch), before)
        draws = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
    live = model.net.features(batch)
    live.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    merged = model.merged().features(batch).detach()
    scale = live.abs().max().item()
    torch.testing.assert_close(merged, live.detach(), atol=1e-4 * scale, rtol=1e-3)
    assert not torch.equal(live, before)
    return WORKS


def row_of(folder: Path, model_type: str) -> str:
    """The row of the table for a model type."""
    net = load_or_none(folder, model_type)
    kind = "text" if model_type in TEXTS else "images" if model_type in IMAGES else "audio"
    if net is None:
        outcomes = [REFUSED, *[NOT] * len(SPACES)]
    else:
        check_rows(net)
        outcomes = [WORKS, *(outcome(net, space) for space in SPACES.values())]
    return f"| {model_type} | {kind} | {' | '.join(outcomes)} |"


def rows_of_table() -> dict[str, str]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


@pytest.mark.parametrize("model_type", TYPES)
def test_a_model_type_does_what_the_table_says(model_type: str, tmp_path: Path) -> None:
    assert row_of(tmp_path, model_type) == rows_of_table()[model_type]


def test_the_table_has_every_type_once_and_no_other() -> None:
    listed = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0][2:] for line in listed[1:]] == sorted(TYPES)
    assert len(TYPES) >= 40


HEAD = """# Model types

`load_base` reads text and vision transformers whose body answers with a hidden state for each
token. This table says what `tests/model/test_model_types.py` finds for small random models of each
type of transformers. A type that is not listed may work too: `load_base` checks each base with a
random batch.

- **base**. works: a row has the same answer alone as in a batch with padding. refused: `load_base`
  says why.
- **the techniques**. works: every trainable parameter gets a gradient, and the merged weights give
  the same answer as the change itself. refused: the technique finds nothing to change, or not all
  that it should change, and says so. does not apply: there is no base.

BitFit is refused where a body has no biases; `with_biases` adds some. LoRA needs linear layers:
SqueezeBERT and I-BERT have layers of their own instead. LoRA leaves the experts of Mixtral as they
are, because they are no linear layers. (IA)3 is refused where queries, keys and values share a
weight whose order it does not know.

"""


def write_table() -> None:
    """Write the table of what works."""
    from tempfile import TemporaryDirectory

    columns = ["model type", "reads", "base", *SPACES]
    rows = []
    for model_type in sorted(TYPES):
        with TemporaryDirectory() as folder:
            rows.append(row_of(Path(folder), model_type))
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns), *rows]
    TABLE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    write_table()
