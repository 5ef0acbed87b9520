import math

import pytest
import torch
from helpers.laws import HEAD, SpaceLaws, batch_of, learn
from helpers.nets import net, small_task
from torch import nn
from torch.nn import functional as F

from ftkit.model.adapted import Adapted
from ftkit.model.low_rank import LowRank, Matrix
from ftkit.techniques.lora import LoRA
from ftkit.training.loop import train


class TestLaws(SpaceLaws):
    specimens = [LoRA(rank=1), LoRA(rank=3, alpha=7.0), LoRA(rank=40, alpha=None)]


def test_lora_in_weight_space_is_the_layer_of_the_paper() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 5), torch.randn(2, 3, 6)
    change = LowRank(Matrix(layer.weight, False), rank=2, scale=3.5)
    nn.init.normal_(change.a)
    nn.init.normal_(change.b)
    by_hand = layer(x) + 3.5 * x @ change.a.T @ change.b.T
    torch.testing.assert_close(change.linear(x, layer.weight, layer.bias), by_hand)
    torch.testing.assert_close(F.linear(x, change(layer.weight), layer.bias), by_hand)


@pytest.mark.parametrize(
    ("rank", "alpha", "scale"),
    [(1, 16.0, 16.0), (8, 16.0, 2.0), (8, None, 2.0), (32, None, 2.0), (4, 2.0, 0.5)],
)
def test_the_scale_is_alpha_over_rank(rank: int, alpha: float | None, scale: float) -> None:
    assert LoRA(rank, alpha).scale == scale


def test_every_linear_layer_of_the_body_and_no_other_changes() -> None:
    base = net("bert")
    linear = {
        f"{name}.weight"
        for name, layer in base.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith("body.")
    }
    assert set(LoRA(2).changes(base)) == linear


@pytest.mark.parametrize(
    ("name", "layers"),
    [("gpt2", 2 * 4), ("distilbert", 2 * 6), ("roberta", 2 * 6), ("mini-vit", 3 * 6)],
)
def test_all_linear_finds_all_of_them_in_other_bodies(name: str, layers: int) -> None:
    assert len(LoRA(2).changes(net(name))) == layers


@pytest.mark.parametrize("rank", [1, 5])
def test_the_count_is_the_closed_form(rank: int) -> None:
    model = Adapted(net("bert"), LoRA(rank))
    assert len(model.trainable()) == 2 * 12
    assert sum(p.numel() for p in model.parameters()) == 2 * (
        4 * rank * (16 + 16) + 2 * rank * (16 + 24)
    )


def test_a_starts_uniform_and_b_at_zero() -> None:
    model = Adapted(net("mini"), LoRA(rank=16), seed=1)
    change = model.changes["body.encoder.layer.0.intermediate.dense.weight"]
    bound = 1 / math.sqrt(change.a.shape[1])
    assert not change.b.any()
    assert 0.9 * bound < change.a.abs().max() <= bound
    assert change.a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_the_first_step_moves_b_alone() -> None:
    base = net("bert")
    model = Adapted(base, LoRA(rank=2), HEAD)
    F.cross_entropy(model(batch_of("bert")), torch.tensor([0, 1, 0, 1, 0, 1])).backward()
    change = model.changes["body.encoder.layer.0.attention.self.value.weight"]
    assert not change.a.grad.any()
    assert change.b.grad.any()


def test_the_rank_of_the_change_is_at_most_the_rank() -> None:
    model = Adapted(net("bert"), LoRA(rank=3), HEAD)
    learn(model, "bert", steps=6)
    delta = model.delta()
    ranks = [
        torch.linalg.matrix_rank(delta[name], rtol=1e-4).item()
        for name in LoRA(rank=3).changes(model.base)
    ]
    assert max(ranks) <= 3
    assert max(ranks) > 1


def test_the_factors_are_not_unique_but_the_change_is() -> None:
    torch.manual_seed(0)
    change = LowRank(Matrix(nn.Parameter(torch.zeros(6, 5, dtype=torch.float64)), False), 3, 2.0)
    nn.init.normal_(change.a)
    nn.init.normal_(change.b)
    before, turn = (
        change(torch.zeros(6, 5, dtype=torch.float64)),
        torch.randn(3, 3, dtype=torch.float64),
    )
    change.a.data, change.b.data = torch.linalg.inv(turn) @ change.a, change.b @ turn
    torch.testing.assert_close(change(torch.zeros(6, 5, dtype=torch.float64)), before)


