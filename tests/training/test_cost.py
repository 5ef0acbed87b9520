from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from helpers.laws import HEAD, batch_of
from helpers.nets import CONFIGS, net, task_for
from torch import nn
from torch.optim import SGD, AdamW
from transformers import AutoModel

from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.low_rank import LowRank, Matrix
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.freeze import LastBlocks, Only
from ftkit.techniques.lora import LoRA
from ftkit.techniques.sparse import Sparse
from ftkit.training.cost import Cost, Peak, flops, measure, peak, peak_of_steps, saved_bytes


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    base = net("mini")
    batch = batch_of("mini", 16)
    spaces = {
        "full": (),
        "lora": (LoRA(4), HEAD),
        "bitfit": (BitFit(), HEAD),
        "last": (LastBlocks(1), HEAD),
        "head": (HEAD,),
    }
    return {name: measure(Adapted(base, *space), batch) for name, space in spaces.items()}


def test_flops_are_the_cost_model(costs: dict[str, Cost]) -> None:
    share = {name: cost.flops / costs["full"].flops for name, cost in costs.items()}
    width, inner, rank = 96, 192, 4
    linear = 4 * width**2 + 2 * width * inner
    added = rank * (8 * width + 2 * (width + inner)) / linear
    assert share["lora"] == pytest.approx(2 / 3 + added, abs=0.05)
    assert share["bitfit"] == pytest.approx(2 / 3, abs=0.03)
    assert share["last"] == pytest.approx((1 + 2 / 3) / 3, abs=0.05)
    assert share["head"] == pytest.approx(1 / 3, abs=0.01)


def test_gradients_and_optimizer_are_those_of_the_trainable_parameters(
    costs: dict[str, Cost],
) -> None:
    for cost in costs.values():
        assert cost.gradients == 4 * cost.trainable
        assert cost.optimizer == 8 * cost.trainable


def test_lora_saves_no_activations_and_bitfit_does(costs: dict[str, Cost]) -> None:
    share = {name: cost.activations / costs["full"].activations for name, cost in costs.items()}
    assert share["bitfit"] < 0.75
    assert 0.9 < share["lora"] < 1.05
    assert share["last"] < 0.4
    assert share["head"] < 0.05


def test_the_disk_holds_the_change_alone(costs: dict[str, Cost]) -> None:
    for cost in costs.values():
        assert 4 * cost.trainable <= cost.disk < 4 * cost.trainable + 16_000


def test_measuring_leaves_the_model_as_it_was() -> None:
    model = Adapted(net("bert"), LoRA(2), HEAD)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(model, batch_of("bert"))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("passes", ["forward", "both"])
def test_fused_attention_is_counted_like_plain_attention(passes: str) -> None:
    counts = []
    for kind in ("eager", "sdpa"):
        body = AutoModel.from_config(
            deepcopy(CONFIGS["bert"]), add_pooling_layer=False, attn_implementation=kind
        ).eval()
        ids = torch.arange(5, 45).view(2, 20)
        assert body.config._attn_implementation == kind

        def work(body: nn.Module = body, ids: torch.Tensor = ids) -> None:
            out = body(input_ids=ids).last_hidden_state.sum()
            if passes == "both":
                out.backward()

        counts.append(flops(work))
    if passes == "forward":
        assert counts[1] == counts[0]
    else:
        # The fused backward pass computes the attention weights again: six products, not five.
        assert counts[0] < counts[1] < 1.06 * counts[0]


def test_flops_of_known_products() -> None:
    assert flops(lambda: torch.ones(3, 5) @ torch.ones(5, 7)) == 2 * 3 * 5 * 7
    assert (
        flops(lambda: torch.ones(3, 7).addmm_(torch.ones(3, 5), torch.ones(5, 7))) == 2 * 3 * 5 * 7
    )


def test_the_gradient_of_lora_by_hand_is_that_of_autograd_and_costs_the_same() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 5, dtype=torch.float64)
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    layer.requires_grad_(False)
    change = LowRank(Matrix(layer.weight, False), rank=2, scale=3.5)
    nn.init.normal_(change.a)
    nn.init.normal_(change.b)
    leaves = (x, change.a, change.b)

    def plain() -> torch.Tensor:
        return layer(x) + 3.5 * (x @ change.a.T @ change.b.T)

    def ours() -> torch.Tensor:
        return change.linear(x, layer.weight, layer.bias)

    weights = torch.randn(2, 3, 5, dtype=torch.float64)
    expected = torch.autograd.grad((plain() * weights).sum(), leaves)
    by_hand = torch.autograd.grad((ours() * weights).sum(), leaves)
    torch.testing.assert_close(by_hand, expected)
    assert flops(lambda: (plain() * weights).sum().backward()) == flops(
        lambda: (ours() * weights).sum().backward()
    )


