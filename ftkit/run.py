"""`ftkit run`: one technique on one task, beside full fine-tuning and the frozen head."""

import argparse
import dataclasses
import importlib
import inspect
import pkgutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from ftkit import techniques
from ftkit.adapted import Adapted, Space
from ftkit.bases import Net, load_base
from ftkit.cost import Cost, measure
from ftkit.data import Task, load_task
from ftkit.record import write_json
from ftkit.stats import interval
from ftkit.techniques.freeze import Only
from ftkit.training import HEAD_LR, evaluate, train

HEAD = Only("heads.*")


def spaces() -> dict[str, type[Any]]:
    """Every space that a file of `ftkit.techniques` defines, by its lower-case name."""
    modules = (importlib.import_module(f"ftkit.techniques.{found.name}") for found in pkgutil.iter_modules(techniques.__path__))
    classes = (c for module in modules for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__)
    return {c.__name__.lower(): c for c in classes if dataclasses.is_dataclass(c) and hasattr(c, "changes")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ftkit run`; those of a technique are the fields of its class."""
    parser.add_argument("--base", default="mini", help="mini, mini-vit, minilm, a folder, or a hub id")
    parser.add_argument("--task", default="docs", help="docs, digits, digits-as-text, a CSV, JSONL or Parquet file, a folder, or a hub id")
    parser.add_argument("--permute", type=float, default=0.0, help="docs: the share of the vocabulary that is permuted")
    parser.add_argument("--text", help="the column that holds the text")
    parser.add_argument("--label", help="the column that holds the label")
    parser.add_argument("--technique", default="lora", choices=sorted(spaces()), help="what trains")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate of the technique")
    parser.add_argument("--full-lr", type=float, help="peak learning rate of full fine-tuning; a tenth of --lr if not given")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=16, help="examples a step")
    parser.add_argument("--examples", type=int, help="training examples, drawn anew by each seed; all if not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write settings and every figure to this file")
    fields = {field.name for space in spaces().values() for field in dataclasses.fields(space)}
    for field in sorted(fields):
        parser.add_argument(f"--{field}", help=f"of the technique, see its class ({_owners(field)})")


def _owners(field: str) -> str:
    return ", ".join(name for name, space in spaces().items() if field in {f.name for f in dataclasses.fields(space)})


def build_space(options: argparse.Namespace) -> Space:
    """The space that the options name.

    Raises:
        ValueError: an option that this technique does not have, or a value that is no number where one is due.
    """
    chosen = spaces()[options.technique]
    fields = {field.name: field for field in dataclasses.fields(chosen)}
    every = {field.name for space in spaces().values() for field in dataclasses.fields(space)}
    given = {name: getattr(options, name) for name in every if getattr(options, name) is not None}
    if foreign := [name for name in given if name not in fields]:
        raise ValueError(f"--{foreign[0]} must be an option of {options.technique}, whose options are {', '.join(fields)}; leave it out")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in given]
    if missing:
        raise ValueError(f"--{missing[0]} must be given for {options.technique}; see {chosen.__name__}")
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


@dataclasses.dataclass(frozen=True)
class Arm:
    """One row of the comparison: a name, the spaces it may move in, and its learning rate."""

    name: str
    spaces: tuple[Space, ...]
    lr: float


def with_head(space: Space, base: Net) -> tuple[Space, ...]:
    """The space, and the head beside it unless the space moves a head already."""
    return (space,) if any(name.startswith("heads.") for name in space.changes(base)) else (space, HEAD)


def run(options: argparse.Namespace) -> None:
    """Trains, prints the table, and writes the JSON file if one was asked for."""
    if options.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {options.seeds}")
    if options.json and not options.json.parent.is_dir():
        raise ValueError(f"the folder of --json must exist, got {options.json.parent}; make it first")
    space = build_space(options)
    task = load_task(options.task, permute=options.permute, text=options.text, label=options.label)
    base = load_base(options.base, task)
    for line in (repr(task), *task.notes):
        print(line)
    arms = [
        Arm(str(space), with_head(space, base), options.lr),
        Arm("full fine-tuning", (), options.lr / 10 if options.full_lr is None else options.full_lr),
        Arm("frozen body", (HEAD,), HEAD_LR),
    ]
    rows = []
    with tqdm(total=len(arms) * options.seeds * options.steps, unit="step", desc="training") as bar:
        for arm in arms:
            rows += [_one(arm, base, task, options, seed, bar.update) for seed in range(options.seeds)]
    summary = pd.DataFrame(_summary(arm, [row for row in rows if row["arm"] == arm.name]) for arm in arms)
    print(summary.to_string(index=False))
    if options.json:
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if not callable(v)}
        whole = {"settings": settings, "fingerprint": task.fingerprint, "torch": torch.__version__, "runs": rows}
        write_json(options.json, whole)


def _one(arm: Arm, base: Net, task: Task, options: argparse.Namespace, seed: int, tick: Callable[[int], Any]) -> dict[str, Any]:
    """One run: a seed decides the training examples, their order, the head and the change's starting values together."""
    data = task.take(options.examples, seed) if options.examples else task
    model = Adapted(base.fresh_heads(seed), *(_seeded(space, seed) for space in arm.spaces), seed=seed)
    start = time.perf_counter()
    events = train(model, data, steps=options.steps, lr=arm.lr, size=options.size, seed=seed, readings=0)
    losses = [(event.values["train/loss"], tick(1))[0] for event in events]
    seconds = time.perf_counter() - start
    test = evaluate(model, data, "test")
    batch = next(data.batches(options.size, torch.Generator().manual_seed(0)))
    cost = dataclasses.asdict(measure(model, batch))
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


def _seeded(space: Any, seed: int) -> Any:
    """The space with this seed, if it draws something of its own, such as a mask."""
    return dataclasses.replace(space, seed=seed) if hasattr(space, "seed") else space


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
