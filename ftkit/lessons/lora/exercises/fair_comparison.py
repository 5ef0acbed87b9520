"""An exercise on fair comparisons: each method at its own learning rate, chosen on valid."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ftkit.teaching.checking import Case, check_cases, close, kind
from ftkit.teaching.exercise import Wrong, exercise

Scores = dict[str, float]
Means = dict[str, list[tuple[float, float, float]]]  # {method: [(lr, valid, test), ...]}


def _table(means: Means, seeds: int, draw: int, lost: int) -> pd.DataFrame:
    """Draw a sweep, shuffled, whose scores scatter around `means`.

    The run in row `lost` is missing, so that not every learning rate has the same number of seeds.
    """
    rng = np.random.default_rng(draw)
    rows = []
    for method, runs in means.items():
        for lr, valid, test in runs:
            noise = rng.normal(0, 0.03, (seeds, 2)).round(3)
            for seed, (v, t) in enumerate(noise):
                rows.append((method, lr, seed, round(valid + v, 3), round(test + t, 3)))
    table = pd.DataFrame(rows, columns=["method", "lr", "seed", "valid", "test"]).drop(index=lost)
    return table.sample(frac=1.0, random_state=draw).reset_index(drop=True)


_FIRST: Means = {
    "full": [(1e-4, 0.70, 0.71), (1e-3, 0.78, 0.75), (1e-2, 0.75, 0.79)],
    "lora": [(1e-4, 0.60, 0.62), (1e-3, 0.72, 0.75), (1e-2, 0.74, 0.71)],
    "frozen head": [(1e-4, 0.52, 0.47), (1e-3, 0.51, 0.51), (1e-2, 0.49, 0.53)],
}
_SECOND: Means = {
    "bitfit": [(3e-3, 0.64, 0.61), (3e-2, 0.62, 0.66)],
    "lora": [(3e-3, 0.66, 0.70), (3e-2, 0.69, 0.67)],
}


def _each(score: Callable[[pd.DataFrame], float]) -> Callable[[pd.DataFrame], Scores]:
    """Score the rows of each method."""
    return lambda table: {
        str(method): float(score(rows)) for method, rows in table.groupby("method")
    }


def _at(
    choose: Callable[[pd.DataFrame], Any], score: Callable[[pd.DataFrame], float]
) -> Callable[[pd.DataFrame], Scores]:
    """Score the rows of each method at the learning rate that `choose` finds in them."""
    return _each(lambda rows: score(rows[rows["lr"] == choose(rows)]))


def _best(column: str, by: str = "mean") -> Callable[[pd.DataFrame], Any]:
    """Find the learning rate with the highest mean (or sum) of `column` over the seeds."""
    return lambda rows: rows.groupby("lr")[column].agg(by).idxmax()


def _test(rows: pd.DataFrame) -> float:
    return float(rows["test"].mean())


def _one_for_all(table: pd.DataFrame) -> Scores:
    lr = _best("valid")(table)
    return _each(lambda rows: _test(rows[rows["lr"] == lr]))(table)


def _of_best_run(column: str) -> Callable[[pd.DataFrame], float]:
    return lambda rows: float(rows.sort_values("valid")[column].iloc[-1])


def _one_for_each_seed(rows: pd.DataFrame) -> float:
    return float(rows.sort_values("valid").groupby("seed")["test"].last().mean())


tuned_scores = _at(_best("valid"), _test)
MISREADINGS: dict[str, Callable[[pd.DataFrame], Scores]] = {
    "that is what choosing the lr on test gives; use test once, after the choice": _at(
        _best("test"), _test
    ),
    "that is the mean over all learning rates; compare each method at its best one": _each(_test),
    "that is one lr for all methods, and the best lr differs between methods": _one_for_all,
    "that is the lr of the single best run on valid; choose by the mean over the seeds": _at(
        _of_best_run("lr"), _test
    ),
    "that is the test score of the single best run on valid; take the mean over the seeds": _each(
        _of_best_run("test")
    ),
    "that is the best test score of all runs": _each(lambda rows: rows["test"].max()),
    "that is the best test score at the right lr; take the mean over the seeds": _at(
        _best("valid"), lambda rows: rows["test"].max()
    ),
    "that is the median over the seeds; take the mean": _at(
        _best("valid"), lambda rows: float(rows["test"].median())
    ),
    "that is the mean on valid, which is optimistic: the lr was chosen on it": _at(
        _best("valid"), lambda rows: rows["valid"].mean()
    ),
    "that chooses a new lr for every seed; choose one lr for the method": _each(_one_for_each_seed),
    "that adds up the seeds instead of taking their mean, and one run is missing": _at(
        _best("valid", "sum"), _test
    ),
    "that is the lr that is worst on valid": _at(
        lambda rows: rows.groupby("lr")["valid"].mean().idxmin(), _test
    ),
    "that is always the smallest lr": _at(lambda rows: rows["lr"].min(), _test),
    "that is always the largest lr": _at(lambda rows: rows["lr"].max(), _test),
    "that is the lr, not the score at that lr": _each(_best("valid")),
    "that is in percent; keep the table's unit": lambda table: {
        method: 100 * score for method, score in tuned_scores(table).items()
    },
}

TABLES = [
    Case((_table(_FIRST, 4, draw=54, lost=6),), "the first table"),
    Case((_table(_SECOND, 3, draw=96, lost=9),), "the second table"),
]
"""Drawn so that every misreading differs from the right answer and from the other misreadings."""


def _read_scores(answer: Any, case: Case) -> Scores:
    """Read a dict or a Series as a dict, with an entry for each of the table's methods."""
    (table,) = case.given
    methods = sorted(table["method"].unique())
    if not hasattr(answer, "keys"):
        raise Wrong(f"the answer must be a dict {{method: mean test accuracy}}, got {kind(answer)}")
    scores = dict(answer)
    for method in methods:
        if method not in scores:
            raise Wrong(
                f"the answer must have an entry for every method, got none for {method!r}; "
                f"its keys are {list(scores)[:5]}"
            )
    for key in scores:
        if key not in methods:
            raise Wrong(f"the answer must have the table's methods as keys, got {key!r} as well")
    return {method: _read_score(scores[method], method) for method in scores}


