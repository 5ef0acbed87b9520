"""`ftkit run`: what it prints, how it finds techniques, and what it says about mistakes."""

import importlib
import inspect
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.nets import SENTENCES, net

from ftkit import techniques
from ftkit.__main__ import main
from ftkit.cli import run_rates
from ftkit.cli.arguments import converter
from ftkit.cli.run import technique_first
from ftkit.cli.run_arms import Arm, Setting, own_arms, references, with_head
from ftkit.cli.run_rates import choose_rate
from ftkit.cli.run_techniques import Technique, found, options, summary
from ftkit.model.base import load_base
from ftkit.tasks.load import load_task
from ftkit.techniques.distillation import Distillation
from ftkit.techniques.freeze import Only
from ftkit.training.events import Diverged

SHORT = ["--base", "mini", "--steps", "3", "--size", "4"]
TWO_TASKS = ["--base", "mini-vit", "--task", "digits", "--beside", "digits-parity"]
TWO_TASKS += ["--examples", "50", "--steps", "2", "--size", "4", "--seeds", "1"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [f"{SENTENCES[i % 5]} {i},{'x' if i % 2 else 'y'}" for i in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    return tmp_path / "a.csv"


@pytest.mark.parametrize(
    "technique",
    [
        ["lora", "--rank", "2", "--alpha", "none"],
        ["bitfit"],
        ["lastblocks", "--count", "1"],
        ["only", "--where", "body.*, heads.*"],
        ["sparse", "--density", "0.05"],
        ["sparseeach", "--criterion", "largest"],
        ["rows"],
        ["distillation", "--blocks", "0,2", "--temperature", "2"],
    ],
)
def test_run_prints_the_technique_with_full_and_frozen(
    file: Path, technique: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *technique, *SHORT, "--task", str(file), "--seeds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "6 rows of a.csv were split off as test" in printed
    assert "full fine-tuning" in printed
    assert "frozen body" in printed
    assert "test accuracy, %" in printed


@pytest.mark.parametrize(
    ("where", "trained"), [("body.*", 2), ("body.*, heads.*", 1), ("heads.*", 1)]
)
def test_the_head_trains_next_to_a_space_that_leaves_it_out(where: str, trained: int) -> None:
    assert len(with_head(Only(where), net("mini"))) == trained


@pytest.mark.parametrize(
    "technique",
    [
        ["mixture", "--shares", "1,3"],
        ["weighted", "--weights", "1,0.5"],
        ["uncertainty"],
        ["pcgrad"],
        ["gradnorm", "--alpha", "1"],
    ],
)
def test_several_tasks_share_a_body(
    technique: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *technique, *TWO_TASKS]) == 0
    printed = capsys.readouterr().out
    assert " of digits, digits-parity" in printed
    assert "full fine-tuning" in printed


def results(path: Path) -> list[dict[str, Any]]:
    """The runs of a JSON file, without the times."""
    runs = json.loads(path.read_text())["runs"]
    return [{name: run[name] for name in run if "seconds" not in name} for run in runs]


@pytest.mark.parametrize(
    "technique",
    [
        ["lora", "--rank", "2", "--alpha", "none"],
        ["distillation", "--blocks", "0,2", "--temperature", "2"],
    ],
)
def test_the_older_form_gives_the_same_results(
    file: Path, tmp_path: Path, technique: list[str]
) -> None:
    name, *given = technique
    rest = [*given, *SHORT, "--task", str(file), "--seeds", "1", "--json"]
    lines = {
        "command": [name, *rest],
        "older": ["--technique", name, *rest],
        "last": [*rest, str(tmp_path / "last.json"), f"--technique={name}"],
    }
    for form, line in lines.items():
        end = [] if form == "last" else [str(tmp_path / f"{form}.json")]
        assert main(["run", *line, *end]) == 0
    assert results(tmp_path / "older.json") == results(tmp_path / "command.json")
    assert results(tmp_path / "last.json") == results(tmp_path / "command.json")


@pytest.mark.parametrize(
    ("line", "translated"),
    [
        ("lora --rank 4", "lora --rank 4"),
        ("--technique bitfit --lr 1", "bitfit --lr 1"),
        ("--lr 1 --technique=bitfit", "bitfit --lr 1"),
        ("--technique bitfit --help", "bitfit --help"),
        ("--steps 3", "lora --steps 3"),
        ("", "lora"),
        ("--help", "--help"),
    ],
)
def test_the_technique_comes_first(line: str, translated: str) -> None:
    assert technique_first(line.split()) == translated.split()


def test_a_student_is_compared_with_itself_without_a_teacher(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    rest = ["--task", str(file), "--seeds", "1", "--examples", "20", "--json", str(out)]
    assert main(["run", "distillation", *SHORT, *rest]) == 0
    runs = json.loads(out.read_text())["runs"]
    assert [run["arm"] for run in runs][:2] == [
        "Distillation(temperature=4, weight=0.5) into blocks 0, 2 of 3",
        "blocks 0, 2 of 3, the labels alone",
    ]
    assert runs[0]["trainable"] == runs[1]["trainable"] < runs[2]["trainable"]


def test_a_student_is_taught_on_all_inputs_and_knows_the_labels_of_the_examples(file: Path) -> None:
    task = load_task(file)
    setting = Setting(load_base("mini", task), (task,), examples=20, steps=1, size=4)
    _, transfer, _ = own_arms(Technique(Distillation, {}), setting, full_lr=1e-3)[0].slots(0)
    labels = transfer.labels("train")
    assert len(labels) == len(task.train)
    assert int((labels >= 0).sum()) == 20


def test_run_reads_images(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--base", "mini-vit", "--task", "digits", "--steps", "2", "--seeds", "1"]
    assert main(["run", *line, "--examples", "50"]) == 0
    assert "LoRA(rank=8" in capsys.readouterr().out


def test_the_json_file_holds_every_run(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["run", *SHORT, "--task", str(file), "--seeds", "2", "--json", str(out)]) == 0
    whole = json.loads(out.read_text())
    assert [(run["arm"][:4], run["seed"]) for run in whole["runs"]] == [
        (arm, seed) for arm in ("LoRA", "full", "froz") for seed in (0, 1)
    ]
    settings = whole["settings"]
    assert settings["steps"] == 3
    assert (settings["technique"], settings["rank"], settings["alpha"]) == ("lora", 8, 16.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "out.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--technique", "lora", "--rank", "0"], "rank must be at least 1, got 0"),
        (["--technique", "lora", "--rank", "many"], "--rank must be a whole number, got 'many'"),
        (["lora", "--alpha", "much"], "--alpha must be a number, got 'much'"),
        (
            ["--technique", "bitfit", "--rank", "2"],
            "every argument must be one that `ftkit run bitfit` has, got --rank 2",
        ),
        (["lora", "--seed", "3"], "got --seed 3; `ftkit run lora --help` lists them"),
        (["lor"], "the technique must be one of adalora, bitfit, "),
        (["--technique", "lor"], "got 'lor'; `ftkit run --help` describes them"),
        (["--technique", "lastblocks"], "--count must be given; `ftkit run lastblocks --help`"),
        (["--technique", "lora", "--where", "nothing.*"], "no weight fits 'nothing.*'"),
        (["--technique", "pcgrad"], "--beside must be given; `ftkit run pcgrad --help`"),
        (
            ["--technique", "distillation", "--blocks", "first"],
            "--blocks must be whole numbers with commas between them, got 'first'",
        ),
        (["--technique", "distillation", "--blocks", "7"], "blocks must be some of 0 to 2"),
        (
            ["--technique", "mixture", "--beside", "docs", "--shares", "1"],
            "--shares must have one number for each task, got 1 for 2 tasks",
        ),
        (
            ["--technique", "weighted", "--beside", "docs", "--weights", "1"],
            "--weights must have one number for each task, got 1 for 2 tasks",
        ),
        (["--seeds", "0"], "seeds must be at least 1, got 0"),
        (["--task", "nowhere.csv"], "the file must exist, got nowhere.csv"),
        (["--examples", "9999"], "count must be from 1 to 48"),
        (
            ["--json", "no/such/folder/out.json"],
            "the folder of --json must exist, got no/such/folder",
        ),
    ],
)
def test_mistakes_are_said_in_one_line(
    file: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [] if arguments[0].startswith("-") else arguments[:1]
    rest = arguments[len(named) :]
    assert main(["run", *named, *SHORT, "--task", str(file), *rest]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("ftkit: ")
    assert message in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_a_loss_that_is_not_a_number_is_said(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["only", *SHORT, "--task", str(file), "--lr", "1e30", "--seeds", "1"]
    assert main(["run", *line]) == 2
    assert "try a smaller lr than 1e+30" in capsys.readouterr().err


class TestLearningRates:
    def test_each_row_is_tuned_on_valid_unless_its_rate_is_given(
        self, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out.json"
        rest = ["--task", str(file), "--seeds", "1", "--lr", "3e-3", "--json", str(out)]
        assert main(["run", "lora", *SHORT, *rest]) == 0
        printed = capsys.readouterr().out
        assert "learning rate 0.003, given: not tuned" in printed
        assert "full fine-tuning: learning rate" in printed and "the best on valid" in printed
        lora, full, frozen = printed.splitlines()[-3:]
        assert "0.003, not tuned" in lora and "not tuned" not in full + frozen
        tried = json.loads(out.read_text())["tried on valid"]
        assert [len(rates) > 2 for rates in tried.values()] == [False, True, True]

    def test_a_rate_at_the_edge_is_tried_further_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        accuracy = {1e-3: 0.5, 3e-3: 0.6, 1e-2: 0.7, 3e-2: 0.9, 1e-1: 0.8}
        monkeypatch.setattr(run_rates, "_accuracy", lambda arm, lr, *rest: accuracy[lr])
        rate = choose_rate(Arm("x", (1e-3, 3e-3, 1e-2), print), None, print)  # type: ignore[arg-type]
        assert rate.lr == 3e-2 and rate.tried == accuracy

    def test_a_run_that_diverged_is_shown_and_never_chosen(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accuracy = {1e-3: 0.5, 3e-3: 0.6, 1e-2: float("nan")}
        monkeypatch.setattr(run_rates, "_accuracy", lambda arm, lr, *rest: accuracy[lr])
        rate = choose_rate(Arm("x", tuple(accuracy), print), None, print)  # type: ignore[arg-type]
        assert rate.lr == 3e-3 and "0.003 60.0%, 0.01 diverged" in str(rate)

    def test_a_row_that_always_diverges_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def diverges(*given: Any) -> float:
            given[-1].append(Diverged("the rows are odd"))
            return math.nan

        monkeypatch.setattr(run_rates, "_accuracy", diverges)
        message = "a run of x must keep a finite loss, got none .* the last said: the rows are odd"
        with pytest.raises(Diverged, match=message):
            choose_rate(Arm("x", (1e-3, 3e-3), print), None, print)  # type: ignore[arg-type]

    def test_a_real_run_that_diverges_counts_as_none(self, file: Path) -> None:
        task = load_task(file)
        setting = Setting(load_base("mini", task), (task,), examples=None, steps=3, size=4)
        full = replace(references(setting)[0], grid=(1e-3, 1e30, 3e30))
        rate = choose_rate(full, setting, lambda steps: None)
        assert math.isnan(rate.tried[1e30]) and rate.lr < 1

    @pytest.mark.parametrize("lr", ["0", "-1", "nan", "inf", "fast"])
    def test_a_rate_is_auto_or_above_0(
        self, file: Path, lr: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["run", "lora", *SHORT, "--task", str(file), "--lr", lr]) == 2
        assert "--lr must be" in capsys.readouterr().err


class TestOutput:
    def test_a_file_as_it_is_downloaded_runs(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = [f"{'ham' if i % 5 else 'spam'}\t{SENTENCES[i % 5]} {i}" for i in range(60)]
        (tmp_path / "SMSSpamCollection").write_text("\n".join(rows))
        line = [
            "run",
            "lora",
            *SHORT,
            "--seeds",
            "1",
            "--task",
            str(tmp_path / "SMSSpamCollection"),
        ]
        assert main(line) == 2
        assert "give sep= if it is a table of text" in capsys.readouterr().err
        assert main([*line, "--sep", "tab", "--columns", "label", "text"]) == 0

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_no_name_ends_the_command_or_reaches_the_terminal_raw(
        self, tmp_path: Path, encoding: str
    ) -> None:
        path = tmp_path / "d\u0119\u2603\x1b[31m.csv"
        path.write_text("text,wrong\na,b\n")
        command = [sys.executable, "-m", "ftkit", "run", "--task", str(path)]
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(command, env=environment, capture_output=True)
        assert done.returncode == 2 and b"must have a label column" in done.stderr
        assert b"\x1b" not in done.stderr + done.stdout and b"Traceback" not in done.stderr


def help_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_help_lists_the_techniques_and_the_options_of_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = help_of(["run"], capsys)
    for name in ("lora", "bitfit", "mixture", "weighted", "gradnorm", "distillation"):
        assert f" {name} " in listed
    assert "together" not in found() and "teacher" not in found(), "parts of other techniques"
    lora = help_of(["run", "lora"], capsys)
    assert "--rank RANK" in lora and "(default: 8)" in lora and "--steps STEPS" in lora
    assert "--density" not in lora and "--beside" not in lora and "--seed SEED" not in lora
    assert "--gradnorm-lr" in help_of(["run", "gradnorm"], capsys)
    assert "--blocks" in help_of(["run", "distillation"], capsys)


NEW_SPACE = '''
from dataclasses import dataclass
from ftkit.model.change import Dense

@dataclass(frozen=True)
class LastNorm:
    """Train the last parameters of the body whose name fits.

    Args:
        ending: the end of their names.
        count: how many of them.
    """

    ending: str = "weight"
    count: int = 1

    def changes(self, model):
        fits = {n: p for n, p in model.named_parameters() if n.startswith("body.")}
        last = [name for name in fits if name.endswith(self.ending)][-self.count:]
        return {name: Dense(fits[name]) for name in last}
'''
NEW_OBJECTIVES = '''
from dataclasses import dataclass
from torch.nn import functional as F
from ftkit.model.objective import supervised

@dataclass(frozen=True)
class Smoothed:
    """Soften the labels. A second sentence.

    Args:
        amount: from 0, which is supervised training,
            to 1.
    """

    amount: float = 0.0

    def __call__(self, model, batch):
        return {"labels": F.cross_entropy(model(batch), batch.labels, label_smoothing=self.amount)}

class Loudest:
    """Train the task with the largest loss."""

    needs = ("tasks",)

    def __call__(self, model, batch):
        losses = {part.task: supervised(model, part)["labels"] for part in batch}
        task = max(losses, key=losses.get)
        return {task: losses[task]}

class Helper:
    def __call__(self, batch):
        return batch
'''


@pytest.fixture
def new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two more files of techniques, in a folder of their own."""
    folder = tmp_path / "more_techniques"
    folder.mkdir()
    files = {"last_norm": NEW_SPACE, "new_objectives": NEW_OBJECTIVES}
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)
    monkeypatch.setattr(techniques, "__path__", [*techniques.__path__, str(folder)])
    importlib.invalidate_caches()
    yield
    for name in files:
        sys.modules.pop(f"ftkit.techniques.{name}", None)


@pytest.mark.usefixtures("new_files")
def test_a_new_file_of_techniques_is_found(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = help_of(["run"], capsys)
    assert "lastnorm Train the last parameters of the body whose name fits" in listed
    assert "smoothed Soften the labels" in listed and "A second sentence" not in listed
    assert "loudest Train the task with the largest loss" in listed
    assert "helper" not in listed
    described = help_of(["run", "smoothed"], capsys)
    assert "--amount AMOUNT from 0, which is supervised training, to 1. (default: 0.0)" in described
    out = tmp_path / "out.json"
    rest = [*SHORT, "--task", str(file), "--seeds", "1", "--json", str(out)]
    assert main(["run", "lastnorm", "--count", "2", *rest]) == 0
    assert "LastNorm(ending='weight', count=2)" in capsys.readouterr().out
    assert main(["run", "loudest", *TWO_TASKS]) == 0
    assert "Loudest of digits, digits-parity" in capsys.readouterr().out
    assert main(["run", "--technique", "smoothed", "--amount", "0", *rest]) == 0
    smoothed, full, _ = results(out)
    assert smoothed.pop("arm") == "Smoothed(amount=0)"
    assert full.pop("arm") == "full fine-tuning"
    assert smoothed == full, "without smoothing the objective is the supervised one"
    assert main(["run", "smoothed", "--amount", "0.5", *rest]) == 0
    assert results(out)[0]["train_loss"] != full["train_loss"]


def test_every_technique_is_described_and_its_options_too() -> None:
    for name, kind in found().items():
        assert summary(kind), name
        for option in options(kind):
            assert option.help, (name, option.parameter)
            annotation = inspect.signature(kind).parameters[option.parameter].annotation
            assert converter(annotation) is not None


def test_the_lab_does_not_import_torch() -> None:
    code = (
        "import sys; from ftkit.__main__ import main\n"
        "try: main(['lab', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "False"
