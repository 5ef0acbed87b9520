"""A smaller net of some blocks of a larger one."""

import pytest
import torch
from helpers.laws import batch_of
from helpers.nets import NETS, net
from torch import nn

from ftkit.techniques.student import student


class TestStudent:
    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("seed", [None, 3])
    def test_it_answers_with_fewer_blocks(self, name: str, seed: int | None) -> None:
        large = net(name)
        small = student(large, (1,), seed)
        with torch.no_grad():
            logits = small(batch_of(name))
        assert logits.shape == large(batch_of(name)).shape and logits.isfinite().all()
        assert small.body.config.num_hidden_layers == 1
        assert sum(p.numel() for p in small.parameters()) < sum(
            p.numel() for p in large.parameters()
        )

    @pytest.mark.parametrize("name", NETS)
    def test_a_student_of_all_blocks_answers_as_its_teacher(self, name: str) -> None:
        large, batch = net(name), batch_of(name)
        with torch.no_grad():
            assert torch.equal(
                student(large, range(large.body.config.num_hidden_layers))(batch), large(batch)
            )

    @pytest.mark.parametrize("name", ["mini", "mini-vit"])
    def test_its_blocks_are_copies_of_the_named_ones(self, name: str) -> None:
        large = net(name)
        stack = "body.encoder.layer" if name == "mini" else "body.layers"
        theirs, ours = large.state_dict(), student(large, (0, 2)).state_dict()
        number = {"0": "0", "1": "2"}
        for key, value in ours.items():
            at = key.removeprefix(f"{stack}.").split(".")
            origin = ".".join([stack, number[at[0]], *at[1:]]) if key.startswith(stack) else key
            assert torch.equal(value, theirs[origin]), key
        assert len(ours) == len([key for key in theirs if not key.startswith(f"{stack}.1.")])

    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("seed", [None, 3])
    def test_it_shares_no_memory_with_its_teacher(self, name: str, seed: int | None) -> None:
        large = net(name)
        memory = [
            {t.data_ptr() for t in (*model.parameters(), *model.buffers())}
            for model in (large, student(large, (0,), seed))
        ]
        assert not memory[0] & memory[1]

    @pytest.mark.parametrize("name", NETS)
    def test_its_config_is_true_and_that_of_the_teacher_stays(self, name: str) -> None:
        large = net(name)
        before = large.body.config.to_dict()
        small = student(large, (1,))
        again = small.untrained(5)
        assert {k: v.shape for k, v in again.state_dict().items()} == {
            k: v.shape for k, v in small.state_dict().items()
        }
        assert large.body.config.to_dict() == before
        assert (
            before[
                "n_layer"
                if name == "gpt2"
                else "n_layers"
                if name == "distilbert"
                else "num_hidden_layers"
            ]
            > 1
        )

    def test_a_seed_gives_the_same_architecture_with_random_weights(self) -> None:
        large = net("mini")
        drawn, again, other, copied = (student(large, (0, 2), seed) for seed in (0, 0, 1, None))
        name = "body.encoder.layer.1.output.dense.weight"
        assert torch.equal(drawn.state_dict()[name], again.state_dict()[name])
        for model in (other, copied):
            assert not torch.equal(drawn.state_dict()[name], model.state_dict()[name])
        assert not torch.equal(
            drawn.state_dict()["heads.tiny.weight"], other.state_dict()["heads.tiny.weight"]
        )
        assert drawn.state_dict().keys() == copied.state_dict().keys()

    def test_it_draws_from_no_random_stream_but_its_own(self) -> None:
        large = net("bert")
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        student(large, (0,), seed=4)
        student(large, (0,))
        assert torch.equal(torch.rand(3), expected)

    def test_its_weights_have_the_type_of_the_teachers(self) -> None:
        large = net("bert").double()
        assert {p.dtype for p in student(large, (0, 1)).parameters()} == {torch.float64}
        assert torch.equal(
            student(large, (0, 1)).body.state_dict()["embeddings.LayerNorm.bias"],
            large.body.embeddings.LayerNorm.bias,
        )

    @pytest.mark.parametrize("blocks", [(), (2, 0), (0, 0), (0, 3), (-1,)])
    def test_blocks_that_are_not_there_or_not_in_order_are_refused(
        self, blocks: tuple[int, ...]
    ) -> None:
        shown = str(blocks).replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(
            ValueError,
            match=f"blocks must be some of 0 to 2, each once and ascending, got {shown}; give",
        ):
            student(net("mini"), blocks)

    def test_a_body_that_is_not_one_stack_is_refused(self) -> None:
        odd = net("bert")
        odd.body.other = nn.ModuleList([nn.Linear(2, 2)])
        with pytest.raises(
            ValueError,
            match=r"the body must be one stack of numbered blocks, got BertModel; use a base",
        ):
            student(odd, (0,))
