"""The relatives of LoRA: laws, counts, bad values, and agreement with PEFT."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from helpers.laws import SpaceLaws, batch_of
from helpers.lora_relatives import parameters
from helpers.nets import net
from torch import Tensor, nn

from ftkit.model.adapted import Adapted
from ftkit.model.low_rank import LowRank
from ftkit.model.objective import supervised
from ftkit.techniques.adalora import AdaLoRA
from ftkit.techniques.dora import DoRA
from ftkit.techniques.ia3 import IA3
from ftkit.techniques.lorafa import LoRAFA
from ftkit.techniques.loraplus import LoRAPlus
from ftkit.techniques.pissa import PiSSA
from ftkit.techniques.rslora import RsLoRA
from ftkit.techniques.vera import VeRA

FAMILY = (AdaLoRA, DoRA, IA3, LoRAFA, LoRAPlus, PiSSA, RsLoRA, VeRA)


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
    assert parameters(make(rank)) == 2 * sum(count(into, out, rank) for into, out in layers)


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
    """The same parameters give the same answers and the same gradients as PEFT's."""

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

    def test_lora_plus_has_its_learning_rates(self) -> None:
        from peft import LoraConfig
        from peft.optimizers import create_loraplus_optimizer

        theirs = self.theirs(LoraConfig(r=4, target_modules=self.TARGETS), net("mini"))
        groups = create_loraplus_optimizer(
            theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16.0
        ).param_groups
        lrs = {tuple(p.shape): group["lr"] for group in groups for p in group["params"]}
        change = Adapted(net("mini"), LoRAPlus(4)).changes[
            "body.encoder.layer.0.attention.self.query.weight"
        ]
        assert isinstance(change, LowRank)
        assert (1e-3 * change.lr_factor("a"), 1e-3 * change.lr_factor("b")) == (
            lrs[tuple(change.a.shape)],
            lrs[tuple(change.b.shape)],
        )
