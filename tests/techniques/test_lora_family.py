"""LoRA's relatives: the laws, what each is at its edges, and PEFT's."""

import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from helpers.laws import HEAD, SpaceLaws, batch_of, learn
from helpers.nets import net, small_task
from torch import Tensor, nn

from ftkit.model.adapted import Adapted
from ftkit.model.low_rank import LowRank
from ftkit.model.objective import supervised
from ftkit.seeding import stream
from ftkit.techniques.adalora import AdaLoRA, Directions, Pruning
from ftkit.techniques.dora import DoRA
from ftkit.techniques.ia3 import IA3
from ftkit.techniques.lora import LoRA
from ftkit.techniques.lorafa import LoRAFA
from ftkit.techniques.loraplus import LoRAPlus
from ftkit.techniques.pissa import PiSSA
from ftkit.techniques.rslora import RsLoRA
from ftkit.techniques.vera import VeRA
from ftkit.training.cost import saved_bytes
from ftkit.training.loop import train

FAMILY = (AdaLoRA, DoRA, IA3, LoRAFA, LoRAPlus, PiSSA, RsLoRA, VeRA)
QUERY = "body.encoder.layer.0.attention.self.query.weight"


class TestLaws(SpaceLaws):
    specimens = [
        RsLoRA(rank=3, alpha=7.0),
        LoRAPlus(rank=2, alpha=7.0, ratio=4.0),
        LoRAFA(rank=3, alpha=7.0, seed=4),
        DoRA(rank=2, alpha=7.0),
        PiSSA(rank=3, alpha=7.0),
        AdaLoRA(rank=3, alpha=7.0),
        VeRA(rank=40, start=0.3, seed=4),
        IA3(),
    ]


def numbers(space: Any, name: str = "bert") -> int:
    return sum(p.numel() for p in Adapted(net(name), space).parameters())


def losses(space: Any, steps: int = 6, lr: float = 1e-2, **given: Any) -> list[float]:
    model = Adapted(net("bert"), space, HEAD, seed=2)
    return [
        event.values["train/loss"]
        for event in train(model, small_task(), steps=steps, lr=lr, size=6, validations=0, **given)
    ]


@pytest.mark.parametrize("rank", [1, 5])
@pytest.mark.parametrize(
    ("make", "count"),
    [
        (RsLoRA, lambda into, out, rank: rank * (into + out)),
        (LoRAPlus, lambda into, out, rank: rank * (into + out)),
        (PiSSA, lambda into, out, rank: rank * (into + out)),
        (LoRAFA, lambda into, out, rank: rank * out),
        (DoRA, lambda into, out, rank: rank * (into + out) + out),
        (AdaLoRA, lambda into, out, rank: rank * (into + out + 1)),
        (VeRA, lambda into, out, rank: rank + out),
    ],
)
def test_the_count_is_the_closed_form(make: Any, count: Any, rank: int) -> None:
    layers = [(16, 16)] * 4 + [(16, 24), (24, 16)]
    assert numbers(make(rank)) == 2 * sum(count(into, out, rank) for into, out in layers)


class TestRsLoRA:
    @pytest.mark.parametrize("rank", [1, 4, 9])
    def test_at_one_rank_it_is_lora_with_another_alpha(self, rank: int) -> None:
        assert RsLoRA(rank, alpha=3.0).scale == 3 / math.sqrt(rank)
        assert losses(RsLoRA(rank, alpha=3.0)) == losses(LoRA(rank, alpha=3.0 * math.sqrt(rank)))