def _read_score(value: Any, method: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Wrong(f"the entry for {method!r} must be one number, got {kind(value)}") from None


_same = partial(close, tolerance=1e-3)


def _explain_scores(case: Case, wanted: Scores, answer: Scores) -> str:
    method = next(method for method in wanted if not _same(answer[method], wanted[method]))
    return (
        f"in {case.words} the entry for {method!r} must be {wanted[method]:.3f}, "
        f"yours is {answer[method]:.3f}"
    )


@exercise(
    "Compare at each method's best learning rate",
    difficulty=3,
    minutes=12,
    hints=[
        "Two questions, one after the other: which lr would you use for this method? And how good "
        "is it then? Only one of them may use test.",
        "For the lr: take the mean of valid over the seeds, for each method and lr, and the best "
        "lr of each method.",
        "`means = table.groupby(['method', 'lr'])[['valid', 'test']].mean()` has all you need; "
        "`idxmax` of valid finds a method's row.",
    ],
    solution="""
def tuned(table):
    means = table.groupby(["method", "lr"])[["valid", "test"]].mean()
    best = means.groupby("method")["valid"].idxmax()
    return {method: means.loc[row, "test"] for method, row in best.items()}
""",
)
def tuned(yours: Any) -> str:
    """`yours(table)` is {method: mean test accuracy at the method's best lr}.

    The best lr is the one with the highest mean on valid over the seeds. The table has the columns
    method, lr, seed, valid and test.
    """
    check_cases(
        yours,
        "table",
        tuned_scores,
        TABLES,
        MISREADINGS,
        read=_read_scores,
        same=_same,
        explain=_explain_scores,
    )
    (table,) = TABLES[0].given
    chosen_on_test = _at(_best("test"), _test)(table)
    gain = 100 * (chosen_on_test["lora"] - tuned_scores(table)["lora"])
    return (
        "Every method got its own lr, and test chose nothing. If test chose the lr, LoRA would "
        f"seem {gain:.1f} points better than it is."
    )
