"""The study of lesson 05: masks, runs in parts, design, picture, recorded runs."""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from ftkit.experiments import benchmark
from ftkit.experiments.rate_search import tuning_seeds
from ftkit.experiments.tables import replay, tuned, where
from ftkit.lessons.sparse import study as study
from ftkit.lessons.sparse import trial as sparse
from ftkit.lessons.sparse.mask_probe import (
    CELLS,
    cell_shares,
    probe_mask,
    trained_positions,
    weight_kind,
)
from ftkit.lessons.sparse.picture import mask
from ftkit.lessons.sparse.study import (
    CRITERIA_BY_BENCH,
    DENSITY_LRS,
    MAIN_BENCH,
    MAIN_DENSITY,
    MASK_SETTINGS,
    SEEDS,
    SPARSE,
    choices,
)
from ftkit.lessons.sparse.trial import (
    BODY,
    CRITERIA,
    DENSITIES,
    LINEAR,
    REGROWN_SHARES,
    in_parts,
    space,
)
from ftkit.model.adapted import Adapted, linear_layers
from ftkit.model.entries import Chosen
from ftkit.model.entry_scores import fisher, gradient
from ftkit.panel.recorded_runs import Recorded
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.techniques.sparse import Rows, Sparse
from ftkit.training.events import Event
from ftkit.training.loop import HEAD_LR

COSTS = dict.fromkeys(("trainable", "gradients", "optimizer", "disk"), 1.0) | {
    "flops": 96.0,
    "weights": 10.0,
    "activations": 97.0,
}
FULL_COSTS = dict.fromkeys(("trainable", "gradients", "optimizer", "disk"), 100.0) | {
    "flops": 100.0,
    "weights": 10.0,
    "activations": 100.0,
}
BETTER = {"changed most": 0.05, "drop and regrow": 0.04, "largest": -0.04, "smallest": -0.08}
"""How much better or worse than random entries a criterion is in the made-up runs."""


def events(accuracy: float, costs: dict[str, float], test: bool) -> Iterator[Event]:
    for step in (5, 80):
        yield Event(step, "valid", {"valid/accuracy": accuracy * step / 80, "valid/loss": 1.0})
    if test:
        yield Event(80, "test", {"test/accuracy": accuracy})
    yield Event(80, "cost", {f"cost/{name}": value for name, value in costs.items()})


def best_rate(bench: str, criterion: str, density: float) -> float:
    """Return the best learning rate: larger for a sparser mask, a tenth for Fisher."""
    at = {0.0001: 1.0, 0.001: 0.3, 0.003: 0.1, MAIN_DENSITY: 0.1, 0.03: 0.03, 0.1: 0.01, 0.2: 0.01}[
        density
    ]
    return at * (0.1 if criterion == "Fisher" else 1.0) * (1.0 if bench == "opening" else 0.1)


