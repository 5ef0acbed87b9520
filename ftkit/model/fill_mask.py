"""What a base learned first: to fill in a word that is blanked out."""

import torch

from ftkit.model.base import base_path, quiet


def fill(text: str, name: str = "mini", count: int = 5) -> list[str]:
    """The words that a base's masked-language head finds likeliest for the one `[MASK]` in `text`, best first.

    Raises:
        ValueError: there is not exactly one `[MASK]`.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    if text.count("[MASK]") != 1:
        raise ValueError(
            f"the text must hold one [MASK], got {text.count('[MASK]')} in {text!r}; blank one word"
        )
    with quiet(), torch.no_grad():
        tokenizer = AutoTokenizer.from_pretrained(base_path(name), trust_remote_code=False)
        model = AutoModelForMaskedLM.from_pretrained(
            base_path(name), trust_remote_code=False, use_safetensors=True
        ).eval()
        tokens = tokenizer(text, return_tensors="pt")
        at = tokens["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        return tokenizer.convert_ids_to_tokens(
            model(**tokens).logits[0, at].topk(count).indices.tolist()
        )
