"""Weighted sums, learned weights and gradient surgery of several tasks."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.laws import HEAD
from helpers.nets import digits, net
from helpers.several_tasks import (
    LORA,
    adam_s_end,
    alike,
    contrary,
    each,
    gradients,
    joint,
    model,
    parity,
    run,
    started,
    third,
    tiny,
)

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.tasks.task import Batch, Task, table
from ftkit.techniques import task_balancing as balance
from ftkit.techniques.freeze import LastBlocks, Only
from ftkit.techniques.task_balancing import (
    GradNorm,
    PCGrad,
    Uncertainty,
    Weighted,
    losses,
    projected,
    rebalanced,
)
from ftkit.techniques.task_mixing import Joint, Mixture, Together
from ftkit.training.cost import measure


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

    def test_each_s_has_the_learning_rate_of_the_heads(self) -> None:
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

    def test_weights_settle_where_norms_are_in_proportion_to_the_pace(self) -> None:
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

    def test_with_a_learning_rate_of_0_it_is_the_plain_sum(self) -> None:
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

    def test_next_to_a_task_with_nothing_to_learn_the_weights_still_move(self) -> None:
        single = Task(
            "single", ("one",), *[table(tiny().train["text"][:], [0] * 24, ["one"])] * 3
        )  # its loss is 0 from the start
        objective, data = GradNorm(), Together((tiny(), single))
        run(model(LORA, HEAD, tasks=data.tasks), data, objective)
        assert objective.weights["tiny"] > 1.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
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
    ],
)
def test_bad_values_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
