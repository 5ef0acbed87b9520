import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any

import pytest
import torch
from helpers.laws import HEAD
from helpers.nets import SENTENCES, digits, net, small_task
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.model.objective import supervised
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Batch, Task, table
from ftkit.techniques import task_balancing as balance
from ftkit.techniques.freeze import LastBlocks, Only
from ftkit.techniques.lora import LoRA
from ftkit.techniques.task_balancing import (
    GradNorm,
    PCGrad,
    Uncertainty,
    Weighted,
    losses,
    projected,
    rebalanced,
)
from ftkit.techniques.task_mixing import WINDOW, Joint, Mixture, Together, cosines, proportional
from ftkit.training.cost import measure
from ftkit.training.loop import frozen_features, train

LORA = LoRA(rank=2, alpha=7.0)


@lru_cache
def tiny() -> Task:
    return small_task()


@lru_cache
def third(name: str = "third") -> Task:
    """18 rows, three classes."""
    rows = table(
        [f"{SENTENCES[i % 5]} at {i}" for i in range(18)],
        [i % 3 for i in range(18)],
        ["a", "b", "c"],
    )
    return Task(name, ("a", "b", "c"), rows, rows, rows)


@lru_cache
def parity() -> Task:
    """24 images, two classes."""
    rows = load_task("digits-parity").take(24).train
    return Task("parity", ("even", "odd"), rows, rows, rows)


@lru_cache
def contrary(of: Callable[[], Task] = tiny) -> Task:
    """The rows of a task with every label the other one."""
    task = of()
    rows = table(
        task.train[task.kind][:], [1 - label for label in task.train["label"]], task.classes
    )
    return Task("contrary", task.classes, rows, rows, rows)


def base_for(*tasks: Task) -> Net:
    return net("mini-vit" if tasks[0].kind == "image" else "bert", *tasks)


def model(*spaces: Any, tasks: tuple[Task, ...] | None = None) -> Adapted:
    return Adapted(base_for(*(tasks or (tiny(), third()))), *spaces)


def joint(*tasks: Task, size: int = 6, start: int = 0) -> Joint:
    tasks = tasks or (tiny(), third())
    return Joint(tuple(task.batch("train", torch.arange(start, start + size)) for task in tasks))


def alike(*spaces: Any, other: Task, task: Task | None = None) -> Adapted:
    """A model of `task`, `tiny` by default, and another whose heads start as one."""
    task = task or tiny()
    base = base_for(task, other)
    base.heads[other.name].load_state_dict(base.heads[task.name].state_dict())
    return Adapted(base, *spaces)


def run(adapted: Adapted, data: Any, objective: Any = supervised, **settings: Any) -> list[Any]:
    given = {"steps": 4, "lr": 1e-2, "size": 6, "validations": 2, "valid_rows": 12, **settings}
    return list(train(adapted, data, objective=objective, **given))


def gradients(
    adapted: Adapted, terms: dict[str, torch.Tensor], prefix: str = "body."
) -> torch.Tensor:
    """The gradient of the sum of `terms` at what trains of `prefix`, in one row."""
    weights = adapted.trainable(prefix)
    found = torch.autograd.grad(
        sum(terms.values()), weights, materialize_grads=True, retain_graph=True
    )
    return torch.cat([gradient.flatten() for gradient in found])


def each(adapted: Adapted, batch: Joint, prefix: str = "body.") -> list[torch.Tensor]:
    """Each task's own gradient."""
    return [
        gradients(adapted, {part.task: supervised(adapted, part)["labels"]}, prefix)
        for part in batch
    ]


