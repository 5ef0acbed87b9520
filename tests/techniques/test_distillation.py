"""Teachers, the loss of distillation, and the tasks that it needs."""

import gc
import weakref
from dataclasses import replace
from itertools import islice, pairwise

import pytest
import torch
from helpers.laws import HEAD, batch_of
from helpers.nets import net, small_task, task_for
from helpers.teachers import CLASSES, ROWS, Counting, gradient, learn, lengths, logits, says
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.tasks.task import Batch
from ftkit.techniques.distillation import (
    Distillation,
    Teacher,
    agreement,
    divergence,
    pseudo_labelled,
    unlabelled,
)
from ftkit.techniques.lora import LoRA
from ftkit.techniques.student import student


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

    def test_it_reads_rows_of_similar_length_together(self) -> None:
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
        answers = Teacher(model).logits(task.train, "tiny")
        torch.testing.assert_close(
            answers, Teacher(model.merged()).logits(task.train, "tiny"), atol=1e-5, rtol=1e-4
        )
        assert (answers - Teacher(base).logits(task.train, "tiny")).abs().max() > 1e-2
        assert not answers.requires_grad

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
