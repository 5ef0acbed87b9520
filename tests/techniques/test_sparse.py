import copy
import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from helpers.laws import HEAD, SpaceLaws, batch_of, learn
from helpers.nets import net, small_task
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from ftkit.model.adapted import Adapted
from ftkit.model.change import Space
from ftkit.model.delta import Delta
from ftkit.model.entries import Chosen, Entries, top, top_each
from ftkit.model.entry_scores import fisher, gradient, movement
from ftkit.techniques.bitfit import BitFit
from ftkit.techniques.freeze import Only
from ftkit.techniques.sparse import OutputRows, Rows, Sparse, SparseEach, regrown
from ftkit.training.cost import flops, measure, peak, saved_bytes
from ftkit.training.loop import train

LINEAR = "body.encoder.layer.*.dense.weight, body.encoder.layer.*.self.*.weight"


class TestLaws(SpaceLaws):
    specimens = [
        Sparse(0.02, where="*", seed=3),
        SparseEach(0.05, "largest"),
        Rows(0.2, "smallest"),
    ]


def losses(*spaces: object, steps: int = 8) -> list[float]:
    model = Adapted(net("bert"), *spaces)  # type: ignore[arg-type]
    return [
        event.values["train/loss"]
        for event in train(model, small_task(), steps=steps, lr=1e-2, size=6, validations=0)
    ]


