import json
from pathlib import Path

import pytest
from helpers.nets import SENTENCES, net

from ftkit.__main__ import main
from ftkit.cli.run_arms import Setting, with_head
from ftkit.cli.run_techniques import Distilled
from ftkit.model.base import load_base
from ftkit.tasks.load import load_task
from ftkit.techniques.freeze import Only

ARGUMENTS = ["run", "--base", "mini", "--steps", "3", "--size", "4"]


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
def test_run_prints_the_technique_beside_full_and_frozen(
    file: Path, technique: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ARGUMENTS, "--task", str(file), "--seeds", "2", "--technique", *technique]) == 0
    said = capsys.readouterr().out
    assert "6 rows of a.csv were split off as test" in said
    assert "full fine-tuning" in said
    assert "frozen body" in said
    assert "test accuracy, %" in said


@pytest.mark.parametrize(
    ("where", "trained"), [("body.*", 2), ("body.*, heads.*", 1), ("heads.*", 1)]
)
def test_the_head_trains_beside_a_space_that_leaves_it_out(where: str, trained: int) -> None:
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
    tasks = [
        "--base",
        "mini-vit",
        "--task",
        "digits",
        "--beside",
        "digits-parity",
        "--examples",
        "50",
    ]
    assert (
        main(
            [
                "run",
                *tasks,
                "--steps",
                "2",
                "--size",
                "4",
                "--seeds",
                "1",
                "--technique",
                *technique,
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert " of digits, digits-parity" in said
    assert "full fine-tuning" in said


def test_a_student_is_compared_with_itself_without_a_teacher(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = [
        "--task",
        str(file),
        "--seeds",
        "1",
        "--examples",
        "20",
        "--technique",
        "distillation",
        "--json",
        str(out),
    ]
    assert main([*ARGUMENTS, *options]) == 0
    runs = json.loads(out.read_text())["runs"]
    assert [run["arm"] for run in runs][:2] == [
        "Distillation(temperature=4, weight=0.5) into blocks 0, 2 of 3",
        "blocks 0, 2 of 3, the labels alone",
    ]
    assert runs[0]["trainable"] == runs[1]["trainable"] < runs[2]["trainable"]


def test_a_student_is_taught_on_all_inputs_and_knows_the_labels_of_the_examples(file: Path) -> None:
    task = load_task(file)
    setting = Setting(
        load_base("mini", task), (task,), examples=20, lr=1e-3, full_lr=1e-3, steps=1, size=4
    )
    _, transfer, _ = Distilled().arms(setting)[0].slots(0)
    labels = transfer.labels("train")
    assert len(labels) == len(task.train)
    assert int((labels >= 0).sum()) == 20


def test_run_reads_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "run",
                "--base",
                "mini-vit",
                "--task",
                "digits",
                "--steps",
                "2",
                "--seeds",
                "1",
                "--examples",
                "50",
            ]
        )
        == 0
    )
    assert "LoRA(rank=8" in capsys.readouterr().out


def test_the_json_file_holds_every_run(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main([*ARGUMENTS, "--task", str(file), "--seeds", "2", "--json", str(out)]) == 0
    whole = json.loads(out.read_text())
    assert [(run["arm"][:4], run["seed"]) for run in whole["runs"]] == [
        (arm, seed) for arm in ("LoRA", "full", "froz") for seed in (0, 1)
    ]
    assert whole["settings"]["steps"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "out.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--technique", "lora", "--rank", "0"], "rank must be at least 1, got 0"),
        (["--technique", "lora", "--rank", "many"], "--rank must be a number, got 'many'"),
        (
            ["--technique", "bitfit", "--rank", "2"],
            "--rank must be an option of bitfit, whose options are where",
        ),
        (["--technique", "lastblocks"], "--count must be given for lastblocks"),
        (["--technique", "lora", "--where", "nothing.*"], "no weight fits 'nothing.*'"),
        (["--technique", "pcgrad"], "--beside must be given for pcgrad"),
        (
            ["--technique", "distillation", "--blocks", "first"],
            "--blocks must be numbers with commas between, got 'first'",
        ),
        (["--technique", "distillation", "--blocks", "7"], "blocks must be some of 0 to 2"),
        (
            ["--technique", "mixture", "--beside", "docs", "--shares", "1"],
            "there must be one share for each task, got 1 for 2",
        ),
        (
            ["--technique", "weighted", "--beside", "docs", "--weights", "1"],
            "there must be one weight for each task, got 1 for 2",
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
    assert main([*ARGUMENTS, "--task", str(file), *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("ftkit: ")
    assert message in said[-1]
    assert not any("Traceback" in line for line in said)


def test_a_loss_that_is_no_number_is_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        *ARGUMENTS,
        "--task",
        str(file),
        "--technique",
        "only",
        "--lr",
        "1e30",
        "--seeds",
        "1",
    ]
    assert main(arguments) == 2
    assert "try a smaller lr than 1e+30" in capsys.readouterr().err
