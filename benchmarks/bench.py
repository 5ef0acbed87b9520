"""Every speed the kit promises, against its target: prints a table and writes benchmarks/results.json."""

import json
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
from ftkit import Adapted, Batch, LoRA, Net, Only, Task, load_base, load_task, train
from ftkit.experiments.step_time import in_turns, stepper
from ftkit.tasks import docs

HEAD = Only("heads.*")
RESULTS = Path(__file__).parent / "results.json"
LESSON = "from ftkit import Adapted, LoRA, Only, evaluate, load_base, load_task, train"


def batches(task: Task, count: int = 64) -> list[Batch]:
    stream = task.batches(16, torch.Generator().manual_seed(0))
    return [batch for batch, _ in zip(stream, range(count), strict=False)]


def with_peft(base: Net, rank: int) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=16,
        target_modules=["query", "key", "value", "dense"],
        modules_to_save=list(base.heads),
    )
    return get_peft_model(deepcopy(base), config)


def step_ratios(name: str, task: Task, rounds: int) -> dict[str, float]:
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
    base = load_base("mini", task)
    small = task.take(400)

    def run(*spaces: Any) -> Callable[[], object]:
        return lambda: list(train(Adapted(base, *spaces), small, steps=40, validations=0))

    seconds = in_turns({"head": run(HEAD), "full": run()}, rounds=5)
    return seconds["head"] / seconds["full"]


def our_job(task: Task) -> float:
    """80 steps of 16 sentences of LoRA, rank 8, from loading to the last step; the accuracy on valid."""
    base = load_base("mini", task)
    model = Adapted(base, LoRA(rank=8), HEAD)
    for _ in train(model, task, steps=80, lr=3e-3, validations=0):
        pass
    from ftkit import evaluate

    return evaluate(model, task, "valid", rows=400).accuracy


def their_job(task: Task) -> float:
    """The same number of examples through Trainer and PEFT at their defaults (batches of 8, padding, all-linear LoRA, rank 8)."""
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
    model = get_peft_model(
        model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="SEQ_CLS")
    )
    drop = [column for column in task.train.column_names if column != "label"]

    def read(split: Any) -> Any:
        return split.map(
            lambda rows: tokenizer(rows["text"], truncation=True), batched=True, remove_columns=drop
        )

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
    accuracies: dict[str, float] = {}

    def keep(name: str, job: Callable[[Task], float]) -> Callable[[], object]:
        return lambda: accuracies.update({name: job(task)})

    seconds = in_turns(
        {"ours": keep("ours", our_job), "theirs": keep("theirs", their_job)}, rounds=3
    )
    return seconds["ours"] / seconds["theirs"], accuracies["ours"], accuracies["theirs"]


def live_run(task: Task) -> float:
    """Seconds of the explorer's default run: 80 steps of 16 sentences of LoRA, rank 4, with its readings of valid."""
    base, small = load_base("mini", task), task.take(2000)
    return in_turns(
        {"run": lambda: list(train(Adapted(base, LoRA(rank=4), HEAD), small, steps=80, lr=3e-3))},
        rounds=5,
    )["run"]


def yardstick() -> float:
    """Microseconds of a product of the size of mini's, on one thread: what the seconds below are to be read against."""
    left, right = torch.randn(480, 96), torch.randn(96, 96)
    return 1e6 * in_turns({"product": lambda: left @ right}, rounds=2000)["product"]


def import_seconds(line: str) -> float:
    """The import `line` on top of `import torch`, in a new process each time."""
    code = f"import torch, time; start = time.perf_counter(); {line}; print(time.perf_counter() - start)"
    return median(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
        for _ in range(3)
    )


def task_seconds() -> tuple[float, float]:
    """`load_task("docs")` for the first time, and from the cache, in this process."""
    kept = os.environ.get("FTKIT_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FTKIT_CACHE"] = folder
        times = []
        for _ in range(2):
            docs._sentences.cache_clear()
            start = time.perf_counter()
            load_task("docs")
            times.append(time.perf_counter() - start)
    if kept is None:
        del os.environ["FTKIT_CACHE"]
    else:
        os.environ["FTKIT_CACHE"] = kept
    return times[0], times[1]


def measure_all() -> list[dict[str, Any]]:
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
        ("mini: valid accuracy of that job, theirs - ours", theirs - ours, None, "share"),
        ("mini: head on cached features / full step", head, 0.05, "x"),
        ("this machine: (480, 96) @ (96, 96), one thread", product, None, "us"),
        ("mini: live run of 80 x 16, all cores", live_run(task), 2.0, "s"),
        ("mini: live run of 80 x 16, one thread", one_thread, None, "s"),
        ("import ftkit on top of import torch", import_seconds("import ftkit"), 0.2, "s"),
        ("the imports of lesson 00 on top of import torch", import_seconds(LESSON), None, "s"),
        ("load_task('docs'), first time", first, 20.0, "s"),
        ("load_task('docs'), cached", cached, 0.3, "s"),
        *explorers,
        *(
            row
            for name, steps in (("mini", 12), ("minilm", 2))
            for row in techniques.rows(name, task, other, batches(task), steps)
        ),
        *sweeping.rows(),
        *front_ends.rows(),
    ]
    return [
        {"name": n, "value": round(v, 4), "target": t, "unit": u, "better": "lower"}
        for n, v, t, u in rows
    ]


def main() -> None:
    rows = measure_all()
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        target = "-" if row["target"] is None else row["target"]
        verdict = (
            "" if row["target"] is None else "met" if row["value"] <= row["target"] else "MISSED"
        )
        print(
            f"{row['name']:<{width}} {row['value']:>8.3f} {row['unit']:<6} target {target:<6} {verdict}"
        )
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