def fake_trial(
    bench: str,
    criterion: str,
    density: float,
    scope: str,
    lr: float,
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    far = 0.05 * abs(math.log10(lr / best_rate(bench, criterion, density)))
    yield from events(0.8 + BETTER.get(criterion, 0.0) - far + 0.001 * seed, COSTS, test)


def fake_reference(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    peak, height, costs = (
        (1e-2, 0.8, FULL_COSTS) if method == "full fine-tuning" else (3e-1, 0.5, COSTS)
    )
    yield from events(height - 0.05 * abs(math.log10(lr / peak)) + 0.001 * seed, costs, test)


def test_references_use_the_head_lr_of_masks_except_a_frozen_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[Any, ...]] = []

    def fake_fine_tuning(
        bench: str,
        *spaces: Any,
        lr: float,
        head_lr: float = HEAD_LR,
        seed: int,
        test: bool,
        **_: Any,
    ) -> Iterator[Event]:
        calls.append((len(spaces), head_lr, seed, test))
        return iter(())

    monkeypatch.setattr(benchmark, "fine_tuning", fake_fine_tuning)
    monkeypatch.setattr(sparse, "fine_tuning", fake_fine_tuning)
    list(study.reference("digits", "full fine-tuning", 1e-3, 5, True))
    list(study.reference("digits", "frozen body", 0.3, 5))
    list(sparse.trial("digits", "random", MAIN_DENSITY, 1e-2, seed=5, test=True))
    assert calls == [(0, HEAD_LR, 5, True), (1, 0.3, 5, False), (2, HEAD_LR, 5, True)]


@lru_cache(maxsize=1)
def made_up() -> pd.DataFrame:
    """Return the table of the study, made of fake runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "trial", fake_trial)
        patch.setattr(study, "reference", fake_reference)
        return study.record(None)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


def entries_of(
    bench: str, criterion: str, density: float, scope: str = LINEAR, seed: int = 0
) -> Chosen:
    mask: Any = space(bench, criterion, density, scope, seed)
    if isinstance(mask, Chosen):
        return mask
    chosen: Chosen = mask.chosen(benchmark.load_benchmark(bench)[0])
    return chosen


@pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
def test_the_linear_scope_is_the_matrices_of_the_bodys_linear_layers(
    bench: str,
) -> None:
    base, _ = benchmark.load_benchmark(bench)
    layers = {name for name in linear_layers(base) if name.startswith("body.")}
    body = {name for name, _ in base.named_parameters() if name.startswith("body.")}
    in_scope = {
        scope: set(Sparse(1.0, where=sparse.weight_patterns(bench, scope)).changes(base))
        for scope in (LINEAR, BODY)
    }
    assert in_scope == {LINEAR: layers, BODY: body}
    assert len(layers) == 18


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize(
    "criterion", ["random", "smallest", "gradient", "Fisher", "drop and regrow"]
)
def test_a_mask_has_exactly_the_number_of_entries_of_its_density(
    criterion: str, density: float
) -> None:
    count = sparse.entry_count("digits", density)
    assert len(entries_of("digits", criterion, density)) == count
    entries = 3 * (4 * 72**2 + 2 * 72 * 288)
    assert count == max(1, round(density * entries))


def test_criteria_without_training_choose_different_entries() -> None:
    masks = [
        entries_of("digits", criterion, MAIN_DENSITY)
        for criterion in ("random", "largest", "smallest", "gradient", "Fisher")
    ]
    assert len(set(masks)) == len(masks)
    assert entries_of("digits", "random", MAIN_DENSITY, seed=1) != masks[0]


def test_scores_come_from_the_training_rows_and_the_head_of_the_seed() -> None:
    base, task = benchmark.load_benchmark("digits")
    data = task.take(benchmark.BENCHMARKS["digits"].examples, 3)
    batches = [data.batch("train", rows) for rows in torch.arange(sparse.SCORED_ROWS).split(32)]
    for criterion, score in (("gradient", gradient), ("Fisher", fisher)):
        by_hand = score(base.fresh_heads(3), batches, sparse.weight_patterns("digits", LINEAR))
        scores = sparse.scores("digits", criterion, LINEAR, 3)
        assert set(scores) == set(by_hand)
        for name, value in scores.items():
            torch.testing.assert_close(value, by_hand[name], rtol=1e-3, atol=1e-8)


def test_changed_most_scores_the_change_of_a_full_run_with_that_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sparse, "STEPS", 2)
    scores = sparse.scores.__wrapped__("digits", "changed most", LINEAR, 1)
    base, task = benchmark.load_benchmark("digits")
    model = Adapted(base.fresh_heads(1))
    data = task.take(benchmark.BENCHMARKS["digits"].examples, 1)
    size, lr = benchmark.SIZE, sparse.FULL_LRS["digits"]
    list(sparse.train(model, data, steps=2, size=size, lr=lr, seed=1, validations=0))
    delta = model.delta()
    assert all(torch.equal(value, delta[name].abs()) for name, value in scores.items())
    assert len(scores) == 18


def test_scores_are_computed_once() -> None:
    once, again = (sparse.scores("digits", "gradient", LINEAR, 0) for _ in range(2))
    assert once is again


def test_whole_rows_trains_whole_rows() -> None:
    rows = space("digits", "whole rows", 0.1)
    assert isinstance(rows, Rows)
    changes = rows.changes(benchmark.load_benchmark("digits")[0])
    assert set(changes) == set(sparse.weight_patterns("digits", LINEAR).split(","))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"criterion": "snip"},
            "criterion must be one of random; largest; .*, got 'snip'; "
            "for scores of your own use top",
        ),
        ({"scope": "heads"}, "scope must be one of linear layers, whole body, got 'heads'"),
        ({"density": 0.0}, "density must be above 0 and at most 1, got 0"),
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space(**{"bench": "digits", "criterion": "random", "density": MAIN_DENSITY, **settings})


@lru_cache(maxsize=2)
def parts_of(share: float) -> tuple[list[Event], list[Chosen]]:
    """Run in parts; return the events, and the mask at each probe."""
    masks: list[Chosen] = []

    def probe(model: Adapted) -> dict[str, float]:
        masks.append(Chosen.of(model))
        return {}

    start = space("digits", "random", MAIN_DENSITY)
    patterns = sparse.weight_patterns("digits", LINEAR)
    run = in_parts("digits", start, share, patterns, 1e-2, test=True, probe=probe)
    return list(run), masks


def test_a_run_in_parts_counts_eighty_steps_and_evaluates_test_once() -> None:
    run, _ = parts_of(0.3)
    steps = [event.step for event in run if event.stage == "train"]
    assert steps == list(range(1, benchmark.STEPS + 1))
    stages = [event.stage for event in run]
    assert stages[-2:] == ["test", "cost"]
    assert stages.count("test") == 1
    last = [event for event in run if event.stage == "valid"][-1]
    assert last.step == benchmark.STEPS


def test_between_parts_a_share_is_replaced_and_the_number_of_entries_stays() -> None:
    _, masks = parts_of(0.3)
    distinct = list(dict.fromkeys(masks))
    assert len(distinct) == sparse.PARTS
    assert len({len(mask) for mask in distinct}) == 1
    none = torch.empty(0)
    for before, after in pairwise(distinct):
        kept = sum(
            len(set(entries.tolist()) & set(after.entries.get(name, none).tolist()))
            for name, entries in before.entries.items()
        )
        assert len(before) - round(0.3 * len(before)) <= kept < len(before)


def test_the_control_has_the_same_parts_and_keeps_its_mask() -> None:
    control, masks = parts_of(0.0)
    assert len(set(masks)) == 1
    regrown, kept = (
        [event.values["train/loss"] for event in run if event.stage == "train"]
        for run in (parts_of(0.3)[0], control)
    )
    steps = benchmark.STEPS // sparse.PARTS
    assert regrown[:steps] == kept[:steps]
    assert regrown[steps + 1 :] != kept[steps + 1 :]
    assert REGROWN_SHARES["random, in parts"] == 0.0 < REGROWN_SHARES["drop and regrow"]


def test_each_part_of_each_seed_has_its_own_order_of_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders: list[int] = []

    def fake_train(model: Adapted, data: Any, *, seed: int, **settings: Any) -> Iterator[Event]:
        orders.append(seed)
        return iter(())

    monkeypatch.setattr(sparse, "train", fake_train)
    for seed in SEEDS:
        list(
            in_parts(
                "digits",
                space("digits", "random", 0.0001),
                0.0,
                "body.layers.0.mlp.fc1.weight",
                1e-2,
                seed,
            )
        )
    assert len(orders) == len(set(orders)) == sparse.PARTS * len(SEEDS)


def test_only_criteria_in_parts_run_in_parts() -> None:
    def numbers(criterion: str) -> list[int]:
        return [
            event.step
            for event in sparse.trial("digits", criterion, 0.001, 1e-2)
            if event.stage == "valid"
        ]

    assert numbers("random") != numbers("drop and regrow") == numbers("random, in parts")


class TestProbe:
    @pytest.fixture(scope="class")
    def model(self) -> Adapted:
        return Adapted(
            benchmark.load_benchmark("opening")[0], Sparse(0.02, where="body.*"), benchmark.HEAD
        )

    def test_the_densities_add_up_to_the_trained_entries(self, model: Adapted) -> None:
        probes, sizes = probe_mask(model), dict[str, int]()
        for name, weight in model.base.body.named_parameters(prefix="body"):
            key = f"probe/density/{sparse_block(name)}/{weight_kind('mini', name)}"
            sizes[key] = sizes.get(key, 0) + weight.numel()
        densities = {
            key: value for key, value in probes.items() if key.startswith("probe/density/")
        }
        assert set(densities) == set(sizes)
        assert sum(densities[key] * sizes[key] for key in sizes) == pytest.approx(
            len(Chosen.of(model))
        )

    def test_the_cells_of_a_matrix_add_up_to_its_entries(self, model: Adapted) -> None:
        name, probes = "body.encoder.layer.1.intermediate.dense.weight", probe_mask(model)
        rows = probes["probe/mask/block 1/feed-forward in"]
        assert [len(row) for row in rows] == [CELLS] * CELLS
        cells = [share for row in rows for share in row]
        size = 192 * 96 / CELLS**2
        assert sum(cells) * size == pytest.approx(len(Chosen.of(model).entries[name]))

    def test_a_cell_contains_its_entries(self) -> None:
        shares = cell_shares(torch.tensor([0, 95, 191 * 96]), 192, 96)
        assert [len(row) for row in shares] == [CELLS] * CELLS
        assert nonzero(shares) == dict.fromkeys([(0, 0), (0, 11), (11, 0)], 1 / (16 * 8))

    def test_trained_rows_cross_the_whole_matrix(self) -> None:
        model = Adapted(
            benchmark.load_benchmark("digits")[0], Rows(0.01, where="body.layers.0.mlp.fc2.weight")
        )
        name = "body.layers.0.mlp.fc2.weight"
        (row,) = model.changes[name].rows.tolist()  # type: ignore[operator,union-attr]
        assert trained_positions(model, name, model.base.get_parameter(name)).tolist() == list(
            range(288 * row, 288 * row + 288)
        )
        trained = {
            key: set(nonzero(value))
            for key, value in probe_mask(model).items()
            if key.startswith("probe/mask/") and nonzero(value)
        }
        cells = {(row * CELLS // 72, column) for column in range(CELLS)}
        assert trained == {"probe/mask/block 0/feed-forward out": cells}

    def test_frozen_parts_are_zero(self) -> None:
        probes = probe_mask(
            Adapted(
                benchmark.load_benchmark("digits")[0],
                space("digits", "random", MAIN_DENSITY),
                benchmark.HEAD,
            )
        )
        frozen = {
            key for key, value in probes.items() if key.startswith("probe/density/") and not value
        }
        assert frozen
        assert all(key.endswith(("biases and norms", "embeddings")) for key in frozen)


def nonzero(rows: list[list[float]]) -> dict[tuple[int, int], float]:
    """Return the shares that are not 0, by row and column of the cell."""
    return {
        (i, j): share for i, row in enumerate(rows) for j, share in enumerate(row) if share != 0
    }


def sparse_block(name: str) -> str:
    return next((f"block {i}" for i in range(3) if f"layer.{i}." in name), "embedding")


def test_the_picture_shows_the_probed_values() -> None:
    probes = probe_mask(
        Adapted(benchmark.load_benchmark("opening")[0], Sparse(0.02, where="body.*"))
    )
    spec = mask(probes)
    shares, mosaic = go.Figure(spec).data
    row, column = list(shares.y).index("block 2"), list(shares.x).index("value")
    assert shares.z[row][column] == probes["probe/density/block 2/value"]
    assert shares.z[list(shares.y).index("embedding")][column] is None
    assert shares.text[row][column] == f"{100 * probes['probe/density/block 2/value']:.2g}"
    across, down = (list(spec["layout"][axis]["ticktext"]) for axis in ("xaxis2", "yaxis2"))
    top, left = (CELLS + 1) * down.index("block 2"), (CELLS + 1) * across.index("value")
    assert mosaic.z[top + 5][left + 7] == probes["probe/mask/block 2/value"][5][7]
    assert mosaic.text[top + 5][left + 7] == "block 2, value"
    assert all(value is None for value in mosaic.z[CELLS]), "a gap between two rows of tiles"
    masks = [value for key, value in probes.items() if key.startswith("probe/mask/")]
    assert mosaic.zmax == max(share for rows in masks for row in rows for share in row)


def test_the_picture_without_values_is_empty() -> None:
    assert [list(trace.z) for trace in go.Figure(mask({})).data] == [[], []]


def test_the_design_covers_the_criteria_and_the_densities(table: pd.DataFrame) -> None:
    cells = {
        tuple(row)
        for row in where(table, method=SPARSE)[list(MASK_SETTINGS)].drop_duplicates().to_numpy()
    }
    assert {
        (bench, criterion, MAIN_DENSITY, LINEAR)
        for bench, criteria in CRITERIA_BY_BENCH.items()
        for criterion in criteria
    } <= cells
    assert {(MAIN_BENCH, "random", density, LINEAR) for density in DENSITIES} <= cells
    assert {
        (MAIN_BENCH, criterion, MAIN_DENSITY, BODY) for criterion in ("random", "Fisher")
    } <= cells
    assert set(DENSITY_LRS) | {MAIN_DENSITY} == set(DENSITIES) and set(
        CRITERIA_BY_BENCH["opening"]
    ) == set(CRITERIA)


def test_the_record_is_affordable() -> None:
    tuning = len(study.jobs(SEEDS[:4]))
    cells = {tuple(job[name] for name in MASK_SETTINGS) for job in study.jobs(SEEDS[:1])}
    assert tuning + len(SEEDS) * len(cells) <= 600, "runs with a mask, before a grid is widened"


def test_chosen_rates_are_evaluated_on_test_once_with_every_seed(table: pd.DataFrame) -> None:
    assert not table.drop(columns="value").duplicated().any(), "each run is in the table once"
    read = where(table, method=SPARSE, quantity="test/accuracy")
    assert set(read.groupby(list(MASK_SETTINGS)).size()) == {len(SEEDS)}
    for bench, criterion, density, _, lr in (
        read[[*MASK_SETTINGS, "lr"]].drop_duplicates().itertuples(index=False)
    ):
        assert lr == pytest.approx(best_rate(bench, criterion, density)), (
            bench,
            criterion,
            density,
        )


def test_the_learning_rate_of_fisher_was_found_outside_the_common_grid(table: pd.DataFrame) -> None:
    best = choices(table)
    assert not best["edge"].any() and len(best) == 26
    fisher_on = where(best, criterion="Fisher", bench="opening", scope=LINEAR)
    assert (
        fisher_on["lr"].tolist() == [1e-2]
        and min(where(table, bench="opening", criterion="Fisher", scope=LINEAR)["lr"]) == 3e-3
    )


def test_a_rate_at_the_edge_is_marked(table: pd.DataFrame) -> None:
    cut = table[~((table["criterion"] == "largest") & (table["lr"] > 0.1))]
    assert choices(cut)[choices(cut)["edge"]]["criterion"].tolist() == ["largest"]


def test_the_panel_can_use_the_table(table: pd.DataFrame) -> None:
    recorded = Recorded(table, method=SPARSE, over="density")
    settings = {
        "bench": "opening",
        "criterion": "random",
        "density": 0.03,
        "scope": LINEAR,
        "lr": 3e-2,
    }
    curve = recorded.curve(settings)
    assert curve is not None and curve["runs"][-1] == len(SEEDS)
    names = [point["name"] for point in recorded.points(settings)]
    assert (
        names[-2:] == ["full fine-tuning", "frozen body"]
        and set(names[:-2]) == {SPARSE}
        and len(names) > 3
    )


@pytest.fixture(scope="module")
def recorded() -> tuple[pd.DataFrame, dict[str, Any]]:
    return read_table(kit_path("data", "results", "05_sparse.parquet"))


def test_the_recorded_test_accuracy_is_that_of_the_best_rate_on_valid(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    table, about = recorded
    masks = where(table, method=SPARSE)
    for_tuning = masks[masks["seed"].isin(tuning_seeds(about["seeds"]))]
    best = tuned(for_tuning, list(MASK_SETTINGS))
    on_test = masks[masks["quantity"] == "test/accuracy"]
    for key, rows in on_test.groupby(list(MASK_SETTINGS)):
        assert set(rows["lr"]) == {best[key]}, key  # type: ignore[index]
        assert sorted(rows["seed"]) == sorted(about["seeds"]), key
    assert about["command"] == "make results LESSON=05"
    fingerprint = benchmark.load_benchmark("digits")[1].fingerprint
    assert about["fingerprints"]["digits"] == fingerprint


def test_a_run_repeats_the_recorded_one(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    settings: dict[str, Any] = {
        "bench": "digits",
        "criterion": "random",
        "density": MAIN_DENSITY,
        "scope": LINEAR,
        "lr": 1e-2,
        "seed": 0,
    }
    replayed = replay(where(recorded[0], method=SPARSE))
    then, now = (
        [event.values["valid/accuracy"] for event in run(**settings) if event.stage == "valid"]
        for run in (replayed, sparse.trial)
    )
    assert now == pytest.approx(then, abs=0.03), (
        "other processors round differently; a change of the code makes a larger difference"
    )
