"""Is the transfer real? Pretrained against random weights, frozen head against LoRA against full, all against counting words."""

import html
import json
import platform
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
from ftkit.record import write_json
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
    Method("LoRA, rank 4", (LoRA(rank=4), HEAD), (3e-4, 1e-3, 3e-3, 1e-2)),
    Method("full fine-tuning", (), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
)


COUNTING = "TF-IDF + logistic regression"
COLOURS = dict(zip([*(method.name for method in METHODS), COUNTING], ("#999999", "#e69f00", "#0072b2", "#009e73", "#cc79a7"), strict=True))
"""One colour a method, from the colour-blind-safe palette of Okabe and Ito."""


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
    stages = ("valid", "test") if seed in SEEDS else ("valid",)
    scores = {stage: float(model.score(data.split(stage)["text"][:], data.labels(stage).numpy())) for stage in stages}
    return {"method": COUNTING, "c": c, "words": words, "seed": seed, **scores}


def tune(rows: list[dict[str, Any]], key: Any) -> Any:
    """The setting with the best mean on valid over the tuning seeds."""
    settings = sorted({key(row) for row in rows})
    return max(settings, key=lambda setting: np.mean([row["valid"] for row in rows if key(row) == setting]))


def picture(rows: dict[str, dict[str, float]]) -> str:
    """The table as an SVG: a dot and its interval for each method, over an axis in per cent."""
    low, high = 10 * int(min(r["low"] for r in rows.values()) * 10), 10 * int(max(r["high"] for r in rows.values()) * 10 + 1)
    left, width, top, gap = 300, 420, 24, 34

    def x(share: float) -> float:
        return round(left + width * (100 * share - low) / (high - low), 1)

    bottom = top + gap * len(rows)
    box = f"0 0 {left + width + 70} {bottom + 48}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="14">']
    parts.append('<rect width="100%" height="100%" fill="#ffffff"/>')
    for per_cent in range(low, high + 1, 10):
        at = x(per_cent / 100)
        parts.append(f'<path d="M{at} {top - 12}V{bottom - 8}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at}" y="{bottom + 10}" text-anchor="middle" fill="#444444">{per_cent}</text>')
    for i, (name, row) in enumerate(sorted(rows.items(), key=lambda item: item[1]["mean"])):
        y = top + gap * i + 4
        parts.append(f'<text x="{left - 14}" y="{y + 5}" text-anchor="end" fill="#222222">{html.escape(name)}</text>')
        parts.append(f'<path d="M{x(row["low"])} {y}H{x(row["high"])}" stroke="{COLOURS[name]}" stroke-width="3"/>')
        parts.append(f'<circle cx="{x(row["mean"])}" cy="{y}" r="6" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{x(row["high"]) + 10}" y="{y + 5}" fill="#222222">{100 * row["mean"]:.1f}</text>')
    axis = f"test accuracy, % (chance 12.5), mean and 95 % interval of {len(SEEDS)} seeds"
    parts.append(f'<text x="{left + width / 2}" y="{bottom + 34}" text-anchor="middle" fill="#444444">{axis}</text></svg>')
    return "\n".join(parts) + "\n"


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
        "best_on_valid": {**best, COUNTING: {"c": c, "words": words}},
        "best_at_the_edge_of_its_grid": edges,
        "test": table,
        "paired_differences": differences,
        "runs": tuning + counted + final,
    }
    write_json(path, whole)
    path.with_suffix(".svg").write_text(picture(table))
    print(json.dumps({"test": table, "differences": differences, "edges": edges}, indent=1))
