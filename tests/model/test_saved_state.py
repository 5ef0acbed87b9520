"""A state knows what it belongs to: its space, and the base."""

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.laws import HEAD, batch_of, learn
from helpers.nets import net
from safetensors.torch import load_file, save_file
from torch import nn

from ftkit.model.adapted import Adapted
from ftkit.model.entries import Chosen
from ftkit.techniques.adalora import AdaLoRA
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.dora import DoRA
from ftkit.techniques.freeze import Only
from ftkit.techniques.lora import LoRA
from ftkit.techniques.lorafa import LoRAFA
from ftkit.techniques.pissa import PiSSA
from ftkit.techniques.rslora import RsLoRA
from ftkit.techniques.sparse import Rows, Sparse, SparseEach
from ftkit.techniques.vera import VeRA

Q = "body.encoder.layer.0.attention.self.query.weight"
PAIRS = [
    (LoRA(2), LoRA(2, alpha=8.0), "scale of the change of 'body.*' is 4.0 in the state and 8.0"),
    (DoRA(2), DoRA(2, alpha=8.0), "scale of the change"),
    (AdaLoRA(2), AdaLoRA(2, alpha=8.0), "scale of the change"),
    (LoRA(4), RsLoRA(4, alpha=2.0), "scale of the change"),
    (
        LoRA(2, None),
        LoRA(3, None),
        "shape a of the change of 'body.*' is .3, 16. in the state and .2, 16.",
    ),
    (
        LoRA(2),
        DoRA(2),
        "class of the change of 'body.*' is 'Decomposed' in the state and 'LowRank'",
    ),
    (LoRA(2), LoRA(2, where=Q), "the change of 'body.*' is only in the model"),
    (LoRA(2, where=Q), LoRA(2), "the change of 'body.*' is only in the state"),
    (VeRA(4), VeRA(4, seed=1), "entries shared_a of the change of 'body.*' is"),
    (LoRAFA(2), LoRAFA(2, seed=1), "entries a of the change"),
    (PiSSA(2), PiSSA(2, alpha=1.0), "scale of the change"),
]


def moved(base: nn.Module, *spaces: Any) -> Adapted:
    """An adaptation whose parameters are all different from their starting values."""
    model = Adapted(base, *spaces)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    return model