def frozen_entries(model: Adapted) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(is it frozen?, before, now) for every weight of the base, flat."""
    moved = dict(model.merged().named_parameters())
    for name, weight in model.base.named_parameters():
        mask, change = torch.ones(weight.numel(), dtype=torch.bool), model.changes.get(name)
        if isinstance(change, OutputRows):
            mask.view(weight.shape)[change.rows.long()] = False
        elif change is not None:
            mask[change.indices.long()] = False
        yield mask, weight.detach().flatten(), moved[name].detach().flatten()


class TestTheNumberOfEntries:
    @pytest.mark.parametrize("criterion", ["random", "largest", "smallest"])
    @pytest.mark.parametrize("density", [1e-9, 0.0005, 0.01, 0.33, 0.5, 0.999, 1.0])
    def test_it_is_exact_at_every_density(self, density: float, criterion: str) -> None:
        base = net("bert")
        total = sum(p.numel() for p in base.body.parameters())
        model = Adapted(base, Sparse(density, criterion))
        assert sum(p.numel() for p in model.parameters()) == max(1, round(density * total))

    @pytest.mark.parametrize("count", range(1, 13))
    def test_it_is_exact_where_all_weights_are_equal(self, count: int) -> None:
        layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
        for weight in layers.parameters():
            nn.init.constant_(weight, -0.7)
        for criterion in ("largest", "smallest"):
            assert len(Sparse(count / 14, criterion, where="*").chosen(layers)) == count

    def test_a_tie_is_broken_by_position(self) -> None:
        scores = {"a": torch.tensor([2.0, 1.0, 2.0]), "b": torch.tensor([[3.0, 2.0], [2.0, 0.0]])}
        assert {name: i.tolist() for name, i in top(scores, 4 / 7).entries.items()} == {
            "a": [0, 2],
            "b": [0, 1],
        }
        assert {name: i.tolist() for name, i in top(scores, 2 / 7).entries.items()} == {
            "a": [0],
            "b": [0],
        }

    def test_of_each_weight_the_same_share_moves_and_no_weight_goes_without(self) -> None:
        base = net("bert")
        changes = SparseEach(0.05, "largest").changes(base)
        weights = dict(base.named_parameters())
        assert set(changes) == {name for name in weights if name.startswith("body.")}
        assert all(
            len(change.values) == max(1, round(0.05 * weights[name].numel()))
            for name, change in changes.items()
        )

    def test_over_all_weights_a_weight_may_go_without(self) -> None:
        scores = {"low": torch.rand(50), "high": 1 + torch.rand(50)}
        assert set(top(scores, 0.3).entries) == {"high"}
        assert [len(i) for i in top_each(scores, 0.3).entries.values()] == [15, 15]


class TestTheChoice:
    @pytest.mark.parametrize(("criterion", "kept"), [("largest", [1, 3]), ("smallest", [0, 2])])
    def test_magnitude_decides_and_not_sign(self, criterion: str, kept: list[int]) -> None:
        layer = nn.Linear(4, 1, bias=False)
        layer.weight.data = torch.tensor([[0.1, -9.0, -0.2, 5.0]])
        assert Sparse(0.5, criterion, where="*").chosen(layer).entries["weight"].tolist() == kept

    @pytest.mark.parametrize(("criterion", "row"), [("largest", 2), ("smallest", 1)])
    @pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
    def test_rows_are_chosen_by_the_length_of_an_outputs_weights(
        self, kind: type, criterion: str, row: int
    ) -> None:
        by_output = torch.tensor(
            [[0.0, 6.0, 0.0], [0.0, 1.0, 0.0], [-5.0, 5.0, 5.0], [0.0, 4.0, 0.0]]
        )
        layer = nn.Linear(3, 4) if kind is nn.Linear else Conv1D(4, 3)
        layer.weight.data = by_output if kind is nn.Linear else by_output.t().contiguous()
        change = Rows(0.25, criterion, where="*").changes(nn.Sequential(layer))["0.weight"]
        assert change.rows.tolist() == [row]

    def test_a_random_choice_is_that_of_its_seed_alone(self) -> None:
        base = net("bert")
        first = Sparse(0.01, seed=4).chosen(base)
        torch.rand(5)
        assert Sparse(0.01, seed=4).chosen(base) == first
        assert Sparse(0.01, seed=5).chosen(base) != first

    def test_a_random_choice_is_spread_over_weights_by_their_size(self) -> None:
        base = net("mini")
        chosen, weights = Sparse(0.1, seed=1).chosen(base), dict(base.named_parameters())
        for name, indices in chosen.entries.items():
            size = weights[name].numel()
            if size > 2000:
                assert len(indices) / size == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / size)), (
                    name
                )

    def test_it_is_a_value_of_its_content(self) -> None:
        one = Chosen(
            {
                "a": torch.tensor([3, 1]),
                "b": torch.tensor([0], dtype=torch.int32),
                "c": torch.tensor([], dtype=torch.int64),
            }
        )
        same = Chosen({"b": torch.tensor([0]), "a": torch.tensor([1, 3])})
        assert one == same and hash(one) == hash(same) and repr(one) == repr(same)
        assert one != Chosen({"a": torch.tensor([1, 2]), "b": torch.tensor([0])})
        assert one != Chosen({"a": torch.tensor([1, 3]), "d": torch.tensor([0])})
        assert len(one) == 3 and "3 entries of 2 weights" in repr(one)

    def test_the_entries_of_a_model_can_be_read_back(self) -> None:
        model = Adapted(net("bert"), Sparse(0.01), HEAD)
        assert Chosen.of(model) == Sparse(0.01).chosen(model.base)

    def test_a_criterion_that_scores_choose_trains_those_entries(self) -> None:
        base = net("bert")
        chosen = top(gradient(base, [batch_of("bert")]), 0.01)
        model = Adapted(base, chosen, HEAD)
        learn(model, "bert")
        assert {
            name
            for name, change in model.delta().items()
            if change.any() and name.startswith("body.")
        } == set(chosen.entries)


class TestOneLayer:
    """Entries and rows of one layer against plain autograd on the dense weight, in float64."""

    @pytest.fixture(params=[nn.Linear, Conv1D])
    def layer(self, request: pytest.FixtureRequest) -> nn.Module:
        torch.manual_seed(0)
        made: nn.Module = (
            request.param(5, 5).double()
            if request.param is nn.Linear
            else request.param(7, 5).double()
        )
        nn.init.normal_(made.bias)
        return made

    @pytest.mark.parametrize("rows", [False, True], ids=["entries", "rows"])
    def test_the_gradients_are_the_dense_ones_gathered(self, layer: nn.Module, rows: bool) -> None:
        transposed = isinstance(layer, Conv1D)
        x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
        change = OutputRows(layer.weight, torch.tensor([3, 0]), transposed) if rows else None
        change = change or Entries(layer.weight, torch.tensor([4, 0, 17, 9]), transposed)
        with torch.no_grad():
            change.values.normal_()
        bias = layer.bias.detach().clone().requires_grad_()
        dense = copy.deepcopy(layer)
        dense.weight.data = change(layer.weight).detach()
        target = torch.randn(2, 3, len(bias), dtype=torch.float64)
        answer = change.linear(x, layer.weight.detach(), bias)
        torch.testing.assert_close(answer, dense(x))
        ours = torch.autograd.grad((answer * target).sum(), [change.values, x, bias])
        theirs = torch.autograd.grad((dense(x) * target).sum(), [dense.weight, x, dense.bias])
        whole = theirs[0].t() if transposed else theirs[0]
        gathered = whole[[3, 0]] if rows else theirs[0].flatten()[[4, 0, 17, 9]]
        for got, want in zip(ours, (gathered, *theirs[1:]), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize(
        "make", [lambda w: Entries(w, torch.arange(40)), lambda w: OutputRows(w, torch.tensor([1]))]
    )
    def test_nothing_of_the_weights_size_waits_for_the_backward_pass(
        self, make: Callable[[Tensor], Entries]
    ) -> None:
        layer, x = nn.Linear(200, 300), torch.randn(2, 200, requires_grad=True)
        layer.requires_grad_(False)
        change = make(layer.weight)
        both = nn.ModuleList([layer, change])
        with saved_bytes(both) as saved:
            change.linear(x, layer.weight, layer.bias)
        assert saved.total == 4 * x.numel()
        with saved_bytes(both) as saved:
            F.linear(x, change(layer.weight), layer.bias)
        assert saved.total >= 4 * 200 * 300

    def test_entries_cost_a_whole_gradient_and_rows_cost_theirs(self) -> None:
        layer, x = nn.Linear(20, 30), torch.randn(8, 20, requires_grad=True)
        forward = 2 * 8 * 20 * 30

        def step(change: Entries | OutputRows) -> int:
            return flops(lambda: change.linear(x, layer.weight.detach(), None).sum().backward())

        assert step(Entries(layer.weight, torch.tensor([7]))) == 3 * forward
        assert (
            step(OutputRows(layer.weight, torch.tensor([7, 8, 1])))
            == 2 * forward + forward * 3 // 30
        )

    @pytest.mark.parametrize("name", ["bert", "gpt2", "mini-vit"])
    def test_every_kind_of_weight_takes_entries(self, name: str) -> None:
        base, batch = net(name), batch_of(name)
        model = Adapted(base, SparseEach(0.2, where="*"))
        assert set(model.changes) == {key for key, _ in base.named_parameters()}
        with torch.no_grad():
            for value in model.parameters():
                value.normal_(0, 0.1)
            torch.testing.assert_close(model(batch), model.merged()(batch), atol=1e-5, rtol=1e-4)
            assert not torch.equal(model(batch), base(batch))


class TestOneEmbedding:
    """Entries of a table against plain autograd on the dense table.

    The sums have the same order, so the two agree bit for bit.
    """

    IDS = torch.tensor([[3, 1, 3, 0], [8, 3, 0, 0]])
    CHOSEN = torch.tensor(
        [0, 2, 12, 13, 15, 20, 34]
    )  # of rows 0 (the padding), 3 (asked for three times), 5 (never) and 8

    @pytest.fixture(params=[None, 0, 5], ids=lambda padding: f"padding {padding}")
    def table(self, request: pytest.FixtureRequest) -> nn.Embedding:
        torch.manual_seed(0)
        table = nn.Embedding(9, 4, padding_idx=request.param)
        nn.init.normal_(table.weight)
        return table

    def adapted(self, table: nn.Embedding) -> Adapted:
        model = Adapted(table, Chosen({"weight": self.CHOSEN}))
        with torch.no_grad():
            model.changes["weight"].values.normal_()
        return model

    def test_answers_and_gradients_are_those_of_the_dense_table(self, table: nn.Embedding) -> None:
        model = self.adapted(table)
        dense, target = model.merged(), torch.randn(2, 4, 4)
        answer = model(self.IDS)
        assert torch.equal(answer, dense(self.IDS))
        (answer * target).sum().backward()
        (dense(self.IDS) * target).sum().backward()
        got = model.changes["weight"].values.grad
        assert torch.equal(got, dense.weight.grad.flatten()[self.CHOSEN])
        assert (got == 0).tolist() == [table.padding_idx == 0] * 2 + [False] * 3 + [True, False]

    @pytest.mark.parametrize(
        "ids",
        [
            torch.empty(2, 0, dtype=torch.long),
            torch.tensor(3),
            torch.tensor([5, 8], dtype=torch.int32),
        ],
    )
    def test_ids_of_every_shape_are_looked_up(self, table: nn.Embedding, ids: Tensor) -> None:
        model = self.adapted(table)
        assert torch.equal(model(ids), model.merged()(ids))

    @pytest.mark.parametrize("special", [{"max_norm": 0.5}, {"scale_grad_by_freq": True}], ids=str)
    def test_a_table_with_rules_of_its_own_keeps_them(self, special: dict[str, Any]) -> None:
        torch.manual_seed(0)
        model = self.adapted(nn.Embedding(9, 4, **special))
        dense = nn.Embedding(9, 4, _weight=model.merged().weight.detach().clone(), **special)
        answer, wanted = model(self.IDS), dense(self.IDS)
        torch.testing.assert_close(answer, wanted)
        (got,) = torch.autograd.grad(answer.square().sum(), [model.changes["weight"].values])
        (want,) = torch.autograd.grad(wanted.square().sum(), [dense.weight])
        torch.testing.assert_close(got, want.flatten()[self.CHOSEN])

    def test_nothing_of_the_tables_size_is_formed(self) -> None:
        table = nn.Embedding(5000, 64)
        model = Adapted(table, Sparse(0.001, where="*"))

        def squares(model: nn.Module, ids: Tensor) -> dict[str, Tensor]:
            return {"squares": model(ids).square().sum()}

        sparse, dense = (
            peak(each, torch.arange(20), squares).everything for each in (model, Adapted(table))
        )  # type: ignore[arg-type]
        assert dense > 4 * table.weight.numel()
        assert sparse < 0.1 * 4 * table.weight.numel()


class TestLimits:
    def test_all_entries_of_everything_is_full_fine_tuning(self) -> None:
        assert losses(Sparse(1.0, where="*")) == pytest.approx(losses(), rel=1e-3, abs=1e-4)

    def test_all_rows_are_all_linear_weights(self) -> None:
        assert losses(Rows(1.0), HEAD) == pytest.approx(
            losses(Only(LINEAR), HEAD), rel=1e-3, abs=1e-4
        )

    def test_all_entries_of_the_biases_are_bitfit(self) -> None:
        assert losses(Sparse(1.0, where="body.*.bias"), HEAD) == pytest.approx(
            losses(BitFit(), HEAD), rel=1e-3, abs=1e-4
        )

    def test_another_density_is_another_run(self) -> None:
        assert losses(Sparse(0.5, where="*")) != pytest.approx(losses(), rel=1e-3, abs=1e-4)

    def test_k_entries_can_have_rank_k(self) -> None:
        """Where LoRA needs 2 d parameters for each rank, d entries on the diagonal reach rank d."""
        diagonal = Entries(torch.zeros(9, 9), torch.arange(9) * 10)
        with torch.no_grad():
            diagonal.values.fill_(0.5)
        assert torch.linalg.matrix_rank(diagonal(torch.zeros(9, 9))) == 9
        model = Adapted(net("bert"), SparseEach(0.25), HEAD)
        learn(model, "bert")
        name = "body.encoder.layer.0.intermediate.dense.weight"
        rank = torch.linalg.matrix_rank(model.delta()[name], rtol=1e-4)
        assert rank > len(model.changes[name].values) / (16 + 24)


class TestWhatIsFrozen:
    @pytest.mark.parametrize("name", ["bert", "mini-vit"])
    def test_it_stays_bitwise_through_training(self, name: str) -> None:
        model = Adapted(net(name), Sparse(0.01, where="*"))
        learn(model, name, steps=6)
        for frozen, before, now in frozen_entries(model):
            assert torch.equal(before[frozen], now[frozen])

    @pytest.mark.parametrize(
        "space", [Sparse(0.01, where="*"), SparseEach(0.05), Rows(0.2)], ids=repr
    )
    @pytest.mark.parametrize("name", ["bert", "mini-vit"])
    def test_it_stays_bitwise_under_weight_decay_too_inside_weights_that_move(
        self, name: str, space: Space
    ) -> None:
        model = Adapted(net(name), space)
        plain_adamw(model, list(model.parameters()), steps=10, weight_decay=0.01)
        found = list(frozen_entries(model))
        assert all(torch.equal(before[frozen], now[frozen]) for frozen, before, now in found)
        matrices = [
            each
            for each, weight in zip(found, model.base.parameters(), strict=True)
            if weight.ndim > 1
        ]
        assert (
            sum(bool(frozen.any() and (before != now).any()) for frozen, before, now in matrices)
            >= 12
        )

    def test_a_masked_gradient_with_weight_decay_moves_every_frozen_entry(self) -> None:
        """The classic bug: AdamW decays what has no gradient."""
        base = net("bert")
        masks = masks_of(base, 0.01)
        moved = {}
        for decay in (0.0, 0.01):
            model = Adapted(base)
            plain_adamw(model, list(model.parameters()), steps=10, weight_decay=decay, masks=masks)
            moved[decay] = count_moved(model, masks)
        frozen = sum(int((~masks[name] & (w != 0)).sum()) for name, w in base.named_parameters())
        assert moved == {0.0: 0, 0.01: frozen}

    def test_a_used_adam_that_is_switched_to_a_mask_moves_frozen_entries(self) -> None:
        """The second classic bug: the running means go on where the gradient is now 0."""
        base = net("bert")
        masks = masks_of(base, 0.01)
        model = Adapted(base)
        weights = list(model.parameters())
        used = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0)
        plain_adamw(model, weights, steps=5, optimizer=used)
        before, fresh = model.delta(), Adapted(model.merged())
        plain_adamw(model, weights, steps=1, optimizer=used, masks=masks)
        with_gradient = sum(int((~masks[n] & (value != 0)).sum()) for n, value in before.items())
        assert count_moved(model, masks, before) > 0.9 * with_gradient > 0
        plain_adamw(fresh, list(fresh.parameters()), steps=1, masks=masks)
        assert count_moved(fresh, masks) == 0


def plain_adamw(
    model: Adapted,
    weights: list[nn.Parameter],
    steps: int,
    weight_decay: float = 0.0,
    masks: dict[str, Tensor] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """The loop of a textbook; `masks` sets the dense gradient of what should stay to 0."""
    optimizer = optimizer or torch.optim.AdamW(weights, lr=1e-2, weight_decay=weight_decay)
    batch = batch_of(model.base.name)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(batch), batch.labels).backward()
        for name, mask in (masks or {}).items():
            if (g := model.changes[name].value.grad) is not None:
                g.mul_(mask)
        optimizer.step()


def masks_of(base: nn.Module, density: float) -> dict[str, Tensor]:
    """True where an entry may move."""
    entries = Sparse(density, where="*").chosen(base).entries
    masks = {name: torch.zeros(w.numel(), dtype=torch.bool) for name, w in base.named_parameters()}
    for name, indices in entries.items():
        masks[name][indices.long()] = True
    return {name: masks[name].view(w.shape) for name, w in base.named_parameters()}


def count_moved(model: Adapted, masks: dict[str, Tensor], before: Delta | None = None) -> int:
    """How many entries that should stay did not."""
    delta = model.delta() if before is None else model.delta() - before
    return sum(int((value[~masks[name]] != 0).sum()) for name, value in delta.items())


class TestTheCost:
    def test_an_entry_costs_twelve_bytes_to_train_and_eight_to_keep(self) -> None:
        model = Adapted(net("bert"), SparseEach(0.5, where=LINEAR))
        cost = measure(model, batch_of("bert"), repeats=1)
        assert cost.gradients + cost.optimizer == 12 * cost.trainable
        assert (
            0 <= cost.disk - 8 * cost.trainable < 250 * len(model.changes)
        )  # the names and shapes

    def test_the_state_holds_values_and_positions_and_rebuilds_the_choice(self) -> None:
        base = net("bert")
        model = Adapted(base, Sparse(0.01, seed=2))
        learn(model, "bert")
        state = model.state_dict()
        assert {value.dtype for value in state.values()} == {torch.float32, torch.int32}
        ends = ".indices"
        chosen = Chosen(
            {
                key.removeprefix("phi.").removesuffix(ends): value
                for key, value in state.items()
                if key.endswith(ends)
            }
        )
        again = Adapted(base, chosen)
        again.load_state_dict(state)
        with torch.no_grad():
            assert torch.equal(again(batch_of("bert")), model(batch_of("bert")))

    def test_entries_of_linear_layers_keep_no_more_activations_than_the_dense_weights(self) -> None:
        base, batch = net("bert"), batch_of("bert")
        sparse, dense = (
            measure(Adapted(base, space), batch, repeats=1)
            for space in (Sparse(0.1, where=LINEAR), Only(LINEAR))
        )
        assert sparse.activations == dense.activations
        assert sparse.flops == dense.flops

    @pytest.mark.parametrize("density", [0.01, 0.25, 1.0])
    def test_rows_save_the_operations_of_the_other_rows(self, density: float) -> None:
        base, batch = net("bert"), batch_of("bert")
        # A trainable bias at the bottom makes every linear layer pass a gradient on.
        bottom = Only("body.embeddings.*Norm.bias")
        spaces = ([bottom], [bottom, Rows(density)], [bottom, Only(LINEAR)])
        none, rows, whole = (measure(Adapted(base, *each), batch, repeats=1) for each in spaces)
        share = sum(c.values.numel() for c in Rows(density).changes(base).values()) / (
            2 * (4 * 16 * 16 + 2 * 16 * 24)
        )
        assert rows.flops - none.flops == round(share * (whole.flops - none.flops))


class TestScores:
    def test_the_gradient_is_the_size_of_that_of_all_examples_together(self) -> None:
        base, batch = net("bert"), batch_of("bert", 6)
        parts = [
            small_task().batch("train", torch.arange(4)),
            small_task().batch("train", torch.arange(4, 6)),
        ]
        scores = gradient(base, parts, where="*")
        F.cross_entropy(base(batch), batch.labels).backward()
        for name, weight in base.named_parameters():
            want = torch.zeros_like(weight) if weight.grad is None else weight.grad.abs()
            torch.testing.assert_close(scores[name], want, atol=1e-7, rtol=1e-4)

    def test_fisher_is_the_mean_of_the_squares_and_not_the_square_of_the_mean(self) -> None:
        base, batch = net("bert"), batch_of("bert", 5)
        by_hand = {name: torch.zeros_like(weight) for name, weight in base.named_parameters()}
        for i in range(5):
            base.zero_grad()
            one = small_task().batch("train", torch.tensor([i]))
            F.cross_entropy(base(one), one.labels).backward()
            for name, weight in base.named_parameters():
                by_hand[name] += 0 if weight.grad is None else weight.grad.square() / 5
        base.zero_grad()
        scores, wrong = fisher(base, [batch], where="*"), gradient(base, [batch], where="*")
        assert all(weight.grad is None for weight in base.parameters())
        for name, score in scores.items():
            torch.testing.assert_close(score, by_hand[name], atol=1e-9, rtol=1e-4)
            assert bool((score >= 0.99 * wrong[name].square() - 1e-9).all()), name
        total, other = (
            sum(float(s.sum()) for s in part.values())
            for part in (scores, {n: w.square() for n, w in wrong.items()})
        )
        assert total > 1.5 * other

    def test_fisher_of_a_head_is_the_closed_form(self) -> None:
        base, batch = net("bert"), batch_of("bert", 6)
        with torch.no_grad():
            features = base.features(batch)
            error = base(batch).softmax(-1) - F.one_hot(batch.labels, 2)
        want = (error.square().unsqueeze(2) * features.square().unsqueeze(1)).mean(0)
        torch.testing.assert_close(
            fisher(base, [batch], where="heads.*")["heads.tiny.weight"], want, atol=1e-8, rtol=1e-4
        )

    def test_fisher_does_not_depend_on_the_batches(self) -> None:
        base, task = net("bert"), small_task()
        one = fisher(base, [batch_of("bert", 6)])
        three = fisher(base, [task.batch("train", rows) for rows in torch.arange(6).split(2)])
        assert all(torch.equal(one[name], three[name]) for name in one)

    def test_movement_is_how_far_full_fine_tuning_went(self) -> None:
        delta = Delta({"body.w": torch.tensor([-2.0, 1.0]), "heads.t.weight": torch.tensor([5.0])})
        assert {name: value.tolist() for name, value in movement(delta).items()} == {
            "body.w": [2.0, 1.0]
        }
        assert set(movement(delta, "heads.*, body.*")) == set(delta)

    def test_a_lottery_ticket_starts_again_from_the_base(self) -> None:
        base = net("bert")
        full = Adapted(base)
        learn(full, "bert")
        far = movement(full.delta())
        ticket = Adapted(base, top(far, 0.01), HEAD)
        assert not any(
            change.any() for name, change in ticket.delta().items() if name.startswith("body.")
        )
        least = min(
            far[name].flatten()[i.long()].min() for name, i in Chosen.of(ticket).entries.items()
        )
        assert sum(int((score > least).sum()) for score in far.values()) < len(Chosen.of(ticket))

    def test_a_few_of_endless_batches_are_enough(self) -> None:
        endless = small_task().batches(4, torch.Generator().manual_seed(0))
        assert all(
            score.isfinite().all() for score in gradient(net("bert"), islice(endless, 2)).values()
        )


class TestRegrown:
    @pytest.fixture
    def model(self) -> Adapted:
        model = Adapted(net("bert"), Sparse(0.1, where=LINEAR), HEAD)  # where every entry has moved
        learn(model, "bert")
        return model

    @staticmethod
    def values(model: Adapted) -> dict[tuple[str, int], float]:
        sparse = (
            (name, change) for name, change in model.changes.items() if isinstance(change, Entries)
        )
        return {
            (name, i): v
            for name, c in sparse
            for i, v in zip(c.indices.tolist(), c.values.tolist(), strict=True)
        }

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_the_smallest_make_way_for_the_steepest(self, model: Adapted, share: float) -> None:
        scores = gradient(model.merged(), [batch_of("bert")])
        before, after = self.values(model), self.values(regrown(model, scores, share))
        moving = round(share * len(before))
        by_size = sorted(before, key=lambda at: -abs(before[at]))
        kept = set(by_size[: len(before) - moving])
        assert len(after) == len(before)
        assert {at: after[at] for at in kept} == {at: before[at] for at in kept}
        new = set(after) - kept
        assert len(new) == moving and not any(after[at] for at in new)
        score = {(n, i): v for n, s in scores.items() for i, v in enumerate(s.flatten().tolist())}
        left = max((v for at, v in score.items() if at not in after), default=0.0)
        assert all(score[at] >= left for at in new)

    def test_other_spaces_and_the_old_model_stay_as_they_were(self, model: Adapted) -> None:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        again = regrown(model, gradient(model.merged(), [batch_of("bert")]), 0.5)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert again.base is model.base
        assert torch.equal(
            again.changes["heads.tiny.weight"].value, model.changes["heads.tiny.weight"].value
        )
        learn(again, "bert")
        assert not torch.equal(
            again.changes["heads.tiny.weight"].value, model.changes["heads.tiny.weight"].value
        )
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    def test_with_a_share_of_zero_the_model_answers_as_before(self, model: Adapted) -> None:
        again = regrown(model, gradient(model.merged(), [batch_of("bert")]), 0.0)
        with torch.no_grad():
            assert torch.equal(again(batch_of("bert")), model(batch_of("bert")))

    def test_a_weight_that_had_no_entry_may_get_some(self) -> None:
        model = Adapted(
            net("bert"), Chosen({"body.embeddings.word_embeddings.weight": torch.arange(10)})
        )
        scores = gradient(model.merged(), [batch_of("bert")])
        assert len(Chosen.of(regrown(model, scores, 1.0)).entries) > 1


class TestDeltas:
    @pytest.fixture
    def pair(self) -> tuple[nn.Module, Delta, Delta]:
        """What two models learned whose entries share nothing, in the same weights."""
        base = net("bert")
        entries = Sparse(0.02).chosen(base).entries
        halves = [Chosen({name: i[start::2] for name, i in entries.items()}) for start in (0, 1)]
        models = [Adapted(base, half) for half in halves]
        for model in models:
            learn(model, "bert")
        first, second = (model.delta() for model in models)
        return base, first, second

    def test_disjoint_ones_add_exactly_and_in_any_order(
        self, pair: tuple[nn.Module, Delta, Delta]
    ) -> None:
        base, first, second = pair
        assert set(first) & set(second)
        total = first + second
        for name, value in total.items():
            parts = [d[name] for d in (first, second) if name in d]
            assert torch.equal(value, (second + first)[name])
            assert sum(int((part != 0).sum()) for part in parts) == int((value != 0).sum())
            assert all(torch.equal(value[part != 0], part[part != 0]) for part in parts)
        results = [(first + second).on(base), second.on(first.on(base)), first.on(second.on(base))]
        for one, two, three in zip(*(r.parameters() for r in results), strict=True):
            assert torch.equal(one, two) and torch.equal(two, three)

    def test_overlapping_ones_add_where_they_meet(self) -> None:
        weight = torch.zeros(4)
        changes = [Entries(weight, torch.tensor(i)) for i in ([0, 1], [1, 3])]
        with torch.no_grad():
            for change in changes:
                change.values.copy_(torch.tensor([1.0, 2.0]))
        first, second = (Delta({"w": change(weight)}) for change in changes)
        assert (first + second)["w"].tolist() == [1.0, 3.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Sparse(0.0),
            "density must be above 0 and at most 1, got 0; for no change at all, leave the space",
        ),
        (lambda: SparseEach(1.01), "density must be above 0 and at most 1, got 1.01"),
        (lambda: Rows(-0.5), "density must be above 0 and at most 1, got -0.5"),
        (lambda: top({"w": torch.ones(3)}, 2), "density must be above 0 and at most 1, got 2"),
        (
            lambda: Sparse(criterion="fisher"),
            "criterion must be one of random, largest, smallest, got 'fisher'; for scores from",
        ),
        (
            lambda: Rows(criterion="l2"),
            "criterion must be one of random, largest, smallest, got 'l2'",
        ),
        (
            lambda: Sparse(where="boddy.*").changes(net("bert")),
            "no weight fits 'boddy\\.\\*'; the nearest names are",
        ),
        (
            lambda: Rows(where="*bias").changes(net("bert")),
            "Rows's where must fit the weight of a linear layer, got '\\*bias'; linear",
        ),
        (
            lambda: top({"w": torch.tensor([1.0, math.nan])}, 0.5),
            "scores must be finite, got others for 'w'",
        ),
        (lambda: top({}, 0.5), "at least one entry must be chosen, got none"),
        (
            lambda: Chosen({"w": torch.tensor([2, 2])}),
            "each entry must be named once, got one of 'w' twice; use unique",
        ),
        (
            lambda: Chosen({"w": torch.tensor([2])}).changes(nn.Linear(2, 2)),
            "every weight of Chosen.* must be in the base, got 'w'",
        ),
        (
            lambda: Chosen({"bias": torch.tensor([2])}).changes(nn.Linear(2, 2)),
            "indices must be from 0 to 1 in \\(2,\\), got 2; choose",
        ),
        (
            lambda: Chosen({"bias": torch.tensor([-1])}).changes(nn.Linear(2, 2)),
            "indices must be from 0 to 1 in \\(2,\\), got -1",
        ),
        (
            lambda: regrown(Adapted(net("bert"), Sparse()), {}, 1.5),
            "share must be from 0 to 1, got 1.5",
        ),
        (
            lambda: regrown(Adapted(net("bert"), HEAD), {}, 0.5),
            "the model must have sparse entries to regrow, got Adapted\\(Net, Only",
        ),
        (
            lambda: regrown(Adapted(net("bert"), Sparse()), {}, 0.5),
            r"the scores must have \d+ free entries to grow, got 0; score more",
        ),
        (lambda: gradient(net("bert"), []), "batches must hold at least one example, got none"),
        (lambda: fisher(net("bert"), [batch_of("bert")], where="boddy.*"), "no weight fits 'boddy"),
        (
            lambda: movement(Delta({"heads.w": torch.ones(1)})),
            "where must fit a weight that moved, got 'body\\.\\*'; what moved is heads.w",
        ),
    ],
)
def test_bad_values_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
