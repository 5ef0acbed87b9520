"""Tasks: their batches, subsets and fingerprints, and the digits."""

import numpy as np
import pytest
import torch
from helpers.nets import small_task

from ftkit.model.base import load_base
from ftkit.tasks.digits import WORDS
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task, stratified


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_row_comes_once_an_epoch() -> None:
    task = small_task()
    batches = task.batches(6, seeded())
    for _ in range(3):
        rows = torch.cat([next(batches).rows for _ in range(4)])
        assert sorted(rows.tolist()) == list(range(24))


def test_rows_that_fill_no_batch_wait_for_another_epoch() -> None:
    batches = small_task().batches(7, seeded())
    epochs = [torch.cat([next(batches).rows for _ in range(3)]) for _ in range(8)]
    assert all(len(rows.unique()) == 21 for rows in epochs)
    assert len(torch.cat(epochs).unique()) == 24


def test_batches_have_rows_of_similar_length_in_tokens(docs: Task) -> None:
    lengths = load_base("mini", docs).reader.table(docs.train)[1]
    assert torch.equal(docs.lengths, lengths)
    batches = [batch.rows for batch, _ in zip(docs.batches(16, seeded()), range(100), strict=False)]
    tokens = sum(int(lengths[rows].sum()) for rows in batches)
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    assert padded < 1.1 * tokens, "padding adds less than a tenth"


def test_batches_are_a_function_of_the_generator(docs: Task) -> None:
    streams = [docs.batches(8, seeded(s)) for s in (1, 1, 2)]
    first, same, other = ([next(stream).rows.tolist() for _ in range(3)] for stream in streams)
    assert first == same != other


def test_a_batch_larger_than_the_split_is_the_split() -> None:
    assert len(next(small_task().batches(100, seeded()))) == 24


def test_a_subset_is_balanced_seeded_and_cached(docs: Task) -> None:
    some = docs.take(200, 3)
    assert torch.bincount(some.labels("train")).tolist() == [25] * 8
    assert some is docs.take(200, 3)
    assert set(some.train["text"]) != set(docs.take(200, 4).train["text"])
    assert set(some.train["text"]) <= set(docs.train["text"])
    assert some.test is docs.test


@pytest.mark.parametrize("count", [0, 8001])
def test_a_subset_larger_than_the_split_is_refused(docs: Task, count: int) -> None:
    with pytest.raises(
        ValueError, match=f"count must be from 1 to 8000, the rows of train, got {count}"
    ):
        docs.take(count)


def test_a_stage_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="stage must be one of train, valid, test, got 'dev'"):
        small_task().split("dev")


def test_the_fingerprint_depends_on_the_data_alone(docs: Task) -> None:
    assert small_task().fingerprint == small_task("another name").fingerprint
    assert docs.fingerprint != docs.take(200).fingerprint


def test_digits_are_the_real_ones_in_disjoint_splits() -> None:
    task = load_task("digits")
    assert [len(task.split(stage)) for stage in ("train", "valid", "test")] == [1197, 200, 400]
    splits = [np.array(task.split(stage)["image"][:]) for stage in ("train", "valid", "test")]
    images = np.concatenate(splits)
    from sklearn.datasets import load_digits

    real = load_digits().images / 16
    assert sorted(map(bytes, np.float32(images))) == sorted(map(bytes, np.float32(real)))


def test_digits_as_text_are_16_words_of_the_same_images() -> None:
    text, image = load_task("digits-as-text"), load_task("digits")
    assert text.labels("test").tolist() == image.labels("test").tolist()
    words = text.test[0]["text"].split()
    assert len(words) == 16
    assert set(words) <= set(WORDS)
    corner = np.array(image.test[0]["image"])[:2, :2].mean()
    assert WORDS.index(words[0]) == round(corner * 16)


def test_permuting_other_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="permute must be 0 for other tasks than docs"):
        load_task("digits", permute=0.5)


def test_parity_is_another_label_of_the_same_digits() -> None:
    parity, digits = load_task("digits-parity"), load_task("digits")
    assert parity.classes == ("even", "odd")
    assert torch.equal(parity.labels("valid"), digits.labels("valid") % 2)
    assert parity.test["image"][3] == digits.test["image"][3]


class TestStratified:
    @pytest.mark.parametrize("count", [1, 7, 40, 99])
    def test_each_class_has_its_share_within_a_row(self, count: int) -> None:
        labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)  # sorted by label
        sizes = labels[stratified(labels, count)].bincount(minlength=3)
        assert sizes.sum() == count
        assert (sizes - count * torch.tensor([0.6, 0.3, 0.1])).abs().max() <= 1

    def test_the_rows_are_drawn_once_and_are_no_first_ones(self) -> None:
        labels = torch.zeros(1000, dtype=torch.int64)
        rows = stratified(labels, 100)
        assert torch.equal(rows, stratified(labels, 100)) and torch.equal(rows, rows.unique())
        assert rows.max() > 900 and set(rows.tolist()) < set(stratified(labels, 101).tolist())

    def test_more_rows_than_there_are_are_all(self) -> None:
        labels = torch.tensor([3, 1, 3])
        assert stratified(labels, 9).tolist() == [0, 1, 2]
