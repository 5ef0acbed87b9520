from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.laws import SpaceLaws, batch_of
from helpers.nets import net, task_for
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.techniques.freeze import LastBlocks, Only, discriminative
from ftkit.training.loop import frozen_features, train


class TestLaws(SpaceLaws):
    specimens = [
        Only("*"),
        Only("heads.*"),
        Only("body.*.weight, heads.*"),
        LastBlocks(0),
        LastBlocks(1),
        LastBlocks(2),
    ]


def plain_fine_tuning(base: Net, steps: int, lr: float) -> list[float]:
    """What full fine-tuning is, written out: AdamW on the weights themselves."""
    from copy import deepcopy

    from torch.nn import functional as F

    from ftkit.training.loop import HEAD_LR, schedule

    model, task = deepcopy(base), task_for(base.name)
    groups = [{"params": list(model.body.parameters())}, {"params": list(model.heads.parameters())}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    losses = []
    batches = task.batches(6, torch.Generator().manual_seed(0))
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        for group, peak in zip(optimizer.param_groups, (lr, HEAD_LR), strict=True):
            group["lr"] = peak * schedule(step, steps)
        loss = F.cross_entropy(model(batch), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["bert", "gpt2", "mini-vit"])
def test_only_everything_is_full_fine_tuning_to_the_bit(name: str) -> None:
    base = net(name)
    events = train(
        Adapted(base, Only("*")), task_for(name), steps=8, lr=1e-3, size=6, validations=0
    )
    assert [event.values["train/loss"] for event in events] == plain_fine_tuning(base, 8, 1e-3)


def test_no_space_at_all_is_full_fine_tuning() -> None:
    base = net("bert")
    assert Adapted(base).changes.keys() == Adapted(base, Only("*")).changes.keys()


def test_the_last_blocks_are_the_last() -> None:
    names = LastBlocks(1).changes(net("bert"))
    assert names
    assert all(name.startswith("body.encoder.layer.1.") for name in names)


def test_a_final_norm_moves_with_the_last_block() -> None:
    assert "body.ln_f.weight" in LastBlocks(1).changes(net("gpt2"))
    assert "body.wte.weight" not in LastBlocks(2).changes(net("gpt2"))


def test_zero_blocks_is_nothing() -> None:
    assert LastBlocks(0).changes(net("bert")) == {}


@pytest.mark.parametrize("count", [-1, 3])
def test_a_count_outside_the_network_is_refused(count: int) -> None:
    with pytest.raises(
        ValueError, match=rf"count must be from 0 to 2, the number of blocks, got {count}"
    ):
        LastBlocks(count).changes(net("bert"))


def test_a_body_without_blocks_is_refused() -> None:
    flat = nn.Module()
    flat.body = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="the body must have numbered blocks"):
        LastBlocks(1).changes(flat)


def test_a_pattern_that_fits_nothing_names_its_neighbours() -> None:
    with pytest.raises(
        ValueError, match=r"no weight fits 'bodyy\.\*'; the nearest names are body\."
    ):
        Only("bodyy.*").changes(net("bert"))


HEAD = Only("heads.*")


def losses(model: Adapted, lr: Any = 1e-3, steps: int = 6) -> list[float]:
    events = train(model, task_for(model.base.name), steps=steps, lr=lr, size=6, validations=0)
    return [event.values["train/loss"] for event in events]


@pytest.mark.parametrize("name", ["bert", "gpt2", "mini-vit"])
def test_no_block_is_the_head_alone_to_the_bit(name: str) -> None:
    base = net(name)
    assert losses(Adapted(base, LastBlocks(0), HEAD)) == losses(Adapted(base, HEAD))


@pytest.mark.parametrize("name", ["bert", "gpt2", "mini-vit"])
def test_every_block_and_the_embeddings_are_full_fine_tuning_to_the_bit(name: str) -> None:
    base = net(name)
    every = LastBlocks(len(LastBlocks.blocks(base)))
    embeddings = [
        key
        for key, _ in base.named_parameters()
        if key.startswith("body.") and key not in every.changes(base)
    ]
    assert embeddings
    assert losses(Adapted(base, Only(",".join(embeddings)), every, HEAD)) == losses(Adapted(base))