def assert_refused(model: Adapted, state: Any, message: str) -> None:
    """Loading is refused with this message, and the model stays as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("here", "there", "message"), PAIRS, ids=str)
def test_a_state_of_another_space_is_refused(
    here: Any, there: Any, message: str, tmp_path: Path
) -> None:
    base = net("bert")
    saved, model = moved(base, there, HEAD), Adapted(base, here, HEAD)
    assert_refused(model, saved.state_dict(), message)
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    assert_refused(model, torch.load(file, weights_only=True), message)
    saved.save(tmp_path / "change.safetensors")
    with pytest.raises(ValueError, match=message):
        model.load(tmp_path / "change.safetensors")


def test_the_message_names_both_spaces_and_says_what_to_do() -> None:
    base = net("bert")
    saved, model = Adapted(base, LoRA(2, alpha=8.0)), Adapted(base, LoRA(2))
    with pytest.raises(
        ValueError,
        match=r"a state must belong to its model, got one of \[LoRA\(rank=2, alpha=8.0, .*\] for "
        r"\[LoRA\(rank=2, alpha=16.0, .*\]: .* \(and 11 more\); adapt the base of the state with",
    ):
        model.load_state_dict(saved.state_dict())


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (SparseEach(0.1), SparseEach(0.1, seed=1)),
        (SparseEach(0.1), SparseEach(0.1, "largest")),
        (Rows(0.1), Rows(0.1, seed=1)),
        (Chosen({Q: torch.tensor([1, 5])}), Chosen({Q: torch.tensor([1, 6])})),
    ],
    ids=str,
)
def test_other_positions_are_refused_even_in_a_plain_dictionary(here: Any, there: Any) -> None:
    base = net("bert")
    state = moved(base, there).state_dict()
    message = "the positions of its model, got others in 'body.*; adapt with the space of the state"
    assert_refused(Adapted(base, here), state, message)
    assert_refused(Adapted(base, here), dict(state), message)


@pytest.mark.parametrize(
    "space", [LoRA(2), BitFit(), Sparse(0.1), HEAD, Only("body.embeddings.*")], ids=repr
)
def test_a_state_of_another_base_is_refused(space: Any) -> None:
    base, other = net("bert"), net("bert")
    with torch.no_grad():
        other.body.encoder.layer[1].output.dense.weight.mul_(1.1)
    state = moved(other, space).state_dict()
    message = "entries of 'body.encoder.layer.1.output.dense.weight' of the base is"
    assert_refused(Adapted(base, space), state, message)


def test_a_state_of_another_architecture_is_refused() -> None:
    state = moved(net("roberta"), Only("heads.*")).state_dict()
    message = "of 'body.*' of the base is .* in the state"
    assert_refused(Adapted(net("bert"), Only("heads.*")), state, message)


def test_full_fine_tuning_holds_every_weight_and_may_move_to_another_base() -> None:
    base, other = net("bert"), net("bert").untrained(1)
    model, again = moved(base), Adapted(other)
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again(batch_of("bert")), model(batch_of("bert")))


@pytest.mark.parametrize(
    "space",
    [LoRA(2), VeRA(4), LoRAFA(2), PiSSA(2), DoRA(2), Sparse(0.1), Rows(0.2), Only("body.*")],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_state_comes_back_through_a_file_and_in_half_precision(
    space: Any, dtype: torch.dtype, tmp_path: Path
) -> None:
    base, path = net("bert"), tmp_path / "change.safetensors"
    model = Adapted(base, space, HEAD)
    learn(model, "bert")
    model.save(path)
    if isinstance(space, PiSSA):
        dtype = torch.float32  # its start is computed from the weights; rounded ones have another
    rounded = copy.deepcopy(base).to(dtype)
    again = Adapted(rounded, space, HEAD, seed=9)
    again.load(path)
    again.load_state_dict(model.state_dict())
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items()
    )
    if dtype == torch.float32:
        with torch.no_grad():
            assert torch.equal(again(batch_of("bert")), model(batch_of("bert")))


def test_the_same_change_by_another_space_is_the_same_change() -> None:
    base = net("bert")
    model, again = moved(base, LoRA(4, alpha=16.0)), Adapted(base, RsLoRA(4, alpha=8.0))
    again.load_state_dict(model.state_dict())
    assert again.delta().norm() == model.delta().norm() > 0


def test_a_plain_dictionary_of_tensors_is_loaded_unchecked(tmp_path: Path) -> None:
    """As files of other programs are, and as one skips the check."""
    base, path = net("bert"), tmp_path / "tensors.safetensors"
    saved, model = moved(base, LoRA(2, alpha=8.0)), Adapted(base, LoRA(2))
    save_file(saved.state_dict(), path)
    for state in (dict(saved.state_dict()), load_file(path)):
        model.load_state_dict(state)
        assert model.delta().norm() == pytest.approx(2 * saved.delta().norm(), rel=1e-5)
    model.load(path)


def test_the_record_of_what_a_state_belongs_to_is_no_part_of_it(tmp_path: Path) -> None:
    model, path = Adapted(net("bert"), Sparse(0.1), HEAD), tmp_path / "change.safetensors"
    model.save(path)
    assert load_file(path).keys() == model.state_dict().keys()
    assert all(name.startswith("phi.") for name in model.state_dict())


def test_parameters_are_not_replaced_by_those_of_a_state() -> None:
    model = moved(net("bert"), Only("heads.*"))
    with pytest.raises(ValueError, match="got assign=True; load with assign=False"):
        model.load_state_dict(model.state_dict(), assign=True)


def test_positions_of_another_integer_type_are_compared_by_value() -> None:
    model = moved(net("bert"), SparseEach(0.1))
    wider = {
        name: value if value.is_floating_point() else value.long()
        for name, value in model.state_dict().items()
    }
    again = Adapted(net("bert"), SparseEach(0.1))
    again.load_state_dict(wider)
    assert again.delta().norm() == model.delta().norm()


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, path = net("bert"), tmp_path / "change.safetensors"
    Adapted(base, LoRA(2)).save(path)
    before = path.read_bytes()

    def fails(*args: Any, **kwargs: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("ftkit.model.adapted.save_file", fails)
    with pytest.raises(OSError, match="the disk is full"):
        Adapted(base, LoRA(3)).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_custom_change_and_space_without_a_repr_are_compared_too() -> None:
    from ftkit.model.change import Change

    class Times(Change):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor, self.value = factor, nn.Parameter(torch.zeros(()))

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * (1 + self.factor * self.value)

    class Space:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def changes(self, model: nn.Module) -> dict[str, Change]:
            return {"weight": Times(self.factor)}

    layer: Any = nn.Linear(2, 2)
    state = Adapted(layer, Space(2.0)).state_dict()  # type: ignore[arg-type]
    Adapted(layer, Space(2.0)).load_state_dict(state)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="factor of the change of 'weight' is 2.0 in the state and 3"
    ):
        Adapted(layer, Space(3.0)).load_state_dict(state)  # type: ignore[arg-type]


def test_a_table_with_one_row_more_is_another_base() -> None:
    base, larger = (nn.Sequential(nn.Embedding(rows, 2), nn.Linear(2, 2)) for rows in (500, 501))
    with torch.no_grad():
        for weight in (*base.parameters(), *larger.parameters()):
            weight.fill_(1.0)
    state = Adapted(larger, Only("1.*")).state_dict()
    message = r"shape of '0.weight' of the base is \[501, 2\] in the state and \[500, 2\]"
    assert_refused(Adapted(base, Only("1.*")), state, message)
