"""Is the transfer real? Pretrained against random weights, and a network against counting words.

The study compares a frozen body, LoRA and full fine-tuning of the pretrained base with full
fine-tuning of random weights, and all of them with logistic regression on word counts.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd

from ftkit.experiments.benchmark import (
    FROZEN,
    FULL,
)
from ftkit.experiments.rate_search import tune_and_test, tuning_seeds
from ftkit.experiments.sweep import grid, sweep
from ftkit.experiments.tables import last, summary, where
from ftkit.lessons.the_picture.picture import accuracies
from ftkit.lessons.the_picture.trial import COUNTING, LORA_RANK_4, RANDOM, counting, trial
from ftkit.panel.still_image import svg
from ftkit.storage import read_table, whole_file

LRS = {
    RANDOM: (1e-3, 3e-3, 1e-2),
    FROZEN: (3e-3, 1e-2, 3e-2),
    LORA_RANK_4: (1e-3, 3e-3, 1e-2),
    FULL: (1e-4, 3e-4, 1e-3),
}
"""The learning rates that are tried first; if the best is at an edge, more are tried beyond it."""
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Inverse strengths of the regularisation of the logistic regression (scikit-learn's `C`)."""
NGRAM_LENGTHS = (1, 2, 3)
"""The longest sequences of neighbouring words that are counted."""
SEEDS = tuple(range(8))
PICTURE_WIDTH = 790


def jobs(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the runs that choose the learning rates."""
    runs = []
    for method, lrs in LRS.items():
        runs += grid(method=[method], lr=lrs, seed=seeds)
    return runs


def record(executor: Executor | None, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run the whole study.

    Learning rates are chosen on valid with half of the seeds; the chosen settings run once with all
    seeds and are evaluated on test.
    """
    networks = tune_and_test(trial, jobs(tuning_seeds(seeds)), ["method"], seeds, executor)
    whole = pd.concat([networks, counted(executor, seeds)], ignore_index=True)
    return whole.fillna({"lr": 0.0, "c": 0.0, "words": 0}).astype({"words": int})


def counted(executor: Executor | None, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Run `counting` at every setting with half of the seeds, and at the best one with all."""
    tried = sweep(
        counting, grid(c=STRENGTHS, words=NGRAM_LENGTHS, seed=tuning_seeds(seeds)), executor
    )
    means = summary(last(tried), ["c", "words"])
    best = means.iloc[int(means["mean"].argmax())]
    final_jobs = grid(c=[best["c"]], words=[int(best["words"])], seed=seeds, test=[True])
    final = sweep(counting, final_jobs, executor).drop(columns="test")
    both = pd.concat([final, tried], ignore_index=True)
    settings = [name for name in both.columns if name != "value"]
    return both.drop_duplicates(settings).assign(method=COUNTING)


def on_test(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies on test, in [0, 1]: a row a seed, a column a method."""
    rows = where(table, quantity="test/accuracy")
    return rows.pivot(index="seed", columns="method", values="value")


def intervals(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the `mean` accuracy on test of each method, and `low` and `high` of its 95 % interval.

    Accuracies are in [0, 1]; the interval is a t-interval over the seeds.
    """
    by_method = summary(where(table, quantity="test/accuracy"), ["method"]).set_index("method")
    return {
        str(name): {end: float(row[end]) for end in ("mean", "low", "high")}
        for name, row in by_method.iterrows()
    }


def draw_picture(path: Path) -> None:
    """Draw the picture of the README as an SVG next to the record at `path`.

    Needs kaleido and a Chromium or Chrome.
    """
    table, about = read_table(path)
    figure = accuracies(intervals(table), len(about["seeds"]))
    drawing = svg(figure, PICTURE_WIDTH)
    with whole_file(path.with_suffix(".svg")) as new:
        new.write_text(drawing, encoding="utf8")