def test_saved_bytes_of_a_known_graph() -> None:
    layer, x = nn.Linear(8, 8), torch.ones(4, 8)
    with saved_bytes(layer) as saved:
        torch.relu(layer(x)).sum()
    # The layer's input and relu's output, float32; the weight does not count.
    assert saved.total == 4 * 8 * 4 * 2


def test_images_are_measured_too() -> None:
    model = Adapted(net("mini-vit"), LoRA(2), HEAD)
    assert measure(model, task_for("mini-vit").batch("train", torch.arange(8))).flops > 0


def test_only_the_head_of_another_shape_costs_what_it_says() -> None:
    assert measure(Adapted(net("bert"), Only("heads.*")), batch_of("bert")).trainable == 16 * 2 + 2


ROWS, IN, OUT = 8, 64, 32
WEIGHTS = 4 * (IN * OUT + OUT)
"""The bytes of the weights of a linear layer, and of their gradient."""
PASSING = 4 * ROWS * OUT + 4
"""The bytes of the gradients of the layer's answers and of the loss.

They are alive when the last gradient of the weights is computed.
"""


def squares(model: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"squares": model(x).square().sum()}


@pytest.mark.parametrize(
    ("optimizer", "state"),
    [
        (partial(SGD, lr=0.1), 0),
        (partial(SGD, lr=0.1, momentum=0.9), WEIGHTS),
        # Two averages, and a step counter for each of two tensors.
        (partial(AdamW, lr=0.1, fused=True), 2 * WEIGHTS + 2 * 4),
    ],
)
def test_the_peak_of_a_linear_layer_is_known(
    optimizer: Callable[..., torch.optim.Optimizer], state: int
) -> None:
    layer, x = nn.Linear(IN, OUT), torch.ones(ROWS, IN)
    highest = peak_of_steps(lambda: squares(layer, x)["squares"], optimizer(layer.parameters()))
    assert highest.outside_forward == state + WEIGHTS + PASSING
    # The loss; what was saved for the backward pass is freed by then.
    assert highest.everything == highest.outside_forward + 4
    assert all(p.grad is None for p in layer.parameters())


class Holds(torch.autograd.Function):
    """The identity, which holds two blocks of the given sizes in bytes.

    One is saved for the backward pass, one is allocated for a moment within it.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, saved: int, moment: int) -> torch.Tensor:
        ctx.save_for_backward(torch.empty(saved, dtype=torch.uint8))
        ctx.moment = moment
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        torch.empty(ctx.moment, dtype=torch.uint8)
        return gradients[0], None, None


def test_a_block_of_the_backward_pass_counts_and_a_saved_one_does_not() -> None:
    def peak_with(saved: int, moment: int) -> Peak:
        w = torch.ones(10, requires_grad=True)
        return peak_of_steps(lambda: Holds.apply(w, saved, moment).sum(), SGD([w], lr=0.1))

    more = 1_000_000
    least, saving, passing = peak_with(1, 1), peak_with(more, 1), peak_with(1, more)
    assert saving.outside_forward == least.outside_forward < 200
    assert saving.everything == pytest.approx(more, abs=200)
    assert passing.outside_forward == pytest.approx(more, abs=200)
    assert peak_with(more, more).everything == pytest.approx(2 * more, abs=200)


def test_sparse_entries_hold_a_layers_whole_gradient_for_a_moment() -> None:
    model = Adapted(nn.Linear(IN, OUT, bias=False), Sparse(0.01, where="*"))
    entries = 4 * len(model.trainable()[0])
    highest = peak(model, torch.ones(ROWS, IN), squares)
    assert highest.outside_forward == 2 * entries + 4 + 4 * IN * OUT + entries + PASSING


def test_one_percent_of_the_entries_peaks_below_five_of_full() -> None:
    base, batch = net("mini"), batch_of("mini", 16)
    layers = ",".join(name for name in linear_layers(base) if name.startswith("body."))
    full, of_layers, of_body = (
        peak(Adapted(base, *spaces), batch).outside_forward
        for spaces in ((), (Sparse(0.01, where=layers), HEAD), (Sparse(0.01), HEAD))
    )
    assert of_layers < 0.05 * full
    assert of_body < 0.05 * full


@pytest.mark.parametrize("spaces", [(), (LoRA(2), HEAD), (Sparse(0.1), HEAD)])
def test_the_peak_leaves_the_model_as_it_was_and_is_above_what_is_held(
    spaces: tuple[Any, ...],
) -> None:
    model, batch = Adapted(net("bert"), *spaces), batch_of("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    highest, cost = peak(model, batch), measure(model, batch)
    assert cost.gradients + cost.optimizer < highest.outside_forward < highest.everything
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