class TestMixture:
    @pytest.mark.parametrize("spaces", [(HEAD,), (LORA, HEAD), (Only("*"),)], ids=repr)
    @pytest.mark.parametrize("share", [1.0, 0.3])
    @pytest.mark.parametrize("of", [tiny, parity])
    def test_of_one_it_is_the_task(
        self, spaces: tuple[Any, ...], share: float, of: Callable[[], Task]
    ) -> None:
        models = [model(*spaces, tasks=(of(), contrary(of))) for _ in range(2)]
        assert run(models[0], Mixture((of(),), (share,)), seed=5) == run(models[1], of(), seed=5)
        assert all(
            torch.equal(a, b)
            for a, b in zip(models[0].trainable(), models[1].trainable(), strict=True)
        )

    def test_the_target_s_batches_come_as_they_do_alone(self) -> None:
        mixed = islice(Mixture((tiny(), third()), (1, 1)).batches(6, generator()), 60)
        mine = [batch.rows.tolist() for batch in mixed if batch.task == "tiny"]
        assert len(mine) > 12
        assert mine == [
            batch.rows.tolist() for batch in islice(tiny().batches(6, generator()), len(mine))
        ]

    @pytest.mark.parametrize("shares", [(1.0, 1.0, 2.0), (0.9, 0.05, 0.05)])
    def test_the_shares_are_met_in_the_long_run(self, shares: tuple[float, ...]) -> None:
        tasks, draws = (tiny(), third(), contrary()), 3000
        names = [
            batch.task for batch in islice(Mixture(tasks, shares).batches(4, generator()), draws)
        ]
        for task, share in zip(tasks, shares, strict=True):
            p = share / sum(shares)
            assert abs(names.count(task.name) - draws * p) < 4 * math.sqrt(draws * p * (1 - p))

    def test_the_same_seed_is_the_same_order_and_another_is_another(self) -> None:
        def drawn(seed: int) -> list[Any]:
            batches = Mixture((tiny(), third()), (2, 1)).batches(5, generator(seed))
            return [(batch.task, batch.rows.tolist()) for batch in islice(batches, 30)]

        assert drawn(1) == drawn(1)
        assert [task for task, _ in drawn(1)] != [task for task, _ in drawn(2)]
        assert [rows for task, rows in drawn(1) if task == "third"][:3] != [
            rows for task, rows in drawn(2) if task == "third"
        ][:3]

    @pytest.mark.parametrize(("shares", "comes"), [((1, 0), {"tiny"}), ((0, 1), {"third"})])
    def test_a_task_with_share_0_never_comes(
        self, shares: tuple[float, ...], comes: set[str]
    ) -> None:
        assert {
            batch.task
            for batch in islice(Mixture((tiny(), third()), shares).batches(4, generator()), 2000)
        } == comes

    def test_a_task_and_its_copy_do_not_come_with_the_same_rows(self) -> None:
        batches = islice(
            Mixture((tiny(), replace(tiny(), name="copy")), (1, 1)).batches(6, generator()), 20
        )
        rows: dict[str, list[Any]] = {"tiny": [], "copy": []}
        for batch in batches:
            rows[batch.task].append(batch.rows.tolist())
        assert rows["tiny"][:3] != rows["copy"][:3]

    @pytest.mark.parametrize(
        "data",
        [Mixture((third(), tiny()), (0, 1)), Together((third(), tiny()))],
        ids=["mixture", "together"],
    )
    def test_what_is_read_is_the_first_task_s(self, data: Any) -> None:
        assert data.split("valid") is third().valid
        assert torch.equal(data.labels("test"), third().labels("test"))
        assert data.batch("valid", torch.tensor([4, 2])).task == "third"
        assert data.batch("valid", torch.tensor([4, 2])).labels.tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("exponent", "shares"), [(0, (0.5, 0.5)), (1, (0.8, 0.2)), (0.5, (2 / 3, 1 / 3))]
    )
    def test_shares_are_in_proportion_to_a_power_of_the_size(
        self, exponent: float, shares: tuple[float, ...]
    ) -> None:
        tasks = [tiny(), tiny().take(6)]  # 24 rows and 6
        assert proportional(tasks, exponent) == pytest.approx(shares)

    def test_lora_a_mixture_and_weights_combine(self) -> None:
        base = net("bert", tiny(), third())
        before = {key: value.clone() for key, value in base.state_dict().items()}
        data, objective = Mixture((tiny(), third()), (1, 3)), Weighted({"tiny": 1.0, "third": 0.25})
        first = next(data.batches(6, generator()))
        assert first.task == "third"
        loss = supervised(base, first)["labels"].item()
        adapted = Adapted(base, LORA, HEAD)
        events = run(adapted, data, objective, steps=8)
        assert events[0].values["train/loss"] == pytest.approx(0.25 * loss, rel=1e-6)
        moved = {name for name, value in adapted.delta().items() if value.any()}
        assert moved == {*LORA.changes(base), *HEAD.changes(base)}
        assert all(torch.equal(before[key], value) for key, value in base.state_dict().items())
        assert events == run(Adapted(base, LORA, HEAD), data, objective, steps=8)


