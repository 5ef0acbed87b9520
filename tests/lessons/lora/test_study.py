"""Lesson 02: the design of its study with fake trials, its claims and its recorded runs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.verdicts import verdicts_by_name

from ftkit.experiments import benchmark
from ftkit.experiments.tables import replay, tuned, where
from ftkit.lessons.lora import study, trial
from ftkit.lessons.lora.claims import Evidence, lora_claims
from ftkit.model.adapted import Adapted
from ftkit.paths import kit_path
from ftkit.stats.paired import verdict
from ftkit.storage import read_table
from ftkit.techniques.lora import LoRA
from ftkit.training.events import Event

COSTS = (
    "trainable",
    "flops",
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "disk",
    "seconds",
)
CLAIMS = {
    "as full": "does as well as full fine-tuning",
    "rank 1": "Rank 1",
    "attention": "On attention alone",
    "ten times": "ten times the learning rate",
    "constant alpha": "With a constant alpha",
    "memory": "of the memory",
    "faster": "trains faster",
}
ABOUT: dict[str, Any] = {
    "seeds": list(study.SEEDS),
    "lora_step_over_full_step": {"mini": [1.0, 1.02] * 4, "digits": [0.5, 0.52] * 4},
}


def events(accuracy: float, parameters: float, test: bool) -> Iterator[Event]:
    for step in (5, 80):
        yield Event(step, "valid", {"valid/accuracy": accuracy * step / 80, "valid/loss": 1.0})
    if test:
        yield Event(80, "test", {"test/accuracy": accuracy})
    yield Event(80, "cost", {f"cost/{name}": parameters for name in COSTS})


def fake_trial(
    bench: str,
    rank: int,
    lr: float,
    targets: str = "all linear",
    alpha: str = "16",
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    """Best at 3e-3; every rank is equally good; attention is five points worse."""
    worse = 0.05 * (targets == "attention") + 0.05 * abs(np.log10(lr / 3e-3))
    yield from events(0.8 - worse + 0.001 * seed, 100.0 * rank, test)


def fake_reference(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Full fine-tuning: best at 3e-4, exactly as good as LoRA."""
    yield from events(
        0.8 - 0.05 * abs(np.log10(lr / 3e-4)) - 0.3 * (method == "frozen body") + 0.001 * seed,
        10_000.0,
        test,
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "trial", fake_trial)
        patch.setattr(study, "reference", fake_reference)
        return study.record(None)


def test_the_design_covers_the_panel_and_on_opening_every_control(
    table: pd.DataFrame,
) -> None:
    lora = table[table["method"] == "LoRA"]
    recorded = {
        tuple(row)
        for row in lora[["bench", "rank", "targets", "alpha", "lr"]].drop_duplicates().to_numpy()
    }
    for bench in benchmark.BENCHMARKS:
        for rank in study.RANKS:
            for lr in study.LRS:
                assert (bench, rank, "all linear", "16", lr) in recorded
                others = {(bench, rank, targets, "16", lr) for targets in study.TARGETS}
                others |= {(bench, rank, "all linear", "2r", lr)}
                assert others <= recorded or bench != "opening"


def test_test_is_evaluated_once_at_the_chosen_lr(table: pd.DataFrame) -> None:
    assert not table.drop(columns="value").duplicated().any(), "the table has each run once"
    tested = table[table["quantity"] == "test/accuracy"]
    assert set(tested[tested["method"] == "LoRA"]["lr"]) == {3e-3}
    assert set(tested[tested["method"] == "full fine-tuning"]["lr"]) == {3e-4}
    counts = tested.groupby(["bench", "method", "rank", "targets", "alpha"]).size()
    assert set(counts) == {len(study.SEEDS)}
    assert len(counts) == len(benchmark.BENCHMARKS) * (2 + len(study.RANKS) + 1)


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return verdicts_by_name(lora_claims(table, ABOUT, study.EQUAL_RANKS), CLAIMS)


def test_verdicts_follow_the_figures(table: pd.DataFrame) -> None:
    assert verdicts(table) == dict.fromkeys(CLAIMS, "holds") | {"faster": "does not hold"}


