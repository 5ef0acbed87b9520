import fnmatch
from copy import deepcopy
from typing import Any

import pytest
import torch
from helpers.laws import HEAD, SpaceLaws, batch_of
from helpers.nets import net, small_task, task_for
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, LlamaConfig

from ftkit.model.adapted import Adapted
from ftkit.model.base import Net
from ftkit.techniques.bitfit import BitFit, with_biases
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.training.cost import measure
from ftkit.training.loop import train

NAMES = {  # query, key, value and output biases of the first block
    "bert": "body.encoder.layer.0.attention.{}.bias".format,
    "roberta": "body.encoder.layer.0.attention.{}.bias".format,
    "distilbert": "body.transformer.layer.0.attention.{}.bias".format,
    "mini-vit": "body.layers.0.attention.{}.bias".format,
}
PARTS = {
    "bert": ("self.query", "self.key", "self.value", "output.dense"),
    "roberta": ("self.query", "self.key", "self.value", "output.dense"),
    "distilbert": ("q_lin", "k_lin", "v_lin", "out_lin"),
    "mini-vit": ("q_proj", "k_proj", "v_proj", "o_proj"),
}


class TestLaws(SpaceLaws):
    specimens = [BitFit(), BitFit("body.*.0.*.bias")]


@pytest.mark.parametrize("name", list(NAMES))
def test_bitfit_moves_every_bias_of_the_body_and_nothing_else(name: str) -> None:
    base = net(name)
    biases = {
        key
        for key, _ in base.named_parameters()
        if key.startswith("body.") and key.endswith("bias")
    }
    assert set(BitFit().changes(base)) == biases


def test_the_count_is_the_closed_form_for_a_bert_body() -> None:
    layers, width, inner = (
        2,
        16,
        24,
    )
    # The expected number is L (5 d + m + 2 d), and d more for the norm of the embeddings.
    moving = BitFit().changes(net("bert"))
    assert (
        sum(p.numel() for change in moving.values() for p in change.parameters())
        == layers * (7 * width + inner) + width
    )


def test_bitfit_is_only_the_biases() -> None:
    base, task = net("bert"), small_task()
    runs = [
        list(train(Adapted(base, space, HEAD), task, steps=4, lr=1e-2, size=6, validations=0))
        for space in (BitFit(), Only("body.*bias"))
    ]
    assert runs[0] == runs[1]


def test_a_pattern_that_fits_more_than_biases_is_refused() -> None:
    with pytest.raises(ValueError, match=r"BitFit's where must match biases alone, got 'body\.\*'"):
        BitFit("body.*").changes(net("bert"))


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no weight fits 'body\.\*\.biases'"):
        BitFit("body.*.biases").changes(net("bert"))


def weight_of(base: Net, name: str, part: int) -> nn.Parameter:
    return base.get_parameter(NAMES[name](PARTS[name][part]))


def in_double(name: str) -> Net:
    base = deepcopy(net(name)).double()  # a shipped body is shared by all tests
    base.body.register_forward_pre_hook(doubled, with_kwargs=True)
    return base


def doubled(
    _: nn.Module, given: Any, named: dict[str, torch.Tensor]
) -> tuple[Any, dict[str, torch.Tensor]]:
    """What a body reads, with pixels in double precision as its weights are."""
    return given, {
        key: value.double() if value.is_floating_point() else value for key, value in named.items()
    }