class TestTogether:
    def test_each_step_brings_a_batch_of_every_task(self) -> None:
        for batch in islice(Together((tiny(), third())).batches(6, generator()), 5):
            assert [part.task for part in batch] == ["tiny", "third"]
            assert [len(part) for part in batch] == [6, 6]
            assert len(batch) == 12

    def test_the_batches_are_those_of_a_mixture_and_the_target_s_come_in_their_order(self) -> None:
        pairs = list(islice(Together((tiny(), third())).batches(6, generator()), WINDOW))
        mixed = list(islice(Mixture((tiny(), third()), (1, 1)).batches(6, generator()), 4 * WINDOW))
        drawn = [
            [batch.rows.tolist() for batch in mixed if batch.task == name][:WINDOW]
            for name in ("tiny", "third")
        ]
        ours, others = ([batch.parts[i].rows.tolist() for batch in pairs] for i in (0, 1))
        assert ours == drawn[0] and others != drawn[1] and sorted(others) == sorted(drawn[1])

    def test_batches_that_stand_together_are_of_like_length(self) -> None:
        tasks = tiny(), third()
        pairs = list(islice(Together(tasks).batches(3, generator()), WINDOW))
        longest = [
            [int(task.lengths[batch.parts[i].rows].max()) for batch in pairs]
            for i, task in enumerate(tasks)
        ]
        assert len(set(longest[0])) > 1
        for (one, beside), (two, other) in pairwise(sorted(zip(*longest, strict=True))):
            assert one == two or beside <= other

    @pytest.mark.parametrize("make", [lambda: Weighted(), lambda: PCGrad(3), lambda: GradNorm()])
    @pytest.mark.parametrize(
        "data", [Together((tiny(),)), Mixture((tiny(),), (2,))], ids=["together", "mixture"]
    )
    def test_one_task_is_the_task_whatever_the_objective(
        self, make: Callable[[], Any], data: Any
    ) -> None:
        assert run(model(LORA, HEAD), data, make()) == run(model(LORA, HEAD), tiny())

    def test_the_joint_data_holds_what_every_part_reads(self) -> None:
        batch = joint(start=3)
        texts = [text for part in batch for text in part.data.select(part.rows.tolist())["text"]]
        assert batch.data.select(batch.rows.tolist())["text"][:] == texts
        assert joint().data is batch.data

    def test_images_can_be_joined_too(self) -> None:
        batch = joint(digits(), replace(digits(), name="copy"))
        assert batch.data.column_names == ["image"]
        assert len(batch.data) == 2 * len(digits().train)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Weighted(),
            lambda: Uncertainty([tiny(), third()]),
            lambda: PCGrad(),
            lambda: GradNorm(),
        ],
    )
    def test_a_frozen_body_answers_once_for_every_row(self, make: Callable[[], Any]) -> None:
        base, data = net("bert", tiny(), third()), Together((tiny(), third()))
        calls: list[int] = []
        base.body.register_forward_hook(lambda *_: calls.append(1))
        adapted = Adapted(base, HEAD)
        first = run(adapted, data, make(), steps=8)
        assert (
            len(calls) == 2
        )  # one pass for the 42 rows of both, and one for those that are read on the way
        assert first == run(Adapted(base, HEAD), data, make(), steps=8)
        assert all(adapted.delta()[f"heads.{name}.weight"].any() for name in ("tiny", "third"))

    def test_features_computed_before_go_to_the_rows_they_belong_to(self) -> None:
        adapted, batch = model(HEAD), joint(start=2)
        ready = replace(batch, features=frozen_features(adapted.base, batch.data)[batch.rows])
        assert [part.features.shape for part in ready] == [(6, 16), (6, 16)]
        for name, loss in losses(adapted, batch).items():
            torch.testing.assert_close(losses(adapted, ready)[name], loss, atol=1e-6, rtol=1e-5)

    def test_without_an_objective_for_several_it_says_so(self) -> None:
        with pytest.raises(
            ValueError,
            match="the objective must be one for tiny, third together, got one for a single head",
        ):
            run(model(LORA, HEAD), Together((tiny(), third())))


