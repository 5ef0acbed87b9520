"""Which other labels of the docs sentences help the docs task, and which conflict with it? Measured on valid, for multi-task lessons."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftkit.adapted import Adapted
from ftkit.bases import load_base
from ftkit.data import Batch, Task, load_task, table
from ftkit.record import write_json
from ftkit.stats import interval
from ftkit.training import evaluate, train

FEW, MANY, STEPS, SIZE = 400, 4_000, 150, 16
LRS, TUNING_SEEDS, SEEDS = (1e-4, 3e-4, 1e-3), (100, 101), tuple(range(8))

CANDIDATES = {
    "area": lambda row: row["area"],
    "kind": lambda row: row["kind"],
    "opening": lambda row: row["opening"],
    "parity": lambda row: "odd" if len(re.findall(r"\w+", row["text"])) % 2 else "even",
}


@dataclass(frozen=True)
class Turns:
    """Batches of two tasks in turn; the splits are those of the first."""

    first: Task
    second: Task

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        other = torch.Generator().manual_seed(generator.initial_seed() + 1)  # its own, so that the first task's order is as it is alone
        for pair in zip(self.first.batches(size, generator), self.second.batches(size, other), strict=True):
            yield from pair


@lru_cache(maxsize=1)
def _docs() -> Task:
    torch.set_num_threads(1)
    return load_task("docs")


@lru_cache(maxsize=8)
def other_task(name: str) -> Task:
    """The candidate label `name` of the training sentences of docs."""
    rows = [dict(row) for row in _docs().train]
    labels = [CANDIDATES[name](row) for row in rows]
    classes = sorted(set(labels))
    split = table([row["text"] for row in rows], [classes.index(label) for label in labels], classes)
    return Task(f"docs-{name}", tuple(classes), split, split, split)


def one(job: tuple[str, float, int]) -> dict[str, Any]:
    """One run of (candidate or "alone", learning rate, seed): full fine-tuning with as many steps on docs either way; accuracy on valid."""
    name, lr, seed = job
    few = _docs().take(FEW, seed)
    data: Any = few if name == "alone" else Turns(few, other_task(name).take(MANY, seed))
    base = load_base("mini", few, *([] if name == "alone" else [data.second]), seed=seed)
    model = Adapted(base, seed=seed)
    for _ in train(model, data, steps=STEPS * (1 if name == "alone" else 2), lr=lr, size=SIZE, seed=seed, readings=0):
        pass
    return {"other": name, "lr": lr, "seed": seed, "valid": evaluate(model, few, "valid").accuracy}


def main(path: Path, workers: int = 2) -> None:
    """Tunes the learning rate of every pairing, runs paired seeds, and writes the table to `path`."""
    names = ["alone", *CANDIDATES]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        tuning = list(pool.map(one, [(name, lr, seed) for name in names for lr in LRS for seed in TUNING_SEEDS]))
        means = {(n, lr): np.mean([r["valid"] for r in tuning if r["other"] == n and r["lr"] == lr]) for n in names for lr in LRS}
        best = {name: max(LRS, key=lambda lr: means[name, lr]) for name in names}
        runs = list(pool.map(one, [(name, best[name], seed) for name in names for seed in SEEDS]))
    valid = {name: np.array([run["valid"] for run in runs if run["other"] == name]) for name in names}
    change = {name: interval(list(valid[name] - valid["alone"])) for name in CANDIDATES}
    whole = {
        "command": "make results LESSON=07",
        "what": f"docs with {FEW} sentences, {STEPS} steps of {SIZE}, alone or in turns with another label of {MANY}; accuracy on valid",
        "torch": torch.__version__,
        "fingerprint": _docs().fingerprint,
        "best_lr": best,
        "alone": interval(list(valid["alone"])),
        "change_by_the_other_label": change,
        "runs": tuning + runs,
    }
    write_json(path, whole)
    print(json.dumps({key: whole[key] for key in ("alone", "best_lr", "change_by_the_other_label")}, indent=1))
