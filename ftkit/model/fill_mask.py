"""Masked language modelling, the task that a text base was pretrained on."""

import torch

from ftkit.model.base import base_path, quiet
from ftkit.model.checkpoint import some


def fill(text: str, name: str = "mini", count: int = 5) -> list[str]:
    """The `count` most likely words for the one `[MASK]` in `text`, best first.

    Args:
        name: a base with a masked-language head, as in `load_base`.

    Raises:
        ValueError: there is not exactly one `[MASK]`, or the base has no masked-language head.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    if text.count("[MASK]") != 1:
        raise ValueError(
            f"the text must hold one [MASK], got {text.count('[MASK]')} in {text!r}; blank one word"
        )
    with quiet(), torch.no_grad():
        tokenizer = AutoTokenizer.from_pretrained(base_path(name), trust_remote_code=False)
        model, found = AutoModelForMaskedLM.from_pretrained(
            base_path(name),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        if found["missing_keys"]:
            raise ValueError(
                f"the base must have a masked-language head, got {name!r} without the weights "
                f"{some(found['missing_keys'])}; use mini"
            )
        tokens = tokenizer(text, return_tensors="pt")
        position = tokens["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        likeliest = model(**tokens).logits[0, position].topk(count).indices
        return tokenizer.convert_ids_to_tokens(likeliest.tolist())