def test_at_full_rank_any_change_can_be_written() -> None:
    torch.manual_seed(0)
    weight, wanted = torch.zeros(6, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    change = LowRank(Matrix(nn.Parameter(weight), False), 5, 2.0)
    u, s, v = torch.linalg.svd(wanted, full_matrices=False)
    change.a.data, change.b.data = v, u * s / 2.0
    torch.testing.assert_close(change(weight), wanted)
    fewer = LowRank(Matrix(nn.Parameter(weight), False), 4, 2.0)
    fewer.a.data, fewer.b.data = v[:4], u[:, :4] * s[:4] / 2.0
    torch.testing.assert_close(
        (fewer(weight) - wanted).norm(), s[4]
    )  # the best of rank 4 lacks the smallest singular value


def test_another_seed_is_another_start_and_other_spaces_do_not_matter() -> None:
    base, name = net("bert"), "body.encoder.layer.0.output.dense.weight"
    alone, with_head, other = (
        Adapted(base, LoRA(2), seed=1),
        Adapted(base, HEAD, LoRA(2), seed=1),
        Adapted(base, LoRA(2), seed=2),
    )
    assert torch.equal(alone.changes[name].a, with_head.changes[name].a)
    assert not torch.equal(alone.changes[name].a, other.changes[name].a)


def test_only_the_targets_change() -> None:
    assert set(LoRA(1, where="*.query.weight").changes(net("bert"))) == {
        f"body.encoder.layer.{i}.attention.self.query.weight" for i in (0, 1)
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LoRA(4.5), "rank must be a whole number, got 4.5"),  # type: ignore[arg-type]
        (lambda: LoRA(0), "rank must be at least 1, got 0; for no change at all, leave LoRA out"),
        (lambda: LoRA(4, alpha=0), "alpha must be above 0, got 0"),
        (
            lambda: LoRA(4, where="*bias").changes(net("bert")),
            "must fit the weight of a linear layer, got '\\*bias'",
        ),
        (
            lambda: LoRA(4, where="*.querry.*").changes(net("bert")),
            "no weight fits '\\*\\.querry\\.\\*'; the nearest names are",
        ),
    ],
)
def test_bad_values_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


class TestPEFT:
    """The same factors give the same answers and the same run as PEFT's LoRA."""

    @pytest.fixture
    def pair(self) -> tuple[Adapted, nn.Module]:
        from copy import deepcopy

        from peft import LoraConfig, get_peft_model

        base = net("mini")
        ours = Adapted(base, LoRA(rank=4, alpha=11.0), HEAD, seed=5)
        config = LoraConfig(
            r=4,
            lora_alpha=11,
            target_modules=["query", "key", "value", "dense"],
            modules_to_save=["tiny"],
        )
        theirs = get_peft_model(deepcopy(base), config)
        for name, change in ours.changes.items():
            if isinstance(change, LowRank):
                layer = theirs.get_submodule(f"base_model.model.{name.removesuffix('.weight')}")
                layer.lora_A["default"].weight.data.copy_(change.a)
                layer.lora_B["default"].weight.data.copy_(change.b)
        return ours, theirs

    def test_the_logits_agree(self, pair: tuple[Adapted, nn.Module]) -> None:
        ours, theirs = pair
        for name, change in ours.changes.items():
            if isinstance(change, LowRank):
                nn.init.normal_(change.b, std=0.05)
                theirs.get_submodule(f"base_model.model.{name.removesuffix('.weight')}").lora_B[
                    "default"
                ].weight.data.copy_(change.b)
        with torch.no_grad():
            torch.testing.assert_close(
                ours(batch_of("mini")), theirs(batch_of("mini")), atol=1e-5, rtol=0
            )

    def test_the_first_20_training_losses_agree(self, pair: tuple[Adapted, nn.Module]) -> None:
        from ftkit.training.loop import HEAD_LR, schedule

        ours, theirs = pair
        events = train(ours, small_task(), steps=20, lr=5e-3, size=6, validations=0)
        head = [p for n, p in theirs.named_parameters() if p.requires_grad and ".heads." in n]
        rest = [p for n, p in theirs.named_parameters() if p.requires_grad and ".heads." not in n]
        optimizer = torch.optim.AdamW([{"params": rest}, {"params": head}], weight_decay=0.0)
        losses = []
        for step, batch in zip(
            range(1, 21), small_task().batches(6, torch.Generator().manual_seed(0)), strict=False
        ):
            for group, peak in zip(optimizer.param_groups, (5e-3, HEAD_LR), strict=True):
                group["lr"] = peak * schedule(step, 20)
            loss = F.cross_entropy(theirs(batch), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*rest, *head], 1.0)
            optimizer.step()
            losses.append(loss.item())
        assert [event.values["train/loss"] for event in events] == pytest.approx(losses, abs=1e-4)
        assert losses[-1] < losses[0] - 0.1
