import pytest
from conftest import net, small_task
from laws import HEAD, SpaceLaws
from torch import nn

from ftkit.adapted import Adapted
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.freeze import Only
from ftkit.training import train


class TestLaws(SpaceLaws):
    specimens = [BitFit(), BitFit("body.*.0.*.bias")]


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_bitfit_moves_every_bias_of_the_body_and_nothing_else(name: str) -> None:
    base = net(name)
    biases = {key for key, _ in base.named_parameters() if key.startswith("body.") and key.endswith("bias")}
    assert set(BitFit().changes(base)) == biases


def test_the_count_is_the_closed_form_for_a_bert_body() -> None:
    layers, width, inner = 2, 16, 24  # reference: L (5 d + m + 2 d) + d, the last for the norm of the embeddings
    moving = BitFit().changes(net("bert"))
    assert sum(p.numel() for change in moving.values() for p in change.parameters()) == layers * (7 * width + inner) + width


def test_bitfit_is_only_the_biases() -> None:
    base, task = net("bert"), small_task()
    runs = [list(train(Adapted(base, space, HEAD), task, steps=4, lr=1e-2, size=6, readings=0)) for space in (BitFit(), Only("body.*bias"))]
    assert runs[0] == runs[1]


def test_a_pattern_that_fits_more_than_biases_is_refused() -> None:
    with pytest.raises(ValueError, match=r"BitFit's where must fit biases alone, got 'body\.\*'"):
        BitFit("body.*").changes(net("bert"))


def test_a_body_without_biases_says_so() -> None:
    bare = nn.Module()
    bare.body = nn.Sequential(nn.Linear(2, 2, bias=False))
    with pytest.raises(ValueError, match=r"no weight fits 'body\.\*\.bias'"):
        BitFit().changes(bare)
