import pytest
import torch
from conftest import net, small_task
from laws import SpaceLaws
from torch import nn

from ftkit.adapted import Adapted
from ftkit.techniques.freeze import LastBlocks, Only
from ftkit.training import train


class TestLaws(SpaceLaws):
    specimens = [Only("*"), Only("heads.*"), Only("body.*.weight, heads.*"), LastBlocks(0), LastBlocks(1), LastBlocks(2)]


def plain_fine_tuning(base: nn.Module, steps: int, lr: float) -> list[float]:
    """What full fine-tuning is, written out: AdamW on the weights themselves."""
    from copy import deepcopy

    from torch.nn import functional as F

    from ftkit.training import HEAD_LR, schedule

    model, task = deepcopy(base), small_task()
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


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_only_everything_is_full_fine_tuning_to_the_bit(name: str) -> None:
    base = net(name)
    events = train(Adapted(base, Only("*")), small_task(), steps=8, lr=1e-3, size=6, readings=0)
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
    with pytest.raises(ValueError, match=rf"count must be from 0 to 2, the number of blocks, got {count}"):
        LastBlocks(count).changes(net("bert"))


def test_a_body_without_blocks_is_refused() -> None:
    flat = nn.Module()
    flat.body = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="the body must have numbered blocks"):
        LastBlocks(1).changes(flat)


def test_a_pattern_that_fits_nothing_names_its_neighbours() -> None:
    with pytest.raises(ValueError, match=r"no weight fits 'bodyy\.\*'; the nearest names are body\."):
        Only("bodyy.*").changes(net("bert"))