def drawn(bias: nn.Parameter, seed: int) -> torch.Tensor:
    """A shift of the bias's size."""
    return torch.randn(
        bias.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.mark.parametrize("name", list(NAMES))
def test_the_gradient_of_a_key_bias_is_zero(name: str) -> None:
    base, batch = in_double(name), batch_of(name)
    F.cross_entropy(base(batch), batch.labels).backward()
    query, key, value, output = (
        float(weight_of(base, name, part).grad.abs().max()) for part in range(4)
    )  # type: ignore[union-attr]
    assert key < 1e-10 * min(query, value, output), (
        "softmax does not see what is added to all of its inputs"
    )


def test_in_single_precision_the_gradient_of_a_key_bias_is_noise() -> None:
    base, batch = deepcopy(net("mini-vit")), batch_of("mini-vit")  # the body is shared by all tests
    F.cross_entropy(base(batch), batch.labels).backward()
    query, key = (
        base.get_parameter(f"body.layers.0.attention.{part}_proj.bias").grad for part in "qk"
    )
    assert query is not None and key is not None
    assert float(key.norm()) < 1e-4 * float(query.norm())


@torch.no_grad()
def moved_by(base: Net, name: str, part: int, shift: torch.Tensor) -> torch.Tensor:
    """How the logits move when `shift` is added to a bias, which is put back."""
    bias, batch = weight_of(base, name, part), batch_of(name)
    before, kept = base(batch), bias.clone()
    bias += shift
    moved = base(batch) - before
    bias.copy_(kept)
    return moved


@pytest.mark.parametrize("name", list(NAMES))
def test_no_key_bias_moves_an_answer(name: str) -> None:
    base = in_double(name)
    noise = drawn(weight_of(base, name, 1), seed=1)
    query, key = (float(moved_by(base, name, part, noise).abs().max()) for part in (0, 1))
    assert key < 1e-12 and query > 1e-6


@pytest.mark.parametrize("name", list(NAMES))
def test_a_shift_of_the_value_bias_is_a_shift_of_the_output_bias(name: str) -> None:
    base = in_double(name)
    shift = drawn(weight_of(base, name, 2), seed=2)
    weight = base.get_parameter(NAMES[name](PARTS[name][3]).replace(".bias", ".weight"))
    by_value, by_output = moved_by(base, name, 2, shift), moved_by(base, name, 3, weight @ shift)
    torch.testing.assert_close(by_value, by_output, rtol=0, atol=1e-12)
    assert float(by_value.abs().max()) > 1e-4


def test_adam_moves_key_biases_on_rounding_noise_and_the_answers_do_not_care() -> None:
    base, task = net("mini"), task_for("mini")
    model = Adapted(base, BitFit(), HEAD)
    list(train(model, task, steps=12, lr=1e-2, size=6, validations=0))
    learned = model.delta()
    answers = {}
    with torch.no_grad():
        for left_out in ("nothing", "key", "query"):
            kept = {name: change for name, change in learned.items() if f".{left_out}." not in name}
            answers[left_out] = type(learned)(kept).on(base)(batch_of("mini"))
    far = {
        name: float((answer - answers["nothing"]).abs().max()) for name, answer in answers.items()
    }
    keys = [change for name, change in learned.items() if ".key." in name]
    assert max(float(change.abs().max()) for change in keys) > 1e-5
    assert far["key"] < 1e-4 and far["query"] > 100 * far["key"]


def test_a_step_saves_the_gradients_of_the_matrices_and_what_they_need() -> None:
    base, batch = net("mini"), batch_of("mini")
    full, ours, lora = (
        measure(Adapted(base, *spaces), batch)
        for spaces in ((), (BitFit(), HEAD), (LoRA(8, 4.0), HEAD))
    )
    assert ours.flops / full.flops == pytest.approx(2 / 3, abs=0.03)
    assert ours.activations < 0.8 * full.activations and ours.activations < 0.8 * lora.activations
    assert ours.trainable < 0.01 * full.trainable and ours.weights == full.weights


def bare_bert() -> Net:
    """A small BERT whose linear layers have no biases; its norms have."""
    base = net("bert")
    for layer in base.body.modules():
        if isinstance(layer, nn.Linear):
            layer.bias = None
    return base


def llama() -> nn.Module:
    """A small body without a single bias, under the name that bodies have."""
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 64,
    }
    return nn.ModuleDict({"body": AutoModel.from_config(LlamaConfig(**sizes)).eval()})


def test_a_body_without_biases_says_so() -> None:
    bare = llama()
    bare["heads"] = nn.ModuleDict({"tiny": nn.Linear(2, 2)})  # type: ignore[operator]
    with pytest.raises(
        ValueError,
        match=r"must have biases below its heads, got one without any; "
        r"with_biases\(model\) adds trainable zeros",
    ):
        BitFit().changes(bare)


def test_added_biases_start_at_zero_and_change_no_answer() -> None:
    base, batch = bare_bert(), batch_of("bert")
    wide = with_biases(base)
    added = {name for name, _ in wide.named_parameters()} - {
        name for name, _ in base.named_parameters()
    }
    assert len(added) == 2 * 6 and all(not wide.get_parameter(name).any() for name in added)
    with torch.no_grad():
        assert torch.equal(wide(batch), base(batch))
        ids = torch.arange(12).view(2, 6)
        bare = llama()
        assert torch.equal(
            with_biases(bare).body(ids).last_hidden_state, bare.body(ids).last_hidden_state
        )  # type: ignore[operator]


def test_bitfit_learns_added_biases_and_the_net_without_them_stays_as_it_was() -> None:
    base = bare_bert()
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    wide = with_biases(base)
    model = Adapted(wide, BitFit(), HEAD)
    list(train(model, small_task(), steps=4, lr=1e-2, size=6, validations=0))
    moved = [
        name
        for name, _, now in model.changed()
        if fnmatch.fnmatch(name, "body.*.dense.bias") and now.any()
    ]
    assert len(moved) == 2 * 3
    assert base.state_dict().keys() == before.keys()
    assert all(torch.equal(before[name], weight) for name, weight in base.state_dict().items())
    with pytest.raises(ValueError, match="must fit the weights of its base, got"):
        model.delta().on(base)


def test_biases_that_are_there_stay() -> None:
    base = net("bert")
    assert all(
        torch.equal(weight, base.get_parameter(name))
        for name, weight in with_biases(base).named_parameters()
    )
