"""Read a checkpoint folder in Hugging Face format: weights, tokenizer and pooling.

Nothing is made up. What a folder lacks, and what in it does not fit, is an error.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftkit import hub

HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""The files of a hub repository that a base is read from."""

POOLINGS = {"mean_tokens": "mean", "cls_token": "cls", "mean": "mean", "cls": "cls"}
"""The poolings that can be read, by their names in sentence-transformers' files."""


class Refused(ValueError):
    """An error that says by itself what to do."""


@contextmanager
def foreign(before: str, after: str) -> Iterator[None]:
    """Turn any error into a `Refused` with its reason in brackets between two parts.

    Raises:
        Refused: anything was raised; a `Refused` passes as it is.
    """
    try:
        yield
    except Refused:
        raise
    # Foreign code reads foreign files here, and its errors are of any class.
    except Exception as error:
        raise Refused(f"{before} ({reason(error)}){after}") from error


def reason(error: Exception) -> str:
    """The first line of an error, with its class where the line alone says little."""
    line = (str(error).strip().splitlines() or [""])[0][:200]
    known = isinstance(error, OSError | ValueError | ImportError)
    return line if known and line else f"{type(error).__name__}: {line}"


def some(names: Iterable[str], count: int = 3) -> str:
    """The first names in order, and the number of the others."""
    ordered = sorted(names)
    more = f" and {len(ordered) - count} more" if len(ordered) > count else ""
    return ", ".join(map(repr, ordered[:count])) + more


def find_folder(name: str) -> Path:
    """The local folder of a checkpoint; a hub id is downloaded, or found in the hub's cache.

    Raises:
        OSError, ValueError: there is neither a folder nor a repository of that name.
    """
    from huggingface_hub import snapshot_download

    path = Path(name)
    if path.is_dir():
        return path
    if path.exists():
        raise ValueError("it is a file; give the folder")
    if why_not := hub.why_not(name, "model"):
        raise ValueError(why_not)
    return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))


def check_files(folder: Path) -> None:
    """Refuse a folder that does not hold a whole model with safe weights.

    Raises:
        ValueError: the folder holds an adapter, no config.json, or no safetensors weights.
    """
    if (folder / "adapter_config.json").is_file():
        origin = _json(folder / "adapter_config.json").get("base_model_name_or_path")
        raise Refused(
            f"a base must be a whole model, got the PEFT adapter in {str(folder)!r} for "
            f"{origin!r}; merge it into that model, and save the result"
        )
    if not (folder / "config.json").is_file():
        raise ValueError("it has no config.json")
    if not any(folder.glob("*.safetensors")):
        others = some(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".h5"))
        raise ValueError(
            "it has no safetensors weights, only "
            f"{others or 'other files'}; save the model again with save_pretrained"
        )


def load_body(
    folder: Path, config: Any, dtype: torch.dtype, **options: Any
) -> tuple[Any, set[str]]:
    """Load the body of a checkpoint into memory of its own.

    Returns:
        The body, and the names of its weights that the checkpoint does not have.

    Raises:
        ValueError: the checkpoint has weights of other shapes than the architecture, or weights
            inside the body that the architecture does not have. Heads and poolers are left out.
    """
    from transformers import AutoModel

    body, found = AutoModel.from_pretrained(
        str(folder),
        config=config,
        trust_remote_code=False,
        use_safetensors=True,
        # A mapped file would share its memory with the weights: they would change with the file.
        disable_mmap=True,
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # reported instead, and refused below
        **options,
    )
    if shapes := found["mismatched_keys"]:
        name, there, here = min(shapes)
        raise Refused(
            f"the weights in {str(folder)!r} must have the shapes of its config.json, got "
            f"{name} {tuple(there)} instead of {tuple(here)}, and {len(shapes) - 1} more; "
            "take both files from the same model"
        )
    if unknown := {name for name in found["unexpected_keys"] if _in_body(body, name)}:
        raise Refused(
            f"the weights in {str(folder)!r} must fit its config.json, got {len(unknown)} that "
            f"the architecture does not have: {some(unknown)}; take both files from the same model"
        )
    return body.eval(), set(found["missing_keys"])


def check_missing(folder: Path, missing: Collection[str]) -> None:
    """Refuse a checkpoint without weights that the body computes with.

    Raises:
        ValueError: there are such weights.
    """
    if missing:
        raise Refused(
            f"the weights in {str(folder)!r} must fill its architecture, got none for "
            f"{len(missing)}: {some(missing)}; their names in the file must be as transformers "
            "saves them"
        )


def _in_body(body: nn.Module, name: str) -> bool:
    """Whether a weight of the checkpoint lies in the body, and is no pooler's.

    A head lies beside the body: its name starts with none of the body's modules.
    """
    parts = name.removeprefix(f"{body.base_model_prefix}.").split(".")
    of_body = {key.split(".")[0] for key in body.state_dict()}
    inside = parts[0] in of_body or name.startswith(f"{body.base_model_prefix}.")
    return inside and "pooler" not in parts


