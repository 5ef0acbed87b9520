"""A teacher whose answers are stored."""

from pathlib import Path

import pytest
import torch
from helpers.nets import net, small_task, task_for
from helpers.teachers import Counting, learn, lengths, says
from safetensors.torch import load_file, save_file

from ftkit.model.adapted import Adapted
from ftkit.tasks.task import Task, table
from ftkit.techniques.distillation import (
    Distillation,
    Teacher,
    unlabelled,
)
from ftkit.techniques.stored_answers import Stored, input_keys
from ftkit.techniques.student import student


class TestStored:
    def store(self, task: Task) -> Stored:
        return Stored(input_keys(task.train), Teacher(Counting()).logits(task.train, task.name))

    def test_it_teaches_as_the_teacher_did_from_a_file(self, tmp_path: Path) -> None:
        base, task = net("bert"), small_task()
        there = Teacher(base)
        path = tmp_path / "teacher.safetensors"
        save_file(
            {"keys": input_keys(task.train), "logits": there.logits(task.train, "tiny")}, path
        )
        here = Teacher(Stored(**load_file(path)))
        runs = [
            learn(Adapted(student(base, (1,), seed=1)), small_task(), Distillation(teacher))
            for teacher in (there, here)
        ]
        assert runs[0] == runs[1]

    def test_it_knows_images(self) -> None:
        data = task_for("mini-vit").take(30)
        answers = torch.randn(30, 10)
        part = data.take(9, seed=4)
        rows = [data.train["image"][:].index(image) for image in part.train["image"]]
        assert torch.equal(
            Teacher(Stored(input_keys(data.train), answers)).logits(part.train, "digits"),
            answers[rows],
        )

    def test_a_part_of_a_split_is_known_in_any_order_and_under_any_label(self) -> None:
        task = lengths()
        teacher = Teacher(self.store(task))
        for part in (task.take(80, seed=5), unlabelled(task.take(20))):
            assert torch.equal(teacher.logits(part.train, "lengths"), says(part.train["text"][:]))

    def test_a_row_that_was_not_stored_is_named(self) -> None:
        task, more = lengths(30), lengths(40)
        assert self.store(task).knows(more.train).tolist() == [
            len(text.split()) <= 30 for text in more.train["text"]
        ]
        first = next(i for i in range(40) if 1 + 7 * i % 40 > 30)
        with pytest.raises(
            ValueError,
            match=f"every row must have a stored answer, got none for row {first}; "
            "select the rows that knows",
        ):
            self.store(task)(more.batch("train", torch.arange(40)))

    def test_the_same_rows_with_other_classes_are_not_known(self) -> None:
        task = lengths(6)
        other = table(task.train["text"][:], [0] * 6, ["x", "y", "z"])
        assert not self.store(task).knows(other).any()

    def test_a_key_for_each_row_is_asked_for(self) -> None:
        with pytest.raises(
            ValueError,
            match="each row of logits must have a key, got 2 keys for 3 rows; "
            "store both of one split",
        ):
            Stored(torch.arange(2), torch.zeros(3, 5))
