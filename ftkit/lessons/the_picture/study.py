"""Is the transfer real? Pretrained against random weights, frozen head against LoRA against full, all against counting words."""

import html
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ftkit.experiments.benchmark import (
    FROZEN,
    FULL,
    HEAD,
    VALID_ROWS,
    find_benchmark,
    fine_tuning,
    load_benchmark,
)
from ftkit.experiments.rate_search import few, settled
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import last, summary, where
from ftkit.model.change import Space
from ftkit.storage import read_table
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event, packed
from ftkit.training.loop import HEAD_LR

ON, STEPS = "library", 400
RANDOM, LORA, COUNTING = (
    "full fine-tuning of random weights",
    "LoRA, rank 4",
    "TF-IDF + logistic regression",
)
SPACES: dict[str, tuple[Space, ...]] = {
    RANDOM: (),
    FROZEN: (HEAD,),
    LORA: (LoRA(rank=4), HEAD),
    FULL: (),
}
LRS = {
    RANDOM: (1e-3, 3e-3, 1e-2),
    FROZEN: (3e-3, 1e-2, 3e-2),
    LORA: (1e-3, 3e-3, 1e-2),
    FULL: (1e-4, 3e-4, 1e-3),
}
"""The rates that are tried first; where the best lies at an edge, more are tried."""
STRENGTHS, WORDS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0), (1, 2, 3)
"""For counting: how weakly large weights are punished (scikit-learn's `C`), and how many neighbouring words are counted as one."""
SEEDS = tuple(range(8))
COLOURS = dict(
    zip([*SPACES, COUNTING], ("#999999", "#e69f00", "#0072b2", "#009e73", "#cc79a7"), strict=True)
)
"""One colour a method, from the colour-blind-safe palette of Okabe and Ito."""


def trial(method: str, lr: float, seed: int = 0, test: bool = False) -> Iterator[Event]:
    """One run of 400 steps of a method of `SPACES`; with the frozen body `lr` is the head's rate, since nothing else trains."""
    net = load_benchmark(ON)[0].untrained(seed) if method == RANDOM else None
    head_lr = lr if method == FROZEN else HEAD_LR
    yield from fine_tuning(
        ON, *SPACES[method], lr=lr, head_lr=head_lr, seed=seed, test=test, net=net, steps=STEPS
    )


def counting(c: float, words: int, seed: int = 0, test: bool = False) -> Iterator[Event]:
    """No network: TF-IDF of up to `words` neighbouring words and logistic regression of inverse strength `c`, on the same sentences."""
    data = load_benchmark(ON)[1].take(find_benchmark(ON).examples, seed)
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, words), sublinear_tf=True),
        LogisticRegression(C=c, max_iter=2000),
    )
    model.fit(data.train["text"][:], data.labels("train").numpy())
    for stage, rows in (("valid", VALID_ROWS), ("test", len(data.test)))[: 1 + test]:
        right = model.predict(data.split(stage)["text"][:rows]) == data.labels(stage)[:rows].numpy()
        name = f"{stage}/accuracy"
        yield Event(
            STEPS,
            stage,
            {name: float(right.mean())},
            {name: packed(right)} if stage == "test" else {},
        )


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The whole study. Rates are chosen on valid with half of the seeds; what was chosen runs with all of them, and reads test once."""
    half = few(seeds)
    jobs = [job for method, lrs in LRS.items() for job in grid(method=[method], lr=lrs, seed=half)]
    tried = sweep(counting, grid(c=STRENGTHS, words=WORDS, seed=half), executor)
    means = summary(last(tried), ["c", "words"])
    best = means.iloc[int(means["mean"].argmax())]
    counted = sweep(
        counting, grid(c=[best["c"]], words=[int(best["words"])], seed=seeds, test=[True]), executor
    ).drop(columns="test")
    both = pd.concat([counted, tried], ignore_index=True)
    both = both.drop_duplicates([name for name in both.columns if name != "value"]).assign(
        method=COUNTING
    )
    whole = pd.concat([settled(trial, jobs, ["method"], seeds, executor), both], ignore_index=True)
    return whole.fillna({"lr": 0.0, "c": 0.0, "words": 0}).astype({"words": int})


def on_test(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracies on test, in [0, 1]: a row a seed, a column a method."""
    return table[table["quantity"] == "test/accuracy"].pivot(
        index="seed", columns="method", values="value"
    )


def intervals(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """For each method the `mean` accuracy on test and the ends of its 95 % interval over the seeds, `low` and `high`."""
    found = summary(where(table, quantity="test/accuracy"), ["method"]).set_index("method")
    return {
        str(name): {end: float(row[end]) for end in ("mean", "low", "high")}
        for name, row in found.iterrows()
    }


def picture(rows: dict[str, dict[str, float]], seeds: int) -> str:
    """The intervals as an SVG: a dot and its line for each method, over an axis in per cent."""
    low, high = (
        10 * int(min(r["low"] for r in rows.values()) * 10),
        10 * int(max(r["high"] for r in rows.values()) * 10 + 1),
    )
    left, width, top, gap = 300, 420, 24, 34

    def x(share: float) -> float:
        return round(left + width * (100 * share - low) / (high - low), 1)

    bottom = top + gap * len(rows)
    box = f"0 0 {left + width + 70} {bottom + 48}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="14">'
    ]
    parts.append('<rect width="100%" height="100%" fill="#ffffff"/>')
    for per_cent in range(low, high + 1, 10):
        at = x(per_cent / 100)
        parts.append(f'<path d="M{at} {top - 12}V{bottom - 8}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{at}" y="{bottom + 10}" text-anchor="middle" fill="#444444">{per_cent}</text>'
        )
    for i, (name, row) in enumerate(sorted(rows.items(), key=lambda item: item[1]["mean"])):
        y = top + gap * i + 4
        parts.append(
            f'<text x="{left - 14}" y="{y + 5}" text-anchor="end" fill="#222222">{html.escape(name)}</text>'
        )
        parts.append(
            f'<path d="M{x(row["low"])} {y}H{x(row["high"])}" stroke="{COLOURS[name]}" stroke-width="3"/>'
        )
        parts.append(f'<circle cx="{x(row["mean"])}" cy="{y}" r="6" fill="{COLOURS[name]}"/>')
        parts.append(
            f'<text x="{x(row["high"]) + 10}" y="{y + 5}" fill="#222222">{100 * row["mean"]:.1f}</text>'
        )
    axis = f"test accuracy, % (chance 12.5), mean and 95 % interval of {seeds} seeds"
    parts.append(
        f'<text x="{left + width / 2}" y="{bottom + 34}" text-anchor="middle" fill="#444444">{axis}</text></svg>'
    )
    return "\n".join(parts) + "\n"


def draw_picture(path: Path) -> None:
    """Draws the picture of the README next to the record at `path`."""
    table, about = read_table(path)
    path.with_suffix(".svg").write_text(picture(intervals(table), len(about["seeds"])))
