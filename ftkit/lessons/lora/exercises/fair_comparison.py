"""An exercise on fair comparisons: every method at its own learning rate, which is chosen on valid and read off on test."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ftkit.teaching.checking import Case, as_function, call, diagnose, kind
from ftkit.teaching.exercise import Wrong, exercise

Scores = dict[str, float]
Means = dict[str, list[tuple[float, float, float]]]  # {method: [(lr, valid, test), ...]}


def _table(means: Means, seeds: int, draw: int, lost: int) -> pd.DataFrame:
    """A sweep whose scores lie around `means`, in no order; the run in row `lost` was killed, so that not every lr has as many seeds."""
    rng, rows = np.random.default_rng(draw), []
    for method, runs in means.items():
        for lr, valid, test in runs:
            noise = rng.normal(0, 0.03, (seeds, 2)).round(3)
            rows += [
                (method, lr, seed, round(valid + v, 3), round(test + t, 3))
                for seed, (v, t) in enumerate(noise)
            ]
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
    return lambda table: {
        str(method): float(score(rows)) for method, rows in table.groupby("method")
    }


def _by_lr(
    choose: Callable[[pd.DataFrame], Any], read: Callable[[pd.DataFrame], float]
) -> Callable[[pd.DataFrame], Scores]:
    return _each(lambda rows: read(rows[rows["lr"] == choose(rows)]))


def _best(column: str, by: str = "mean") -> Callable[[pd.DataFrame], Any]:
    return lambda rows: rows.groupby("lr")[column].agg(by).idxmax()


def _test(rows: pd.DataFrame) -> float:
    return float(rows["test"].mean())


def _one_for_all(table: pd.DataFrame) -> Scores:
    lr = _best("valid")(table)
    return _each(lambda rows: _test(rows[rows["lr"] == lr]))(table)


def _of_best_run(column: str) -> Callable[[pd.DataFrame], float]:
    return lambda rows: float(rows.sort_values("valid")[column].iloc[-1])


def _an_lr_a_seed(rows: pd.DataFrame) -> float:
    return float(rows.sort_values("valid").groupby("seed")["test"].last().mean())


_RIGHT = _by_lr(_best("valid"), _test)
_FAULTS: dict[str, Callable[[pd.DataFrame], Scores]] = {
    "that is what choosing the lr on test gives; test is read once, after the choice": _by_lr(
        _best("test"), _test
    ),
    "that is the mean over all learning rates; a method is judged at its best one": _each(_test),
    "that is one lr for all methods, and what suits one method is not what suits another": _one_for_all,
    "that is the lr of the single best run on valid; choose by the mean over the seeds": _by_lr(
        _of_best_run("lr"), _test
    ),
    "that is the test score of the single best run on valid; take the mean over the seeds": _each(
        _of_best_run("test")
    ),
    "that is the best test score of all runs": _each(lambda rows: rows["test"].max()),
    "that is the best test score at the right lr; take the mean over the seeds": _by_lr(
        _best("valid"), lambda rows: rows["test"].max()
    ),
    "that is the median over the seeds; take the mean": _by_lr(
        _best("valid"), lambda rows: float(rows["test"].median())
    ),
    "that is the mean on valid, which is too good: the lr was chosen by it": _by_lr(
        _best("valid"), lambda rows: rows["valid"].mean()
    ),
    "that chooses a new lr for every seed; the lr belongs to the method": _each(_an_lr_a_seed),
    "that adds up the seeds instead of taking their mean, and one run is missing": _by_lr(
        _best("valid", "sum"), _test
    ),
    "that is the lr that is worst on valid": _by_lr(
        lambda rows: rows.groupby("lr")["valid"].mean().idxmin(), _test
    ),
    "that is always the smallest lr": _by_lr(lambda rows: rows["lr"].min(), _test),
    "that is always the largest lr": _by_lr(lambda rows: rows["lr"].max(), _test),
    "that is the lr, not the score at that lr": _each(_best("valid")),
    "that is in percent; keep the table's unit": lambda table: {
        method: 100 * score for method, score in _RIGHT(table).items()
    },
}

# Drawn so that every one of these faults differs from the right answer and from the other faults.
TABLES = [
    Case((_table(_FIRST, 4, draw=54, lost=6),), "the first table"),
    Case((_table(_SECOND, 3, draw=96, lost=9),), "the second table"),
]


def _same(got: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return all(abs(got[method] - value) < 1e-3 for method, value in wanted.items())


def _scores(answer: Any, table: pd.DataFrame) -> Scores:
    """The learner's answer as a dict, for exactly the table's methods; words if it is not that."""
    methods = sorted(table["method"].unique())
    if not hasattr(answer, "keys"):
        raise Wrong(f"the answer must be a dict {{method: mean test accuracy}}, got {kind(answer)}")
    found = dict(answer)
    if missing := [method for method in methods if method not in found]:
        raise Wrong(
            f"the answer must have an entry for every method, got none for {missing[0]!r}; its keys are {list(found)[:5]}"
        )
    if more := [key for key in found if key not in methods]:
        raise Wrong(
            f"the answer must have the table's methods as its keys, got {more[0]!r} as well"
        )
    for method, value in found.items():
        try:
            found[method] = float(value)
        except (TypeError, ValueError):
            raise Wrong(f"the entry for {method!r} must be one number, got {kind(value)}") from None
    return found


@exercise(
    "Compare at each method's best learning rate",
    difficulty=3,
    minutes=12,
    hints=[
        "Two questions, one after the other: which lr would you use for this method? And how good is it then? Only one may look at test.",
        "Which lr: take the mean of valid over the seeds, for each method and lr, and the best lr of each method.",
        "`means = table.groupby(['method', 'lr'])[['valid', 'test']].mean()` holds all you need; `idxmax` of valid finds a method's row.",
    ],
    solution="""
def tuned(table):
    means = table.groupby(["method", "lr"])[["valid", "test"]].mean()
    best = means.groupby("method")["valid"].idxmax()
    return {method: means.loc[row, "test"] for method, row in best.items()}
""",
)
def tuned(yours: Any) -> str:
    """`yours(table)` is {method: mean test accuracy at the lr whose mean over the seeds is best on valid}."""
    yours = as_function(yours, "table")
    answers = [_scores(call(yours, "table", *case.given), *case.given) for case in TABLES]
    why = diagnose(answers, TABLES, _FAULTS, _same)
    for case, got in zip(TABLES, answers, strict=True):
        for method, value in _RIGHT(*case.given).items():
            if not abs(got[method] - value) < 1e-3:
                raise Wrong(
                    f"in {case.words} the entry for {method!r} must be {value:.3f}, yours is {got[method]:.3f}{why}"
                )
    table = TABLES[0].given[0]
    gain = 100 * (_by_lr(_best("test"), _test)(table)["lora"] - _RIGHT(table)["lora"])
    return f"Every method got its own lr, and test chose nothing. Chosen on test, LoRA would have got {gain:.1f} points it has not earned."
