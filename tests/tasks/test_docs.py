"""The docs task: its splits, its labels, its cache, and its permuted vocabulary."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import torch

from ftkit.pretrain.corpus import HELD_OUT, without
from ftkit.seeding import unit_hash
from ftkit.tasks import docs as module
from ftkit.tasks.docs import LABELS, LIBRARIES, permuted
from ftkit.tasks.docstrings import parse, read, root_of, sentences, source_files
from ftkit.tasks.load import load_task
from ftkit.tasks.task import STAGES, Task


def test_the_splits_are_balanced_and_large_enough(docs: Task) -> None:
    assert len(docs.test) >= 1600
    for stage in STAGES:
        counts = torch.bincount(docs.labels(stage), minlength=8)
        assert counts.min() == counts.max()


def test_a_sentence_is_in_one_split_of_one_class(docs: Task) -> None:
    hashes = [unit_hash(text) for stage in STAGES for text in docs.split(stage)["text"]]
    assert len(set(hashes)) == len(hashes)


def test_splits_follow_the_hash_of_the_sentence(docs: Task) -> None:
    for stage, (low, high, _) in module.SPLITS.items():
        assert all(low <= unit_hash(text) < high for text in docs.split(stage)["text"])


def test_the_sentences_are_from_the_docstrings_of_their_library(docs: Task) -> None:
    docstrings = [
        str(record["doc"]) for path in source_files(root_of("numpy")) for record in parse(path)
    ]
    prose = " ".join(" ".join(docstring.split()) for docstring in docstrings)
    of_numpy = [row["text"] for row in docs.test if docs.classes[row["label"]] == "numpy"]
    assert len(of_numpy) == 200
    assert all(text in prose for text in of_numpy)


@pytest.mark.parametrize("name", sorted(LABELS))
def test_the_other_tasks_label_the_same_sentences(docs: Task, name: str) -> None:
    task = load_task(name)
    assert task.test["text"] == docs.test["text"]
    assert [task.classes[label] for label in task.labels("test")] == docs.test[LABELS[name]]
    assert task.name == name


def test_a_named_area_has_enough_sentences_to_learn_from() -> None:
    task = load_task("docs-area")
    sizes = Counter(task.train["area"])
    del sizes["other"]
    assert len(sizes) == len(task.classes) - 1 >= 10
    assert min(sizes.values()) >= 40


def test_the_cache_is_read_and_a_broken_one_is_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    rows = pd.DataFrame({"text": ["a b c"]})

    def build() -> pd.DataFrame:
        built.append(1)
        return rows

    monkeypatch.setattr(module, "_build", build)

    def load() -> None:
        module._sentences.cache_clear()
        assert module._sentences(tmp_path).equals(rows)

    load()
    load()
    assert len(built) == 1
    file = next(tmp_path.glob("*.parquet"))
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole[:-1] + b"x"):
        file.write_bytes(broken)
        load()
        assert file.read_bytes() == whole
    digest = next(tmp_path.glob("*.sha256"))
    digest.unlink()
    load()
    assert len(built) == 5
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet", ".sha256"]
    line = digest.read_bytes()
    another = hashlib.sha256(whole).hexdigest().encode() + b"  docs-another.parquet\n"
    for broken in (b"\xff\xfe", b"", line[:20], another, line + b"\0"):
        digest.write_bytes(broken)
        load()
        assert digest.read_bytes() == line
    assert len(built) == 10
    for each in (digest, file):
        each.unlink()
        (each / "inside").mkdir(parents=True)
        load()
        load()
    assert len(built) == 12, "a folder in place of a file makes one build and no more"
    assert len(list(tmp_path.glob("*.damaged-1"))) == 2
    module._sentences.cache_clear()


def test_two_processes_may_build_at_once(tmp_path: Path) -> None:
    code = (
        "import pandas as pd; from pathlib import Path; from ftkit.tasks import docs\n"
        f"path = Path({str(tmp_path)!r}) / 't.parquet'\n"
        "rows = pd.DataFrame({'text': [f'sentence {i}' for i in range(100000)]})\n"
        "for _ in range(5): docs._write_cache(rows, path)\n"
        "assert docs._read_cache(path).equals(rows)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.parquet", "t.sha256"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    module._write_cache(pd.DataFrame({"text": ["a"]}), tmp_path / "file" / "t.parquet")


def test_the_cache_folder_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FTKIT_CACHE", str(tmp_path))
    assert module.cache_folder() == tmp_path
    monkeypatch.delenv("FTKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.cache_folder() == tmp_path / "ftkit"


def words(texts: list[str]) -> Counter[str]:
    return Counter(word for text in texts for word in re.findall("[a-z]+", text.lower()))


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_share_of_the_vocabulary_moves_one_to_one(docs: Task, share: float) -> None:
    texts = docs.train["text"][:]
    foreign = permuted(texts, share)
    pairs = set()
    for before, after in zip(texts, foreign, strict=True):
        both = (re.findall("[a-z]+", text.lower()) for text in (before, after))
        pairs.update(zip(*both, strict=True))
    assert len(pairs) == len(dict(pairs)) == len({b for _, b in pairs}) == len(words(texts))
    assert sum(a != b for a, b in pairs) / len(pairs) == pytest.approx(share, abs=0.02)
    assert sorted(words(texts).values()) == sorted(words(foreign).values())


def test_permute_0_is_the_task_itself(docs: Task) -> None:
    assert load_task("docs", permute=0.0).fingerprint == docs.fingerprint
    assert load_task("docs", permute=1.0).labels("test").tolist() == docs.labels("test").tolist()


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(
        ValueError, match=rf"permute must be from 0 \(English\) to 1 \(gibberish\), got {share:g}"
    ):
        load_task("docs", permute=share)


def test_no_held_out_sentence_is_left_in_a_corpus(docs: Task) -> None:
    held_out = [*docs.valid["text"], *docs.test["text"]]
    texts = [
        f"Some words before. {held_out[0]} And more words after it.",
        f"it says that {held_out[1].lower()} and so on",
        "A new sentence.",
    ]
    left = without([*texts, *held_out], held_out)
    for text in left:
        assert all(unit_hash(sentence) >= HELD_OUT for sentence in sentences(text))
    plain = " ".join(re.sub("[^a-z0-9]+", " ", text.lower()) for text in left)
    for sentence in held_out:
        assert re.sub("[^a-z0-9]+", " ", sentence.lower()).strip() not in plain


def test_reading_finds_every_docstring(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(
        'class A:\n    """A thing."""\n\n    def f(self, x):\n        """Do it."""\n'
    )
    (tmp_path / "bad.py").write_text('"""not python"""\ndef (')
    records = {path.name: of_file for path, of_file in read(source_files(tmp_path))}
    assert records["bad.py"] == []
    facts = [(each["name"], each["kind"], each["arguments"]) for each in records["good.py"]]
    assert facts == [("A", "class", 0), ("f", "method", 2)]


def test_a_library_that_is_not_installed_is_named() -> None:
    with pytest.raises(ValueError, match="the library 'nosuchlibrary' must be installed"):
        root_of("nosuchlibrary")


def test_every_library_is_a_dependency() -> None:
    assert set(LIBRARIES) - {"stdlib"} == {
        "numpy",
        "torch",
        "pandas",
        "sklearn",
        "transformers",
        "scipy",
        "sympy",
    }
    assert os.environ["HF_HUB_OFFLINE"] == "1"
