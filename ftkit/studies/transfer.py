"""Is the transfer real? Pretrained against random weights, frozen head against LoRA against full, all against counting words."""

import json
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ftkit.adapted import Adapted, Space
from ftkit.bases import Net, load_base
from ftkit.data import Task, load_task
from ftkit.stats import interval
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.training import HEAD_LR, evaluate, train

EXAMPLES, STEPS, SIZE = 2_000, 400, 16
TUNING_SEEDS, SEEDS = (100, 101), tuple(range(8))
HEAD = Only("heads.*")


@dataclass(frozen=True)
class Method:
    """A row of the table: the spaces it moves in (none: everything), whether it starts from random weights, and the rates it may choose."""

    name: str
    spaces: tuple[Space, ...]
    lrs: tuple[float, ...]
    untrained: bool = False


METHODS = (
    Method("full fine-tuning of random weights", (), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), untrained=True),
    Method("frozen body, head alone", (HEAD,), (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)),
    Method("LoRA, rank 4", (LoRA(rank=4), HEAD), (1e-3, 3e-3, 1e-2, 3e-2)),
    Method("full fine-tuning", (), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
)


@lru_cache(maxsize=1)
def _material() -> tuple[Net, Task]:
    torch.set_num_threads(1)
    docs = load_task("docs")
    return load_base("mini", docs), docs


def one(job: tuple[int, float, int]) -> dict[str, Any]:
    """One run: (which method, learning rate, seed). The seed decides examples, order, head and starting values together."""
    which, lr, seed = job
    method, (base, docs) = METHODS[which], _material()
    net = base.untrained(seed) if method.untrained else base.fresh_heads(seed)
    model = Adapted(net, *method.spaces, seed=seed)
    head_lr = lr if method.spaces == (HEAD,) else HEAD_LR
    data = docs.take(EXAMPLES, seed)
    for _ in train(model, data, steps=STEPS, lr=lr, head_lr=head_lr, size=SIZE, seed=seed, readings=0):
        pass
    row = {"method": method.name, "lr": lr, "seed": seed, "valid": evaluate(model, data, "valid").accuracy}
    return row | ({"test": evaluate(model, data, "test").accuracy} if seed in SEEDS else {})


def counting(seed: int, c: float, words: int) -> dict[str, Any]:
    """TF-IDF of up to `words` neighbouring words and logistic regression of inverse strength `c`, on the same sentences."""
    data = _material()[1].take(EXAMPLES, seed)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, words), sublinear_tf=True), LogisticRegression(C=c, max_iter=2000))
    model.fit(data.train["text"][:], data.labels("train").numpy())
    scores = {stage: float(model.score(data.split(stage)["text"][:], data.labels(stage).numpy())) for stage in ("valid", "test")}
    row = {"method": "TF-IDF + logistic regression", "c": c, "words": words, "seed": seed, "valid": scores["valid"]}
    return row | ({"test": scores["test"]} if seed in SEEDS else {})


def tune(rows: list[dict[str, Any]], key: Any) -> Any:
    """The setting with the best mean on valid over the tuning seeds."""
    settings = sorted({key(row) for row in rows})
    return max(settings, key=lambda setting: np.mean([row["valid"] for row in rows if key(row) == setting]))


def main(path: Path, workers: int = 2) -> None:
    """Tunes on valid, runs the paired seeds, and writes the table to `path`."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        grid = [(i, lr, seed) for i, method in enumerate(METHODS) for lr in method.lrs for seed in TUNING_SEEDS]
        tuning = list(pool.map(one, grid))
        best = {m.name: tune([r for r in tuning if r["method"] == m.name], lambda r: r["lr"]) for m in METHODS}
        print(best, flush=True)
        final = list(pool.map(one, [(i, best[m.name], seed) for i, m in enumerate(METHODS) for seed in SEEDS]))
    counted = [counting(seed, c, words) for seed in TUNING_SEEDS for c in (1.0, 3.0, 10.0, 30.0, 100.0) for words in (1, 2)]
    c, words = tune(counted, lambda r: (r["c"], r["words"]))
    final += [counting(seed, c, words) for seed in SEEDS]
    names = list(dict.fromkeys(row["method"] for row in final))
    tests = {name: np.array([row["test"] for row in final if row["method"] == name]) for name in names}
    table = {name: dict(zip(("mean", "low", "high"), interval(list(values)), strict=True)) for name, values in tests.items()}
    pairs = [("full fine-tuning", name) for name in names if name != "full fine-tuning"] + [("LoRA, rank 4", "frozen body, head alone")]
    differences = {f"{a} - {b}": dict(zip(("mean", "low", "high"), interval(list(tests[a] - tests[b])), strict=True)) for a, b in pairs}
    edges = [m.name for m in METHODS if best[m.name] in (m.lrs[0], m.lrs[-1])]
    whole = {
        "command": "make results LESSON=00",
        "what": f"docs, {EXAMPLES} training sentences, {STEPS} steps of {SIZE}, test accuracy; the seeds resample examples, order and init",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "fingerprint": _material()[1].fingerprint,
        "seeds": SEEDS,
        "best_on_valid": {**best, "TF-IDF + logistic regression": {"c": c, "words": words}},
        "best_at_the_edge_of_its_grid": edges,
        "test": table,
        "paired_differences": differences,
        "runs": tuning + counted + final,
    }
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(whole, indent=1))
    os.replace(beside, path)
    print(json.dumps({"test": table, "differences": differences, "edges": edges}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