def test_verdicts_turn_when_the_figures_do(table: pd.DataFrame) -> None:
    turned = table.copy()
    tested = turned["quantity"] == "test/accuracy"
    turned.loc[tested & (turned["method"] == "full fine-tuning"), "value"] += 0.05
    turned.loc[tested & (turned["rank"] == 32), "value"] += np.where(
        turned[tested & (turned["rank"] == 32)]["seed"] % 2, 0.1, -0.1
    )
    turned.loc[tested & (turned["targets"] == "attention"), "value"] += 0.05
    memory = turned["quantity"].isin([f"cost/{name}" for name in ("weights", "activations")])
    turned.loc[memory, "value"] = 10_000.0
    turns = {"as full": "does not hold", "rank 1": "inconclusive", "attention": "does not hold"}
    unlike = verdicts(turned)
    assert {claim: unlike[claim] for claim in (*turns, "memory")} == {
        **turns,
        "memory": "does not hold",
    }


def test_the_best_rank_is_chosen_on_valid(table: pd.DataFrame) -> None:
    better = table.copy()
    better.loc[(better["quantity"] == "valid/accuracy") & (better["rank"] == 8), "value"] += 0.01
    assert Evidence(better, ABOUT).best_rank("digits") == 8


@pytest.fixture(scope="module")
def recorded() -> tuple[pd.DataFrame, dict[str, Any]]:
    return read_table(kit_path("data", "results", "02_lora.parquet"))


def test_every_recorded_best_lr_is_inside_its_grid(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    table, about = recorded
    by = ["bench", "method", "rank", "targets", "alpha"]
    tested = table[table["quantity"] == "test/accuracy"]
    chosen = {key: set(part["lr"]) for key, part in tested.groupby(by)}
    assert len(chosen) == len(benchmark.BENCHMARKS) * (2 + len(study.RANKS) + 1)
    for key, lrs in chosen.items():
        part = where(table, **dict(zip(by, key, strict=True)))
        assert lrs == set(tuned(part, by).values()), (
            "only the learning rate that was chosen on valid is evaluated on test"
        )
        assert part["lr"].min() < min(lrs) and max(lrs) < part["lr"].max(), key
    assert about["fingerprints"]["digits"] == benchmark.load_benchmark("digits")[1].fingerprint


def test_a_run_repeats_its_recorded_run(
    recorded: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    settings = {
        "bench": "digits",
        "rank": 4,
        "lr": 3e-3,
        "targets": "all linear",
        "alpha": "16",
        "seed": 1,
    }
    then = [
        event.values["valid/accuracy"]
        for event in replay(recorded[0])(**settings)
        if event.stage == "valid"
    ]
    now = [
        event.values["valid/accuracy"]
        for event in trial.trial(**settings)
        if event.stage == "valid"
    ]  # type: ignore[arg-type]
    assert now == pytest.approx(then, abs=0.03), (
        "processors round differently; a change of the code moves more"
    )


def test_a_frozen_body_loses_on_opening(recorded: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    evidence = Evidence(*recorded)
    assert (
        verdict(
            list(
                evidence.test(bench="opening", method="frozen body")
                - evidence.all_linear("opening", 4)
            )
        )
        == "loses"
    )


@pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
def test_attention_at_the_equal_rank_has_the_number_of_parameters_of_rank_4_on_all_layers(
    bench: str,
) -> None:
    base, _ = benchmark.load_benchmark(bench)

    def count(rank: int, targets: str) -> int:
        space = LoRA(rank, 16.0, trial.target_pattern(bench, targets))
        return sum(parameter.numel() for parameter in Adapted(base, space).parameters())

    assert count(study.EQUAL_RANKS[bench], "attention") == count(4, "all linear")
    assert count(1, "attention") + count(1, "feed-forward") == count(1, "all linear")


def test_a_trial_is_its_settings() -> None:
    one, again = (list(trial.trial("digits", 2, 3e-3, seed=1)) for _ in range(2))
    assert [event for event in one if event.stage != "cost"] == [
        event for event in again if event.stage != "cost"
    ]
    assert [event.stage for event in one][-1] == "cost"


def test_the_spectrum_has_the_rank_of_the_change() -> None:
    run = trial.trial("digits", 2, 3e-3, probe=trial.spectrum)
    last = [event.values for event in run if event.stage == "probe"][-1]
    change = last["probe/change/body.layers.0.mlp.fc1.weight"]
    assert change[1] > 1e-3 and change[2] < 1e-5 * change[0] and len(change) == 72
    assert {name.split("/")[1] for name in last} == {"change", "before", "after"}


def test_an_unknown_bench_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="bench must be one of opening; library; digits; library, 25% foreign; .*, got 'docs'",
    ):
        benchmark.load_benchmark("docs")
