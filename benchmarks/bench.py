"""Measure every speed the kit promises, and compare it with its target.

This prints a table and writes benchmarks/results.json.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import front_ends, live, sweeping, techniques
from ftkit import Adapted, Batch, LoRA, Net, Only, Task, evaluate, load_base, load_task, train
from ftkit.experiments.step_time import in_turns, stepper
from ftkit.storage import check_writable, write_json
from ftkit.tasks import docs

HEAD = Only("heads.*")
RESULTS = Path(__file__).parent / "results.json"
LESSON = "from ftkit import Adapted, LoRA, Only, evaluate, load_base, load_task, train"


def batches(task: Task, count: int = 64) -> list[Batch]:
    """The first batches of 16 training rows."""
    stream = task.batches(16, torch.Generator().manual_seed(0))
    return [batch for batch, _ in zip(stream, range(count), strict=False)]


def with_peft(base: Net, rank: int) -> torch.nn.Module:
    """PEFT's LoRA on a copy of a base, on the same matrices as the kit's."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=16,
        target_modules=["query", "key", "value", "dense"],
        modules_to_save=list(base.heads),
    )
    return get_peft_model(deepcopy(base), config)


def step_ratios(name: str, task: Task, rounds: int) -> dict[str, float]:
    """The ratios of a LoRA step to PEFT's and to one of full fine-tuning, and the seconds."""
    base, some = load_base(name, task), batches(task)
    models = {
        "lora": Adapted(base, LoRA(rank=8), HEAD),
        "peft": with_peft(base, 8),
        "full": Adapted(base),
    }
    seconds = in_turns({key: stepper(model, some) for key, model in models.items()}, rounds)
    return {
        "lora / peft": seconds["lora"] / seconds["peft"],
        "lora / full": seconds["lora"] / seconds["full"],
        **seconds,
    }


def cached_head_ratio(task: Task) -> float:
    """The ratio of training a head on cached features to full fine-tuning."""
    base = load_base("mini", task)
    small = task.take(400)

    def run(*spaces: Any) -> Callable[[], object]:
        return lambda: list(train(Adapted(base, *spaces), small, steps=40, validations=0))

    seconds = in_turns({"head": run(HEAD), "full": run()}, rounds=5)
    return seconds["head"] / seconds["full"]


def our_job(task: Task) -> float:
    """Run 80 steps of 16 sentences of LoRA, rank 8, loading included; return the accuracy."""
    base = load_base("mini", task)
    model = Adapted(base, LoRA(rank=8), HEAD)
    for _ in train(model, task, steps=80, lr=3e-3, validations=0):
        pass
    return evaluate(model, task, "valid", rows=400).accuracy


def their_job(task: Task) -> float:
    """Run the same number of examples with Trainer and PEFT; return the accuracy.

    Both are at their defaults: batches of 8, padding, and LoRA of rank 8 on all linear layers.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )
    from transformers.utils import logging

    from ftkit.model.base import base_path

    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(base_path("mini"))
    model = AutoModelForSequenceClassification.from_pretrained(
        base_path("mini"), num_labels=len(task.classes)
    )
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="SEQ_CLS")
    model = get_peft_model(model, config)
    drop = [column for column in task.train.column_names if column != "label"]

    def tokens(rows: Any) -> Any:
        return tokenizer(rows["text"], truncation=True)

    def read(split: Any) -> Any:
        return split.map(tokens, batched=True, remove_columns=drop)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=160,
            learning_rate=3e-3,
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        )
        collate = DataCollatorWithPadding(tokenizer)
        trainer = Trainer(model, arguments, train_dataset=read(task.train), data_collator=collate)
        trainer.train()
        answers = trainer.predict(read(task.valid.select(range(400))))
    return float((answers.predictions.argmax(-1) == answers.label_ids).mean())


def job_ratio(task: Task) -> tuple[float, float, float]:
    """The ratio of the seconds of our job to theirs, and both accuracies."""
    accuracies: dict[str, float] = {}

    def run_ours() -> None:
        accuracies["ours"] = our_job(task)

    def run_theirs() -> None:
        accuracies["theirs"] = their_job(task)

    seconds = in_turns({"ours": run_ours, "theirs": run_theirs}, rounds=3)
    return seconds["ours"] / seconds["theirs"], accuracies["ours"], accuracies["theirs"]


def live_run(task: Task) -> float:
    """The seconds of the explorer's default run, with its validations.

    That is 80 steps of 16 sentences of LoRA, rank 4.
    """
    base, small = load_base("mini", task), task.take(2000)

    def run() -> object:
        return list(train(Adapted(base, LoRA(rank=4), HEAD), small, steps=80, lr=3e-3))

    return in_turns({"run": run}, rounds=5)["run"]


def yardstick() -> float:
    """The microseconds of a matrix product of mini's size: how fast this machine is."""
    left, right = torch.randn(480, 96), torch.randn(96, 96)
    return 1e6 * in_turns({"product": lambda: left @ right}, rounds=2000)["product"]


