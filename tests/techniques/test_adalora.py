"""AdaLoRA alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import pytest
import torch
from helpers.laws import HEAD
from helpers.lora_relatives import QUERY
from helpers.nets import net, small_task
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.techniques.adalora import AdaLoRA, Directions, Pruning
from ftkit.techniques.lora import LoRA
from ftkit.training.loop import train


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
