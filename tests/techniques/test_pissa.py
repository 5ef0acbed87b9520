"""PiSSA alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import torch
from helpers.laws import HEAD, batch_of, learn
from helpers.lora_relatives import QUERY
from helpers.nets import net

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.techniques.pissa import PiSSA


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
