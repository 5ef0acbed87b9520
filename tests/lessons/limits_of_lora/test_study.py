"""Lesson 03: its benchmarks, what is trainable in each way, and the design of its study with fake
trials."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from ftkit.experiments import benchmark
from ftkit.experiments.tables import where
from ftkit.lessons.limits_of_lora import study, trial
from ftkit.lessons.limits_of_lora.trial import (
    ATTENTION,
    EMBEDDINGS,
    EMBEDDINGS_ALONE,
    ENCODER_ALONE,
    LORA,
    LORA_AND_EMBEDDINGS,
    NEAR_TO_FAR,
    RANDOM_WEIGHTS,
    RANKS,
    SPACES_BY_WAY,
    WAYS,
)
from ftkit.model.adapted import Adapted
from ftkit.training.events import Event


def events(accuracy: float, test: bool) -> Iterator[Event]:
    yield Event(80, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    if test:
        yield Event(80, "test", {"test/accuracy": accuracy})


def fake_trial(
    bench: str, way: str, rank: int, lr: float, size: int = 16, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """LoRA loses five points a benchmark, whatever its rank; with the embeddings none."""
    lost = 0.05 * NEAR_TO_FAR.index(bench) * (way == LORA)
    yield from events(0.7 - lost - 0.05 * abs(math.log10(lr / 1e-2)) + 0.001 * seed, test)


def fake_reference(
    bench: str, method: str, lr: float, size: int = 16, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    yield from events(
        (0.7 if method == benchmark.FULL else 0.4)
        - 0.05 * abs(math.log10(lr / 3e-3))
        + 0.001 * seed,
        test,
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "trial", fake_trial)
        patch.setattr(trial, "reference", fake_reference)
        return study.chosen_runs(None)


def test_each_benchmark_is_farther_than_the_one_before() -> None:
    texts = [benchmark.load_benchmark(bench)[1].train["text"][:50] for bench in NEAR_TO_FAR[:-1]]
    known = [
        sum(
            a == b
            for near, now in zip(texts[0], there, strict=True)
            for a, b in zip(near.split(), now.split(), strict=False)
        )
        for there in texts
    ]
    assert known == sorted(known, reverse=True) and known[-1] < 0.2 * known[0]
    labels = [
        benchmark.load_benchmark(bench)[1].labels("train").tolist() for bench in NEAR_TO_FAR[:-1]
    ]
    assert all(there == labels[0] for there in labels), "the same sentences with the same labels"


def test_an_unknown_benchmark_or_way_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="bench must be one of opening; library; digits; library, 25% foreign; .*, got 'mars'",
    ):
        benchmark.load_benchmark("mars")
    with pytest.raises(
        ValueError, match="way must be one of LoRA, .*, random weights, got 'prompt'"
    ):
        list(trial.trial("library", "prompt", 0, 1e-3))


@pytest.mark.parametrize("way", list(SPACES_BY_WAY))
def test_each_way_trains_its_own_spaces(way: str) -> None:
    base, _ = benchmark.load_benchmark("library")
    names = set(Adapted(base, *SPACES_BY_WAY[way](4)).changes)
    inner = {name for name, _ in base.named_parameters() if name.startswith("body.encoder.")}
    assert (EMBEDDINGS in names) == (way in (LORA_AND_EMBEDDINGS, EMBEDDINGS_ALONE))
    attention = {
        name
        for name in inner
        if ".attention." in name and name.endswith("weight") and "LayerNorm" not in name
    }
    assert (
        names - {EMBEDDINGS}
        == {
            LORA: names & inner,
            LORA_AND_EMBEDDINGS: names & inner,
            EMBEDDINGS_ALONE: set(),
            ENCODER_ALONE: inner,
            ATTENTION: attention,
        }[way]
    )
    assert way in (EMBEDDINGS_ALONE,) or names & inner


def test_attention_alone_has_the_number_of_parameters_of_rank_4_on_every_layer() -> None:
    base, _ = benchmark.load_benchmark("library")
    alone, all_linear = (
        Adapted(base, *SPACES_BY_WAY[way](rank))
        for way, rank in ((ATTENTION, trial.EQUAL_RANK), (LORA, trial.MIXED_RANK))
    )
    assert sum(weight.numel() for weight in alone.trainable()) == sum(
        weight.numel() for weight in all_linear.trainable()
    )


def test_at_the_highest_rank_the_factors_have_more_parameters_than_the_matrix_has_entries() -> None:
    base, _ = benchmark.load_benchmark("library")
    square = base.get_parameter("body.encoder.layer.0.attention.self.query.weight")
    assert max(RANKS) * sum(square.shape) > square.numel() > RANKS[-2] * sum(square.shape)


def test_every_way_and_benchmark_is_evaluated_on_test_once(table: pd.DataFrame) -> None:
    tested = table[table["quantity"] == "test/accuracy"]
    for bench in NEAR_TO_FAR:
        for way in WAYS:
            for rank in {
                LORA: RANKS,
                LORA_AND_EMBEDDINGS: (trial.MIXED_RANK,),
                ATTENTION: (trial.EQUAL_RANK,),
            }.get(way, (0,)):
                assert sorted(
                    where(tested, bench=bench, way=way, rank=rank, size=16)["seed"]
                ) == list(range(8)), (bench, way, rank)
        for method in (benchmark.FULL, benchmark.FROZEN):
            assert len(where(tested, bench=bench, method=method, size=16)) == 8
    for settings in ({"way": LORA, "rank": trial.LARGE_RANK}, {"method": benchmark.FULL}):
        assert len(where(tested, bench="library", size=trial.LARGE_BATCH, **settings)) == 8, (
            "and once with large batches"
        )


def test_random_weights_take_nothing_from_the_base(monkeypatch: Any) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        trial,
        "fine_tuning",
        lambda bench, *spaces, **given: iter(seen.append((spaces, given)) or ()),
    )
    list(trial.trial("library", RANDOM_WEIGHTS, 0, 1e-3, seed=3))
    (spaces, given), base = seen[0], benchmark.load_benchmark("library")[0]
    assert not spaces and not given["net"].get_parameter(EMBEDDINGS).equal(
        base.get_parameter(EMBEDDINGS)
    )
