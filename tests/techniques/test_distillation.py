import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.laws import HEAD, batch_of
from helpers.nets import NETS, net, small_task, task_for
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit.model.adapted import Adapted
from ftkit.model.base import load_base
from ftkit.model.objective import supervised
from ftkit.tasks.task import Batch, Task, table
from ftkit.techniques.distillation import (
    Distillation,
    Teacher,
    agreement,
    divergence,
    pseudo_labelled,
    unlabelled,
)
from ftkit.techniques.lora import LoRA
from ftkit.techniques.stored_answers import Stored, input_keys
from ftkit.techniques.student import student
from ftkit.training.loop import train

ROWS, CLASSES = 16, 5


def logits(seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(
        ROWS, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def gradient(temperature: float, squared: bool = True) -> Tensor:
    """The gradient of the divergence at the student's logits, with or without the factor T^2."""
    z = logits(0).requires_grad_()
    divergence(z, logits(1), temperature).backward()
    assert z.grad is not None
    return z.grad if squared else z.grad / temperature**2


def lengths(count: int = 150) -> Task:
    """Rows that a reader sorts by length: the text of row i has 1 + 7 i mod `count` words."""
    texts = [" ".join(["table"] * (1 + 7 * i % count)) for i in range(count)]
    rows = table(texts, [i % 3 for i in range(count)], ["a", "b", "c"], page=list(range(count)))
    return Task("lengths", ("a", "b", "c"), rows, rows, rows)


class Counting(nn.Module):
    """A teacher that answers with the text, so that an answer in the wrong row shows.

    It counts the rows that it was asked about.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.asked, self.labels, self.longest = (
            load_base("mini").reader,
            0,
            set[int](),
            list[int](),
        )
        self.eval()

    def forward(self, batch: Batch) -> Tensor:
        self.asked += len(batch)
        self.labels |= set(batch.labels.tolist())
        texts = batch.data[batch.rows.tolist()]["text"]
        self.longest.append(max(len(text.split()) for text in texts))
        return says(texts)


def says(texts: list[str]) -> Tensor:
    return torch.tensor([[len(text), len(text) % 4, 10.0] for text in texts])


def learn(
    model: Adapted, task: Task, objective: Callable[..., Any], steps: int = 5, lr: float = 1e-2
) -> list[Any]:
    return list(
        train(
            model,
            task,
            steps=steps,
            lr=lr,
            size=6,
            objective=objective,
            validations=2,
            valid_rows=12,
        )
    )


class TestDivergence:
    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 20.0])
    def test_its_gradient_is_the_difference_of_the_probabilities_times_t(
        self, temperature: float
    ) -> None:
        p, q = (z.div(temperature).softmax(-1) for z in (logits(1), logits(0)))
        torch.testing.assert_close(
            gradient(temperature), (q - p) * temperature / ROWS, atol=1e-14, rtol=1e-10
        )

    def test_with_t_squared_the_gradient_keeps_its_size(self) -> None:
        sizes = [gradient(t).norm().item() for t in (1, 2, 4, 8)]
        assert max(sizes) < 1.8 * min(sizes)

    def test_without_t_squared_the_gradient_falls_like_one_over_t_squared(self) -> None:
        sizes = [gradient(t, squared=False).norm().item() for t in (1, 2, 4, 8)]
        assert all(2.4 < now / after < 4.6 for now, after in pairwise(sizes))
        assert 3.7 < sizes[2] / sizes[3] < 4.3

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_a_student_that_is_its_teacher_has_nothing_to_learn(self, temperature: float) -> None:
        z = logits(0, scale=3.0).requires_grad_()
        same = divergence(z, z.detach(), temperature)
        same.backward()
        assert same.item() == 0
        assert z.grad is not None and z.grad.abs().max() < 1e-15

    def test_at_a_high_temperature_it_is_half_the_squared_difference_of_centred_logits(
        self,
    ) -> None:
        centred = [z - z.mean(-1, keepdim=True) for z in (logits(0), logits(1))]
        limit = (centred[0] - centred[1]).square().sum(-1).mean() / (2 * CLASSES)
        assert divergence(logits(0) + 7.0, logits(1) - 2.0, 1e4).item() == pytest.approx(
            limit.item(), rel=1e-3
        )
        assert divergence(logits(0), logits(1), 1.0).item() != pytest.approx(limit.item(), rel=0.01)

    def test_the_teacher_is_the_one_that_weighs_the_classes(self) -> None:
        sure, unsure = (
            torch.tensor([[3.0, 0.0, 0.0]]).double(),
            torch.tensor([[0.5, 0.2, 0.0]]).double(),
        )
        p, q = unsure.softmax(-1), sure.softmax(-1)
        by_hand = (p * (p / q).log()).sum().item()
        assert divergence(student=sure, teacher=unsure, temperature=1.0).item() == pytest.approx(
            by_hand
        )
        assert divergence(student=unsure, teacher=sure, temperature=1.0).item() != pytest.approx(
            by_hand, rel=0.1
        )

    def test_the_mean_over_entries_would_be_smaller_by_the_number_of_classes(self) -> None:
        p, log_q = logits(1).div(2).softmax(-1), logits(0).div(2).log_softmax(-1)
        wrong = 4 * F.kl_div(log_q, p, reduction="none").mean()
        assert divergence(logits(0), logits(1), 2.0).item() == pytest.approx(CLASSES * wrong.item())

    def test_a_teacher_stored_in_half_precision_teaches_a_student_in_single(self) -> None:
        z = logits(0).float()
        assert divergence(z, z.half(), 4.0).dtype == torch.float32
        assert divergence(z, z.half(), 4.0).item() < 1e-5


class TestTeacher:
    def test_it_is_asked_about_each_row_once(self) -> None:
        model, task = Counting(), lengths()
        teacher = Teacher(model)
        for batch in islice(task.batches(7, torch.Generator().manual_seed(0)), 60):
            teacher(batch)
        assert model.asked == 150

    def test_its_answers_belong_to_the_rows_that_were_asked_about(self) -> None:
        teacher, task = Teacher(Counting()), lengths()
        for data in (task, task.take(90, seed=1), task.take(90, seed=2)):
            for batch in islice(data.batches(8, torch.Generator().manual_seed(3)), 12):
                assert torch.equal(teacher(batch), says(batch.data[batch.rows.tolist()]["text"]))

    def test_it_reads_rows_of_like_length_together(self) -> None:
        model = Counting()
        Teacher(model).logits(lengths(100).train, "lengths")
        assert model.longest == [64, 100]

    def test_it_sees_no_label(self) -> None:
        model = Counting()
        Teacher(model).logits(lengths().train, "lengths")
        assert model.labels == {-1}

    @pytest.mark.parametrize("name", ["mini", "mini-vit", "gpt2"])
    def test_a_net_answers_as_it_would_itself(self, name: str) -> None:
        base, data = net(name), task_for(name).take(20)
        batch = data.batch("train", torch.tensor([3, 19, 0]))
        with torch.no_grad():
            torch.testing.assert_close(Teacher(base)(batch), base(batch), atol=1e-5, rtol=1e-4)

    def test_an_adapted_model_teaches_with_its_change(self) -> None:
        base, task = net("bert"), small_task()
        model = Adapted(base, LoRA(2), HEAD)
        learn(model, task, supervised)
        said = Teacher(model).logits(task.train, "tiny")
        torch.testing.assert_close(
            said, Teacher(model.merged()).logits(task.train, "tiny"), atol=1e-5, rtol=1e-4
        )
        assert (said - Teacher(base).logits(task.train, "tiny")).abs().max() > 1e-2
        assert not said.requires_grad

    def test_each_head_has_answers_of_its_own(self) -> None:
        task = small_task()
        teacher = Teacher(net("bert", task, replace(task, name="other")))
        assert not torch.equal(
            teacher.logits(task.train, "tiny"), teacher.logits(task.train, "other")
        )

    def test_what_it_said_stays_when_the_model_learns_on(self) -> None:
        model, task = Adapted(net("bert"), HEAD), small_task()
        teacher = Teacher(model)
        before = teacher.logits(task.train, "tiny").clone()
        learn(model, task, supervised)
        assert torch.equal(teacher.logits(task.train, "tiny"), before)
        assert not torch.equal(Teacher(model).logits(task.train, "tiny"), before)

    def test_its_answers_go_when_the_split_goes(self) -> None:
        teacher, rows = Teacher(lambda batch: torch.zeros(len(batch), 3)), lengths(5).train
        kept = weakref.ref(teacher.logits(rows, "lengths"))
        assert kept() is not None
        del rows
        gc.collect()
        assert kept() is None

    @pytest.mark.parametrize("name", ["bert", "mini-vit"])
    @pytest.mark.parametrize("weight", [0.3, 1.0])
    def test_distilling_leaves_it_as_it_was(self, weight: float, name: str) -> None:
        base, task = net(name), task_for(name)
        before, flags = (
            {k: v.clone() for k, v in base.state_dict().items()},
            [p.requires_grad for p in base.parameters()],
        )
        teacher = Teacher(base)
        learn(Adapted(student(base, (0,), seed=1)), task, Distillation(teacher, weight=weight))
        assert all(torch.equal(before[key], value) for key, value in base.state_dict().items())
        assert flags == [p.requires_grad for p in base.parameters()]
        assert all(p.grad is None for p in base.parameters())
        assert not any(module.training for module in base.modules())
        assert not teacher.logits(task.train, task.name).requires_grad

    def test_a_model_in_training_mode_is_refused(self) -> None:
        with pytest.raises(
            ValueError,
            match="a teacher must be in eval mode, got Dropout in training mode; call its eval",
        ):
            Teacher(nn.Dropout())

    def test_it_says_what_answers(self) -> None:
        assert (
            repr(Distillation(Teacher(net("bert")), weight=0.9))
            == "Distillation(teacher=Teacher(Net), temperature=4.0, weight=0.9)"
        )


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
        said = torch.randn(30, 10)
        part = data.take(9, seed=4)
        rows = [data.train["image"][:].index(image) for image in part.train["image"]]
        assert torch.equal(
            Teacher(Stored(input_keys(data.train), said)).logits(part.train, "digits"), said[rows]
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


class TestDistillation:
    @pytest.mark.parametrize("name", ["bert", "mini-vit"])
    def test_weight_0_is_supervised_to_the_bit_and_asks_no_teacher(self, name: str) -> None:
        def absent(batch: Batch) -> Tensor:
            raise AssertionError("the teacher was asked")

        base, task = net(name), task_for(name)
        models = [Adapted(base, LoRA(2, alpha=3.0), HEAD) for _ in range(2)]
        objectives = (supervised, Distillation(Teacher(absent), weight=0.0))
        runs = [
            learn(model, task, objective, steps=12)
            for model, objective in zip(models, objectives, strict=True)
        ]
        assert runs[0] == runs[1]
        assert all(
            torch.equal(a, b)
            for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True)
        )

    def test_weight_1_needs_no_label(self) -> None:
        base, teacher, task = net("bert"), Teacher(net("roberta")), small_task()
        runs = [
            learn(Adapted(base, HEAD), data, Distillation(teacher, weight=1.0))
            for data in (task, unlabelled(task))
        ]
        assert runs[0] == runs[1]

    @pytest.mark.parametrize(
        ("weight", "names"), [(0.0, {"labels"}), (0.01, {"labels", "teacher"}), (1.0, {"teacher"})]
    )
    def test_a_term_without_weight_is_left_out(self, weight: float, names: set[str]) -> None:
        base = net("bert")
        assert Distillation(Teacher(base), weight=weight)(base, batch_of("bert")).keys() == names

    @pytest.mark.parametrize("weight", [0.25, 0.9])
    def test_the_loss_is_the_weighted_sum_of_both(self, weight: float) -> None:
        base, batch = net("bert"), batch_of("bert")
        teacher = Teacher(
            lambda batch: 9.0 * F.one_hot(batch.rows % 2, 2).float()
        )  # sure, so that the temperature matters
        terms = Distillation(teacher, temperature=3.0, weight=weight)(base, batch)
        p, q = ((z / 3.0).softmax(-1) for z in (teacher(batch), base(batch)))
        assert terms["labels"].item() == pytest.approx(
            (1 - weight) * F.cross_entropy(base(batch), batch.labels).item(), rel=1e-5
        )
        assert terms["teacher"].item() == pytest.approx(
            weight * 9.0 * (p * (p / q).log()).sum(-1).mean().item(), rel=1e-3
        )

    def test_a_label_weighs_the_same_in_a_batch_with_unlabelled_rows(self) -> None:
        base, batch = net("bert"), batch_of("bert")
        some = replace(batch, labels=torch.tensor([-1, 1, -1, -1, 0, -1]))
        loss = Distillation(Teacher(base), weight=0.5)(base, some)["labels"].item()
        each = F.cross_entropy(base(batch), torch.tensor([0, 1, 0, 0, 0, 0]), reduction="none")
        assert loss == pytest.approx(0.5 * (each[1] + each[4]).item() / 6, rel=1e-5)
        none = Distillation(Teacher(base), weight=0.5)(
            base, replace(batch, labels=torch.full((6,), -1))
        )
        assert none["labels"].item() == 0

    def test_a_student_with_a_frozen_body_learns_from_the_answers_and_not_from_its_own_features(
        self,
    ) -> None:
        base, task, teacher = net("bert"), small_task(), Teacher(net("roberta"))
        event = learn(Adapted(base, HEAD), task, Distillation(teacher, weight=1.0), steps=1)[0]
        batch = next(task.batches(6, torch.Generator().manual_seed(0)))
        by_hand = divergence(base(batch), teacher(batch), 4.0).item()
        assert event.values["train/loss"] == pytest.approx(by_hand, rel=1e-4)

    @pytest.mark.parametrize("name", ["bert", "mini-vit"])
    def test_a_student_that_is_its_teacher_gets_no_gradient(self, name: str) -> None:
        base = net(name)
        model = Adapted(base)
        loss = Distillation(Teacher(base), weight=1.0)(model, batch_of(name))["teacher"]
        loss.backward()
        assert abs(loss.item()) < 1e-9
        assert max(p.grad.abs().max() for p in model.parameters() if p.grad is not None) < 1e-5

    @pytest.mark.parametrize("name", ["mini", "mini-vit"])
    def test_a_student_comes_nearer_to_its_teacher_without_a_label(self, name: str) -> None:
        data = unlabelled(task_for(name).take(20))
        teacher = Teacher(lambda batch: 4.0 * F.one_hot(batch.rows % 2, len(data.classes)).float())
        model = Adapted(student(net(name), (0,)))
        events = learn(model, data, Distillation(teacher, weight=1.0), steps=25, lr=3e-3)
        losses = [event.values["train/loss"] for event in events if event.stage == "train"]
        assert sum(losses[-3:]) < 0.7 * sum(losses[:3])

    def test_a_teacher_of_other_classes_is_refused(self) -> None:
        teacher = Teacher(lambda batch: torch.zeros(len(batch), 5))
        message = (
            r"must answer the same rows with the same classes, got logits \(6, 2\) and \(6, 5\); "
            "give both one task"
        )
        with pytest.raises(ValueError, match=message):
            Distillation(teacher)(net("bert"), batch_of("bert"))

    @pytest.mark.parametrize(
        ("temperature", "weight", "message"),
        [
            (
                0.0,
                0.5,
                "temperature must be above 0 and finite, got 0; "
                "1 takes the probabilities as they are",
            ),
            (-2.0, 0.5, "temperature must be above 0 and finite, got -2"),
            (float("inf"), 0.5, "temperature must be above 0 and finite, got inf"),
            (
                4.0,
                -0.1,
                "weight must be from 0 to 1, got -0.1; 0 is the labels alone, 1 the teacher alone",
            ),
            (4.0, 1.5, "weight must be from 0 to 1, got 1.5"),
        ],
    )
    def test_bad_values_are_refused(self, temperature: float, weight: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Distillation(Teacher(net("bert")), temperature, weight)


class TestData:
    def test_a_pseudo_label_is_the_most_probable_class(self) -> None:
        task = lengths().take(40, seed=2)
        named = pseudo_labelled(Teacher(Counting()), task)
        assert named.labels("train").tolist() == says(task.train["text"][:]).argmax(-1).tolist()
        assert named.labels("train").tolist() != task.labels("train").tolist()
        assert named.train["page"][:] == task.train["page"][:]
        assert named.train.features == task.train.features
        assert torch.equal(named.labels("valid"), task.labels("valid"))
        assert named.notes == ("the labels of train are a teacher's answers",)

    def test_a_transfer_set_has_inputs_and_no_label(self) -> None:
        task = small_task()
        bare = unlabelled(task)
        assert set(bare.labels("train").tolist()) == {-1}
        assert bare.train["text"][:] == task.train["text"][:]
        assert torch.equal(bare.labels("test"), task.labels("test"))
        assert task.labels("train").tolist() == [i % 2 for i in range(24)]
        assert bare.notes == ("24 rows of train have no label",)

    def test_the_same_relabelling_is_the_same_object_so_that_it_is_read_once(self) -> None:
        task, teacher = small_task(), Teacher(Counting())
        assert unlabelled(task, keep=3).train is unlabelled(task, keep=3).train
        assert unlabelled(task, keep=3).train is not unlabelled(task, keep=4).train
        assert (
            pseudo_labelled(teacher, rows := lengths()).train
            is pseudo_labelled(teacher, rows).train
        )

    def test_the_rows_that_keep_their_label_are_those_a_smaller_task_takes(self) -> None:
        task = lengths()
        few, some = task.take(30, seed=6), unlabelled(task.take(100, seed=6), keep=30)
        known = some.labels("train") >= 0
        kept = some.train.select(known.nonzero().flatten().tolist())
        assert [dict(row) for row in kept] == [dict(row) for row in few.train]
        assert len(some.train) == 100

    def test_all_rows_may_keep_their_label(self) -> None:
        task = small_task()
        assert torch.equal(unlabelled(task, keep=24).labels("train"), task.labels("train"))

    @pytest.mark.parametrize("keep", [-1, 25])
    def test_more_labels_than_rows_are_refused(self, keep: int) -> None:
        with pytest.raises(
            ValueError, match=f"keep must be from 0 to 24, the rows of train, got {keep}; it counts"
        ):
            unlabelled(small_task(), keep)


class TestStudent:
    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("seed", [None, 3])
    def test_it_answers_with_fewer_blocks(self, name: str, seed: int | None) -> None:
        large = net(name)
        small = student(large, (1,), seed)
        with torch.no_grad():
            said = small(batch_of(name))
        assert said.shape == large(batch_of(name)).shape and said.isfinite().all()
        assert small.body.config.num_hidden_layers == 1
        assert sum(p.numel() for p in small.parameters()) < sum(
            p.numel() for p in large.parameters()
        )

    @pytest.mark.parametrize("name", NETS)
    def test_a_student_of_all_blocks_answers_as_its_teacher(self, name: str) -> None:
        large, batch = net(name), batch_of(name)
        with torch.no_grad():
            assert torch.equal(
                student(large, range(large.body.config.num_hidden_layers))(batch), large(batch)
            )

    @pytest.mark.parametrize("name", ["mini", "mini-vit"])
    def test_its_blocks_are_copies_of_the_named_ones(self, name: str) -> None:
        large = net(name)
        stack = "body.encoder.layer" if name == "mini" else "body.layers"
        theirs, ours = large.state_dict(), student(large, (0, 2)).state_dict()
        number = {"0": "0", "1": "2"}
        for key, value in ours.items():
            at = key.removeprefix(f"{stack}.").split(".")
            origin = ".".join([stack, number[at[0]], *at[1:]]) if key.startswith(stack) else key
            assert torch.equal(value, theirs[origin]), key
        assert len(ours) == len([key for key in theirs if not key.startswith(f"{stack}.1.")])

    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("seed", [None, 3])
    def test_it_shares_no_memory_with_its_teacher(self, name: str, seed: int | None) -> None:
        large = net(name)
        memory = [
            {t.data_ptr() for t in (*model.parameters(), *model.buffers())}
            for model in (large, student(large, (0,), seed))
        ]
        assert not memory[0] & memory[1]

    @pytest.mark.parametrize("name", NETS)
    def test_its_config_is_true_and_that_of_the_teacher_stays(self, name: str) -> None:
        large = net(name)
        before = large.body.config.to_dict()
        small = student(large, (1,))
        again = small.untrained(5)
        assert {k: v.shape for k, v in again.state_dict().items()} == {
            k: v.shape for k, v in small.state_dict().items()
        }
        assert large.body.config.to_dict() == before
        assert (
            before[
                "n_layer"
                if name == "gpt2"
                else "n_layers"
                if name == "distilbert"
                else "num_hidden_layers"
            ]
            > 1
        )

    def test_a_seed_gives_the_same_architecture_that_knows_nothing(self) -> None:
        large = net("mini")
        drawn, again, other, copied = (student(large, (0, 2), seed) for seed in (0, 0, 1, None))
        name = "body.encoder.layer.1.output.dense.weight"
        assert torch.equal(drawn.state_dict()[name], again.state_dict()[name])
        for model in (other, copied):
            assert not torch.equal(drawn.state_dict()[name], model.state_dict()[name])
        assert not torch.equal(
            drawn.state_dict()["heads.tiny.weight"], other.state_dict()["heads.tiny.weight"]
        )
        assert drawn.state_dict().keys() == copied.state_dict().keys()

    def test_it_draws_from_no_random_stream_but_its_own(self) -> None:
        large = net("bert")
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        student(large, (0,), seed=4)
        student(large, (0,))
        assert torch.equal(torch.rand(3), expected)

    def test_its_weights_have_the_type_of_the_teachers(self) -> None:
        large = net("bert").double()
        assert {p.dtype for p in student(large, (0, 1)).parameters()} == {torch.float64}
        assert torch.equal(
            student(large, (0, 1)).body.state_dict()["embeddings.LayerNorm.bias"],
            large.body.embeddings.LayerNorm.bias,
        )

    @pytest.mark.parametrize("blocks", [(), (2, 0), (0, 0), (0, 3), (-1,)])
    def test_blocks_that_are_not_there_or_not_in_order_are_refused(
        self, blocks: tuple[int, ...]
    ) -> None:
        got = str(blocks).replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(
            ValueError,
            match=f"blocks must be some of 0 to 2, each once and ascending, got {got}; give",
        ):
            student(net("mini"), blocks)

    def test_a_body_that_is_not_one_stack_is_refused(self) -> None:
        odd = net("bert")
        odd.body.other = nn.ModuleList([nn.Linear(2, 2)])
        with pytest.raises(
            ValueError,
            match=r"the body must be one stack of numbered blocks, got BertModel; use a base",
        ):
            student(odd, (0,))


class TestAgreement:
    def test_it_is_the_share_of_rows_with_the_same_answer(self) -> None:
        a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [5.0, 0.0]])
        b = torch.tensor([[9.0, 8.0], [0.0, 0.1], [1.0, 0.0], [2.0, 0.0]])
        assert agreement(a, b) == 0.75
        assert agreement(a, 3.0 * a + 1.0) == 1.0
        assert agreement(a, -a) == 0.0

    def test_other_rows_are_refused(self) -> None:
        with pytest.raises(
            ValueError,
            match=r"the same rows with the same classes, got logits \(4, 2\) and \(3, 2\)",
        ):
            agreement(torch.zeros(4, 2), torch.zeros(3, 2))
