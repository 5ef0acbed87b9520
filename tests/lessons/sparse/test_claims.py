"""The verdicts of lesson 05 follow the figures; its planted bugs do what their stories say."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.verdicts import verdicts_by_name
from lessons.sparse.test_study import made_up
from torch import Tensor, nn
from torch.nn import functional as F

from ftkit.experiments.benchmark import FULL
from ftkit.lessons.sparse import bugs as bugs_sparse
from ftkit.lessons.sparse.claims import Evidence, sparse_claims
from ftkit.lessons.sparse.trial import BODY, CRITERIA, DENSITIES, LINEAR

CLAIMS = {
    "as full": "does as well as all of them",
    "fisher": "better entries than chance",
    "ticket": "that full fine-tuning changed most",
    "largest": "The entries to train are the largest",
    "faster": "the larger the learning rate",
    "rows": "whole rows",
    "moving": "A mask that drops",
    "cost": "The cost of sparse training",
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return verdicts_by_name(sparse_claims(table), CLAIMS)


def turned(table: pd.DataFrame, by: Any, **settings: Any) -> pd.DataFrame:
    """Return the table with `by` added to the accuracies on test of runs with these settings."""
    new = table.copy()
    chosen = new["quantity"] == "test/accuracy"
    for name, value in settings.items():
        chosen &= new[name] == value
    assert chosen.any()
    new.loc[chosen, "value"] += by(new[chosen]["seed"]) if callable(by) else by
    return new


def test_verdicts_follow_the_figures(table: pd.DataFrame) -> None:
    assert verdicts(table) == {
        "as full": "holds",
        "fisher": "does not hold",
        "ticket": "holds",
        "largest": "does not hold",
        "faster": "holds",
        "rows": "holds",
        "moving": "holds",
        "cost": "does not hold",
    }


def noisy(seed: Any) -> Any:
    return np.where(seed % 2, 0.1, -0.1)


@pytest.mark.parametrize(
    ("claim", "by", "settings", "says"),
    [
        ("as full", 0.05, {"method": FULL, "bench": "digits"}, "does not hold"),
        ("as full", -0.05, {"criterion": "Fisher", "scope": BODY}, "does not hold"),
        ("as full", -0.05, {"criterion": "random"}, "holds"),
        ("as full", noisy, {"method": FULL, "bench": "opening"}, "inconclusive"),
        ("fisher", 0.05, {"criterion": "Fisher"}, "holds"),
        ("fisher", 0.05, {"criterion": "Fisher", "scope": LINEAR}, "does not hold"),
        ("fisher", noisy, {"criterion": "Fisher"}, "inconclusive"),
        ("ticket", 0.1, {"criterion": "random", "bench": "digits"}, "does not hold"),
        ("ticket", 0.1, {"criterion": "random", "bench": "library"}, "holds"),
        ("ticket", 0.1, {"criterion": "random", "density": 0.1}, "holds"),
        ("largest", 0.1, {"criterion": "largest"}, "holds"),
        ("largest", 0.045, {"criterion": "largest"}, "does not hold"),
        ("rows", -0.05, {"criterion": "whole rows", "bench": "digits"}, "does not hold"),
        ("rows", 0.05, {"criterion": "whole rows"}, "holds"),
        ("moving", 0.05, {"criterion": "random, in parts", "bench": "opening"}, "does not hold"),
        ("moving", 0.2, {"criterion": "random"}, "holds"),
        ("moving", noisy, {"criterion": "drop and regrow"}, "inconclusive"),
    ],
)
def test_verdicts_turn_when_the_figures_do(
    table: pd.DataFrame, claim: str, by: Any, settings: dict[str, Any], says: str
) -> None:
    assert verdicts(turned(table, by, **settings))[claim] == says


@pytest.mark.parametrize(("density", "lr"), [(0.0001, 0.03), (0.03, 0.3), (0.2, 0.03)])
def test_the_verdict_on_the_learning_rate_turns_with_the_chosen_ones(
    table: pd.DataFrame, density: float, lr: float
) -> None:
    other = table.copy()
    other.loc[
        (other["criterion"] == "random")
        & (other["density"] == density)
        & (other["quantity"] == "test/accuracy"),
        "lr",
    ] = lr
    assert verdicts(other)["faster"] == "does not hold"


def test_one_learning_rate_for_every_density_does_not_grow(table: pd.DataFrame) -> None:
    other = table.copy()
    other.loc[
        (other["criterion"] == "random")
        & (other["bench"] == "opening")
        & (other["quantity"] == "test/accuracy"),
        "lr",
    ] = 0.1
    assert verdicts(other)["faster"] == "does not hold"


def test_the_verdict_on_the_cost_turns_with_the_costs(table: pd.DataFrame) -> None:
    other = table.copy()
    other.loc[
        (other["quantity"] == "cost/trainable") & (other["criterion"] == "random"), "value"
    ] = 80.0
    assert verdicts(other)["cost"] == "holds"


def test_four_seeds_are_inconclusive(table: pd.DataFrame) -> None:
    few = verdicts(table[table["seed"] < 4])
    assert {few[claim] for claim in CLAIMS if claim not in ("faster", "cost")} == {"inconclusive"}


def test_at_one_learning_rate_another_criterion_wins(table: pd.DataFrame) -> None:
    found = Evidence(table)
    ranked = found.at_one_rate("opening")
    assert set(ranked) == {0.01, 0.03, 0.1, 0.3} and all(
        set(ranking) == set(CRITERIA) for ranking in ranked.values()
    )
    assert next(iter(ranked[0.1])) == "changed most"
    for ranking in ranked.values():
        assert list(ranking.values()) == sorted(ranking.values(), reverse=True)
    assert (
        ranked[0.01]["Fisher"] > ranked[0.01]["random"]
        and ranked[0.1]["Fisher"] < ranked[0.1]["random"]
    )
    assert abs((found.test("opening", "Fisher") - found.test("opening", "random")).mean()) < 1e-9, (
        "tuned, they tie"
    )


def test_the_evidence_is_what_was_recorded(table: pd.DataFrame) -> None:
    found = Evidence(table)
    assert found.random_densities() == list(DENSITIES) and set(found.compared("opening")) == set(
        CRITERIA
    )
    assert found.rate("opening", "Fisher") == 0.01 and found.rate("opening", "random", 0.1) == 0.01
    assert len(found.test("digits", "whole rows")) == 8 and found.reference(
        "library", FULL
    ).mean() == pytest.approx(0.8035)


class TestBugs:
    """Running the code shows what the stories say."""

    @staticmethod
    def batches(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(steps):
            yield torch.randn(8, 5, generator=generator), torch.randn(8, 4, generator=generator)

    @staticmethod
    def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    @pytest.fixture
    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(5, 4, bias=False)

    @pytest.fixture
    def masks(self) -> dict[str, Tensor]:
        mask = torch.zeros(4, 5)
        mask[1, 2] = mask[3, 0] = 1.0
        return {"weight": mask}

    def moved(self, model: nn.Module, before: nn.Module, masks: Any) -> tuple[int, int]:
        """Return the number of frozen entries that moved, and of chosen ones."""
        moved = model.weight != before.weight
        return int((moved & (masks["weight"] == 0)).sum()), int(
            (moved & (masks["weight"] == 1)).sum()
        )

    def test_decay_moves_every_frozen_entry(
        self, model: nn.Module, masks: dict[str, Tensor]
    ) -> None:
        before = copy.deepcopy(model)
        bugs_sparse.decays(model, masks, self.batches(10), self.loss_of, 1e-2)
        assert self.moved(model, before, masks) == (18, 2)
        torch.testing.assert_close(model.weight[0], before.weight[0] * (1 - 1e-2 * 0.01) ** 10)

    def test_without_decay_it_is_right(
        self, model: nn.Module, masks: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = torch.optim.AdamW
        monkeypatch.setattr(
            torch.optim, "AdamW", lambda weights, lr: plain(weights, lr=lr, weight_decay=0.0)
        )
        before = copy.deepcopy(model)
        bugs_sparse.decays(model, masks, self.batches(10), self.loss_of, 1e-2)
        assert self.moved(model, before, masks) == (0, 2)

    def test_a_used_optimizer_moves_frozen_entries(
        self, model: nn.Module, masks: dict[str, Tensor]
    ) -> None:
        before = copy.deepcopy(model)
        rounds = [list(self.batches(5)), list(self.batches(5))]
        bugs_sparse.remembers(model, lambda _: masks, rounds, self.loss_of, 1e-2)
        assert self.moved(model, before, masks) == (18, 2)
        bugs_sparse.remembers(
            again := copy.deepcopy(before), lambda _: masks, [[], rounds[1]], self.loss_of, 1e-2
        )
        assert self.moved(again, before, masks) == (0, 2), "a fresh optimizer does not"

    def test_ties_are_all_kept(self) -> None:
        scores = torch.zeros(10, 10)
        scores[0, 0] = 3.0
        assert int(bugs_sparse.keeps_ties(scores, 2).sum()) == 100
        assert int(bugs_sparse.keeps_ties(torch.rand(10, 10), 7).sum()) == 7

    @pytest.mark.parametrize(
        ("asked", "lines", "code"),
        [
            (bugs_sparse.decay_leak, (2,), "torch.optim.AdamW(model.parameters(), lr=lr)"),
            (bugs_sparse.momentum_leak, (2, 5, 13), "model.load_state_dict(start)"),
            (bugs_sparse.ties, (5,), "mask = flat >= threshold"),
        ],
    )
    def test_the_lines_are_those_of_the_bug(
        self, asked: Any, lines: tuple[int, ...], code: str
    ) -> None:
        made = asked()
        assert tuple(made.lines) == lines and all(made.guess(line) for line in lines)
        assert code in made.source.splitlines()[lines[-1] - 1]
        assert all(made.source.splitlines()[line - 1].strip() for line in made.nudges)
        assert '"""' not in made.source
