"""What the recorded results say is recomputed from their runs."""

import json

import numpy as np
import pytest

from ftkit.shared import shared_folder
from ftkit.stats import interval
from ftkit.studies.transfer import COUNTING, METHODS, picture

RESULTS = shared_folder("data", "results")


@pytest.fixture(scope="module")
def transfer() -> dict:  # type: ignore[type-arg]
    return json.loads((RESULTS / "00_transfer.json").read_text())


def accuracies(recorded: dict, method: str) -> np.ndarray:  # type: ignore[type-arg]
    rows = [run for run in recorded["runs"] if run["method"] == method and "test" in run]
    assert [run["seed"] for run in rows] == recorded["seeds"]
    return np.array([run["test"] for run in rows])


def test_the_transfer_table_is_that_of_its_runs(transfer: dict) -> None:  # type: ignore[type-arg]
    for method, row in transfer["test"].items():
        assert interval(list(accuracies(transfer, method))) == pytest.approx((row["mean"], row["low"], row["high"]))
    for pair, row in transfer["paired_differences"].items():
        one, other = pair.split(" - ")
        difference = accuracies(transfer, one) - accuracies(transfer, other)
        assert interval(list(difference)) == pytest.approx((row["mean"], row["low"], row["high"]))


def test_learning_rates_were_chosen_on_valid_away_from_the_edges(transfer: dict) -> None:  # type: ignore[type-arg]
    tuning = [run for run in transfer["runs"] if "test" not in run]
    for method in METHODS:
        means = {lr: np.mean([r["valid"] for r in tuning if r["method"] == method.name and r["lr"] == lr]) for lr in method.lrs}
        best = transfer["best_on_valid"][method.name]
        assert best == max(means, key=lambda lr: means[lr])
        assert method.lrs[0] < best < method.lrs[-1], method.name
    assert transfer["best_at_the_edge_of_its_grid"] == []


def test_transfer_is_real(transfer: dict) -> None:  # type: ignore[type-arg]
    random, head, lora, full = (accuracies(transfer, method.name) for method in METHODS)
    counting = accuracies(transfer, COUNTING)
    assert len(full) >= 8
    assert interval(list(full - random))[1] > 0
    assert head.mean() < lora.mean() < full.mean()
    assert interval(list(full - counting))[1] > 0


def test_pretraining_is_worth_ten_points(transfer: dict) -> None:  # type: ignore[type-arg]
    random, full = (accuracies(transfer, METHODS[i].name) for i in (0, 3))
    assert (full - random).mean() >= 0.10


def test_the_picture_is_that_of_the_table(transfer: dict) -> None:  # type: ignore[type-arg]
    assert (RESULTS / "00_transfer.svg").read_text() == picture(transfer["test"])


def test_what_the_pretraining_kept_won_against_its_control() -> None:
    arms = json.loads(shared_folder("data", "bases", "mini", "choices.json").read_text())["arms"]
    assert arms["words from counts"]["held_out"] < arms["words from noise"]["held_out"]
    for way in ("frozen", "full"):
        assert np.mean(arms["then words and neighbours"][way]) > np.mean(arms["then words alone"][way])