class TestLoRAPlus:
    def test_at_ratio_1_it_is_lora(self) -> None:
        assert losses(LoRAPlus(3, 7.0, ratio=1.0)) == losses(LoRA(3, 7.0))

    def test_a_first_step_of_adam_moves_b_by_the_ratio_more(self) -> None:
        moved = {}
        for ratio in (1.0, 8.0):
            model = Adapted(net("bert"), LoRAPlus(3, 7.0, ratio), HEAD)
            list(train(model, small_task(), steps=1, lr=1e-3, size=6, validations=0))
            moved[ratio] = model.changes[QUERY].b.detach().abs().max().item()
        assert moved[8.0] == pytest.approx(8 * moved[1.0], rel=1e-3)

    def test_a_keeps_its_own_rate(self) -> None:
        before = (
            Adapted(net("bert"), LoRAPlus(3, 7.0, 8.0), seed=2).changes[QUERY].a.detach().clone()
        )
        model = Adapted(net("bert"), LoRAPlus(3, 7.0, 8.0), HEAD, seed=2)
        list(train(model, small_task(), steps=2, lr=1e-3, size=6, validations=0))
        assert 0 < (model.changes[QUERY].a - before).abs().max() < 1.1e-3


class TestLoRAFA:
    def test_a_never_moves_and_is_no_part_of_what_was_learned(self) -> None:
        model = Adapted(net("bert"), LoRAFA(2, seed=3), HEAD)
        before = model.changes[QUERY].a.clone()
        learn(model, "bert")
        assert torch.equal(model.changes[QUERY].a, before)
        assert [key for key in model.state_dict() if key.endswith(".a")] == []

    def test_a_is_drawn_by_the_space_and_not_by_the_run(self) -> None:
        first, again, other = (
            Adapted(net("bert"), space, seed=s)
            for space, s in ((LoRAFA(2), 1), (LoRAFA(2), 2), (LoRAFA(2, seed=1), 1))
        )
        assert torch.equal(first.changes[QUERY].a, again.changes[QUERY].a)
        assert not torch.equal(first.changes[QUERY].a, other.changes[QUERY].a)

    def test_its_b_has_the_gradient_that_b_has_in_lora(self) -> None:
        base = net("bert")
        half, whole = Adapted(base, LoRAFA(3, 7.0)), Adapted(base, LoRA(3, 7.0))
        for name, change in whole.changes.items():
            change.a.data.copy_(half.changes[name].a)
            change.b.data.normal_(generator=stream(0, name))
            half.changes[name].b.data.copy_(change.b)
        for model in (half, whole):
            supervised(model, batch_of("bert"))["labels"].backward()
        for name, change in whole.changes.items():
            torch.testing.assert_close(half.changes[name].b.grad, change.b.grad)

    def test_the_inputs_of_its_layers_are_not_kept(self) -> None:
        kept = {}
        for space in (LoRA(2), LoRAFA(2)):
            model = Adapted(net("mini"), space)
            with saved_bytes(model) as saved:
                supervised(model, batch_of("mini"))
            kept[type(space)] = saved.total
        assert kept[LoRAFA] < 0.9 * kept[LoRA]


class TestDoRA:
    def test_it_is_the_papers_formula(self) -> None:
        torch.manual_seed(0)
        change, weight = Adapted(net("bert"), DoRA(2, 7.0)).changes[QUERY], torch.randn(16, 16)
        for part in change.parameters():
            nn.init.normal_(part)
        v = weight + 3.5 * change.b @ change.a
        torch.testing.assert_close(
            change(weight), change.m[:, None] * v / v.norm(dim=1, keepdim=True)
        )

    def test_m_is_the_length_of_every_row(self) -> None:
        model = Adapted(net("bert"), DoRA(2), HEAD)
        learn(model, "bert")
        _, _, now = next(item for item in model.changed() if item[0] == QUERY)
        torch.testing.assert_close(now.norm(dim=1), model.changes[QUERY].m.detach().abs())

    def test_the_length_counts_as_a_constant_in_the_gradient(self) -> None:
        change, weight = Adapted(net("bert"), DoRA(2, 7.0)).changes[QUERY], torch.randn(16, 16)
        pull = torch.randn(16, 16)
        (change(weight) * pull).sum().backward()
        row = (change.m / weight.norm(dim=1)).detach()
        torch.testing.assert_close(change.b.grad, 3.5 * (row[:, None] * pull) @ change.a.detach().T)

    def test_turning_alone_moves_no_length(self) -> None:
        change, weight = (
            Adapted(net("bert"), DoRA(2)).changes[QUERY],
            net("bert").get_parameter(QUERY).detach(),
        )
        nn.init.normal_(change.b)
        torch.testing.assert_close(change(weight).norm(dim=1), weight.norm(dim=1))
        assert not torch.allclose(change(weight), weight)


