"""Small random checkpoints in folders, of any model type of transformers."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from ftkit.model.base import quiet

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = tuple(f"w{i}" for i in range(59))
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 80,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
IMAGE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 8,
    "patch_size": 2,
    "num_channels": 3,
}
PREPROCESSOR = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    """A tokenizer of 59 words, `w0` to `w58`, and five special tokens, without [CLS] in texts."""
    ids = {token: i for i, token in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def save(folder: Path, model_type: str = "bert", auto: Any = AutoModel, **config: Any) -> Path:
    """Save a random model with tokenizer and preprocessor in `folder`, and return it.

    Args:
        auto: the class that builds the model: `AutoModel` for the body alone.
        config: what differs from a small text model; None leaves a setting out.
    """
    given = (TEXT | config) if "image_size" not in config else config
    settings = {name: value for name, value in given.items() if value is not None}
    with quiet(), torch.no_grad():
        torch.manual_seed(0)
        model = auto.from_config(AutoConfig.for_model(model_type, **settings))
        # Move biases and norms away from their starting values, as in a pretrained body.
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0
        model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


def rewrite(folder: Path, change: Any, file: str = "model.safetensors") -> None:
    """Replace the weights in a folder by `change(weights)`, both `{name: weight}`."""
    from safetensors.torch import load, save_file

    weights = change(load((folder / file).read_bytes()))
    save_file(weights, folder / file, metadata={"format": "pt"})
