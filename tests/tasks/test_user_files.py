"""Tasks from files, folders and the hub, and the errors of data that cannot be used."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from ftkit.tasks.load import load_task

ROWS = [(f"sentence number {i}", "good" if i % 3 else "bad") for i in range(60)]


def csv(path: Path, rows: list[tuple[str, str]], header: str = "text,label") -> Path:
    path.write_text(
        "\n".join([header, *(f'"{text}",{label}' for text, label in rows)]) + "\n", encoding="utf8"
    )
    return path


def test_one_file_of_each_kind_is_the_same_task(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    csv(tmp_path / "a.csv", ROWS)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    tasks = [load_task(tmp_path / f"a.{kind}") for kind in ("csv", "parquet", "jsonl")]
    assert len({task.fingerprint for task in tasks}) == 1
    assert tasks[0].classes == ("bad", "good")
    assert [len(tasks[0].split(stage)) for stage in ("train", "valid", "test")] == [48, 6, 6]


def test_the_rows_that_are_split_off_are_stratified_seeded_and_noted(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", ROWS)
    task, again, other = load_task(path), load_task(path), load_task(path, seed=1)
    assert task.fingerprint == again.fingerprint != other.fingerprint
    assert Counter(task.test["label"]) == Counter({0: 2, 1: 4})
    assert task.notes[0] == "6 rows of a.csv were split off as test, stratified, with seed 0"
    texts = [text for stage in ("train", "valid", "test") for text in task.split(stage)["text"]]
    assert sorted(texts) == sorted(text for text, _ in ROWS)


def test_a_folder_keeps_its_own_splits_and_notes_what_it_lacks(tmp_path: Path) -> None:
    csv(tmp_path / "train.csv", ROWS)
    csv(tmp_path / "test.csv", ROWS[:9])
    task = load_task(tmp_path)
    assert task.test["text"][:] == [text for text, _ in ROWS[:9]]
    assert task.notes == (
        "9 of 9 rows of test.csv have a text that train.csv has too; they say little about new "
        "texts",
        "6 rows of train.csv were split off as valid, stratified, with seed 0",
    )


@pytest.mark.parametrize("name", ["validation", "valid", "dev"])
def test_validation_has_many_names(tmp_path: Path, name: str) -> None:
    for place, stem in enumerate(("train", name, "test")):
        csv(tmp_path / f"{stem}.csv", ROWS[20 * place : 20 * place + 20])
    assert load_task(tmp_path).notes == ()


@pytest.mark.parametrize(
    ("text", "label"),
    [("sentence", "category"), ("Review", "Sentiment"), ("question", "coarse_label")],
)
def test_usual_names_of_columns_are_guessed(tmp_path: Path, text: str, label: str) -> None:
    assert len(load_task(csv(tmp_path / "a.csv", ROWS, f"{text},{label}")).train) == 48


def test_columns_can_be_named_and_numbers_are_classes_in_order(tmp_path: Path) -> None:
    rows = [(f"text {i}", str(i % 12)) for i in range(60)]
    task = load_task(csv(tmp_path / "a.csv", rows, "left,right"), text="left", label="right")
    assert task.classes == tuple(str(i) for i in range(12))


def test_json_numbers_and_csv_numbers_are_the_same_classes(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {i}", "label": i % 2}) for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert load_task(tmp_path / "a.jsonl").classes == ("0", "1")


def write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


GOOD = "text,label\n" + "a b,x\nc d,y\n" * 10
BAD = {
    "missing label": (
        "train.csv",
        GOOD + "e f,\n",
        "row 21 of train.csv has no label; every row needs a text and a label",
    ),
    "empty text": (
        "train.csv",
        "text,label\na,x\n,y\n",
        "row 2 of train.csv has no text; every row needs a text and a label",
    ),
    "blank text": ("train.csv", 'text,label\na,x\n"  ",y\n', "row 2 of train.csv has no text"),
    "one class": (
        "train.csv",
        "text,label\na,x\nb,x\n",
        "two classes or more, got only 'x' in train.csv",
    ),
    "undecodable": (
        "train.csv",
        b"text,label\na,x\nb\xff,y\n",
        "line 3 of train.csv must be UTF-8, got byte 0xff",
    ),
    "no rows": ("train.csv", "text,label\n", "train.csv has no rows"),
    "empty file": ("train.csv", "", "train.csv has no rows"),
    "no label column": (
        "train.csv",
        "text,colour\na,x\n",
        "train.csv must have a label column .* got the columns text, colour; name it with label=",
    ),
    "no text column": (
        "train.csv",
        "id,label\na,x\n",
        "train.csv must have a text column .* got the columns id, label; name it with text=",
    ),
    "ragged": (
        "train.csv",
        "text,label\na,x,z,w\nb,y\nc,d,e,f,g\n",
        "row 1 of train.csv must have 2 fields like its header, got 4: 'a,x,z,w'; put quotes",
    ),
    "bad json": (
        "train.jsonl",
        '{"text": "a", "label": "x"}\n{"text": \n',
        "line 2 of train.jsonl must be a JSON object",
    ),
    "json list": (
        "train.jsonl",
        '{"text": "a", "label": "x"}\n[1, 2]\n',
        "line 2 of train.jsonl must be a JSON object, got '\\[1, 2\\]'",
    ),
    "json null": (
        "train.jsonl",
        '{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n',
        "row 2 of train.jsonl has no label",
    ),
    "json missing key": (
        "train.jsonl",
        '{"text": "a", "label": "x"}\n{"text": "b"}\n',
        "row 2 of train.jsonl has no label",
    ),
    "no parquet": ("train.parquet", "hello", "train.parquet must be a Parquet file"),
    "unknown kind": (
        "train.xlsx",
        "hello",
        "a file must end in .csv, .tsv, .jsonl, .parquet, got train.xlsx",
    ),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named_by_file_and_row(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        load_task(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_label_that_train_does_not_have_is_named(tmp_path: Path) -> None:
    csv(tmp_path / "train.csv", ROWS)
    csv(tmp_path / "test.csv", [*ROWS[:4], ("new", "ugly")])
    with pytest.raises(
        ValueError, match="row 5 of test.csv has the label 'ugly', which train does not have"
    ):
        load_task(tmp_path)


def test_a_column_that_is_asked_for_and_missing_is_named(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", ROWS)
    message = "a.csv must have a column 'verdict', got the columns text, label; name it with label="
    with pytest.raises(ValueError, match=message):
        load_task(path, label="verdict")


def test_a_folder_without_train_lists_what_it_has(tmp_path: Path) -> None:
    csv(tmp_path / "other.csv", ROWS)
    with pytest.raises(
        ValueError,
        match="a folder must hold train.csv, train.tsv, .* or train.parquet, got other.csv",
    ):
        load_task(tmp_path)


def test_a_folder_of_two_kinds_is_refused(tmp_path: Path) -> None:
    csv(tmp_path / "train.csv", ROWS)
    (tmp_path / "test.jsonl").write_text('{"text": "a", "label": "good"}')
    with pytest.raises(
        ValueError, match=r"the files of a folder must be of one kind, got train.csv, test.jsonl"
    ):
        load_task(tmp_path)


def test_a_path_that_does_not_exist_says_so() -> None:
    with pytest.raises(ValueError, match="the file must exist, got nowhere.csv; check the path"):
        load_task("nowhere.csv")


def test_an_unreachable_dataset_names_the_way_out() -> None:
    message = (
        "got 'somebody/something' .* "
        "without a network, download it elsewhere and give the path of its CSV"
    )
    with pytest.raises(ValueError, match=message):
        load_task("somebody/something")