class TestWeighted:
    def test_equal_weights_are_the_sum(self) -> None:
        adapted, batch = model(Only("*")), joint()
        plain = [supervised(adapted, part)["labels"] for part in batch]
        for objective in (Weighted(), Weighted({"tiny": 1.0, "third": 1.0})):
            terms = objective(adapted, batch)
            assert list(terms) == ["tiny", "third"]
            torch.testing.assert_close(list(terms.values()), plain)
        torch.testing.assert_close(
            gradients(adapted, terms, ""),
            gradients(adapted, dict(zip("ab", plain, strict=True)), ""),
        )

    def test_the_body_reads_the_rows_of_all_tasks_in_one_pass(self) -> None:
        base = net("bert", tiny(), third())
        read: list[tuple[int, ...]] = []
        base.body.register_forward_pre_hook(
            lambda _, __, given: read.append(tuple(given["input_ids"].shape)), with_kwargs=True
        )
        short = Task(
            "short", ("no", "yes"), *[table(["no", "so"] * 3, [0, 1] * 3, ["no", "yes"])] * 3
        )
        adapted, batch = Adapted(net("bert", tiny(), short)), joint(tiny(), short)
        wide = Adapted(base)
        Weighted()(wide, joint())
        assert len(read) == 1 and read[0][0] == 12
        own = {part.task: supervised(adapted, part)["labels"] for part in batch}
        terms = Weighted()(adapted, batch)
        torch.testing.assert_close(terms, own)
        torch.testing.assert_close(gradients(adapted, terms, ""), gradients(adapted, own, ""))

    def test_images_of_all_tasks_are_read_in_one_pass(self) -> None:
        copy = replace(digits(), name="copy")
        adapted = Adapted(net("mini-vit", digits(), copy))
        batch = Joint(
            (digits().batch("train", torch.arange(6)), copy.batch("train", torch.arange(6, 12)))
        )
        own = {part.task: supervised(adapted, part)["labels"] for part in batch}
        torch.testing.assert_close(Weighted()(adapted, batch), own)

    @pytest.mark.parametrize("c", [0.0, 0.5, 4.0])
    def test_a_weight_scales_the_gradient_of_its_task(self, c: float) -> None:
        adapted, batch = model(Only("*")), joint()
        terms = Weighted({"tiny": 1.0, "third": c})(adapted, batch)
        own = each(adapted, batch, "")
        torch.testing.assert_close(gradients(adapted, {"third": terms["third"]}, ""), c * own[1])
        torch.testing.assert_close(gradients(adapted, {"tiny": terms["tiny"]}, ""), own[0])

    def test_adam_hides_a_scale_of_all_losses_but_not_of_one(self) -> None:
        plain, scaled, tilted = (
            adam_s_end(*weights) for weights in ((1.0, 1.0), (4.0, 4.0), (4.0, 1.0))
        )
        torch.testing.assert_close(scaled, plain, rtol=0, atol=1e-5)
        assert (tilted - plain).norm() > 0.1 * plain.norm()

    @pytest.mark.parametrize("objective", [supervised, Weighted(), PCGrad(), GradNorm()])
    @pytest.mark.parametrize("of", [tiny, parity])
    def test_the_head_of_one_task_has_no_gradient_on_a_batch_of_another(
        self, objective: Any, of: Callable[[], Task]
    ) -> None:
        adapted = model(LORA, HEAD, tasks=(of(), contrary(of)))
        sum(objective(adapted, contrary(of).batch("train", torch.arange(6))).values()).backward()
        assert [p.grad for p in adapted.trainable(f"heads.{of().name}")] == [None, None]
        assert all(p.grad.any() for p in adapted.trainable("heads.contrary"))


class TestUncertainty:
    def test_it_starts_as_the_plain_sum(self) -> None:
        adapted, batch = model(Only("*")), joint()
        objective = Uncertainty([tiny(), third()])
        assert objective.weights == {"tiny": 1.0, "third": 1.0}
        assert [t.item() for t in objective(adapted, batch).values()] == [
            t.item() for t in Weighted()(adapted, batch).values()
        ]
        assert torch.equal(
            gradients(adapted, objective(adapted, batch)),
            gradients(adapted, Weighted()(adapted, batch)),
        )

    @pytest.mark.parametrize("margin", [-1.0, 0.0, 3.0])
    def test_at_its_best_the_weighted_loss_is_a_half(self, margin: float) -> None:
        objective, batch = (
            Uncertainty([tiny()]),
            replace(tiny().batch("train", torch.tensor([0])), labels=torch.tensor([0])),
        )

        def constant(_: Batch) -> torch.Tensor:
            return torch.tensor([[margin, 0.0]])

        loss = supervised(constant, batch)["labels"].item()
        for _ in range(200):
            objective.zero_grad()
            objective(constant, batch)["tiny"].backward()
            with torch.no_grad():
                objective.s -= 0.5 * objective.s.grad
        assert objective.weights["tiny"] * loss == pytest.approx(0.5, rel=1e-4)
        assert objective.s.item() == pytest.approx(math.log(2 * loss), abs=1e-4)
        assert (objective.s.item() < 0) == (loss < 0.5)

    def test_each_s_moves_at_the_rate_of_the_heads(self) -> None:
        objective = Uncertainty([tiny(), third()])
        run(
            model(LORA, HEAD), Together((tiny(), third())), objective, steps=1, lr=0.0, head_lr=0.02
        )
        assert objective.s.tolist() == pytest.approx(
            [0.02, 0.02], rel=1e-3
        )  # Adam's first step; both losses are above a half

    def test_each_s_has_its_own_task_s_gradient(self) -> None:
        adapted, batch, objective = model(HEAD), joint(), Uncertainty([third(), tiny()])
        sum(objective(adapted, batch).values()).backward()
        plain = losses(adapted, batch)
        assert objective.s.grad.tolist() == pytest.approx(
            [0.5 - plain["third"].item(), 0.5 - plain["tiny"].item()]
        )

    def test_it_is_clipped_with_the_rest(self) -> None:
        base, data, objective = (
            net("bert", tiny(), third()),
            Together((tiny(), third())),
            Uncertainty([tiny(), third()]),
        )
        with torch.no_grad():
            base.heads["third"].weight.mul_(20)  # so that there is something to clip
        plain = run(Adapted(base, Only("*")), data, Weighted(), steps=1, validations=0)[0].values
        norm = run(Adapted(base, Only("*")), data, objective, steps=1, validations=0)[0].values[
            "train/grad_norm"
        ]
        slopes = [0.5 - plain["train/tiny"], 0.5 - plain["train/third"]]
        assert norm == pytest.approx(math.hypot(plain["train/grad_norm"], *slopes), rel=1e-5)
        assert norm > 1.1
        assert objective.s.grad.tolist() == pytest.approx(
            [slope / norm for slope in slopes], rel=1e-4
        )

    def test_it_cannot_train_alone(self) -> None:
        with pytest.raises(
            ValueError, match="the model must have trainable parameters, got spaces without any"
        ):
            run(model(LastBlocks(0)), Together((tiny(), third())), Uncertainty([tiny(), third()]))