class TestPiSSA:
    def test_it_starts_from_the_best_approximation_of_the_weight(self) -> None:
        weight = net("bert").get_parameter(QUERY).detach()
        change = Adapted(net("bert"), PiSSA(3, alpha=7.0)).changes[QUERY]
        values = torch.linalg.svdvals(weight)
        rest = weight - 7 / 3 * change.b.detach() @ change.a.detach()
        torch.testing.assert_close(
            torch.linalg.svdvals(rest)[:5], values[3:8], atol=1e-5, rtol=1e-4
        )

    def test_both_factors_move_at_the_first_step(self) -> None:
        model = Adapted(net("bert"), PiSSA(2), HEAD)
        supervised(model, batch_of("bert"))["labels"].backward()
        assert model.changes[QUERY].a.grad.any() and model.changes[QUERY].b.grad.any()

    def test_the_change_has_at_most_twice_the_rank(self) -> None:
        model = Adapted(net("bert"), PiSSA(2), HEAD)
        learn(model, "bert", steps=6)
        assert torch.linalg.matrix_rank(model.delta()[QUERY], rtol=1e-3) <= 4


class TestAdaLoRA:
    def directions(self, model: Adapted) -> list[Directions]:
        return [change for change in model.changes.values() if isinstance(change, Directions)]

    def alive(self, model: Adapted) -> int:
        return sum(int((change.l != 0).sum()) for change in self.directions(model))

    def test_it_is_the_papers_formula_either_way(self) -> None:
        torch.manual_seed(0)
        change, weight, x = (
            Adapted(net("bert"), AdaLoRA(3, 7.0)).changes[QUERY],
            torch.randn(16, 16),
            torch.randn(3, 16),
        )
        nn.init.normal_(change.l)
        by_hand = weight + 7 / 3 * change.p @ torch.diag(change.l) @ change.q
        torch.testing.assert_close(change(weight), by_hand)
        torch.testing.assert_close(change.linear(x, weight, None), x @ by_hand.T)

    def test_an_importance_is_what_the_loss_would_lose_at_first_order(self) -> None:
        torch.manual_seed(0)
        change = Adapted(net("bert"), AdaLoRA(3)).changes[QUERY]
        change.l.data.normal_()
        assert not change.importance().any(), "without a gradient nothing is known"
        change.linear(torch.randn(5, 16), torch.randn(16, 16), None).square().sum().backward()
        for i in range(3):
            by_hand = sum(
                (w * g).abs().mean()
                for w, g in ((change.p[:, i], change.p.grad[:, i]), (change.q[i], change.q.grad[i]))
            )
            torch.testing.assert_close(
                change.importance()[i], by_hand + (change.l[i] * change.l.grad[i]).abs()
            )

    @pytest.mark.parametrize("keep", [0, 7, 36])
    def test_at_the_end_of_a_run_so_many_directions_are_left(self, keep: int) -> None:
        model = Adapted(net("bert"), AdaLoRA(3, 7.0), HEAD)
        prune, left = Pruning(model, keep, 20), []
        for event in train(model, small_task(), steps=20, lr=1e-2, size=6, validations=0):
            prune(event.step)
            left.append(self.alive(model))
        assert left[0] == 36 and left == sorted(left, reverse=True)
        assert left[11:] == [keep] * 9 and left == [prune.left(step) for step in range(1, 21)]

    def test_what_is_left_is_what_matters_most_in_all_matrices_together(self) -> None:
        model = Adapted(net("bert"), AdaLoRA(2, 7.0))
        every = self.directions(model)
        for i, change in enumerate(every):
            change.l.data.copy_(torch.tensor([1.0, 1.0]))
            change.l.grad = torch.tensor([float(i), float(-i)]) + torch.tensor([0.0, 0.5])
        Pruning(model, 3, 10, begin=0.0, end=0.1)(1)
        assert [int((change.l != 0).sum()) for change in every] == [0] * 10 + [1, 2]

    def test_importances_are_remembered(self) -> None:
        model = Adapted(net("bert"), AdaLoRA(1, 7.0))
        first, *others = self.directions(model)
        prune = Pruning(model, 1, 10, begin=0.0, end=0.1, smoothing=0.85)
        for step, pull in ((1, 10.0), (2, 0.0)):
            for change in (first, *others):
                change.l.data.fill_(1.0)
                change.l.grad = torch.tensor([pull if change is first else 1.0])
            prune(step)
            assert first.l.item() == 1.0 and not any(change.l.any() for change in others)

    def test_pruning_is_refused_where_it_cannot_be(self) -> None:
        with pytest.raises(
            ValueError,
            match="the model must have directions to prune, got Adapted.*; "
            "adapt with AdaLoRA first",
        ):
            Pruning(Adapted(net("bert"), LoRA(2)), 1, 10)
        with pytest.raises(
            ValueError, match="keep must be from 0 to 12, the number of directions, got 13"
        ):
            Pruning(Adapted(net("bert"), AdaLoRA(1)), 13, 10)


