import pytest
import torch
from helpers.nets import net
from torch import nn
from torch.nn import functional as F

from ftkit.model.adapted import Adapted, select
from ftkit.model.change import Change
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA


class Scaled(Change):
    """A change without a short way: the weight times 1 + a trainable factor."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(()))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * (1 + self.factor)


class Everywhere:
    def __init__(self, where: str) -> None:
        self.where = where

    def changes(self, model: nn.Module) -> dict[str, Change]:
        return {name: Scaled(weight) for name, weight in select(model, self.where).items()}


class Tied(nn.Module):
    """A small language model whose output layer shares the table of its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.inner = nn.Linear(4, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.inner(self.table(ids))))


def test_two_spaces_may_not_change_one_weight() -> None:
    with pytest.raises(
        ValueError,
        match=r"both LoRA\(rank=2, .*\) and Only\(where='body\.\*'\) change 'body.*'; "
        "narrow one of them",
    ):
        Adapted(net("bert"), LoRA(2), Only("body.*"))


def test_spaces_of_one_layer_combine() -> None:
    model = Adapted(net("bert"), LoRA(2), Only("body.*.bias"))
    assert len(model.changes) == len(LoRA(2).changes(model.base)) + len(
        Only("body.*.bias").changes(model.base)
    )


@pytest.mark.parametrize("where", ["*", "table.weight", "inner.*"])
@pytest.mark.parametrize("space", [Everywhere, Only])
def test_tied_weights_stay_tied(space: type, where: str) -> None:
    torch.manual_seed(0)
    base, ids = Tied(), torch.arange(7)
    model = Adapted(base, space(where))
    assert sum("table" in name or "out" in name for name in model.changes) == (where != "inner.*")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(ids), ids).backward()
        optimizer.step()
    merged = model.merged()
    assert merged.out.weight is merged.table.weight
    with torch.no_grad():
        torch.testing.assert_close(merged(ids), model(ids))
        assert not torch.equal(merged(ids), base(ids))


def test_an_alias_of_a_tied_weight_is_the_weight() -> None:
    assert list(select(Tied(), "out.weight")) == ["table.weight"]


def test_a_change_without_a_short_way_works_on_every_kind_of_weight() -> None:
    for name in ("bert", "gpt2", "mini-vit"):
        base = net(name)
        model = Adapted(base, Everywhere("body.*"))
        with torch.no_grad():
            for change in model.changes.values():
                change.factor.fill_(0.1)
        from helpers.laws import batch_of

        batch = batch_of(name)
        with torch.no_grad():
            torch.testing.assert_close(model(batch), model.merged()(batch))
            assert not torch.equal(model(batch), base(batch))


def test_two_adaptations_of_one_base_are_independent() -> None:
    from helpers.laws import HEAD, batch_of, learn

    base = net("bert")
    first, second = Adapted(base, LoRA(2), HEAD), Adapted(base, Only("*"))
    before = second(batch_of("bert")).detach()
    learn(first, "bert")
    assert torch.equal(second(batch_of("bert")), before)


def test_the_state_is_the_change_alone() -> None:
    model = Adapted(net("bert"), LoRA(2))
    assert len(model.state_dict()) == 2 * len(model.changes)
    assert all(name.endswith((".weight.a", ".weight.b")) for name in model.state_dict())


def test_the_pattern_is_a_glob_not_a_substring() -> None:
    layers = nn.Sequential()
    layers.add_module("fc1", nn.Linear(2, 2))
    layers.add_module("fc10", nn.Linear(2, 2))
    assert list(select(layers, "fc1.*")) == ["fc1.weight", "fc1.bias"]
