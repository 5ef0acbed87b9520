"""The recorded runs of lesson 00: what they say is computed from them again."""

import json
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from ftkit.experiments.benchmark import FROZEN, FULL, load_benchmark
from ftkit.experiments.rate_search import chosen, tuning_seeds
from ftkit.experiments.tables import last, where
from ftkit.lessons.the_picture.picture import accuracies
from ftkit.lessons.the_picture.study import NGRAM_LENGTHS, SEEDS, STRENGTHS, intervals, on_test
from ftkit.lessons.the_picture.trial import COUNTING, LORA_RANK_4, RANDOM, SPACES, counting
from ftkit.paths import kit_path
from ftkit.stats.paired import interval
from ftkit.storage import read_table
from ftkit.training.events import unpacked

RESULTS = kit_path("data", "results")


@pytest.fixture(scope="module")
def recorded() -> pd.DataFrame:
    return read_table(RESULTS / "00_the_picture.parquet")[0]


def test_every_method_has_the_same_eight_seeds(recorded: pd.DataFrame) -> None:
    accuracy = on_test(recorded)
    assert set(accuracy) == {*SPACES, COUNTING}
    assert tuple(accuracy.index) == SEEDS
    assert not accuracy.isna().any().any()


def test_learning_rates_were_chosen_on_valid_away_from_the_edges(recorded: pd.DataFrame) -> None:
    valid = last(recorded)[lambda rows: rows["seed"].isin(tuning_seeds(SEEDS))]
    for method in SPACES:
        means = where(valid, method=method).groupby("lr")["value"].mean()
        assert chosen(recorded, method=method) == means.idxmax()
        assert means.index.min() < means.idxmax() < means.index.max(), method


def test_counting_had_its_strength_chosen_too(recorded: pd.DataFrame) -> None:
    valid = where(last(recorded), method=COUNTING)[
        lambda rows: rows["seed"].isin(tuning_seeds(SEEDS))
    ]
    means = valid.groupby(["c", "words"])["value"].mean()
    assert set(means.index) == set(product(STRENGTHS, NGRAM_LENGTHS))
    tested = where(recorded, method=COUNTING, quantity="test/accuracy")
    assert {tuple(row) for row in tested[["c", "words"]].to_numpy()} == {means.idxmax()}
    assert STRENGTHS[0] < means.idxmax()[0] < STRENGTHS[-1]


def test_transfer_is_real(recorded: pd.DataFrame) -> None:
    accuracy = on_test(recorded)
    assert interval((accuracy[FULL] - accuracy[RANDOM]).tolist())[1] > 0
    assert accuracy[FROZEN].mean() < accuracy[LORA_RANK_4].mean() < accuracy[FULL].mean()
    assert interval((accuracy[FULL] - accuracy[COUNTING]).tolist())[1] > 0


def test_pretraining_is_worth_ten_points(recorded: pd.DataFrame) -> None:
    accuracy = on_test(recorded)
    assert (accuracy[FULL] - accuracy[RANDOM]).mean() >= 0.10


def test_the_stored_picture_shows_the_table(recorded: pd.DataFrame) -> None:
    """The stored drawing has every label of the figure, and the figure has every interval."""
    expected = intervals(recorded)
    figure = go.Figure(accuracies(expected, len(SEEDS)))
    lines = {trace.y[0]: trace for trace in figure.data if trace.mode == "lines"}
    dots = {trace.y[0]: trace for trace in figure.data if trace.mode == "markers"}
    assert set(lines) == set(dots) == {*SPACES, COUNTING}
    assert len({trace.marker.color for trace in dots.values()}) == len(dots)
    for method, row in expected.items():
        assert lines[method].x == (100 * row["low"], 100 * row["high"])
        assert dots[method].x == (100 * row["mean"],)
    drawing = ElementTree.parse(RESULTS / "00_the_picture.svg")
    drawn = [(text.text or "").strip() for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for method, row in expected.items():
        assert method in drawn and f"{100 * row['mean']:.1f}" in drawn
    assert figure.layout.xaxis.title.text in drawn


def test_the_same_run_gives_the_same_events() -> None:
    one, other = (list(counting(1.0, 1, seed=3, test=True)) for _ in range(2))
    assert one == other
    assert [event.stage for event in one] == ["valid", "test"]
    right = unpacked(one[1].items["test/accuracy"])
    assert right.mean() == pytest.approx(one[1].values["test/accuracy"])
    assert len(right) == len(load_benchmark("library")[1].test)


def test_each_choice_of_the_pretraining_beat_its_control() -> None:
    arms = json.loads(kit_path("data", "bases", "mini", "choices.json").read_text())["arms"]
    assert arms["words from counts"]["held_out"] < arms["words from noise"]["held_out"]
    both, words = arms["then words and neighbours"], arms["then words alone"]
    for way in ("frozen", "full"):
        assert np.mean(both[way]) > np.mean(words[way])
