"""LoRA-FA alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import torch
from helpers.laws import HEAD, batch_of, learn
from helpers.lora_relatives import QUERY
from helpers.nets import net

from ftkit.model.adapted import Adapted
from ftkit.model.objective import supervised
from ftkit.seeding import stream
from ftkit.techniques.lora import LoRA
from ftkit.techniques.lorafa import LoRAFA
from ftkit.training.cost import saved_bytes


class TestLoRAFA:
    def test_a_never_moves_and_is_no_part_of_what_was_learned(self) -> None:
        model = Adapted(net("bert"), LoRAFA(2, seed=3), HEAD)
        before = model.changes[QUERY].a.clone()
        learn(model, "bert")
        assert torch.equal(model.changes[QUERY].a, before)
        assert [key for key in model.state_dict() if key.endswith(".a")] == []

    def test_a_is_drawn_by_the_space_and_not_by_the_run(self) -> None:
        first, again, other = (
            Adapted(net("bert"), space, seed=s)
            for space, s in ((LoRAFA(2), 1), (LoRAFA(2), 2), (LoRAFA(2, seed=1), 1))
        )
        assert torch.equal(first.changes[QUERY].a, again.changes[QUERY].a)
        assert not torch.equal(first.changes[QUERY].a, other.changes[QUERY].a)

    def test_its_b_has_the_gradient_that_b_has_in_lora(self) -> None:
        base = net("bert")
        half, whole = Adapted(base, LoRAFA(3, 7.0)), Adapted(base, LoRA(3, 7.0))
        for name, change in whole.changes.items():
            change.a.data.copy_(half.changes[name].a)
            change.b.data.normal_(generator=stream(0, name))
            half.changes[name].b.data.copy_(change.b)
        for model in (half, whole):
            supervised(model, batch_of("bert"))["labels"].backward()
        for name, change in whole.changes.items():
            torch.testing.assert_close(half.changes[name].b.grad, change.b.grad)

    def test_the_inputs_of_its_layers_are_not_kept(self) -> None:
        kept = {}
        for space in (LoRA(2), LoRAFA(2)):
            model = Adapted(net("mini"), space)
            with saved_bytes(model) as saved:
                supervised(model, batch_of("mini"))
            kept[type(space)] = saved.total
        assert kept[LoRAFA] < 0.9 * kept[LoRA]
