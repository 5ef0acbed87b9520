"""The claims of lesson 03 follow the figures: made-up runs in which every verdict is known."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.verdicts import HOLDS, NOT, OPEN, verdicts_by_name

from ftkit.experiments import benchmark
from ftkit.experiments.benchmark import FULL
from ftkit.experiments.tables import where
from ftkit.lessons.limits_of_lora import study as distance_record
from ftkit.lessons.limits_of_lora import trial as distance
from ftkit.lessons.limits_of_lora.claims_cost import at_equal_accuracy, cost_claims, forgetting
from ftkit.lessons.limits_of_lora.claims_far_tasks import FAR, NEAR, Evidence, far_claims
from ftkit.lessons.limits_of_lora.study import for_the_panel
from ftkit.lessons.limits_of_lora.trial import (
    ATTENTION,
    EMBEDDINGS_ALONE,
    ENCODER_ALONE,
    LARGE_BATCH,
    LARGE_RANK,
    LORA,
    LORA_AND_EMBEDDINGS,
    NEAR_TO_FAR,
    RANDOM_WEIGHTS,
    RANKS,
    WAYS,
)
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.training.events import Event, packed, unpacked

FAR_CLAIMS = {
    "farther": "The farther a task is",
    "high rank": "a high one closes the gap",
    "attention": "on attention alone it is worse",
    "inside the blocks": "a change of low rank is too small",
    "embeddings": "If the word embeddings are trained too",
    "word vectors": "are the word vectors",
    "worse than none": "worse than none",
    "frozen blocks": "The frozen blocks",
    "batches": "Large batches",
    "sensitive": "more sensitive to its learning rate",
}
COST_CLAIMS = {
    "forgets less": "LoRA forgets less than full fine-tuning.",
    "at equal accuracy": "of the same accuracy",
    "intruders": "intruder dimensions",
    "memory": "optimizer state and disk",
    "activations": "LoRA saves activations",
    "time": "LoRA saves time",
}
LEAD = {
    LORA: -0.08,
    ENCODER_ALONE: -0.05,
    LORA_AND_EMBEDDINGS: 0.03,
    EMBEDDINGS_ALONE: 0.02,
    RANDOM_WEIGHTS: -0.04,
    ATTENTION: -0.1,
}
"""On far tasks, over full fine-tuning; on near tasks all are the same."""


def events(accuracy: float, words: float, likeness: float, test: bool) -> Iterator[Event]:
    yield Event(80, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    left = {
        "words": words,
        "intruders": 0.2 * (likeness < 0.5),
        "likeness": likeness,
        "moved": 0.1,
        "rank": 5.0,
    }
    yield Event(80, "after", {f"after/{name}": value for name, value in left.items()})
    if test:
        right = np.arange(1000) < round(1000 * accuracy)
        yield Event(80, "test", {"test/accuracy": accuracy}, {"test/accuracy": packed(right)})


def noise(*what: Any) -> float:
    return 0.002 * math.sin(sum(map(ord, repr(what))))


def fake_trial(
    bench: str, way: str, rank: int, lr: float, size: int = 16, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Yield made-up runs: LoRA loses 8 points on far tasks at any rank, and 3 with large batches.

    It forgets half of what full fine-tuning forgets.
    """
    lead = LEAD[way] * (bench in FAR) - 0.03 * (size == LARGE_BATCH)
    steepness = abs(math.log10(lr / 1e-2))
    accuracy = 0.7 + lead - 0.05 * steepness + noise(way, rank, seed) + 0.001 * seed
    yield from events(
        accuracy, 3.5 + 10 * lr + 0.05 * noise(seed), 0.4 if way == LORA else 0.9, test
    )


def fake_reference(
    bench: str, method: str, lr: float, size: int = 16, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    best = 3e-3 if method == FULL else 3e-2
    accuracy = (
        (0.7 if method == FULL else 0.5)
        - 0.05 * abs(math.log10(lr / best))
        + noise(method, seed)
        + 0.001 * seed
    )
    yield from events(accuracy, 3.5 + 100 * lr * (method == FULL), 0.9, test)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "trial", fake_trial)
        patch.setattr(distance, "reference", fake_reference)
        return distance_record.record(None)