@pytest.mark.parametrize("name", ["bert", "mini-vit"])
def test_frozen_blocks_do_not_move_by_a_bit_and_the_others_do(name: str) -> None:
    base = net(name)
    model = Adapted(base, LastBlocks(1), HEAD)
    losses(model)
    before = dict(base.named_parameters())
    moved = {
        key for key, now in model.merged().named_parameters() if not torch.equal(now, before[key])
    }
    last = (LastBlocks.blocks(base)[-1], "heads.", "body.layernorm.")
    assert moved == {key for key in before if key.startswith(last)}


@pytest.mark.parametrize("name", ["bert", "mini-vit"])
def test_a_probe_leaves_the_body_and_the_next_stage_begins_where_it_ended(name: str) -> None:
    base, task = net(name), task_for(name)
    probe = Adapted(base, HEAD)
    losses(probe)
    merged = probe.merged()
    for key, now in merged.body.named_parameters():
        assert torch.equal(now, base.body.get_parameter(key)), key
    after, batch = Adapted(merged), task.batch("train", torch.arange(6))
    with torch.no_grad():
        assert torch.equal(after(batch), probe(batch))
        drawn = next(task.batches(6, torch.Generator().manual_seed(0)))
        last = nn.functional.cross_entropy(probe(drawn), drawn.labels).item()
    assert losses(after, steps=1) == [last]


@pytest.mark.parametrize("name", ["bert", "mini-vit"])
def test_a_share_of_0_is_the_base_and_of_1_what_was_fine_tuned(name: str) -> None:
    base, batch = net(name), batch_of(name)
    model = Adapted(base)
    losses(model)
    delta = model.delta()
    with torch.no_grad():
        assert torch.equal((0.0 * delta).on(base)(batch), base(batch))
        torch.testing.assert_close(
            (1.0 * delta).on(base)(batch), model(batch), atol=1e-5, rtol=1e-5
        )
        assert not torch.allclose((0.5 * delta).on(base)(batch), model(batch), atol=1e-3)


@pytest.mark.parametrize("name", ["bert", "mini-vit"])
def test_a_head_on_kept_features_answers_as_without_them(name: str) -> None:
    probe, batch = Adapted(net(name), HEAD), batch_of(name, 24)
    losses(probe)
    kept = frozen_features(probe.base, batch.data)[batch.rows]
    with torch.no_grad():
        torch.testing.assert_close(
            probe(replace(batch, features=kept)), probe(batch), atol=1e-6, rtol=0
        )


def test_learning_rates_fall_by_the_decay_from_the_last_block_to_the_embeddings() -> None:
    lr_of = discriminative(net("gpt2"), lr=0.9, decay=3.0)
    assert lr_of("body.ln_f.weight") == lr_of("body.h.1.attn.c_attn.weight") == 0.9
    assert lr_of("body.h.0.mlp.c_fc.bias") == pytest.approx(0.3)
    assert lr_of("body.wte.weight") == lr_of("body.wpe.weight") == pytest.approx(0.1)


def test_a_decay_of_1_is_one_learning_rate_to_the_bit() -> None:
    base = net("bert")
    assert losses(Adapted(base), discriminative(base, 1e-2, 1.0)) == losses(Adapted(base), 1e-2)


def test_a_lower_learning_rate_moves_a_lower_block_less() -> None:
    base = net("bert")

    def moved(lr: Any) -> float:
        model = Adapted(base)
        losses(model, lr, steps=1)
        return max(
            float(change.abs().max())
            for name, change in model.delta().items()
            if ".layer.0." in name
        )

    # The first step of AdamW is as long as the learning rate.
    assert moved(discriminative(base, 1e-2, 10.0)) == pytest.approx(moved(1e-2) / 10, rel=0.01)


@pytest.mark.parametrize("decay", [0.0, -2.6])
def test_a_decay_that_is_not_above_0_is_refused(decay: float) -> None:
    with pytest.raises(
        ValueError, match=f"decay must be above 0, got {decay:g}; 1 is one learning rate for all"
    ):
        discriminative(net("bert"), 1e-3, decay)
