"""The checksums of the kit's files: true, checked when a file is read, and kept up to date."""

import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ftkit import checksums
from ftkit.checksums import FOLDERS, MANIFEST, checked, read_manifest, record
from ftkit.lessons import lessons
from ftkit.lessons.can_lora_be_beaten import peft_table
from ftkit.lessons.distillation import teachers
from ftkit.model import base as bases
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.tasks import task as tasks

DATA = kit_path("data")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of the kit's data."""
    hidden = shutil.ignore_patterns(".*", "*-seeds.*")
    return Path(shutil.copytree(DATA, tmp_path / "data", ignore=hidden))


def flip(path: Path, at: int, bit: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def test_the_list_has_every_file_and_is_true() -> None:
    listed = read_manifest(DATA)
    shipped = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=DATA, capture_output=True, text=True
    ).stdout.split()
    assert set(shipped) <= set(listed) and "bases/mini/model.safetensors" in listed
    assert [checked(DATA, folder) for folder in FOLDERS] == [DATA / each for each in FOLDERS]


def test_sha256sum_can_read_the_list() -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum here")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", MANIFEST], cwd=DATA, check=True)


def test_git_changes_no_byte_of_the_data() -> None:
    assert "data/** -text" in (DATA.parent / ".gitattributes").read_text().splitlines()


def test_every_flipped_bit_is_found(data: Path) -> None:
    drawn = random.Random(0)
    for _ in range(30):
        name = drawn.choice(sorted(read_manifest(data)))
        at, bit = drawn.randrange((data / name).stat().st_size), drawn.randrange(8)
        flip(data / name, at, bit)
        with pytest.raises(ValueError, match=f"{re.escape(name)} must be as the kit wrote it"):
            checked(data, name)
        flip(data / name, at, bit)
        assert checked(data, name) == data / name


READERS: dict[str, Callable[[], object]] = {
    "results/02_lora.parquet": lambda: lessons()["02"].read(),
    "results/06_teachers.safetensors": lambda: teachers.stored_answers("library"),
    "public/peft_metamathqa.csv": peft_table.public_table,
    "public/peft_metamathqa_earlier.csv": peft_table.rerun_pairs,
    "public/peft_image_generation.csv": peft_table.image_table,
    "bases/mini/model.safetensors": lambda: bases.base_path("mini"),
    "bases/mini/config.json": lambda: bases.base_path("mini"),
    "bases/mini/tokenizer.json": lambda: tasks._tokenizer(),
    "bases/mini-vit/preprocessor_config.json": lambda: bases.base_path("mini-vit"),
}


def move_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kit read this folder in place of its own data."""
    for module in ("lessons.lesson", "lessons.distillation.teachers", "model.base", "tasks.task"):
        monkeypatch.setattr(f"ftkit.{module}.kit_path", data.parent.joinpath)
    monkeypatch.setattr(peft_table, "kit_path", data.parent.joinpath)
    teachers.stored_answers.cache_clear()
    tasks._tokenizer.cache_clear()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("how", ["zeros", "empty", "missing", "folder"])
def test_whoever_reads_a_damaged_file_gets_the_kits_message(
    name: str, how: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_data(data, monkeypatch)
    READERS[name]()
    teachers.stored_answers.cache_clear()
    tasks._tokenizer.cache_clear()
    content = (data / name).read_bytes()
    (data / name).unlink()
    if how == "folder":
        (data / name).mkdir()
    elif how != "missing":
        middle = len(content) // 2
        zeros = content[:middle] + bytes(len(content) - middle)
        (data / name).write_bytes(zeros if how == "zeros" else b"")
    with pytest.raises(ValueError, match=rf"{re.escape(name)} must be as .*`git checkout data`"):
        READERS[name]()
    teachers.stored_answers.cache_clear()
    tasks._tokenizer.cache_clear()


def test_a_lesson_can_be_made_again_in_place_of_a_damaged_record(data: Path) -> None:
    flip(data / "results/05_sparse.parquet", 99, 0)
    with pytest.raises(ValueError, match="`make results LESSON=05`"):
        checked(data, "results/05_sparse.parquet")


def test_a_changed_file_is_recorded_and_others_keep_their_lines(data: Path) -> None:
    before = read_manifest(data)
    changed, damaged = "results/02_lora.parquet", "results/03_limits_of_lora.parquet"
    flip(data / changed, 99, 0), flip(data / damaged, 99, 0)
    record(data, changed)
    after = read_manifest(data)
    assert {name for name in before if after[name] != before[name]} == {changed}
    assert checked(data, changed)
    with pytest.raises(ValueError, match=damaged):
        checked(data, "results")
    (data / changed).unlink()
    record(data, changed)
    assert read_manifest(data).keys() == before.keys() - {changed}


def test_a_part_of_a_study_is_not_the_kits(data: Path) -> None:
    (data / "results" / "02_lora.first-2-seeds.parquet").write_bytes(b"")
    assert checked(data, "results")
    record(data, *FOLDERS)
    assert "seeds" not in (data / MANIFEST).read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the list of checksums must be readable"),
        (b"\xff\xfe", "the list of checksums must be readable"),
        (b"12  a\n", "a line of SHA256SUMS must be a SHA-256 and a name, got '12  a' in line 1"),
        (b"", "a file of the kit must be listed in SHA256SUMS, got bases/mini/CARD.md"),
    ],
)
def test_a_damaged_list_is_said(data: Path, content: bytes | None, words: str) -> None:
    (data / MANIFEST).unlink()
    if content is not None:
        (data / MANIFEST).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(words)):
        checked(data, "bases/mini")


@pytest.mark.parametrize("damaged", ["bases/mini/modem", "bases/mino/model"])
def test_a_file_whose_line_is_damaged_is_not_taken_for_a_foreign_one(
    data: Path, damaged: str
) -> None:
    listed = (data / MANIFEST).read_text()
    (data / MANIFEST).write_text(listed.replace("bases/mini/model", damaged))
    with pytest.raises(ValueError, match=r"bases/mini/(model|modem).safetensors"):
        checked(data, "bases/mini")


def test_a_file_is_hashed_once_until_it_changes(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    digest = checksums.hashlib.file_digest
    monkeypatch.setattr(
        checksums.hashlib, "file_digest", lambda file, how: hashed.append(1) or digest(file, how)
    )
    for _ in range(3):
        checked(data, "results/02_lora.parquet")
    assert len(hashed) == 1
    (data / "results/02_lora.parquet").touch()
    checked(data, "results/02_lora.parquet")
    assert len(hashed) == 2


def test_a_table_from_elsewhere_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "seed-7.parquet"
    contents = [b"", b"PAR1 and then nothing", (DATA / "results/02_lora.parquet").read_bytes()[:-9]]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a table must be a whole file that the kit wrote"):
            read_table(path)
