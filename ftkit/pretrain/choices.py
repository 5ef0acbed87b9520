"""What was tried before `mini` was made, each beside its control at equal steps: `python -m ftkit.pretrain.choices`."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, BertForMaskedLM

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net, base_path, load_base
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
from ftkit.storage import write_json
from ftkit.tasks import docs
from ftkit.techniques.freeze import Only
from ftkit.training.loop import evaluate, train

STEPS, SEEDS, EXAMPLES = 1_000, (100, 101, 102, 103), 2_000


def without_neighbours(
    model: BertForMaskedLM, ids: Tensor, generator: torch.Generator, done: float
) -> dict[str, Tensor]:
    """The second stage's rows and hidden words, and nothing of the neighbours: the control."""
    return {"train": second_stage(model, ids, generator, done)["train"]}


def on_docs(model: BertForMaskedLM) -> dict[str, list[float]]:
    """Accuracy on the valid split of docs, one a seed: of a head on the frozen body, and of full fine-tuning."""
    task = docs.load("docs")
    shipped = load_base("mini", task)
    base = Net("tried", model.bert, shipped.reader, (task,))
    found: dict[str, list[float]] = {"frozen": [], "full": []}
    for seed in SEEDS:
        for name, spaces, lr, head_lr in (
            ("frozen", (Only("heads.*"),), 3e-2, 3e-2),
            ("full", (), 3e-4, 3e-3),
        ):
            adapted, data = (
                Adapted(base.fresh_heads(seed), *spaces, seed=seed),
                task.take(EXAMPLES, seed),
            )
            for _ in train(
                adapted, data, steps=400, lr=lr, head_lr=head_lr, size=16, seed=seed, validations=0
            ):
                pass
            found[name].append(evaluate(adapted, data, "valid").accuracy)
    return found


def main(path: Path) -> None:
    """Four arms of `STEPS` steps: words from noise and from counts, then from the better of them words with and without neighbours."""
    torch.set_num_threads(1)
    task, everything = docs.load("docs"), all_prose()
    tokenizer = AutoTokenizer.from_pretrained(base_path("mini"))
    ids = pack(without(everything, [*task.valid["text"], *task.test["text"]]), tokenizer)
    held_out = pack(held_out_prose(everything), tokenizer)
    rows: dict[str, dict[str, Any]] = {}
    models: dict[str, BertForMaskedLM] = {}
    for arm, stage, lr in (
        ("words from noise", first_stage, WORDS_LR),
        ("words from counts", first_stage, WORDS_LR),
        ("then words alone", without_neighbours, NEIGHBOURS_LR),
        ("then words and neighbours", second_stage, NEIGHBOURS_LR),
    ):
        torch.manual_seed(0)
        before = models.get("words from counts")
        models[arm] = model = (
            deepcopy(before)
            if arm.startswith("then") and before
            else new_model(ids, counted="counts" in arm)
        )
        *_, last = pretrain(model, stage, ids, held_out, STEPS, lr)
        scores = on_docs(model) if arm.startswith("then") else {}
        rows[arm] = {"held_out": last["held_out"], **scores}
        print(
            json.dumps(
                {
                    arm: {
                        "held_out": last["held_out"],
                        **{key: float(np.mean(value)) for key, value in scores.items()},
                    }
                }
            ),
            flush=True,
        )
    what = f"{STEPS} steps each, one run; held-out nats a hidden word; accuracy on docs valid, {EXAMPLES} sentences, seeds {SEEDS}"
    write_json(
        path,
        {
            "command": "python -m ftkit.pretrain.choices",
            "what": what,
            "fingerprint": task.fingerprint,
            "arms": rows,
        },
    )


if __name__ == "__main__":
    main(Path("data/bases/mini/choices.json"))
