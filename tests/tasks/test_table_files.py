"""What files can hold, and what is said of it: each fault is tried as a kind, not as one case."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ftkit.tasks import user_files
from ftkit.tasks.load import load_task
from ftkit.tasks.task import STAGES, Task

GOOD = [f"text {i},{'ab'[i % 2]}" for i in range(40)]


def written(path: Path, *lines: str) -> Path:
    path.write_bytes("\n".join(lines).encode("utf8", "surrogatepass"))
    return path


def texts(task: Task) -> list[str]:
    return [text for stage in STAGES for text in task.split(stage)["text"]]


def noted(task: Task, words: str) -> bool:
    return any(words in note for note in task.notes)


WHOLE = {
    ".csv": "\n".join(["text,label", *GOOD]),
    ".tsv": "\n".join(row.replace(",", "\t") for row in ["text,label", *GOOD]),
    ".jsonl": "\n".join(
        json.dumps(dict(zip(("text", "label"), row.split(","), strict=True))) for row in GOOD
    ),
}
PARTS = (
    '"',
    ",",
    "\n",
    "\r",
    "\t",
    "{",
    "}",
    "[",
    ":",
    "null",
    "\x00",
    "\u2028",
    "\ufeff",
    "\ud800",
    "é",
    "",
)


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 3), st.sampled_from(PARTS)), max_size=4),
)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_a_damaged_file_is_read_or_refused_by_name(
    kind: str, damages: list[tuple[int, int, str]]
) -> None:
    content = WHOLE[kind]
    for place, lost, put in damages:
        content = content[:place] + put + content[place + lost :]
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / f"damaged{kind}", content)
        task, message = None, ""
        try:
            task = load_task(path)
        except ValueError as error:
            message = str(error)
    if task is None:
        assert f"damaged{kind}" in message or "must" in message
    else:
        assert len(task.classes) >= 2
        assert all(len(task.split(stage)) for stage in STAGES)


class TestFieldsOfATable:
    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            # A comma in every text: pandas would take the labels for an index.
            (["label,text", *(f"{'ab'[i % 2]},one, two {i}" for i in range(9))], "row 1 .* got 3"),
            (
                ["text,label", *GOOD[:4], "one, two,a", *GOOD[4:]],
                "row 5 of a.csv must have 2 field",
            ),
            (["text,label", *GOOD[:2], "text alone", *GOOD[2:]], "row 3 of a.csv .* got 1"),
            (["text,label", *GOOD, "last,a,"], "row 41 of a.csv must have 2 fields .* got 3"),
            (["text,label,text", *(f"{row},x" for row in GOOD)], "different names, got 'text' twi"),
            # A lone quote that opens a field swallows the rows up to the next quote.
            (["text,label", '"lone,a', *GOOD], "in line 2 of a.csv too, got '\"lone,a'"),
            (["text,label", *GOOD, '"lone,a'], "in line 42 of a.csv"),
            (["text,label", *GOOD[:3], '"lone,a', 'x "y",b', *GOOD], "line 5 of a.csv"),
            (["text,label", '"said "yes" today",a', *GOOD], "line 2 of a.csv"),
        ],
    )
    def test_rows_that_do_not_fit_are_named(
        self, tmp_path: Path, lines: list[str], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            load_task(written(tmp_path / "a.csv", *lines))

    def test_a_text_of_several_lines_is_one_row_and_noted(self, tmp_path: Path) -> None:
        task = load_task(written(tmp_path / "a.csv", "text,label", '"one\ntwo\nthree",a', *GOOD))
        assert "one\ntwo\nthree" in texts(task)
        assert noted(task, "1 row of a.csv spread over several lines")
        assert noted(task, "the longest has 3 lines, 2 to 4")

    @pytest.mark.parametrize("header", ["text;label", "text\tlabel", "text|label"])
    def test_another_separator_is_named(self, tmp_path: Path, header: str) -> None:
        sep = header[4]
        rows = [row.replace(",", sep) for row in GOOD]
        path = written(tmp_path / "a.csv", header, *rows)
        shown = "tab" if sep == "\t" else sep
        with pytest.raises(ValueError, match=f"give sep='{'[|]' if sep == '|' else shown}'"):
            load_task(path)
        assert len(load_task(path, sep=shown).train) == 32

    @pytest.mark.parametrize("sep", ["", "::", '"', "\n"])
    def test_a_separator_is_one_character(self, tmp_path: Path, sep: str) -> None:
        with pytest.raises(ValueError, match="sep must be one character"):
            load_task(written(tmp_path / "a.csv", "text,label", *GOOD), sep=sep)

    @pytest.mark.parametrize("name", ["A.CSV", "a.Csv", "a.TSV", "a.tsv"])
    def test_endings_may_be_upper_case_and_tsv_has_tabs(self, tmp_path: Path, name: str) -> None:
        sep = "\t" if name.lower().endswith("tsv") else ","
        lines = [row.replace(",", sep) for row in ("text,label", *GOOD)]
        assert len(load_task(written(tmp_path / name, *lines)).train) == 32

    def test_a_file_without_a_header_is_read_with_the_names_of_its_columns(
        self, tmp_path: Path
    ) -> None:
        path = written(tmp_path / "a.csv", *GOOD)
        with pytest.raises(ValueError, match="columns= if the first line is a row"):
            load_task(path)
        task = load_task(path, columns=["text", "label"])
        assert len(texts(task)) == 40 and "text 0" in texts(task)
        with pytest.raises(ValueError, match="row 1 of a.csv must have 3 fields like columns"):
            load_task(path, columns=["text", "label", "more"])

    def test_a_table_without_an_ending_is_read_if_its_separator_is_given(
        self, tmp_path: Path
    ) -> None:
        """The SMS spam collection is such a file: no ending, no header, tabs, quotes as text."""
        rows = [f"{'ham' if i % 5 else 'spam'}\tmessage {i}" for i in range(60)]
        rows[3], rows[7] = 'ham\t"Life is nothing', 'ham\tsaid "yes" to'
        path = written(tmp_path / "SMSSpamCollection", *rows)
        with pytest.raises(ValueError, match="give sep= if it is a table of text"):
            load_task(path)
        task = load_task(path, sep="tab", columns=["label", "text"])
        assert len(texts(task)) == 60 and '"Life is nothing' in texts(task)
        assert noted(task, "quotes in SMSSpamCollection were read as part of the texts")

    def test_quotes_that_pandas_writes_with_tabs_are_read_back(self, tmp_path: Path) -> None:
        written_texts = ['said "yes"', "two\nlines", "a\ttab", *(f"text {i}" for i in range(37))]
        frame = pd.DataFrame({"text": written_texts, "label": ["a", "b"] * 20})
        frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
        assert sorted(texts(load_task(tmp_path / "a.tsv"))) == sorted(written_texts)

    def test_a_text_may_be_longer_than_the_csv_module_expects(self, tmp_path: Path) -> None:
        long = "word " * 40_000
        task = load_task(written(tmp_path / "a.csv", "text,label", f"{long},a", *GOOD))
        assert long.strip() in texts(task)


class TestMissingValues:
    @pytest.mark.parametrize(
        "column",
        [
            pd.array([1, 0, None] * 10, dtype="Int64"),
            pd.array([True, False, None] * 10, dtype="boolean"),
            pd.array(["x", "y", None] * 10, dtype="string"),
            pd.Categorical(["x", "y", None] * 10),
            pd.Series([1.0, 0.0, float("nan")] * 10),
            pd.Series([pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01"), pd.NaT] * 10),
        ],
        ids=lambda column: str(column.dtype),
    )
    def test_every_kind_is_missing_in_parquet(self, tmp_path: Path, column: Any) -> None:
        frame = pd.DataFrame({"text": [f"text {i}" for i in range(30)], "label": column})
        frame.to_parquet(tmp_path / "a.parquet")
        with pytest.raises(ValueError, match="row 3 of a.parquet has no label"):
            load_task(tmp_path / "a.parquet")

    @pytest.mark.parametrize("value", ["null", "NaN", '""', '"  "'])
    def test_and_in_json(self, tmp_path: Path, value: str) -> None:
        lines = [json.dumps({"text": f"text {i}", "label": i % 2}) for i in range(20)]
        lines[4] = f'{{"text": "a", "label": {value}}}'
        with pytest.raises(ValueError, match="row 5 of a.jsonl has no label"):
            load_task(written(tmp_path / "a.jsonl", *lines))

    def test_a_label_that_reads_like_none_is_a_class_and_noted(self, tmp_path: Path) -> None:
        task = load_task(written(tmp_path / "a.csv", "text,label", *GOOD, "x,NA", "y,NA"))
        assert "NA" in task.classes and noted(task, "have the label 'NA': a class here")

    def test_large_whole_numbers_keep_their_digits_beside_a_missing_one(
        self, tmp_path: Path
    ) -> None:
        big = 2**53 + 1
        lines = [json.dumps({"text": f"t {i}", "label": big + 2 * (i % 2)}) for i in range(20)]
        lines.append(json.dumps({"text": "x"}))
        with pytest.raises(ValueError, match="row 21 of a.jsonl has no label"):
            load_task(written(tmp_path / "a.jsonl", *lines))
        task = load_task(written(tmp_path / "b.jsonl", *lines[:-1]))
        assert task.classes == (str(big), str(big + 2))


def class_labels(path: Path, numbers: list[int], names: list[str]) -> Path:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    )
    rows = {"text": [f"text {i}" for i in range(len(numbers))], "label": numbers}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(path))
    return path


class TestTwoWaysToTheSameData:
    numbers = (0, 1, 1) * 20

    def test_parquet_and_hub_give_the_same_task(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import datasets

        path = class_labels(tmp_path / "a.parquet", [*self.numbers, -1, -1], ["no", "yes"])
        split = datasets.Dataset.from_parquet(str(path))
        monkeypatch.setattr(datasets, "load_dataset", lambda name: {"train": split})
        monkeypatch.setattr(user_files.hub, "why_not", lambda name, kind: "")
        from_file, from_hub = load_task(path), load_task("owner/data")
        assert from_file.classes == ("no", "yes")
        assert from_file.fingerprint == from_hub.fingerprint
        for task in (from_file, from_hub):
            assert noted(task, "2 of 62 rows") and noted(task, "marked as unlabelled")
        assert len(texts(from_file)) == 60

    def test_labels_that_a_competition_keeps_secret_are_drawn_from_train(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        import datasets

        train = class_labels(tmp_path / "train.parquet", list(self.numbers), ["no", "yes"])
        test = class_labels(tmp_path / "test.parquet", [-1] * 9, ["no", "yes"])
        splits = {path.stem: datasets.Dataset.from_parquet(str(path)) for path in (train, test)}
        monkeypatch.setattr(datasets, "load_dataset", lambda name: splits)
        monkeypatch.setattr(user_files.hub, "why_not", lambda name, kind: "")
        assert noted(load_task("owner/data"), "split off as test")

    @pytest.mark.parametrize("value", [["a"], {"a": 1}, b"a"], ids=["list", "struct", "bytes"])
    @pytest.mark.parametrize("column", ["label", "text"])
    def test_a_cell_of_several_values_is_no_class_and_no_text(
        self, tmp_path: Path, value: Any, column: str
    ) -> None:
        rows: dict[str, list[Any]] = {"text": ["a"] * 9, "label": ["b"] * 9}
        rows[column] = [value] * 9
        parquet.write_table(pa.table(rows), tmp_path / "a.parquet")
        with pytest.raises(
            ValueError, match=f"row 1 .* one text or number in the column '{column}'"
        ):
            load_task(tmp_path / "a.parquet")


class TestLinesAndCharacters:
    @pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
    def test_a_json_line_ends_at_a_newline_alone(self, tmp_path: Path, odd: str) -> None:
        lines = [
            json.dumps({"text": f"before{odd}after {i}", "label": i % 2}, ensure_ascii=False)
            if odd > "\x1f"
            else json.dumps({"text": f"before{odd}after {i}", "label": i % 2})
            for i in range(20)
        ]
        task = load_task(written(tmp_path / "a.jsonl", *lines))
        assert f"before{odd}after 0" in texts(task)

    @pytest.mark.parametrize("line", ['"\\ud800"', '"a \\udfff b"'])
    @pytest.mark.parametrize("column", ["text", "label"])
    def test_half_a_surrogate_pair_is_named(self, tmp_path: Path, line: str, column: str) -> None:
        rows = [json.dumps({"text": f"text {i}", "label": i % 2}) for i in range(20)]
        other = {"text": "label", "label": "text"}[column]
        rows[1] = f'{{"{column}": {line}, "{other}": "x"}}'
        with pytest.raises(ValueError, match="row 2 of a.jsonl must be valid Unicode"):
            load_task(written(tmp_path / "a.jsonl", *rows))

    def test_control_characters_of_names_are_escaped(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a\x1b[31m.csv", "text,co\x1b[2Jlour", *GOOD)
        with pytest.raises(ValueError) as caught:
            load_task(path)
        assert str(caught.value).isprintable() and "\\x1b" in str(caught.value)
        task = load_task(path, label="co\x1b[2Jlour")
        assert all(note.isprintable() for note in (*task.notes, repr(task)))


class TestNamesOfTasks:
    @pytest.mark.parametrize(
        "stem", ["train", "keys", "values", "a.b", "1", "forward", "ä ö", "heads", "...", "a*[b]"]
    )
    def test_a_file_of_any_name_can_be_trained_on(self, tmp_path: Path, stem: str) -> None:
        from ftkit import Adapted, LoRA, Only, evaluate, load_base, train

        task = load_task(written(tmp_path / f"{stem}.csv", "text,label", *GOOD))
        model = Adapted(load_base("mini", task), LoRA(2), Only("heads.*"))
        list(train(model, task, steps=2, validations=1))
        assert 0 <= evaluate(model, task, "test").accuracy <= 1

    def test_a_misspelt_name_fails_at_once_and_names_the_nearest(self) -> None:
        start = time.perf_counter()
        with pytest.raises(ValueError, match="got 'dosc'; did you mean 'docs'"):
            load_task("dosc")
        assert time.perf_counter() - start < 1

    @pytest.mark.parametrize("name", ["", "  ", None, 3, ["docs"]])
    def test_what_is_no_name_is_refused(self, name: Any) -> None:
        with pytest.raises(ValueError, match="the task must be a name or a path"):
            load_task(name)


class TestSplits:
    def test_a_label_column_of_ids_is_suspected_before_training(self, tmp_path: Path) -> None:
        rows = [f"text {i},{i}" for i in range(20)]
        with pytest.raises(ValueError, match="20 rows of 20 classes: check that 'label' is the"):
            load_task(written(tmp_path / "a.csv", "text,label", *rows))

    @pytest.mark.parametrize("stage", ["test", "valid"])
    def test_a_split_of_one_class_is_refused(self, tmp_path: Path, stage: str) -> None:
        written(tmp_path / "train.csv", "text,label", *GOOD)
        written(tmp_path / f"{stage}.csv", "text,label", "new,a", "other,a")
        with pytest.raises(ValueError, match=f"{stage} must have rows of two classes .* got 'a'"):
            load_task(tmp_path)

    def test_equal_texts_never_cross_a_split(self, tmp_path: Path) -> None:
        rows = [f"text {i % 25},{'ab'[i % 25 % 2]}" for i in range(100)]
        for seed in range(5):
            task = load_task(written(tmp_path / "a.csv", "text,label", *rows), seed=seed)
            parts = [set(task.split(stage)["text"]) for stage in STAGES]
            assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
            assert sum(map(len, parts)) == 25 and len(texts(task)) == 100
            assert noted(task, "75 of 100 rows of a.csv repeat the text of another row")

    def test_a_text_with_two_labels_stays_in_train(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "text,label", *GOOD, "both,a", "both,b")
        for seed in range(10):
            task = load_task(path, seed=seed)
            assert task.train["text"][:].count("both") == 2
        assert noted(task, "1 texts have more than one label")

    def test_texts_that_given_splits_share_are_counted(self, tmp_path: Path) -> None:
        written(tmp_path / "train.csv", "text,label", *GOOD)
        written(tmp_path / "test.csv", "text,label", *GOOD[:3], "new,a")
        assert noted(load_task(tmp_path), "3 of 4 rows of test.csv have a text that train.csv has")

    def test_classes_of_very_different_sizes_are_noted(self, tmp_path: Path) -> None:
        rows = [f"text {i},{'ham' if i % 10 else 'spam'}" for i in range(200)]
        task = load_task(written(tmp_path / "a.csv", "text,label", *rows))
        assert noted(task, "the largest class, 'ham', has 9.1 times the rows")
        assert noted(task, "always 'ham' is right on 90.0% of test")

    def test_what_was_read_is_noted(self, tmp_path: Path) -> None:
        rows = [f"{i},question {i},sentence {i},{'ab'[i % 2]}" for i in range(40)]
        path = written(tmp_path / "a.csv", "idx,question,sentence,label", *rows)
        assert noted(load_task(path), "sentence was read as the text, label as the label; not read")
        both = load_task(path, text=["question", "sentence"])
        assert "question 0 sentence 0" in texts(both)
        assert noted(both, "question and sentence was read as the text")

    def test_ten_thousand_classes_load_in_seconds(self, tmp_path: Path) -> None:
        rows = [f"text {i},class {i % 10_000}" for i in range(30_000)]
        path = written(tmp_path / "a.csv", "text,label", *rows)
        start = time.perf_counter()
        task = load_task(path)
        assert len(task.classes) == 10_000 and time.perf_counter() - start < 5
