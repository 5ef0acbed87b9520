"""LoRA+ alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import pytest
from helpers.laws import HEAD
from helpers.lora_relatives import QUERY, losses
from helpers.nets import net, small_task

from ftkit.model.adapted import Adapted
from ftkit.techniques.lora import LoRA
from ftkit.techniques.loraplus import LoRAPlus
from ftkit.training.loop import train


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

    def test_a_keeps_its_own_learning_rate(self) -> None:
        before = (
            Adapted(net("bert"), LoRAPlus(3, 7.0, 8.0), seed=2).changes[QUERY].a.detach().clone()
        )
        model = Adapted(net("bert"), LoRAPlus(3, 7.0, 8.0), HEAD, seed=2)
        list(train(model, small_task(), steps=2, lr=1e-3, size=6, validations=0))
        assert 0 < (model.changes[QUERY].a - before).abs().max() < 1.1e-3
