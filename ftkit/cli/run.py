"""`ftkit run`: one technique on one task, compared with full fine-tuning and the frozen body."""

import argparse
import dataclasses
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from ftkit.cli.arguments import names, number, whole, whole_numbers
from ftkit.cli.run_arms import Arm, Setting, arms
from ftkit.cli.run_techniques import (
    Option,
    Technique,
    found,
    is_space,
    needs,
    options,
    summary,
)
from ftkit.model.base import load_base
from ftkit.stats.paired import interval
from ftkit.storage import write_json
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.training.cost import Cost, measure
from ftkit.training.loop import evaluate, train

USUAL = "lora"
"""The technique that runs if none is named."""


def add_techniques(parser: argparse.ArgumentParser) -> None:
    """Add a command for each technique, with the options of its class and those of every run."""
    parser.epilog = (
        "`%(prog)s lora --help` lists the options of a technique. "
        f"Without a technique, {USUAL} runs. `%(prog)s --technique lora` works too."
    )
    commands = parser.add_subparsers(
        dest="technique", required=True, metavar="technique", title="techniques"
    )
    for name, kind in sorted(found().items()):
        text = summary(kind).replace("%", "%%")
        command = commands.add_parser(name, help=text, description=text)
        _add_options(command, kind)
        _add_run_options(command)


def _add_options(parser: argparse.ArgumentParser, kind: type[Any]) -> None:
    """Add the options of a technique: those of its class, and those for what it needs."""
    group = parser.add_argument_group(f"options of {kind.__name__}")
    for option in options(kind):
        required = option.default is inspect.Parameter.empty
        default = "" if required or option.default == () else f" (default: {option.default})"
        group.add_argument(
            _flag(kind, option),
            type=option.convert,
            required=required,
            default=None if required else option.default,
            help=(option.help + default).replace("%", "%%"),
        )
    if "tasks" in needs(kind):
        group.add_argument(
            "--beside",
            type=names,
            required=True,
            help="the other tasks, as in --task, with commas between them",
        )
    if "teacher" in needs(kind):
        group.add_argument(
            "--blocks",
            type=whole_numbers,
            default=(),
            help="the blocks that the student keeps, from 0, with commas between them; "
            "every second one if not given",
        )


def _flag(kind: type[Any], option: Option) -> str:
    """Return how an option is written: `--lr` of every run comes before a parameter `lr`."""
    of_every_run = option.parameter in RUN_OPTIONS
    return (
        f"--{kind.__name__.lower()}-{option.parameter}" if of_every_run else f"--{option.parameter}"
    )


RUN_OPTIONS: dict[str, dict[str, Any]] = {
    "base": {"default": "mini", "help": "mini, mini-vit, minilm, a folder, or a hub id"},
    "task": {
        "default": "docs",
        "help": "docs, digits or another of the kit's tasks, a CSV, JSONL or Parquet file, "
        "a folder, or a hub id",
    },
    "permute": {
        "type": number,
        "default": 0.0,
        "help": "docs: the share of the vocabulary that is permuted",
    },
    "text": {"help": "the column that holds the text"},
    "label": {"help": "the column that holds the label"},
    "lr": {"type": number, "default": 3e-3, "help": "peak learning rate of a space"},
    "full-lr": {
        "type": number,
        "help": "peak learning rate where all weights train; a tenth of --lr if not given",
    },
    "steps": {"type": whole, "default": 200, "help": "training steps"},
    "size": {"type": whole, "default": 16, "help": "examples a step"},
    "examples": {
        "type": whole,
        "help": "training examples, which each seed draws again; all if not given",
    },
    "seeds": {"type": whole, "default": 3, "help": "number of runs of each row"},
    "json": {"type": Path, "help": "write the settings and every result to this file"},
}
"""The options of every run, by name."""


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of every run")
    for name, how in RUN_OPTIONS.items():
        default = " (default: %(default)s)" if "default" in how else ""
        group.add_argument(f"--{name}", **{**how, "help": how["help"] + default})


