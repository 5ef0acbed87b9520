"""The parts of `mini`'s pretraining, on inputs small enough to check."""

import math

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from ftkit.pretrain import mini
from ftkit.pretrain.words import ppmi_vectors, unigram_loss


@pytest.fixture
def model() -> BertForMaskedLM:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=mini.VOCABULARY,
        max_position_embeddings=mini.POSITIONS,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    return BertForMaskedLM(config)


def test_the_loss_of_equal_neighbours_follows_from_the_temperature() -> None:
    rows = torch.eye(4)
    right, wrong = torch.cat([rows, rows]), torch.cat([rows, rows.roll(1, 0)])
    expected = math.log(1 + 3 * math.exp(-1 / mini.TEMPERATURE))
    assert mini.neighbour_loss(right).item() == pytest.approx(expected, rel=2e-3)
    assert mini.neighbour_loss(wrong).item() == pytest.approx(1 / mini.TEMPERATURE, rel=1e-3)


def test_the_rows_of_a_pair_begin_near_each_other_and_inside_the_corpus(
    model: BertForMaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def hide_nothing(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        seen.append(rows)
        return rows, rows > 4

    monkeypatch.setattr(mini, "hide", hide_nothing)
    ids = torch.arange(5, 5 + 1000)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(12):
            assert set(mini.second_stage(model, ids, generator, 0.5)) == {"train", "neighbours"}
    assert {rows.shape[1] for rows in seen} == set(mini.LENGTHS)
    for rows in seen:
        assert (rows[:, 0] == mini.CLS_ID).all()
        first, second = rows[:, 1].chunk(2)
        assert rows.numel() == mini.BATCH_TOKENS
        assert int((second - first).min()) >= rows.shape[1]
        assert int((second - first).max()) < (mini.NEARBY + 1) * rows.shape[1]


def test_hidden_words_are_hidden_in_the_shares_of_the_paper() -> None:
    rows = torch.full((200, 500), 100)
    hidden, chosen = mini.hide(rows, torch.Generator().manual_seed(0))
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert (hidden == 4)[chosen].float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert (hidden == 100)[chosen].float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(hidden[~chosen], rows[~chosen])
    special = torch.randint(0, 5, (10, 64))
    assert torch.equal(mini.hide(special, torch.Generator().manual_seed(0))[0], special)


def test_the_loss_of_guessing_by_frequency_is_the_entropy() -> None:
    even = torch.tensor([5, 6, 7, 8] * 1000)
    assert unigram_loss(even, even, size=9) == pytest.approx(math.log(4), abs=1e-3)


def test_words_with_similar_neighbours_get_similar_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    neighbours = {5: 10, 6: 10, 7: 20}  # 5 and 6 come before the words 10 to 14, 7 before 20 to 24
    draws = torch.randint(3, (3000,), generator=generator)
    text = []
    for word in torch.tensor(list(neighbours))[draws].tolist():
        text += [word, neighbours[word] + int(torch.randint(5, (), generator=generator))]
    vectors = ppmi_vectors(torch.tensor(text), size=30, width=4, window=1)
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    assert float(vectors[5] @ vectors[6]) > 0.9 > 0.5 > float(vectors[5] @ vectors[7])