class TestSteered:
    """PCGrad and GradNorm: values are plain losses, only the body's gradient differs."""

    @pytest.mark.parametrize("spaces", [(Only("*"),), (LORA, HEAD)], ids=repr)
    @pytest.mark.parametrize(
        "make",
        [PCGrad, lambda: started(GradNorm(), contrary=0.25, tiny=1.75)],
        ids=["PCGrad", "GradNorm"],
    )
    def test_heads_keep_their_gradients_and_losses_their_values(
        self, make: Callable[[], Any], spaces: Any
    ) -> None:
        adapted, batch = alike(*spaces, other=contrary()), joint(tiny(), contrary())
        terms, plain = make()(adapted, batch), Weighted()(adapted, batch)
        assert {task: term.item() for task, term in terms.items()} == {
            task: term.item() for task, term in plain.items()
        }
        assert torch.equal(gradients(adapted, terms, "heads."), gradients(adapted, plain, "heads."))
        body = gradients(adapted, plain)
        assert (gradients(adapted, terms) - body).norm() > 0.1 * body.norm()

    def test_a_value_is_the_loss_to_the_bit_however_large_the_pull(self) -> None:
        base, batch = net("bert", tiny(), third()), joint()
        with torch.no_grad():
            for head in base.heads.values():
                head.bias.add_(torch.arange(len(head.bias)) - 300.0)
        adapted = Adapted(base, Only("*"))
        assert [t.item() for t in PCGrad()(adapted, batch).values()] == [
            t.item() for t in losses(adapted, batch).values()
        ]

    def test_it_costs_no_more_than_the_plain_sum(self) -> None:
        adapted, batch = model(LORA, HEAD), joint()
        plain, steered = (
            measure(adapted, batch, objective, repeats=1).flops
            for objective in (Weighted(), PCGrad())
        )
        assert (
            0.9 * plain < steered < 1.1 * plain
        )  # one pass for both tasks is padded a little more than two

    @pytest.mark.parametrize("make", [PCGrad, GradNorm])
    def test_the_same_seed_is_the_same_run(self, make: Callable[[], Any]) -> None:
        data = Together((tiny(), third(), contrary()))
        first, second = (
            run(model(LORA, HEAD, tasks=data.tasks), data, make(), seed=3) for _ in range(2)
        )
        assert first == second


