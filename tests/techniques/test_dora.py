"""DoRA alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import torch
from helpers.laws import HEAD, learn
from helpers.lora_relatives import QUERY
from helpers.nets import net
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.techniques.dora import DoRA


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