def import_seconds(line: str) -> float:
    """The seconds of an import `line` after `import torch`, in a new process each time."""
    code = (
        "import torch, time; start = time.perf_counter(); "
        f"{line}; print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    outputs = [subprocess.run(command, capture_output=True, text=True).stdout for _ in range(3)]
    return median(map(float, outputs))


def task_seconds() -> tuple[float, float]:
    """The seconds of `load_task("docs")` in this process: the first time, and from the cache."""
    previous = os.environ.get("FTKIT_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FTKIT_CACHE"] = folder
        times = []
        for _ in range(2):
            docs._sentences.cache_clear()
            start = time.perf_counter()
            load_task("docs")
            times.append(time.perf_counter() - start)
    if previous is None:
        del os.environ["FTKIT_CACHE"]
    else:
        os.environ["FTKIT_CACHE"] = previous
    return times[0], times[1]


def measure_all() -> list[dict[str, Any]]:
    """Run all benchmarks; return a row for each with name, value, target and unit."""
    task, other = load_task("docs"), load_task("docs-area")
    torch.set_num_threads(1)
    mini, minilm = step_ratios("mini", task, 60), step_ratios("minilm", task, 10)
    job, ours, theirs = job_ratio(task.take(2000))
    first, cached = task_seconds()
    head = cached_head_ratio(task)
    one_thread = live_run(task)
    product, explorers = yardstick(), live.rows()
    torch.set_num_threads(os.cpu_count() or 1)
    rows = [
        ("mini: LoRA step / PEFT's LoRA step", mini["lora / peft"], 1.0, "x"),
        ("minilm: LoRA step / PEFT's LoRA step", minilm["lora / peft"], 1.0, "x"),
        ("minilm: LoRA step / full step", minilm["lora / full"], 0.8, "x"),
        ("mini: LoRA step / full step", mini["lora / full"], None, "x"),
        ("mini: job of 1,280 examples / Trainer + PEFT", job, 0.5, "x"),
        ("mini: validation accuracy of that job, theirs - ours", theirs - ours, None, "share"),
        ("mini: head on cached features / full step", head, 0.05, "x"),
        ("this machine: (480, 96) @ (96, 96), one thread", product, None, "us"),
        ("mini: live run of 80 x 16, all cores", live_run(task), 2.0, "s"),
        ("mini: live run of 80 x 16, one thread", one_thread, None, "s"),
        ("import ftkit on top of import torch", import_seconds("import ftkit"), 0.2, "s"),
        ("the imports of lesson 00 on top of import torch", import_seconds(LESSON), None, "s"),
        ("load_task('docs'), first time", first, 20.0, "s"),
        ("load_task('docs'), cached", cached, 0.3, "s"),
        *explorers,
        *techniques.rows("mini", task, other, batches(task), steps=12),
        *techniques.rows("minilm", task, other, batches(task), steps=2),
        *sweeping.rows(),
        *front_ends.rows(),
    ]
    return [
        {
            "name": name,
            "value": round(value, 4),
            "target": target,
            "unit": unit,
            "better": "lower",
        }
        for name, value, target, unit in rows
    ]


def printed(row: dict[str, Any], width: int) -> str:
    """A row of the printed table, with its name padded to `width`."""
    target, verdict = row["target"], ""
    if target is None:
        target = "-"
    else:
        verdict = "met" if row["value"] <= target else "MISSED"
    value = f"{row['value']:>8.3f} {row['unit']:<6}"
    return f"{row['name']:<{width}} {value} target {target:<6} {verdict}"


def main() -> None:
    """Run all benchmarks, print their table, and write it."""
    check_writable(RESULTS)
    rows = measure_all()
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(printed(row, width))
    write_json(RESULTS, rows)


if __name__ == "__main__":
    main()
