"""What a run leaves behind: hidden words as transformers guesses them, likeness and rank in closed form; and the bill of a step."""

import math

import pytest
import torch
from torch.nn import functional as F
from transformers import BertForMaskedLM

from ftkit.experiments.benchmark import FULL, HEAD, load_benchmark
from ftkit.lessons.limits_of_lora.forgetting import (
    SENTENCES,
    after_training,
    best_cosines,
    effective_rank,
    hidden_words,
)
from ftkit.lessons.limits_of_lora.step_costs import (
    KINDS,
    METHODS,
    costs,
    one_word_task,
    shares_of_full,
)
from ftkit.model.adapted import Adapted
from ftkit.model.base import base_path, load_base
from ftkit.pretrain.mini import hide
from ftkit.tasks.load import load_task
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA


class TestHiddenWords:
    def test_the_base_guesses_as_the_whole_model_does(self) -> None:
        whole = BertForMaskedLM.from_pretrained(base_path("mini"), use_safetensors=True).eval()
        net, task = load_benchmark("library")
        read = net.reader(task.valid, torch.arange(SENTENCES))
        shown, chosen = hide(read["input_ids"], torch.Generator().manual_seed(0))
        assert 500 < chosen.sum() < 1000 and not (read["attention_mask"][chosen] == 0).any()
        with torch.no_grad():
            logits = whole(input_ids=shown, attention_mask=read["attention_mask"]).logits
        expected = F.cross_entropy(logits[chosen], read["input_ids"][chosen]).item()
        assert hidden_words(Adapted(net, HEAD)) == pytest.approx(expected, rel=1e-5)
        assert expected < 4, "frequencies alone cost about six nats"

    def test_the_sentences_are_those_of_valid_and_no_others(self) -> None:
        read = set(load_task("docs").valid["text"][:SENTENCES])
        assert not read & set(load_task("docs").train["text"])

    def test_a_body_that_was_spoilt_guesses_worse_and_the_base_s_own_word_vectors_still_judge(
        self,
    ) -> None:
        net, _ = load_benchmark("library")
        name = "body.embeddings.word_embeddings.weight"
        model = Adapted(net, Only(name))
        before = hidden_words(model)
        with torch.no_grad():
            model.changes[name].value.mul_(0.0)
        assert hidden_words(model) > before + 1
        assert hidden_words(Adapted(net, Only(name))) == before


class TestLikeness:
    def test_a_direction_between_two_of_before_is_like_each_by_the_cosine(self) -> None:
        before = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
        turn = torch.eye(4)
        turn[:2, :2] = torch.tensor([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
        found = best_cosines(before, turn @ before, top=3)
        torch.testing.assert_close(
            found, torch.tensor([0.5**0.5, 0.5**0.5, 1.0], dtype=torch.float64)
        )

    def test_only_the_strongest_are_asked(self) -> None:
        assert len(best_cosines(torch.randn(12, 8), torch.randn(12, 8), top=3)) == 3

    def test_a_strong_new_direction_is_an_intruder(self) -> None:
        torch.manual_seed(0)
        before = torch.randn(96, 24)
        new = torch.linalg.qr(torch.randn(96, 96)).Q[:, -1:]
        new = (
            new - before @ torch.linalg.lstsq(before, new).solution
        )  # at a right angle to all that was
        found = best_cosines(before, before + 100 * new @ torch.randn(1, 24))
        assert found[0] < 0.2 and found.sort().values[1] > 0.5


@pytest.mark.parametrize("count", [1, 3])
def test_the_effective_rank_of_equal_directions_is_their_number(count: int) -> None:
    change = torch.zeros(6, 5)
    change[:count, :count] = 0.7 * torch.eye(count)
    assert effective_rank(change) == pytest.approx(count, rel=1e-6)
    assert effective_rank(torch.zeros(3, 3)) == 0.0


def test_what_has_not_moved_leaves_nothing() -> None:
    found = after_training(Adapted(load_benchmark("library")[0], LoRA(2)))
    assert found["after/moved"] == 0 and found["after/rank"] == 0 and found["after/intruders"] == 0
    assert found["after/likeness"] == pytest.approx(1, abs=1e-6)
    assert set(after_training(Adapted(load_benchmark("library")[0], HEAD))) == {"after/words"}, (
        "no linear layer of the body may move"
    )


class TestPrices:
    def test_shares_are_of_full_fine_tuning(self) -> None:
        found = costs("mini", 4, 8)
        assert set(found) == set(METHODS) and all(
            set(bill) == set(KINDS) for bill in found.values()
        )
        of = shares_of_full(found)
        assert (
            FULL not in of
            and of["BitFit"]["flops"] == found["BitFit"]["flops"] / found[FULL]["flops"]
        )

    def test_what_goes_with_the_batch_and_what_does_not(self) -> None:
        small, large = (costs("mini", size, 8) for size in (1, 4))
        for name in METHODS:
            assert (
                large[name]["optimizer"] == small[name]["optimizer"] == 2 * small[name]["gradients"]
            )
            assert large[name]["activations"] == pytest.approx(
                4 * small[name]["activations"], rel=0.05
            )
            assert large[name]["flops"] == pytest.approx(4 * small[name]["flops"], rel=0.01)

    def test_rows_are_as_long_as_was_asked(self) -> None:
        task = one_word_task(3, 21)
        read = load_base("mini", task).reader(task.train, torch.arange(3))
        assert read["attention_mask"].sum(1).tolist() == [21] * 3

    @pytest.mark.parametrize("length", [1, 200])
    def test_a_length_that_cannot_be_is_refused(self, length: int) -> None:
        with pytest.raises(
            ValueError, match=f"length must be one that mini reads whole, at least 2, got {length}"
        ):
            costs("mini", 1, length)
