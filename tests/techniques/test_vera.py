"""VeRA alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import torch
from helpers.lora_relatives import QUERY
from helpers.nets import net
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.techniques.vera import VeRA


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
