"""The study of lesson 03: its places, what moves in each way, and its design with fake trials."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from ftkit.experiments import benchmark
from ftkit.experiments.tables import where
from ftkit.lessons.limits_of_lora import trial as distance
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
    """LoRA loses five points a place, whatever its rank; with the embeddings none."""
    lost = 0.05 * NEAR_TO_FAR.index(bench) * (way == LORA)
    yield from events(0.7 - lost - 0.05 * abs(math.log10(lr / 1e-2)) + 0.001 * seed, test)


def fake_rail(
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
        patch.setattr(distance, "trial", fake_trial)
        patch.setattr(distance, "reference", fake_rail)
        return distance.record(None)


def test_the_places_lie_farther_and_farther() -> None:
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
    labels = [benchmark.load_benchmark(bench)[1].labels("train").tolist() for bench in NEAR_TO_FAR[:-1]]
    assert all(there == labels[0] for there in labels), "the same sentences with the same labels"


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="bench must be one of opening; library; digits; library, 25% foreign; .*, got 'mars'",
    ):
        benchmark.load_benchmark("mars")
    with pytest.raises(
        ValueError, match="way must be one of LoRA, .*, random weights, got 'prompt'"
    ):
        list(distance.trial("library", "prompt", 0, 1e-3))


@pytest.mark.parametrize("way", list(SPACES_BY_WAY))
def test_what_moves_is_what_the_way_says(way: str) -> None:
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


def test_attention_alone_has_as_many_numbers_as_every_layer_at_rank_four() -> None:
    base, _ = benchmark.load_benchmark("library")
    alone, all_linear = (
        Adapted(base, *SPACES_BY_WAY[way](rank))
        for way, rank in ((ATTENTION, distance.EQUAL_RANK), (LORA, distance.MIXED_RANK))
    )
    assert sum(weight.numel() for weight in alone.trainable()) == sum(
        weight.numel() for weight in all_linear.trainable()
    )


def test_at_the_highest_rank_a_matrix_has_more_numbers_than_entries() -> None:
    base, _ = benchmark.load_benchmark("library")
    square = base.get_parameter("body.encoder.layer.0.attention.self.query.weight")
    assert max(RANKS) * sum(square.shape) > square.numel() > RANKS[-2] * sum(square.shape)


def test_the_record_reads_test_once_for_every_way_and_place(table: pd.DataFrame) -> None:
    read = table[table["quantity"] == "test/accuracy"]
    for bench in NEAR_TO_FAR:
        for way in WAYS:
            for rank in {
                LORA: RANKS,
                LORA_AND_EMBEDDINGS: (distance.MIXED_RANK,),
                ATTENTION: (distance.EQUAL_RANK,),
            }.get(way, (0,)):
                assert sorted(
                    where(read, bench=bench, way=way, rank=rank, size=16)["seed"]
                ) == list(range(8)), (bench, way, rank)
        for method in (benchmark.FULL, benchmark.FROZEN):
            assert len(where(read, bench=bench, method=method, size=16)) == 8
    for settings in ({"way": LORA, "rank": distance.LARGE_RANK}, {"method": benchmark.FULL}):
        assert len(where(read, bench="library", size=distance.LARGE_BATCH, **settings)) == 8, (
            "and once with large batches"
        )


def test_random_weights_know_nothing_of_the_base(monkeypatch: Any) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        distance,
        "fine_tuning",
        lambda bench, *spaces, **given: iter(seen.append((spaces, given)) or ()),
    )
    list(distance.trial("library", RANDOM_WEIGHTS, 0, 1e-3, seed=3))
    (spaces, given), base = seen[0], benchmark.load_benchmark("library")[0]
    assert not spaces and not given["net"].get_parameter(EMBEDDINGS).equal(
        base.get_parameter(EMBEDDINGS)
    )
