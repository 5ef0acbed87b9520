"""Forgetting as transformers measures it, cosines and ranks in closed form, costs of a step."""

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
    intruder_test,
    intruders,
    neighbour,
    scaled_direction,
    with_scaled_intruders,
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
    def test_the_base_has_the_loss_of_the_whole_model(self) -> None:
        whole = BertForMaskedLM.from_pretrained(base_path("mini"), use_safetensors=True).eval()
        net, task = load_benchmark("library")
        tokens = net.reader(task.valid, torch.arange(SENTENCES))
        shown, chosen = hide(tokens["input_ids"], torch.Generator().manual_seed(0))
        assert 500 < chosen.sum() < 1000 and not (tokens["attention_mask"][chosen] == 0).any()
        with torch.no_grad():
            logits = whole(input_ids=shown, attention_mask=tokens["attention_mask"]).logits
        expected = F.cross_entropy(logits[chosen], tokens["input_ids"][chosen]).item()
        assert hidden_words(Adapted(net, HEAD)) == pytest.approx(expected, rel=1e-5)
        assert expected < 4, "frequencies alone cost about six nats"

    def test_no_sentence_is_in_train(self) -> None:
        sentences = set(load_task("docs").valid["text"][:SENTENCES])
        assert not sentences & set(load_task("docs").train["text"])

    def test_a_spoilt_body_has_a_higher_loss_with_the_word_vectors_of_the_base_in_the_head(
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


class TestBestCosines:
    def test_a_direction_between_two_of_before_has_the_cosine_to_each(self) -> None:
        before = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
        turn = torch.eye(4)
        turn[:2, :2] = torch.tensor([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
        cosines = best_cosines(before, turn @ before, top=3)
        torch.testing.assert_close(
            cosines, torch.tensor([0.5**0.5, 0.5**0.5, 1.0], dtype=torch.float64)
        )

    def test_only_the_strongest_directions_are_compared(self) -> None:
        assert len(best_cosines(torch.randn(12, 8), torch.randn(12, 8), top=3)) == 3

    def test_a_strong_new_direction_is_an_intruder(self) -> None:
        torch.manual_seed(0)
        before = torch.randn(96, 24)
        new = torch.linalg.qr(torch.randn(96, 96)).Q[:, -1:]
        new = (
            new - before @ torch.linalg.lstsq(before, new).solution
        )  # orthogonal to every direction of before
        cosines = best_cosines(before, before + 100 * new @ torch.randn(1, 24))
        assert cosines[0] < 0.2 and cosines.sort().values[1] > 0.5


@pytest.mark.parametrize("count", [1, 3])
def test_the_effective_rank_of_equal_directions_is_their_number(count: int) -> None:
    change = torch.zeros(6, 5)
    change[:count, :count] = 0.7 * torch.eye(count)
    assert effective_rank(change) == pytest.approx(count, rel=1e-6)
    assert effective_rank(torch.zeros(3, 3)) == 0.0


def test_an_untrained_model_has_moved_and_forgotten_nothing() -> None:
    measures = after_training(Adapted(load_benchmark("library")[0], LoRA(2)))
    assert (
        measures["after/moved"] == 0
        and measures["after/rank"] == 0
        and measures["after/intruders"] == 0
    )
    assert measures["after/likeness"] == pytest.approx(1, abs=1e-6)
    assert set(after_training(Adapted(load_benchmark("library")[0], HEAD))) == {"after/words"}, (
        "no linear layer of the body may move"
    )


WIDE = "body.encoder.layer.1.intermediate.dense.weight"
"""A matrix (192, 96): half of the directions of its output are none of its own."""


def with_an_intruder() -> tuple[Adapted, torch.Tensor]:
    """A model with one intruder, and the known answer: its matrix with the intruder removed.

    The strongest right direction v of W, s u v', is written out along n as well, where n is
    orthogonal to all that W can answer. Then (s u + 3 s n) v' has the cosine 1 / sqrt(10) to u.
    """
    net, _ = load_benchmark("library")
    model = Adapted(net, Only(WIDE))
    weight = net.get_parameter(WIDE).detach()
    u, s, v = torch.linalg.svd(weight.double())
    with torch.no_grad():
        model.changes[WIDE].value.add_(3 * s[0] * torch.outer(u[:, -1], v[0]))
    return model, weight.double() - s[0] * torch.outer(u[:, 0], v[0])


class TestScalingIntruders:
    def test_the_singular_value_at_a_position_is_scaled_and_no_other(self) -> None:
        torch.manual_seed(0)
        weight = torch.randn(6, 4)
        values = torch.linalg.svdvals(weight)
        scaled = torch.linalg.svdvals(scaled_direction(weight, 3, 0.5))
        torch.testing.assert_close(scaled, values * torch.tensor([1.0, 1.0, 1.0, 0.5]))
        torch.testing.assert_close(scaled_direction(weight, 1, 1.0), weight)

    @pytest.mark.parametrize("factor", [-0.1, math.nan, "half"])
    def test_an_impossible_factor_is_refused(self, factor: float) -> None:
        with pytest.raises(ValueError, match="factor must be"):
            scaled_direction(torch.eye(3), 0, factor)

    def test_the_intruder_and_its_neighbour_are_found_in_a_matrix_with_a_known_answer(self) -> None:
        # Outputs 0 to 2 are the directions of before; output 5 is new, and the strongest.
        before = torch.zeros(6, 3)
        before[:3] = torch.diag(torch.tensor([4.0, 3.0, 2.0]))
        now = before.clone()
        now[5, 1] = 10.0
        assert intruders(before, now) == [0]
        assert neighbour(before, now, 0) == 1, "4 is nearer to sqrt(109) than 2"
        without = now.clone()
        without[:, 1] = 0
        torch.testing.assert_close(scaled_direction(now, 0, 0.0), without)
        assert intruders(before, before) == []
        assert neighbour(before, before.flip(0), 0) is None, "all directions are new"

    def test_the_net_has_the_matrix_without_the_intruder_and_nothing_else_changes(self) -> None:
        model, without = with_an_intruder()
        learned, removed = model.merged(), with_scaled_intruders(model, 0.0)
        torch.testing.assert_close(
            removed.get_parameter(WIDE).double(), without, atol=1e-5, rtol=1e-5
        )
        for name, weight in learned.named_parameters():
            assert (name == WIDE) != torch.equal(weight, removed.get_parameter(name)), name
        same = with_scaled_intruders(model, 1.0).get_parameter(WIDE)
        torch.testing.assert_close(same, learned.get_parameter(WIDE))

    def test_the_control_scales_the_nearest_direction_of_the_base(self) -> None:
        model, _ = with_an_intruder()
        now = model.merged().get_parameter(WIDE).detach()
        control = with_scaled_intruders(model, 0.0, control=True).get_parameter(WIDE)
        torch.testing.assert_close(control, scaled_direction(now, 1, 0.0), atol=1e-5, rtol=1e-5)

    def test_removing_the_intruder_of_a_spoilt_model_mends_it_and_the_control_does_not(
        self,
    ) -> None:
        model, _ = with_an_intruder()
        task = load_benchmark("library")[1]
        found = intruder_test(model, task, "valid", rows=32, factors=(0.0, 0.5))
        assert found["scaled/matrices"] == 1
        assert found["scaled/words"] == pytest.approx(hidden_words(model), rel=1e-5)
        intruder = [found[f"scaled/intruder/{factor}/words"] for factor in (0, 0.5)]
        assert intruder[0] < intruder[1] < found["scaled/words"] - 0.1
        assert found["scaled/neighbour/0/words"] > intruder[0]
        assert {key.rsplit("/", 1)[-1] for key in found} == {"matrices", "words", "accuracy"}
        assert all(0 <= found[key] <= 1 for key in found if key.endswith("accuracy"))

    def test_without_an_intruder_nothing_is_measured(self) -> None:
        net, task = load_benchmark("library")
        assert intruder_test(Adapted(net, LoRA(2)), task) == {"scaled/matrices": 0.0}


class TestCosts:
    def test_shares_are_of_full_fine_tuning(self) -> None:
        by_method = costs("mini", 4, 8)
        assert set(by_method) == set(METHODS)
        assert all(set(of_method) == set(KINDS) for of_method in by_method.values())
        shares = shares_of_full(by_method)
        assert (
            FULL not in shares
            and shares["BitFit"]["flops"] == by_method["BitFit"]["flops"] / by_method[FULL]["flops"]
        )

    def test_activations_and_flops_grow_with_the_batch_and_the_optimizer_does_not(self) -> None:
        small, large = (costs("mini", size, 8) for size in (1, 4))
        for name in METHODS:
            assert (
                large[name]["optimizer"] == small[name]["optimizer"] == 2 * small[name]["gradients"]
            )
            assert large[name]["activations"] == pytest.approx(
                4 * small[name]["activations"], rel=0.05
            )
            assert large[name]["flops"] == pytest.approx(4 * small[name]["flops"], rel=0.01)

    def test_rows_have_the_given_length(self) -> None:
        task = one_word_task(3, 21)
        tokens = load_base("mini", task).reader(task.train, torch.arange(3))
        assert tokens["attention_mask"].sum(1).tolist() == [21] * 3

    @pytest.mark.parametrize("length", [1, 200])
    def test_an_impossible_length_is_refused(self, length: int) -> None:
        with pytest.raises(
            ValueError, match=f"length must be one that mini reads whole, at least 2, got {length}"
        ):
            costs("mini", 1, length)
