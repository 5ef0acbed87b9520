"""Test the design choices of `mini`, each against a control at equal steps.

Run it with `python -m ftkit.pretrain.choices`.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, BertForMaskedLM

from ftkit.checksums import MANIFEST, record
from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, base_path, load_base
from ftkit.paths import kit_path
from ftkit.pretrain.corpus import all_prose, held_out_prose, without
from ftkit.pretrain.mini import (
    NEIGHBOURS_LR,
    WORDS_LR,
    first_stage,
    new_model,
    pretrain,
    second_stage,
)
from ftkit.pretrain.words import pack
from ftkit.storage import check_writable, write_json
from ftkit.tasks import docs
from ftkit.techniques.freeze import Only
from ftkit.training.loop import evaluate, train

STEPS, SEEDS, EXAMPLES = 1_000, (100, 101, 102, 103), 2_000
FROM_NOISE, FROM_COUNTS = "words from noise", "words from counts"
WORDS_ALONE, WITH_NEIGHBOURS = "then words alone", "then words and neighbours"


def without_neighbours(
    model: BertForMaskedLM, ids: Tensor, generator: torch.Generator, done: float
) -> dict[str, Tensor]:
    """The control of the second stage: its rows and hidden words, without the contrastive loss."""
    return {"train": second_stage(model, ids, generator, done)["train"]}


def on_docs(model: BertForMaskedLM) -> dict[str, list[float]]:
    """The validation accuracy on docs of a frozen body and of full fine-tuning, one a seed."""
    task = docs.load("docs")
    shipped = load_base("mini", task)
    base = Net("tried", model.bert, shipped.reader, (task,))
    frozen_body = (Only("heads.*"),)
    accuracies: dict[str, list[float]] = {"frozen": [], "full": []}
    for seed in SEEDS:
        for name, spaces, lr, head_lr in (
            ("frozen", frozen_body, 3e-2, 3e-2),
            ("full", (), 3e-4, 3e-3),
        ):
            adapted = Adapted(base.fresh_heads(seed), *spaces, seed=seed)
            data = task.take(EXAMPLES, seed)
            for _ in train(
                adapted, data, steps=400, lr=lr, head_lr=head_lr, size=16, seed=seed, validations=0
            ):
                pass
            accuracies[name].append(evaluate(adapted, data, "valid").accuracy)
    return accuracies


def main(path: Path) -> None:
    """Run four arms of `STEPS` steps, and write their results to `path`.

    The first stage starts from noise or from word counts. The second stage goes on from the
    latter, with or without the contrastive loss.
    """
    torch.set_num_threads(1)
    task, everything = docs.load("docs"), all_prose()
    tokenizer = AutoTokenizer.from_pretrained(base_path("mini"))
    ids = pack(without(everything, [*task.valid["text"], *task.test["text"]]), tokenizer)
    held_out = pack(held_out_prose(everything), tokenizer)
    arms: dict[str, dict[str, Any]] = {}
    models: dict[str, BertForMaskedLM] = {}
    for arm, stage, lr in (
        (FROM_NOISE, first_stage, WORDS_LR),
        (FROM_COUNTS, first_stage, WORDS_LR),
        (WORDS_ALONE, without_neighbours, NEIGHBOURS_LR),
        (WITH_NEIGHBOURS, second_stage, NEIGHBOURS_LR),
    ):
        is_second = arm in (WORDS_ALONE, WITH_NEIGHBOURS)
        torch.manual_seed(0)
        if is_second:
            model = deepcopy(models[FROM_COUNTS])
        else:
            model = new_model(ids, counted=arm == FROM_COUNTS)
        models[arm] = model
        *_, end = pretrain(model, stage, ids, held_out, STEPS, lr)
        loss = {"held_out": end["held_out"]}
        accuracies = on_docs(model) if is_second else {}
        arms[arm] = {**loss, **accuracies}
        means = {name: float(np.mean(values)) for name, values in accuracies.items()}
        print(json.dumps({arm: {**loss, **means}}), flush=True)
    facts = {
        "command": "python -m ftkit.pretrain.choices",
        "what": f"{STEPS} steps each, one run; held-out nats a hidden word; accuracy on docs valid,"
        f" {EXAMPLES} sentences, seeds {SEEDS}",
        "fingerprint": task.fingerprint,
        "arms": arms,
    }
    write_json(path, facts)


if __name__ == "__main__":
    data, name = kit_path("data"), "bases/mini/choices.json"
    for file in (data / name, data / MANIFEST):
        check_writable(file)
    main(data / name)
    record(data, name)