def technique_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of `ftkit run` with the technique in front, where the parser wants it.

    The older form `--technique lora`, anywhere in the line, still works; without a technique,
    `USUAL` runs.

    Raises:
        ValueError: there is no technique of that name.

    >>> technique_first(["--steps", "3", "--technique", "bitfit"])
    ['bitfit', '--steps', '3']
    """
    rest = list(arguments)
    for place, argument in enumerate(rest):
        if argument == "--technique" and place + 1 < len(rest):
            return [_known(rest[place + 1]), *rest[:place], *rest[place + 2 :]]
        if argument.startswith("--technique="):
            return [_known(argument.partition("=")[2]), *rest[:place], *rest[place + 1 :]]
    if rest and not rest[0].startswith("-"):
        return [_known(rest[0]), *rest[1:]]
    asks_for_help = not {"-h", "--help"}.isdisjoint(rest)
    return rest if asks_for_help else [USUAL, *rest]


def _known(name: str) -> str:
    if name not in found():
        raise ValueError(
            f"the technique must be one of {', '.join(sorted(found()))}, got {name!r}; "
            "`ftkit run --help` describes them"
        )
    return name


def chosen(arguments: argparse.Namespace) -> Technique:
    """Return the technique that the command names, with the values of its options.

    Raises:
        ValueError: a space refuses a value.
    """
    kind = found()[arguments.technique]
    values = {}
    for option in options(kind):
        attribute = _flag(kind, option).removeprefix("--").replace("-", "_")
        values[option.parameter] = getattr(arguments, attribute)
    technique = Technique(kind, values)
    if is_space(kind):
        technique.make()  # a space checks its values: before anything is loaded
    return technique


def run(arguments: argparse.Namespace) -> None:
    """Train, print the table, and write the JSON file if one is asked for.

    Raises:
        ValueError: an option has a value that it must not have.
    """
    _check(arguments)
    technique = chosen(arguments)
    tasks = _tasks(arguments)
    base = load_base(arguments.base, *tasks)
    for task in tasks:
        print("\n".join([repr(task), *task.notes]))
    setting = Setting(
        base,
        tasks,
        arguments.examples,
        arguments.lr,
        arguments.lr / 10 if arguments.full_lr is None else arguments.full_lr,
        arguments.steps,
        arguments.size,
    )
    rows = arms(technique, setting, getattr(arguments, "blocks", ()))
    runs = _all_runs(rows, setting, arguments.seeds)
    table = pd.DataFrame(
        _summary(arm, [run for run in runs if run["arm"] == arm.name]) for arm in rows
    )
    print(table.to_string(index=False))
    if arguments.json:
        _write(arguments, tasks[0].fingerprint, runs)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {arguments.seeds}")
    if arguments.json and not arguments.json.parent.is_dir():
        raise ValueError(
            f"the folder of --json must exist, got {arguments.json.parent}; make it first"
        )


def _tasks(arguments: argparse.Namespace) -> tuple[Task, ...]:
    """Load the target task, and the other tasks if the technique needs several."""
    target = load_task(
        arguments.task, permute=arguments.permute, text=arguments.text, label=arguments.label
    )
    others = [
        load_task(name, permute=arguments.permute) for name in getattr(arguments, "beside", ())
    ]
    return (target, *others)


def _all_runs(rows: Sequence[Arm], setting: Setting, seeds: int) -> list[dict[str, Any]]:
    """Train every row of the comparison with every seed, under a progress bar."""
    steps = len(rows) * seeds * setting.steps
    with tqdm(total=steps, unit="step", desc="training") as bar:
        return [_one_run(arm, setting, seed, bar.update) for arm in rows for seed in range(seeds)]


def _one_run(arm: Arm, setting: Setting, seed: int, tick: Callable[[int], Any]) -> dict[str, Any]:
    """Train one row with one seed; `tick(1)` is called after each step.

    The seed decides the training examples, their order, the head, and the starting values of the
    change.
    """
    model, data, objective = arm.slots(seed)
    start = time.perf_counter()
    events = train(
        model,
        data,
        steps=setting.steps,
        lr=arm.lr,
        size=setting.size,
        objective=objective,
        seed=seed,
        validations=0,
    )
    losses = []
    for event in events:
        losses.append(event.values["train/loss"])
        tick(1)
    seconds = time.perf_counter() - start
    test = evaluate(model, data, "test")
    # The cost comes last: an objective may learn, and what it learns here is not part of the run.
    batch = next(data.batches(setting.size, torch.Generator().manual_seed(0)))
    cost = measure(model, batch, objective)
    return {
        "arm": arm.name,
        "lr": arm.lr,
        "seed": seed,
        "accuracy": test.accuracy,
        "loss": test.loss,
        "train_loss": losses[-1],
        "run_seconds": seconds,
        **dataclasses.asdict(cost),
    }


def _summary(arm: Arm, runs: list[dict[str, Any]]) -> dict[str, str]:
    """Return a line of the printed table: the mean over the seeds, and the cost of a step."""
    mean, low, high = interval([100 * run["accuracy"] for run in runs])
    has_interval = low == low  # one seed has none
    cost = Cost(**{field.name: runs[0][field.name] for field in dataclasses.fields(Cost)})
    return {
        "": arm.name,
        "lr": f"{arm.lr:g}",
        "test accuracy, %": f"{mean:.1f}" + (f" [{low:.1f}, {high:.1f}]" if has_interval else ""),
        "trainable": f"{cost.trainable:,}",
        "GFLOP/step": f"{cost.flops / 1e9:.3f}",
        "MB weights": f"{cost.weights / 1e6:.2f}",
        "gradients": f"{cost.gradients / 1e6:.2f}",
        "AdamW": f"{cost.optimizer / 1e6:.2f}",
        "activations": f"{cost.activations / 1e6:.2f}",
        "on disk": f"{cost.disk / 1e6:.3f}",
        "s/run": f"{sum(run['run_seconds'] for run in runs) / len(runs):.1f}",
    }


def _write(arguments: argparse.Namespace, fingerprint: str, runs: list[dict[str, Any]]) -> None:
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
    }
    whole_file = {
        "settings": settings,
        "fingerprint": fingerprint,
        "torch": torch.__version__,
        "runs": runs,
    }
    write_json(arguments.json, whole_file)