class TestPCGrad:
    @pytest.mark.parametrize("seed", range(5))
    def test_of_two_tasks_neither_opposes_the_other_afterwards(self, seed: int) -> None:
        torch.manual_seed(seed)
        g = torch.randn(2, 1000)
        g[1] -= (0.1 + seed) * g[0]
        assert g[0] @ g[1] < 0
        turned = projected(g, [[0, 1], [1, 0]])
        for mine, other in ((0, 1), (1, 0)):
            assert turned[mine] @ g[other] >= -1e-6 * g[mine].norm() * g[other].norm()
            assert turned[mine].norm() < g[mine].norm()

    @pytest.mark.parametrize("of", [tiny, parity])
    def test_so_it_is_in_a_network(self, of: Callable[[], Task]) -> None:
        adapted, batch = alike(LORA, HEAD, task=of(), other=contrary(of)), joint(of(), contrary(of))
        own, terms = each(adapted, batch), PCGrad()(adapted, batch)
        assert own[0] @ own[1] < -0.1 * own[0].norm() * own[1].norm()
        for (_, term), other in zip(terms.items(), reversed(own), strict=True):
            assert gradients(adapted, {"": term}) @ other >= -1e-6 * own[0].norm() * own[1].norm()

    def test_without_a_conflict_nothing_changes(self) -> None:
        torch.manual_seed(0)
        g = torch.rand(4, 50)
        assert torch.equal(projected(g, [[3, 2, 1, 0]] * 4), g)
        copy = replace(tiny(), name="copy")
        adapted, batch = alike(Only("*"), other=copy), joint(tiny(), copy)
        torch.testing.assert_close(
            gradients(adapted, PCGrad()(adapted, batch), ""),
            gradients(adapted, Weighted()(adapted, batch), ""),
        )

    def test_two_opposite_gradients_leave_nothing(self) -> None:
        torch.manual_seed(0)
        g = torch.randn(100)
        assert not projected(torch.stack([g, -g]), [[1], [0]]).any()

    @pytest.mark.parametrize("size", [0.0, 1e-25])
    def test_a_vanishing_gradient_divides_by_no_zero(self, size: float) -> None:
        g = torch.tensor([[1.0, 2.0], [-size, -size]])
        assert torch.equal(projected(g, [[1], [0]])[0], g[0])

    def test_projections_use_the_original_gradients(self) -> None:
        g = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
        # Row 1 loses its part along (1, 0). Along the changed row 0, (.5, .5), it loses nothing.
        expected = torch.tensor([[0.5, 0.5], [0.0, 0.0], [-0.5, -0.5]])
        assert torch.equal(projected(g, [[2, 1], [0, 2], [0, 1]]), expected)

    def test_the_order_decides(self) -> None:
        g = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
        assert projected(g, [[1, 2], [], []])[0].tolist() == [0.5, 0.0]
        assert projected(g, [[2, 1], [], []])[0].tolist() == [0.5, 0.5]

    def test_the_order_is_fresh_at_each_step_and_the_same_for_the_same_step(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(balance, "projected", lambda g, orders: seen.append(orders) or g)
        tasks = (tiny(), third(), contrary())
        adapted = model(HEAD, tasks=tasks)
        for start in (*range(10), 0):
            PCGrad(1)(adapted, joint(*tasks, size=2, start=start))
        PCGrad(2)(adapted, joint(*tasks, size=2))
        assert all(sorted(order) == [0, 1, 2] for orders in seen for order in orders)
        assert len({str(orders) for orders in seen[:10]}) > 5
        assert any(orders[0] != orders[1] for orders in seen)
        assert seen[10] == seen[0]
        assert seen[11] != seen[0]

    @pytest.mark.parametrize(
        "objective", [PCGrad(), PCGrad(seed=4), Weighted(), Weighted({"tiny": 0.5, "third": 2.0})]
    )
    def test_the_repr_rebuilds_it(self, objective: Any) -> None:
        assert eval(repr(objective), {"PCGrad": PCGrad, "Weighted": Weighted}) == objective


class TestGradNorm:
    def test_the_weights_sum_to_the_number_of_tasks(self) -> None:
        objective, data = GradNorm(lr=0.2), Together((tiny(), third(), contrary()))
        assert objective.weights == {}
        run(model(LORA, HEAD, tasks=data.tasks), data, objective, steps=8)
        assert list(objective.weights) == ["tiny", "third", "contrary"]
        assert sum(objective.weights.values()) == pytest.approx(3, abs=1e-5)
        assert max(objective.weights.values()) > 1.05

    @pytest.mark.parametrize("alpha", [0.5, 1.5, 3.0])
    def test_the_slower_task_is_favoured(self, alpha: float) -> None:
        fast, middle, slow = rebalanced(
            torch.ones(3), torch.ones(3), torch.tensor([0.2, 0.61, 1.0]), alpha, lr=0.1
        ).tolist()
        assert fast < 1 < slow
        assert fast <= middle <= slow

    def test_weights_settle_where_norms_are_in_proportion_to_the_rates(self) -> None:
        norms, ratios, weights = (
            torch.tensor([1.0, 4.0, 0.5]),
            torch.tensor([0.5, 1.0, 0.75]),
            torch.ones(3),
        )
        for alpha in (0.0, 1.0):
            for _ in range(3000):
                weights = rebalanced(weights, norms, ratios, alpha, lr=0.002)
            sizes, aims = weights * norms, (ratios / ratios.mean()) ** alpha
            torch.testing.assert_close(sizes / sizes.mean(), aims / aims.mean(), rtol=0.15, atol=0)

    def test_the_scale_of_all_losses_does_not_matter_to_the_weights(self) -> None:
        weights, norms, ratios = (
            torch.tensor([0.5, 1.5]),
            torch.tensor([1.0, 3.0]),
            torch.tensor([0.5, 0.75]),
        )
        torch.testing.assert_close(
            rebalanced(weights, 8 * norms, ratios, 1.5, 0.1),
            rebalanced(weights, norms, ratios, 1.5, 0.1),
        )

    def test_no_weight_reaches_0(self) -> None:
        weights = torch.ones(2)
        for _ in range(50):
            weights = rebalanced(
                weights, torch.tensor([1e4, 1.0]), torch.tensor([1e-3, 1.0]), 1.5, lr=1.0
            )
            assert weights.min() > 0
            assert weights.isfinite().all()

    def test_a_step_weighs_the_gradients_of_the_body_and_then_the_weights_move(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(
            balance, "rebalanced", lambda *given: seen.append(given) or rebalanced(*given)
        )
        adapted, batch, objective = model(LORA, HEAD), joint(), GradNorm(alpha=1.0, lr=0.3)
        first, own = losses(adapted, batch), each(adapted, batch)
        torch.testing.assert_close(gradients(adapted, objective(adapted, batch)), own[0] + own[1])
        weights = rebalanced(
            torch.ones(2), torch.stack([g.norm() for g in own]), torch.ones(2), 1.0, 0.3
        )
        assert list(objective.weights.values()) == pytest.approx(weights.tolist())
        run(adapted, tiny(), steps=30, lr=0.03, validations=0)
        ratios = torch.stack(
            [losses(adapted, batch)[name] / first[name] for name in first]
        ).detach()
        assert abs(ratios[0] - ratios[1]) > 0.02
        own = each(adapted, batch)
        torch.testing.assert_close(
            gradients(adapted, objective(adapted, batch)), weights[0] * own[0] + weights[1] * own[1]
        )
        for got, expected in zip(
            seen[1], (weights, torch.stack([g.norm() for g in own]), ratios, 1.0, 0.3), strict=True
        ):
            torch.testing.assert_close(got, expected)
        assert list(objective.weights.values()) == pytest.approx(rebalanced(*seen[1]).tolist())

    def test_without_a_rate_it_is_the_plain_sum(self) -> None:
        adapted, batch, objective = model(Only("*")), joint(), GradNorm(lr=0.0)
        for _ in range(2):
            torch.testing.assert_close(
                gradients(adapted, objective(adapted, batch)),
                gradients(adapted, Weighted()(adapted, batch)),
            )
        assert objective.weights == {"tiny": 1.0, "third": 1.0}

    def test_where_the_body_is_frozen_the_weights_stay(self) -> None:
        objective = GradNorm(lr=0.5)
        run(model(HEAD), Together((tiny(), third())), objective)
        assert objective.weights == {"tiny": 1.0, "third": 1.0}

    def test_beside_a_task_with_nothing_to_learn_the_weights_still_move(self) -> None:
        single = Task(
            "single", ("one",), *[table(tiny().train["text"][:], [0] * 24, ["one"])] * 3
        )  # its loss is 0 from the start
        objective, data = GradNorm(), Together((tiny(), single))
        run(model(LORA, HEAD, tasks=data.tasks), data, objective)
        assert objective.weights["tiny"] > 1.01


class TestCosines:
    def test_they_are_those_of_the_gradients(self) -> None:
        adapted, batch = model(LORA, HEAD), joint()
        own = each(adapted, batch)
        whole = cosines(adapted, batch, lambda name: "body")
        assert whole == {
            "body": pytest.approx(torch.cosine_similarity(*own, dim=0).item(), abs=1e-5)
        }
        name = "body.encoder.layer.1.output.dense.weight"
        of_weight = [
            gradients(adapted, {part.task: supervised(adapted, part)["labels"]}, name)
            for part in batch
        ]
        assert cosines(adapted, batch, str)[name] == pytest.approx(
            torch.cosine_similarity(*of_weight, dim=0).item(), abs=1e-5
        )
        assert list(cosines(adapted, batch, str)) == list(LORA.changes(adapted.base))

    def test_there_is_one_for_each_block_and_for_the_embeddings(self) -> None:
        adapted, batch = model(Only("*")), joint()
        found = cosines(adapted, batch)
        assert list(found) == ["body.embeddings", "body.encoder.layer.0", "body.encoder.layer.1"]
        of_block = each(adapted, batch, "body.encoder.layer.1.")
        assert found["body.encoder.layer.1"] == pytest.approx(
            torch.cosine_similarity(*of_block, dim=0).item(), abs=1e-5
        )

    @pytest.mark.parametrize(("labels", "cosine"), [(lambda y: y, 1.0), (lambda y: 1 - y, -1.0)])
    def test_the_same_labels_agree_and_contrary_ones_do_not(
        self, labels: Callable[..., Any], cosine: float
    ) -> None:
        batch = tiny().batch(
            "train", torch.tensor([0])
        )  # of one row, whose gradient has one direction for either label
        other = replace(batch, labels=labels(batch.labels), task="contrary")
        found = cosines(alike(Only("*"), other=contrary()), Joint((batch, other)))
        assert list(found.values()) == pytest.approx([cosine] * 3, abs=1e-4)

    def test_what_no_task_moves_has_none(self) -> None:
        base = net("bert", tiny(), third())
        base.body.unused = nn.Parameter(torch.ones(3))
        assert "body.unused" not in cosines(Adapted(base, Only("*")), joint())
        assert cosines(Adapted(base, HEAD), joint()) == {}

    def test_it_leaves_no_gradient_behind(self) -> None:
        adapted = model(LORA, HEAD)
        cosines(adapted, joint())
        assert all(p.grad is None for p in adapted.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Mixture((), ()),
            "tasks must name at least one task, got none; the first is the target",
        ),
        (lambda: Together(()), "tasks must name at least one task, got none"),
        (
            lambda: Mixture((tiny(), small_task()), (1, 1)),
            "task names must differ, got tiny, tiny; rename one with dataclasses.replace",
        ),
        (lambda: Together((tiny(), small_task())), "task names must differ, got tiny, tiny"),
        (
            lambda: Mixture((tiny(), third()), (1,)),
            "there must be one share for each task, got 1 for 2",
        ),
        (
            lambda: Mixture((tiny(), third()), (1, -0.5)),
            r"every share must be at least 0 and finite, got \(1, -0.5\)",
        ),
        (
            lambda: Mixture((tiny(), third()), (1, math.nan)),
            r"every share must be at least 0 and finite, got \(1, nan\)",
        ),
        (
            lambda: Mixture((tiny(), third()), (1, math.inf)),
            r"every share must be at least 0 and finite, got \(1, inf\)",
        ),
        (
            lambda: Mixture((tiny(), third()), (0, 0)),
            r"the shares must not all be 0, got \(0, 0\); give one task a share above 0",
        ),
        (
            lambda: proportional([tiny()], 1.5),
            r"exponent must be from 0 \(equal shares\) to 1 \(by size\), got 1.5; give other",
        ),
        (lambda: proportional([tiny()], -0.5), "exponent must be from 0 .* got -0.5"),
        (
            lambda: Weighted({"tiny": -1.0}),
            "every weight must be at least 0 and finite, got {'tiny': -1.0}; 0 leaves a task out",
        ),
        (
            lambda: Weighted({"tiny": math.inf}),
            "every weight must be at least 0 and finite, got {'tiny': inf}",
        ),
        (
            lambda: Weighted({"tiny": 1.0})(model(HEAD), joint()),
            "every task must have a weight, got none for 'third'; .* for tiny",
        ),
        (
            lambda: Uncertainty([tiny()])(model(HEAD), joint()),
            "every task must have its s, got none for 'third'; Uncertainty was given tiny",
        ),
        (
            lambda: GradNorm(alpha=-1),
            "alpha and lr must be at least 0, got -1 and 0.025; lr=0 keeps all weights at 1",
        ),
        (lambda: GradNorm(lr=-0.1), "alpha and lr must be at least 0, got 1.5 and -0.1"),
        (
            lambda: run(model(HEAD), Mixture((tiny(), third()), (1, 1)), GradNorm(), steps=20),
            "GradNorm must see the same tasks at every step",
        ),
        (
            lambda: cosines(model(HEAD), joint(tiny(), third(), contrary())),
            "a cosine must be of two tasks, got 3; .* Together with two",
        ),
        (lambda: cosines(model(HEAD), joint(tiny())), "a cosine must be of two tasks, got 1"),
    ],
)
def test_bad_values_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def adam_s_end(first: float, second: float) -> torch.Tensor:
    """The change after six steps of plain Adam without clipping, in one row.

    With LoRA no key bias adds its noise.
    """
    adapted, batch, objective = (
        model(LORA, HEAD),
        joint(),
        Weighted({"tiny": first, "third": second}),
    )
    optimizer = torch.optim.Adam(adapted.parameters(), lr=1e-2, eps=1e-12)
    for _ in range(6):
        optimizer.zero_grad()
        sum(objective(adapted, batch).values()).backward()
        optimizer.step()
    return torch.cat([change.flatten() for change in adapted.delta().values()])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def started(objective: GradNorm, **weights: float) -> GradNorm:
    """`objective` as if it had come to these weights."""
    objective.weights = {name: weights[name] for name in ("tiny", "contrary")}
    return objective