class TestVeRA:
    def test_it_is_the_papers_formula_either_way(self) -> None:
        torch.manual_seed(0)
        change, weight, x = (
            Adapted(net("bert"), VeRA(7)).changes[QUERY],
            torch.randn(16, 16),
            torch.randn(3, 16),
        )
        nn.init.normal_(change.b)
        nn.init.normal_(change.d)
        by_hand = (
            weight + torch.diag(change.b) @ change.shared_b @ torch.diag(change.d) @ change.shared_a
        )
        torch.testing.assert_close(change(weight), by_hand)
        torch.testing.assert_close(change.linear(x, weight, None), x @ by_hand.T)

    def test_all_layers_share_one_a_and_one_b(self) -> None:
        model = Adapted(net("bert"), VeRA(7))
        wide = model.changes["body.encoder.layer.1.output.dense.weight"]
        for change in model.changes.values():
            a, b = change.shared_a, change.shared_b
            assert torch.equal(a, wide.shared_a[:, : a.shape[1]])
            assert torch.equal(b[:16], wide.shared_b[:16])


class TestIA3:
    def test_keys_values_and_inner_features_change_and_nothing_else(self) -> None:
        layers = {f"body.encoder.layer.{i}." for i in (0, 1)}
        parts = (
            "attention.self.key.weight",
            "attention.self.key.bias",
            "attention.self.value.weight",
            "attention.self.value.bias",
        )
        wanted = {layer + part for layer in layers for part in (*parts, "output.dense.weight")}
        assert set(IA3().changes(net("bert"))) == wanted
        assert numbers(IA3()) == 2 * (16 + 16 + 24)

    @pytest.mark.parametrize(
        ("name", "weights"),
        [("mini-vit", 3 * 5), ("distilbert", 2 * 5), ("roberta", 2 * 5), ("gpt2", 2)],
    )
    def test_other_bodies_have_them_too(self, name: str, weights: int) -> None:
        assert len(IA3().changes(net(name))) == weights

    def test_a_value_is_scaled_with_its_bias(self) -> None:
        model = Adapted(net("bert"), IA3())
        layer, x = model.base.body.encoder.layer[0].attention.self.value, torch.randn(3, 16)
        layer.bias.data.normal_()
        name = "body.encoder.layer.0.attention.self.value"
        scale = torch.linspace(0.5, 2, 16)
        model.changes[f"{name}.weight"].l.data.copy_(scale)
        torch.testing.assert_close(model.net.get_submodule(name)(x), scale * layer(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *[
            (
                lambda make=make: make(0),
                "rank must be at least 1, got 0; for no change at all, leave",
            )
            for make in FAMILY
            if make is not IA3
        ],
        *[
            (lambda make=make: make(1.5), "rank must be a whole number, got 1.5")
            for make in FAMILY
            if make is not IA3
        ],
        *[
            (lambda make=make: make(2, -1.0), "alpha must be above 0, got -1")
            for make in FAMILY
            if make not in (IA3, VeRA)
        ],
        *[
            (
                lambda make=make: make(where="*bias").changes(net("bert")),
                f"{make.__name__}'s where must fit the weight of a linear layer",
            )
            for make in FAMILY
        ],
        (
            lambda: LoRAPlus(ratio=0),
            "ratio must be above 0, got 0; 1 gives A and B one learning rate",
        ),
        (
            lambda: PiSSA(17).changes(net("bert")),
            "rank must be at most min\\(in, out\\) of every matrix, got 17 for 'body.encoder",
        ),
        (
            lambda: IA3(where="*.query.*").changes(net("bert")),
            "IA3's where must fit keys, values or second feed-forward layers",
        ),
    ],
)
def test_bad_values_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class TestPEFT:
    """The same numbers give the same answers and the same gradients as PEFT's."""

    TARGETS = ["query", "key", "value", "dense"]

    def theirs(self, config: Any, base: nn.Module) -> nn.Module:
        from peft import get_peft_model

        return get_peft_model(deepcopy(base), config)

    def layer(self, model: nn.Module, name: str) -> Any:
        return model.get_submodule(f"base_model.model.{name.removesuffix('.weight')}")

    def agree(self, ours: Adapted, theirs: nn.Module, pairs: list[tuple[Tensor, Tensor]]) -> None:
        batch = batch_of("mini")
        torch.testing.assert_close(ours(batch), theirs(batch), atol=1e-5, rtol=1e-4)
        for model in (ours, theirs):
            supervised(model, batch)["labels"].backward()
        assert pairs
        for own, other in pairs:
            torch.testing.assert_close(own.grad, other.grad.view(own.shape), atol=1e-5, rtol=1e-3)

    @pytest.mark.parametrize(
        ("space", "more"),
        [
            (DoRA(4, 11.0), {"use_dora": True}),
            (RsLoRA(4, 11.0), {"use_rslora": True}),
            (PiSSA(4, 11.0), {"init_lora_weights": "pissa"}),
        ],
        ids=repr,
    )
    def test_the_low_rank_ones(self, space: Any, more: dict[str, Any]) -> None:
        from peft import LoraConfig

        base = net("mini")
        ours = Adapted(base, space)
        theirs = self.theirs(
            LoraConfig(r=4, lora_alpha=11, target_modules=self.TARGETS, **more), base
        )
        pairs = []
        for name, change in ours.changes.items():
            layer = self.layer(theirs, name)
            a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            if isinstance(space, PiSSA):
                torch.testing.assert_close(
                    (b @ a).detach(), (change.b @ change.a).detach(), atol=1e-5, rtol=1e-4
                )
            else:
                nn.init.normal_(change.b, std=0.05)
            a.data.copy_(change.a)
            b.data.copy_(change.b)
            pairs += [(change.a, a), (change.b, b)]
            if isinstance(space, DoRA):
                m = layer.lora_magnitude_vector["default"].weight
                change.m.data.mul_(1.1)
                m.data.mul_(1.1)
                pairs.append((change.m, m))
        self.agree(ours, theirs, pairs)

    def test_adalora(self) -> None:
        from peft import AdaLoraConfig

        base = net("mini")
        ours = Adapted(base, AdaLoRA(4, 11.0))
        theirs = self.theirs(
            AdaLoraConfig(
                init_r=4, target_r=2, lora_alpha=11, total_step=100, target_modules=self.TARGETS
            ),
            base,
        )
        pairs = []
        for name, change in ours.changes.items():
            layer = self.layer(theirs, name)
            p, strengths, q = (
                getattr(layer, part)["default"] for part in ("lora_B", "lora_E", "lora_A")
            )
            nn.init.normal_(change.l, std=0.5)
            for own, other in ((change.p, p), (change.l, strengths), (change.q, q)):
                other.data.copy_(own.view(other.shape))
            pairs += [(change.p, p), (change.l, strengths), (change.q, q)]
        self.agree(ours, theirs, pairs)

    def test_lora_fa(self) -> None:
        from peft import LoraConfig

        base = net("mini")
        ours = Adapted(base, LoRAFA(4, 11.0))
        theirs = self.theirs(LoraConfig(r=4, lora_alpha=11, target_modules=self.TARGETS), base)
        pairs = []
        for name, change in ours.changes.items():
            layer = self.layer(theirs, name)
            a, b = (
                layer.lora_A["default"].weight.requires_grad_(False),
                layer.lora_B["default"].weight,
            )
            nn.init.normal_(change.b, std=0.05)
            a.copy_(change.a)
            b.data.copy_(change.b)
            pairs.append((change.b, b))
        self.agree(ours, theirs, pairs)
        assert not any(
            weight.requires_grad for name, weight in theirs.named_parameters() if "lora_A" in name
        )

    def test_vera(self) -> None:
        from peft import VeraConfig

        base = net("mini")
        ours = Adapted(base, VeRA(16))
        theirs = self.theirs(
            VeraConfig(r=16, target_modules=self.TARGETS, projection_prng_key=0, d_initial=0.1),
            base,
        )
        pairs = []
        for name, change in ours.changes.items():
            layer = self.layer(theirs, name)
            nn.init.normal_(change.b, std=0.05)
            layer.vera_A["default"][:, : change.shared_a.shape[1]] = change.shared_a
            layer.vera_B["default"][: len(change.shared_b)] = change.shared_b
            d, b = layer.vera_lambda_d["default"], layer.vera_lambda_b["default"]
            assert torch.equal(d, change.d)
            b.data.copy_(change.b)
            pairs += [(change.b, b), (change.d, d)]
        self.agree(ours, theirs, pairs)

    def test_ia3(self) -> None:
        from peft import IA3Config

        base = net("mini")
        ours = Adapted(base, IA3())
        inner = [
            f"body.encoder.layer.{i}.output.dense" for i in range(len(base.body.encoder.layer))
        ]
        theirs = self.theirs(
            IA3Config(target_modules=["key", "value", *inner], feedforward_modules=inner), base
        )
        pairs = []
        for name, change in ours.changes.items():
            if hasattr(change, "l"):
                nn.init.normal_(change.l, mean=1, std=0.1)
                other = self.layer(theirs, name).ia3_l["default"]
                other.data.copy_(change.l.view(other.shape))
                pairs.append((change.l, other))
        batch = batch_of("mini")
        torch.testing.assert_close(ours(batch), theirs(batch), atol=1e-5, rtol=1e-4)
        for model in (ours, theirs):
            supervised(model, batch)["labels"].backward()
        for own, other in pairs:
            torch.testing.assert_close(own.grad, other.grad.flatten(), atol=1e-5, rtol=1e-3)

    def test_lora_plus_has_its_rates(self) -> None:
        from peft import LoraConfig
        from peft.optimizers import create_loraplus_optimizer

        theirs = self.theirs(LoraConfig(r=4, target_modules=self.TARGETS), net("mini"))
        groups = create_loraplus_optimizer(
            theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16.0
        ).param_groups
        rates = {tuple(p.shape): group["lr"] for group in groups for p in group["params"]}
        change = Adapted(net("mini"), LoRAPlus(4)).changes[
            "body.encoder.layer.0.attention.self.query.weight"
        ]
        assert isinstance(change, LowRank)
        assert (1e-3 * change.lr_factor("a"), 1e-3 * change.lr_factor("b")) == (
            rates[tuple(change.a.shape)],
            rates[tuple(change.b.shape)],
        )