def about(activations: float = 1.0, seconds: float = 1.1) -> dict[str, Any]:
    costs = {
        "gradients": 0.03,
        "optimizer": 0.03,
        "disk": 0.03,
        "activations": activations,
        "flops": 0.8,
        "seconds": seconds,
    }
    return {
        "court": {
            "mini": {"LoRA, rank 8": costs},
            "minilm": {"LoRA, rank 8": {**costs, "seconds": 0.75}},
        }
    }


def test_where_forgetting_is_judged_every_learning_rate_has_every_seed(table: pd.DataFrame) -> None:
    for settings in ({"way": LORA, "rank": LARGE_RANK}, {"method": FULL}):
        runs = forgetting(table, **settings)
        assert (
            runs.groupby("lr")["seed"].apply(sorted).tolist()
            == [list(range(8))] * runs["lr"].nunique()
        )
        assert runs["lr"].nunique() >= 4
    assert not table.drop(columns=["value", "items"]).duplicated().any()


def test_the_panel_has_every_way_at_every_rank_unless_it_has_one_rank(
    table: pd.DataFrame,
) -> None:
    rows = for_the_panel(table)
    for way in WAYS:
        ranks = sorted(where(rows, bench=NEAR_TO_FAR[4], way=way)["rank"].unique())
        assert ranks == {
            LORA_AND_EMBEDDINGS: [distance.MIXED_RANK],
            ATTENTION: [distance.EQUAL_RANK],
        }.get(way, list(RANKS))
    assert len(where(rows, bench=NEAR, method=FULL)) == len(
        where(table, bench=NEAR, method=FULL, size=16)
    )
    assert "size" not in rows


class TestFar:
    def test_the_verdicts_follow_the_figures(self, table: pd.DataFrame) -> None:
        found = verdicts_by_name(far_claims(table), FAR_CLAIMS)
        del found["sensitive"]
        no = ("high rank", "inside the blocks", "worse than none")
        assert found == {name: NOT if name in no else HOLDS for name in found}

    def test_they_turn_if_lora_loses_nothing(self, table: pd.DataFrame) -> None:
        alike = table[table["way"] == LORA].assign(way="", rank=0, method=FULL)
        same = pd.concat(
            [
                table[table["method"] != FULL],
                alike[alike.index.isin(where(table, way=LORA, rank=LARGE_RANK).index)],
            ]
        )
        found = verdicts_by_name(far_claims(same), FAR_CLAIMS)
        assert (found["farther"], found["high rank"], found["batches"]) == (NOT, HOLDS, NOT)

    def test_a_gap_that_is_the_same_nearby_does_not_grow_with_distance(
        self, table: pd.DataFrame
    ) -> None:
        nearby = (
            table["way"].eq(LORA)
            & table["bench"].eq(NEAR)
            & table["quantity"].isin(["test/accuracy", "valid/accuracy"])
        )
        alike = table.assign(value=table["value"] - 0.08 * nearby)
        assert verdicts_by_name(far_claims(alike), FAR_CLAIMS)["farther"] == NOT

    def test_fewer_than_eight_seeds_are_inconclusive(self, table: pd.DataFrame) -> None:
        found = verdicts_by_name(far_claims(table[table["seed"] < 6]), FAR_CLAIMS)
        del found["sensitive"]
        assert set(found.values()) == {OPEN}

    def test_a_random_learning_rate_gives_the_mean_of_those_tried(
        self, table: pd.DataFrame
    ) -> None:
        best, random = Evidence(table).luck(method=FULL)
        lrs = where(table, bench=NEAR, method=FULL, size=16)["lr"].unique()
        means = [0.7 - 0.05 * abs(math.log10(lr / 3e-3)) for lr in lrs]
        assert best - random == pytest.approx(max(means) - np.mean(means), abs=1e-6)


