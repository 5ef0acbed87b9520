"""Answers to the exercise on fair comparisons: wrong ones with words of the message, right ones."""

from typing import Any

import numpy as np


def wrong_tuned() -> dict[str, tuple[Any, str]]:
    def on_test(table: Any) -> Any:
        means = table.groupby(["method", "lr"])["test"].mean()
        return means.groupby("method").max().to_dict()

    def every_lr(table: Any) -> Any:
        return table.groupby("method")["test"].mean().to_dict()

    def one_lr(table: Any) -> Any:
        lr = table.groupby("lr")["valid"].mean().idxmax()
        return table[table.lr == lr].groupby("method")["test"].mean().to_dict()

    def lr_of_best_run(table: Any) -> Any:
        best = table.loc[table.groupby("method")["valid"].idxmax()].set_index("method")["lr"]
        return {
            m: table[(table.method == m) & (table.lr == lr)]["test"].mean()
            for m, lr in best.items()
        }

    def best_run(table: Any) -> Any:
        return (
            table.loc[table.groupby("method")["valid"].idxmax()]
            .set_index("method")["test"]
            .to_dict()
        )

    def best_test(table: Any) -> Any:
        return table.groupby("method")["test"].max().to_dict()

    def at_best(table: Any, column: str, by: str, first: str = "mean") -> Any:
        means = table.groupby(["method", "lr"])["valid"].agg(first)
        read = table.groupby(["method", "lr"])[column].agg(by)
        return {m: read[key] for m, key in means.groupby("method").idxmax().items()}

    def seed_by_seed(table: Any) -> Any:
        return (
            table.loc[table.groupby(["method", "seed"])["valid"].idxmax()]
            .groupby("method")["test"]
            .mean()
            .to_dict()
        )

    def percent(table: Any) -> Any:
        return {m: 100 * v for m, v in at_best(table, "test", "mean").items()}

    def adds_column(table: Any) -> Any:
        table["key"] = table["method"] + table["lr"].astype(str)
        return at_best(table, "test", "mean")

    def data_frame(table: Any) -> Any:
        return table.groupby("method")[["valid", "test"]].mean()

    def only_lora(table: Any) -> Any:
        return {"lora": at_best(table, "test", "mean")["lora"]}

    def forgets_methods(table: Any) -> Any:
        return table.groupby("lr")["test"].mean().to_dict()

    return {
        "chosen on test": (on_test, "choosing the lr on test"),
        "mean of all lrs": (every_lr, "mean over all learning rates"),
        "one lr for all": (one_lr, "one lr for all methods"),
        "lr of the best run": (lr_of_best_run, "the lr of the single best run on valid"),
        "score of the best run": (best_run, "the test score of the single best run"),
        "best test score": (best_test, "the best test score of all runs"),
        "best seed": (lambda t: at_best(t, "test", "max"), "the best test score at the right lr"),
        "median": (lambda t: at_best(t, "test", "median"), "the median over the seeds"),
        "valid score": (
            lambda t: at_best(t, "valid", "mean"),
            "the mean on valid, which is optimistic",
        ),
        "lr for every seed": (seed_by_seed, "a new lr for every seed"),
        "sum of the seeds": (lambda t: at_best(t, "test", "mean", "sum"), "adds up the seeds"),
        "worst lr": (
            lambda t: at_best(t.assign(valid=-t["valid"]), "test", "mean"),
            "the lr that is worst on valid",
        ),
        "the lr": (lambda t: at_best(t, "lr", "mean"), "that is the lr, not the score"),
        "percent": (percent, "that is in percent"),
        "spread of the seeds": (
            lambda t: at_best(t, "test", "std"),
            "In the first table the entry for 'frozen head' must be",
        ),
        "rounded to points": (
            lambda t: {m: round(v, 2) for m, v in at_best(t, "test", "mean").items()},
            "the entry for 'frozen head' must be 0.463, yours is 0.460",
        ),
        "one number": (
            lambda t: t["test"].mean(),
            "must be a dict {method: mean test accuracy}, got a",
        ),
        "a data frame": (data_frame, "must have an entry for every method"),
        "lora alone": (
            only_lora,
            "must have an entry for every method, got none for 'frozen head'",
        ),
        "lrs as keys": (
            forgets_methods,
            "got none for 'frozen head'; its keys are [0.0001, 0.001, 0.01]",
        ),
        "a whole column": (
            lambda t: {m: rows["test"] for m, rows in t.groupby("method")},
            "must be one number, got a pandas.Series",
        ),
        "writes into the table": (
            adds_column,
            "writes into `table`, which belongs to the caller; "
            "make a new one instead (`table.assign(",
        ),
    }


def right_tuned() -> dict[str, Any]:
    def by_hand(table: Any) -> dict[str, float]:
        found = {}
        for method in table["method"].unique():
            rows = table[table["method"] == method]
            lr = max(rows["lr"].unique(), key=lambda lr: rows[rows["lr"] == lr]["valid"].mean())
            found[method] = round(float(rows[rows["lr"] == lr]["test"].mean()), 4)
        return found

    def pivot(table: Any) -> Any:
        valid = table.pivot_table(index="method", columns="lr", values="valid")
        test = table.pivot_table(index="method", columns="lr", values="test")
        return {m: test.loc[m, lr] for m, lr in valid.idxmax(axis=1).items()}

    def plain_python(table: Any) -> dict[str, float]:
        runs: dict[Any, list[Any]] = {}
        for row in table.itertuples():
            runs.setdefault((row.method, row.lr), []).append((row.valid, row.test))
        means = {key: np.mean(pairs, axis=0) for key, pairs in runs.items()}
        return {
            m: max((v for key, v in means.items() if key[0] == m), key=lambda pair: pair[0])[1]
            for m in {key[0] for key in means}
        }

    def series(table: Any) -> Any:
        means = table.groupby(["method", "lr"], as_index=False)[["valid", "test"]].mean()
        return (
            means.sort_values("valid")
            .drop_duplicates("method", keep="last")
            .set_index("method")["test"]
        )

    return {
        "a loop": by_hand,
        "pivot tables": pivot,
        "plain Python": plain_python,
        "a Series": series,
    }
