"""`ftkit run`: one technique on one task, beside full fine-tuning and the frozen head."""

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from ftkit.cli.run_arms import Arm, Setting
from ftkit.cli.run_techniques import arms, found
from ftkit.model.base import load_base
from ftkit.stats.paired import interval
from ftkit.storage import write_json
from ftkit.tasks.load import load_task
from ftkit.training.cost import Cost, measure
from ftkit.training.loop import evaluate, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ftkit run`; those of a technique are the fields of its class."""
    parser.add_argument(
        "--base", default="mini", help="mini, mini-vit, minilm, a folder, or a hub id"
    )
    parser.add_argument(
        "--task",
        default="docs",
        help="docs, digits or another of the kit's tasks, a CSV, JSONL or Parquet file, a folder, or a hub id",
    )
    parser.add_argument(
        "--permute",
        type=float,
        default=0.0,
        help="docs: the share of the vocabulary that is permuted",
    )
    parser.add_argument("--text", help="the column that holds the text")
    parser.add_argument("--label", help="the column that holds the label")
    parser.add_argument("--technique", default="lora", choices=sorted(found()), help="what trains")
    parser.add_argument(
        "--lr", type=float, default=3e-3, help="peak learning rate of the technique's space"
    )
    parser.add_argument(
        "--full-lr",
        type=float,
        help="peak learning rate where all weights move; a tenth of --lr if not given",
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=16, help="examples a step")
    parser.add_argument(
        "--examples", type=int, help="training examples, drawn anew by each seed; all if not given"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write settings and every figure to this file")
    for field in sorted(
        {field.name for kind in found().values() for field in dataclasses.fields(kind)}
    ):
        parser.add_argument(
            f"--{field}", help=f"of the technique, see its class ({_owners(field)})"
        )


def _owners(field: str) -> str:
    return ", ".join(
        name
        for name, kind in found().items()
        if field in {f.name for f in dataclasses.fields(kind)}
    )


def build(options: argparse.Namespace) -> Any:
    """The technique that the options name.

    Raises:
        ValueError: an option that this technique does not have, or a value that is no number where one is due.
    """
    chosen = found()[options.technique]
    fields = {field.name: field for field in dataclasses.fields(chosen)}
    every = {field.name for kind in found().values() for field in dataclasses.fields(kind)}
    given = {name: getattr(options, name) for name in every if getattr(options, name) is not None}
    if foreign := [name for name in given if name not in fields]:
        raise ValueError(
            f"--{foreign[0]} must be an option of {options.technique}, whose options are {', '.join(fields)}; leave it out"
        )
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in given]
    if missing:
        raise ValueError(
            f"--{missing[0]} must be given for {options.technique}; see {chosen.__name__}"
        )
    return chosen(**{name: _value(name, fields[name].type, text) for name, text in given.items()})


def _value(name: str, kind: Any, text: str) -> Any:
    if "str" in str(kind):
        return text
    if text.lower() == "none" and "None" in str(kind):
        return None
    try:
        return int(text) if kind is int or str(kind) == "int" else float(text)
    except ValueError:
        raise ValueError(f"--{name} must be a number, got {text!r}") from None


def run(options: argparse.Namespace) -> None:
    """Trains, prints the table, and writes the JSON file if one was asked for."""
    if options.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {options.seeds}")
    if options.json and not options.json.parent.is_dir():
        raise ValueError(
            f"the folder of --json must exist, got {options.json.parent}; make it first"
        )
    technique = build(options)
    task = load_task(options.task, permute=options.permute, text=options.text, label=options.label)
    beside = [
        load_task(name.strip(), permute=options.permute)
        for name in (options.beside or "").split(",")
        if name
    ]
    base = load_base(options.base, task, *beside)
    for each in (task, *beside):
        for line in (repr(each), *each.notes):
            print(line)
    full_lr = options.lr / 10 if options.full_lr is None else options.full_lr
    compared = arms(
        technique,
        Setting(
            base,
            (task, *beside),
            options.examples,
            options.lr,
            full_lr,
            options.steps,
            options.size,
        ),
    )
    rows = []
    with tqdm(
        total=len(compared) * options.seeds * options.steps, unit="step", desc="training"
    ) as bar:
        for arm in compared:
            rows += [_one(arm, options, seed, bar.update) for seed in range(options.seeds)]
    summary = pd.DataFrame(
        _summary(arm, [row for row in rows if row["arm"] == arm.name]) for arm in compared
    )
    print(summary.to_string(index=False))
    if options.json:
        settings = {
            k: str(v) if isinstance(v, Path) else v
            for k, v in vars(options).items()
            if not callable(v)
        }
        whole = {
            "settings": settings,
            "fingerprint": task.fingerprint,
            "torch": torch.__version__,
            "runs": rows,
        }
        write_json(options.json, whole)


def _one(
    arm: Arm, options: argparse.Namespace, seed: int, tick: Callable[[int], Any]
) -> dict[str, Any]:
    """One run: a seed decides the training examples, their order, the head and the change's starting values together."""
    model, data, objective = arm.slots(seed)
    start = time.perf_counter()
    events = train(
        model,
        data,
        steps=options.steps,
        lr=arm.lr,
        size=options.size,
        objective=objective,
        seed=seed,
        validations=0,
    )
    losses = [(event.values["train/loss"], tick(1))[0] for event in events]
    seconds = time.perf_counter() - start
    test = evaluate(model, data, "test")
    # Last, since an objective may learn: what it learns here is no more the run's.
    cost = dataclasses.asdict(
        measure(
            model, next(data.batches(options.size, torch.Generator().manual_seed(0))), objective
        )
    )
    return {
        "arm": arm.name,
        "lr": arm.lr,
        "seed": seed,
        "accuracy": test.accuracy,
        "loss": test.loss,
        "train_loss": losses[-1],
    } | {
        "run_seconds": seconds,
        **cost,
    }


def _summary(arm: Arm, rows: list[dict[str, Any]]) -> dict[str, str]:
    mean, low, high = interval([100 * row["accuracy"] for row in rows])
    bill = Cost(**{field.name: rows[0][field.name] for field in dataclasses.fields(Cost)})
    return {
        "": arm.name,
        "lr": f"{arm.lr:g}",
        "test accuracy, %": f"{mean:.1f}" + (f" [{low:.1f}, {high:.1f}]" if low == low else ""),
        "trainable": f"{bill.trainable:,}",
        "GFLOP/step": f"{bill.flops / 1e9:.3f}",
        "MB weights": f"{bill.weights / 1e6:.2f}",
        "gradients": f"{bill.gradients / 1e6:.2f}",
        "AdamW": f"{bill.optimizer / 1e6:.2f}",
        "activations": f"{bill.activations / 1e6:.2f}",
        "on disk": f"{bill.disk / 1e6:.3f}",
        "s/run": f"{sum(row['run_seconds'] for row in rows) / len(rows):.1f}",
    }
