"""The parts that `mini` was pretrained with, on numbers small enough to check."""

import math

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from ftkit.pretrain import mini
from ftkit.pretrain.words import ppmi_vectors, unigram_loss


@pytest.fixture
def model() -> BertForMaskedLM:
    torch.manual_seed(0)
    shape = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    return BertForMaskedLM(
        BertConfig(vocab_size=mini.VOCABULARY, max_position_embeddings=mini.POSITIONS, **shape)
    )


def test_neighbours_that_are_alike_cost_what_the_temperature_says() -> None:
    rows = torch.eye(4)
    expected = math.log(1 + 3 * math.exp(-1 / mini.TEMPERATURE))
    assert mini.neighbour_loss(torch.cat([rows, rows])).item() == pytest.approx(expected, rel=2e-3)
    assert mini.neighbour_loss(torch.cat([rows, rows.roll(1, 0)])).item() == pytest.approx(
        1 / mini.TEMPERATURE, rel=1e-3
    )


def test_a_pair_begins_near_each_other_and_inside_the_corpus(
    model: BertForMaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        mini, "hide", lambda rows, generator: (seen.append(rows), (rows, rows > 4))[1]
    )
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
    shown, chosen = mini.hide(rows, torch.Generator().manual_seed(0))
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert (shown == 4)[chosen].float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert (shown == 100)[chosen].float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(shown[~chosen], rows[~chosen])
    special = torch.randint(0, 5, (10, 64))
    assert torch.equal(mini.hide(special, torch.Generator().manual_seed(0))[0], special)


def test_guessing_by_frequency_costs_the_entropy() -> None:
    even = torch.tensor([5, 6, 7, 8] * 1000)
    assert unigram_loss(even, even, size=9) == pytest.approx(math.log(4), abs=1e-3)


def test_words_in_like_company_get_like_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    company = {5: 10, 6: 10, 7: 20}  # 5 and 6 stand beside words 10 to 14, 7 beside 20 to 24
    text = []
    for word in torch.tensor(list(company))[
        torch.randint(3, (3000,), generator=generator)
    ].tolist():
        text += [word, company[word] + int(torch.randint(5, (), generator=generator))]
    vectors = torch.nn.functional.normalize(
        ppmi_vectors(torch.tensor(text), size=30, width=4, window=1), dim=1
    )
    assert float(vectors[5] @ vectors[6]) > 0.9 > 0.5 > float(vectors[5] @ vectors[7])
