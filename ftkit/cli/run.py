"""`ftkit run`: one technique on one task, compared with full fine-tuning and the frozen body."""

import argparse
import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from ftkit.cli.arguments import learning_rate, names, number, printable, whole, whole_numbers
from ftkit.cli.run_arms import Arm, Setting, own_arms, references
from ftkit.cli.run_rates import Rate, choose_rate, one_run
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
from ftkit.storage import check_writable, write_json
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.training.cost import Cost

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
    "text": {
        "nargs": "+",
        "help": "the column that holds the text, or several whose texts are joined",
    },
    "label": {"help": "the column that holds the label"},
    "sep": {"help": "the character between the fields of a file, such as ; or tab"},
    "columns": {"nargs": "+", "help": "the names of all columns of a file without a header line"},
    "lr": {
        "type": learning_rate,
        "help": "peak learning rate of the technique; auto: the best on valid (default: auto)",
    },
    "full-lr": {
        "type": learning_rate,
        "help": "peak learning rate of full fine-tuning; auto: the best on valid (default: auto)",
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
        print(printable("\n".join([repr(task), *task.notes, *base.notes(task)])))
    setting = Setting(base, tasks, arguments.examples, arguments.steps, arguments.size)
    rates = _rates(technique, setting, arguments)
    for arm, rate in rates.items():
        print(printable(f"{arm.name}: {rate}"))
    runs = _all_runs(rates, setting, arguments.seeds)
    table = pd.DataFrame(
        _summary(arm, rate, [run for run in runs if run["arm"] == arm.name])
        for arm, rate in rates.items()
    )
    print(table.to_string(index=False))
    if arguments.json:
        _write(arguments, tasks[0].fingerprint, rates, runs)


def _rates(
    technique: Technique, setting: Setting, arguments: argparse.Namespace
) -> dict[Arm, Rate]:
    """Choose the learning rate of each row on valid, unless it is given; own rows come first."""
    full, frozen = references(setting)
    with tqdm(unit="step", desc="choosing learning rates") as bar:

        def rate(arm: Arm, given: float | None) -> Rate:
            return choose_rate(arm, setting, bar.update) if given is None else Rate(given)

        of_full = rate(full, arguments.full_lr)
        own = own_arms(technique, setting, of_full.lr, getattr(arguments, "blocks", ()))
        return {
            **{arm: rate(arm, arguments.lr) for arm in own},
            full: of_full,
            frozen: rate(frozen, None),
        }


def _check(arguments: argparse.Namespace) -> None:
    if arguments.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {arguments.seeds}")
    if arguments.json:
        check_writable(arguments.json, "--json")


def _tasks(arguments: argparse.Namespace) -> tuple[Task, ...]:
    """Load the target task, and the other tasks if the technique needs several."""
    target = load_task(
        arguments.task,
        permute=arguments.permute,
        text=arguments.text,
        label=arguments.label,
        sep=arguments.sep,
        columns=arguments.columns,
    )
    others = [
        load_task(name, permute=arguments.permute) for name in getattr(arguments, "beside", ())
    ]
    return (target, *others)


def _all_runs(rates: dict[Arm, Rate], setting: Setting, seeds: int) -> list[dict[str, Any]]:
    """Train every row of the comparison with every seed, under a progress bar."""
    steps = len(rates) * seeds * setting.steps
    with tqdm(total=steps, unit="step", desc="training") as bar:
        return [
            one_run(arm, rate.lr, setting, seed, bar.update)
            for arm, rate in rates.items()
            for seed in range(seeds)
        ]


def _summary(arm: Arm, rate: Rate, runs: list[dict[str, Any]]) -> dict[str, str]:
    """Return a line of the printed table: the mean over the seeds, and the cost of a step."""
    mean, low, high = interval([100 * run["accuracy"] for run in runs])
    has_interval = low == low  # one seed has none
    cost = Cost(**{field.name: runs[0][field.name] for field in dataclasses.fields(Cost)})
    return {
        "": arm.name,
        "lr": f"{rate.lr:g}" if rate.tried else f"{rate.lr:g}, not tuned",
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


def _write(
    arguments: argparse.Namespace,
    fingerprint: str,
    rates: dict[Arm, Rate],
    runs: list[dict[str, Any]],
) -> None:
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
    }
    whole_file = {
        "settings": settings,
        "fingerprint": fingerprint,
        "torch": torch.__version__,
        "tried on valid": {arm.name: rate.tried for arm, rate in rates.items()},
        "runs": runs,
    }
    write_json(arguments.json, whole_file)