class TestCost:
    def test_the_verdicts_follow_the_figures(self, table: pd.DataFrame) -> None:
        found = verdicts_by_name(cost_claims(table, about()), COST_CLAIMS)
        no = ("activations", "time")
        assert found == {name: NOT if name in no else HOLDS for name in COST_CLAIMS}
        cheaper = cost_claims(table, about(activations=0.5, seconds=0.8))
        assert verdicts_by_name(cheaper, COST_CLAIMS)["activations"] == HOLDS
        faster = cost_claims(table, about(seconds=0.8))
        assert verdicts_by_name(faster, COST_CLAIMS)["time"] == HOLDS

    def test_learning_less_is_not_forgetting_less_at_equal_accuracy(
        self, table: pd.DataFrame
    ) -> None:
        """The first half of full fine-tuning's curve ends with less forgetting.

        At equal accuracy it is exactly the same.
        """
        full = where(table, method=FULL)
        half = full[full["lr"] <= 1e-3].assign(method=distance.WITH_HEAD, way=LORA, rank=LARGE_RANK)
        both = pd.concat([full, half])
        np.testing.assert_allclose(at_equal_accuracy(both), 0, atol=1e-9)
        assert (
            forgetting(both, way=LORA, rank=LARGE_RANK)["words"].max()
            < forgetting(both, method=FULL)["words"].max()
        )

    def test_learning_rates_beyond_the_best_are_left_out(self, table: pd.DataFrame) -> None:
        beyond = (
            table["lr"].gt(3e-3) & table["method"].eq(FULL) & table["quantity"].eq("after/words")
        )
        np.testing.assert_array_equal(
            at_equal_accuracy(table.assign(value=table["value"] + 9 * beyond)),
            at_equal_accuracy(table),
        )

    def test_seeds_that_share_no_accuracy_are_left_out(self, table: pd.DataFrame) -> None:
        lora = where(table, way=LORA, rank=LARGE_RANK)
        shifted = lora["quantity"].eq("valid/accuracy") & lora["seed"].eq(3)
        apart = pd.concat([where(table, method=FULL), lora.assign(value=lora["value"] + shifted)])
        assert len(at_equal_accuracy(apart)) == 7

    def test_intruders_in_both_do_not_speak_against_lora_alone(self, table: pd.DataFrame) -> None:
        rows = table["quantity"].isin(["after/intruders", "after/likeness"])
        neither = table.assign(
            value=table["value"].where(
                ~rows, np.where(table["quantity"] == "after/intruders", 0.0, 0.9)
            )
        )
        assert verdicts_by_name(cost_claims(neither, about()), COST_CLAIMS)["intruders"] == NOT
        both = table.assign(value=table["value"].where(~rows, 0.2))
        assert verdicts_by_name(cost_claims(both, about()), COST_CLAIMS)["intruders"] == OPEN


def test_the_majority_class_baseline_of_every_task_is_known() -> None:
    assert all(0.1 < benchmark.majority_baseline(bench) < 0.2 for bench in NEAR_TO_FAR)


class TestRecord:
    """The recorded runs."""

    @pytest.fixture(scope="class")
    def record(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        return read_table(kit_path("data", "results", "03_limits_of_lora.parquet"))

    def test_every_accuracy_on_test_says_which_items_were_right(
        self, record: tuple[pd.DataFrame, dict[str, Any]]
    ) -> None:
        read = record[0][record[0]["quantity"] == "test/accuracy"]
        assert len(read) == 8 * (len(NEAR_TO_FAR) * (len(RANKS) + 5 + 2) + 2)
        for value, items in zip(read["value"], read["items"], strict=True):
            assert unpacked(items).mean() == pytest.approx(value, abs=1e-6)

    def test_every_best_learning_rate_is_inside_the_grid(
        self, record: tuple[pd.DataFrame, dict[str, Any]]
    ) -> None:
        by = ["bench", "method", "way", "rank", "size"]
        for key, cell in record[0][record[0]["quantity"] == "valid/accuracy"].groupby(by):
            chosen = where(record[0], **dict(zip(by, key, strict=True)), quantity="test/accuracy")[
                "lr"
            ].unique()
            assert len(chosen) == 1 and cell["lr"].min() < chosen[0] < cell["lr"].max(), key

    def test_the_table_says_how_it_was_made(
        self, record: tuple[pd.DataFrame, dict[str, Any]]
    ) -> None:
        about = record[1]
        assert about["command"] == "make results LESSON=03" and about["seeds"] == list(range(8))
        assert {"torch", "transformers", "processor", "cores", "fingerprints"} <= set(about)
        assert set(about["court"]) == set(about["prices"]) == {"mini", "minilm"}