def load_tokenizer(folder: Path, body: nn.Module) -> Any:
    """Load the tokenizer of a checkpoint.

    Raises:
        ValueError: the folder has no files for it, or it has more tokens than the body's
            embeddings have rows.
    """
    from transformers import AutoTokenizer

    with foreign(
        f"a text base must have the files of its tokenizer, got a folder without: {str(folder)!r}",
        "; save the tokenizer there with save_pretrained",
    ):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        _check_vocabulary(folder, tokenizer.vocab_files_names)
    rows = embedding_rows(body)
    if rows is not None and (last := max(tokenizer.get_vocab().values(), default=0)) >= rows:
        raise Refused(
            f"the tokenizer must have at most {rows} tokens, the rows of the embeddings, got the "
            f"token {tokenizer.convert_ids_to_tokens(last)!r} with the number {last}; "
            "take both from the same model"
        )
    if not _reads_its_own_words(tokenizer):
        raise Refused(
            "the tokenizer of a base must know words, got one that reads its own tokens as unknown "
            f"or as nothing, in {str(folder)!r}; save there the tokenizer that belongs to the model"
        )
    return tokenizer


def _check_vocabulary(folder: Path, files: dict[str, str]) -> None:
    """Check that the files with a tokenizer's vocabulary are there.

    Without them transformers makes a tokenizer up, in which every word is unknown.

    Raises:
        ValueError: there is neither tokenizer.json nor all files of the older form.
    """
    older = [name for key, name in files.items() if key != "tokenizer_file"]
    if (folder / "tokenizer.json").is_file() or all((folder / name).is_file() for name in older):
        return
    raise ValueError(f"there is no tokenizer.json, and not {' and '.join(older)}")


def ordinary_tokens(tokenizer: Any) -> dict[str, int]:
    """The ids of all tokens but the special ones, by token."""
    special = set(tokenizer.all_special_ids)
    return {token: i for token, i in tokenizer.get_vocab().items() if i not in special}


def _reads_its_own_words(tokenizer: Any, count: int = 50) -> bool:
    """Whether a text of some of the tokens gives any of them.

    Where class and files of a tokenizer do not belong together, transformers makes one that knows
    no word.
    """
    ordinary = ordinary_tokens(tokenizer)
    words = [tokenizer.convert_tokens_to_string([token]) for token in list(ordinary)[-count:]]
    ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
    return not set(ids).isdisjoint(ordinary.values())


def embedding_rows(body: Any) -> int | None:
    """The number of rows of the body's token embeddings; None if it has no such table."""
    try:
        table = body.get_input_embeddings()
    except NotImplementedError:
        return None
    return len(table.weight) if isinstance(table, nn.Embedding) else None


def read_limit(folder: Path, tokenizer: Any) -> int:
    """The most tokens that a folder wants to be read of a text.

    Its tokenizer says it, and sentence-transformers' `sentence_bert_config.json` if there is one.
    """
    file = folder / "sentence_bert_config.json"
    asked = _json(file).get("max_seq_length") if file.is_file() else None
    return min(int(tokenizer.model_max_length), asked or int(tokenizer.model_max_length))


def read_pooling(folder: Path) -> str:
    """The pooling that a sentence-transformers folder asks for, "mean" or "cls"; else "mean".

    Its last step, which scales the features to length 1, is left out.

    Raises:
        ValueError: the folder asks for another pooling, or for more than a pooling.
    """
    if not (folder / "modules.json").is_file():
        return "mean"
    modules = {each["type"].split(".")[-1]: each["path"] for each in _json(folder / "modules.json")}
    if others := modules.keys() - {"Transformer", "Pooling", "Normalize"}:
        raise Refused(
            "a sentence-transformers folder must have the modules Transformer, Pooling and "
            f"Normalize alone, got {some(others)}; remove modules.json to read the body alone"
        )
    if "Pooling" not in modules:
        return "mean"
    asked = _pooling_modes(_json(folder / modules["Pooling"] / "config.json"))
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise Refused(
            f"the pooling of a base must be mean or cls, got {' and '.join(asked) or 'none'} in "
            f"{str(folder)!r}; remove modules.json to use the mean"
        )
    return POOLINGS[asked[0]]


def _pooling_modes(config: dict[str, Any]) -> list[str]:
    """The poolings that a 1_Pooling/config.json asks for; its answers follow each other."""
    if "pooling_mode" in config:
        modes = config["pooling_mode"]
        return [modes] if isinstance(modes, str) else list(modes)
    return [
        name.removeprefix("pooling_mode_")
        for name, asked in config.items()
        if name.startswith("pooling_mode_") and asked
    ]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
