"""The leaderboard follows the figures; plans are sealed; a class's files become one error bar."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.experiments.tables import last, replay, tuned, where
from ftkit.lessons.can_lora_be_beaten import class_mode as classroom
from ftkit.lessons.can_lora_be_beaten import study as board
from ftkit.lessons.can_lora_be_beaten import trial as board_run
from ftkit.lessons.can_lora_be_beaten.claims import COSTS, Evidence, board_claims, pace
from ftkit.lessons.can_lora_be_beaten.preregistration import Plan, read
from ftkit.lessons.can_lora_be_beaten.study import BENCHES, LRS, SEEDS, TUNING
from ftkit.lessons.can_lora_be_beaten.trial import (
    BUDGETS,
    EXAMPLES,
    LARGER_ALPHA,
    METHODS,
    MIDDLE,
    MOST_EXAMPLES,
    OPERATIONS,
    PARAMETERS,
    RANKS,
    REFERENCES,
    WITHOUT_RANK,
)
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.training.events import Event, packed, unpacked

LEAD = {"sparse, random": 0.03, "BitFit": -0.05, "DoRA": 0.001, FULL: 0.05, FROZEN: -0.2}
PRICE = {"BitFit": 1.0, "LoRA": 5.0, FULL: 100.0, FROZEN: 0.5}
BEST = {name: sorted(lrs)[1] for name, lrs in LRS.items()}


def fake_trial(
    bench: str,
    method: str,
    rank: int,
    examples: int,
    lr: float,
    budget: str = PARAMETERS,
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    """Yield made-up runs: random entries beat LoRA by 3 points, DoRA ties, biases lose by 5.

    With equal operations random entries lose their lead.
    """
    lead = LEAD.get(method, 0.0) * (budget == PARAMETERS or method != "sparse, random")
    noise = 0.002 * math.sin(sum(map(ord, f"{bench} {method} {seed}")))
    accuracy = (
        0.6
        + 0.1 * math.log10(examples) / 3
        + lead
        - 0.05 * abs(math.log10(lr / BEST[method]))
        + noise
        + 0.001 * seed
    )
    yield Event(80, "valid", {"valid/accuracy": accuracy, "valid/loss": 1.0})
    if test:
        right = np.arange(500) < round(500 * accuracy)
        yield Event(80, "test", {"test/accuracy": accuracy}, {"test/accuracy": packed(right)})
    yield Event(80, "cost", {f"cost/{cost}": PRICE.get(method, 10.0) for cost in COSTS})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board, "trial", fake_trial)
        return board.record(None)


class TestBoard:
    def test_the_verdicts_are_those_of_the_figures(self, table: pd.DataFrame) -> None:
        rows = Evidence(table).board().set_index("method")
        assert (
            rows.loc["sparse, random", "verdict"] == "beats"
            and rows.loc["BitFit", "verdict"] == "loses"
        )
        assert rows.loc["DoRA", "verdict"] == "ties" and rows.loc["LoRA", "verdict"] == ""
        assert list(rows.index[:2]) == [FULL, "sparse, random"] and rows.index[-1] == FROZEN
        assert rows.loc["sparse, random", "difference"].startswith("+3.")

    def test_the_gain_is_between_the_references_and_odds_are_a_half_for_equals(
        self, table: pd.DataFrame
    ) -> None:
        rows = Evidence(table).board().set_index("method")
        assert rows.loc[FULL, "gain"].startswith("100%") and rows.loc[FROZEN, "gain"].startswith(
            "0%"
        )
        assert rows.loc["LoRA", "gain"].startswith("80%") and rows.loc["LoRA", "odds"] == 0.5
        assert rows.loc["sparse, random", "odds"] == 1.0 and rows.loc["BitFit", "odds"] == 0.0

    def test_only_methods_that_no_cheaper_one_beats_are_on_a_front(
        self, table: pd.DataFrame
    ) -> None:
        rows = Evidence(table).board().set_index("method")
        on_one = set(rows.index[rows["fronts"] != ""])
        assert on_one == {FROZEN, "BitFit", "LoRA", "sparse, random", FULL}

    def test_at_another_rank_methods_without_a_rank_are_left_out(self, table: pd.DataFrame) -> None:
        found = Evidence(table)
        for rank in RANKS:
            assert set(found.board(rank)["method"]) == set(METHODS) - (
                set(WITHOUT_RANK) if rank != MIDDLE else set()
            ) | set(REFERENCES)

    def test_a_challenger_enters_as_a_method(self, table: pd.DataFrame) -> None:
        theirs = where(table, method="DoRA").assign(method="mine")
        rows = (
            Evidence(pd.concat([table, theirs.assign(value=theirs["value"] + 0.02)]))
            .board()
            .set_index("method")
        )
        assert rows.loc["mine", "verdict"] == "beats" and rows.loc["mine", "difference"].startswith(
            "+2."
        )

    def test_a_method_that_is_not_on_every_task_is_no_rival(self, table: pd.DataFrame) -> None:
        theirs = where(table, method="DoRA", bench="digits").assign(method="mine")
        assert "mine" not in set(Evidence(pd.concat([table, theirs])).board()["method"])

    def test_a_run_that_diverged_takes_no_verdict_from_the_others(
        self, table: pd.DataFrame
    ) -> None:
        mine = table["method"].eq("DoRA") & table["seed"].eq(SEEDS[-1]) & table["rank"].eq(MIDDLE)
        broken = table.assign(
            quantity=table["quantity"].mask(
                mine & table["quantity"].eq("test/accuracy"), "diverged"
            )
        )
        before, rows = (Evidence(each).board().set_index("method") for each in (table, broken))
        assert rows.loc["DoRA", "verdict"] == "inconclusive" and rows.loc["DoRA", "fronts"] == ""
        assert rows.loc["DoRA", "difference"] == (
            f"no mean, the run at position {len(SEEDS) - 1} diverged"
        )
        assert math.isnan(rows.loc["DoRA", "accuracy"]) and rows.loc["DoRA", "gain"] == ""
        others = [name for name in rows.index if name != "DoRA"]
        columns = ["verdict", "difference", "accuracy", "gain", "odds"]
        pd.testing.assert_frame_equal(rows.loc[others, columns], before.loc[others, columns])
        assert len(board_claims(broken)) == len(board_claims(table))

    def test_seeds_that_differ_are_not_paired(self, table: pd.DataFrame) -> None:
        others = table.assign(seed=table["seed"] + 100 * table["method"].eq("DoRA"))
        with pytest.raises(
            ValueError,
            match=r"DoRA and LoRA must have the same seeds on digits, got \[100, .*; run those",
        ):
            Evidence(others).minus_lora("digits", "DoRA")

    def test_a_win_with_more_parameters_does_not_count(self, table: pd.DataFrame) -> None:
        lead = 0.1 * table["method"].eq("last block") - 0.03 * table["method"].eq("sparse, random")
        numbers, *_ = board_claims(
            table.assign(value=table["value"] + lead * table["quantity"].eq("test/accuracy"))
        )
        assert numbers.verdict == "does not hold" and "last block +10" in numbers.statistic

    def test_the_interval_with_items_is_around_the_same_mean(self, table: pd.DataFrame) -> None:
        found = Evidence(table)
        mean, low, high = found.with_items("digits", "sparse, random")
        assert (
            mean == pytest.approx(found.minus_lora("digits", "sparse, random").mean(), abs=2e-3)
            and low < mean < high
        )

    def test_with_eight_seeds_seven_rivals_are_inconclusive(self, table: pd.DataFrame) -> None:
        rows = Evidence(table[table["seed"] < 8]).board()
        assert set(rows["verdict"]) == {"inconclusive", "ties", ""}


class TestClaims:
    def test_there_is_one_claim_a_budget(self, table: pd.DataFrame) -> None:
        numbers, operations, everywhere, control = board_claims(table)
        assert PARAMETERS in numbers.claim and OPERATIONS in operations.claim
        assert (numbers.verdict, everywhere.verdict, control.verdict) == ("holds", "holds", "holds")
        assert operations.verdict == "does not hold", operations.statistic

    def test_one_task_on_which_nothing_wins_speaks_against_everywhere(
        self, table: pd.DataFrame
    ) -> None:
        flat = table[
            (table["bench"] != "digits") | table["method"].isin(["LoRA", LARGER_ALPHA, *REFERENCES])
        ]
        same = pd.concat(
            [
                flat,
                *[
                    where(table, bench="digits", method="LoRA", rank=MIDDLE).assign(method=name)
                    for name in METHODS[1:]
                ],
            ]
        )
        assert board_claims(same, (PARAMETERS,))[1].verdict == "does not hold"

    def test_a_lead_that_a_larger_alpha_also_gives_is_not_a_win(self, table: pd.DataFrame) -> None:
        lead = (
            0.03
            * table["method"].eq(LARGER_ALPHA)
            * table["quantity"].isin(["valid/accuracy", "test/accuracy"])
        )
        control = board_claims(table.assign(value=table["value"] + lead))[-1]
        assert control.verdict == "does not hold" and control.results[-1].verdict == "ties"

    def test_which_alpha_is_chosen_on_valid_and_never_on_test(self, table: pd.DataFrame) -> None:
        larger = table["method"].eq(LARGER_ALPHA)
        lead = 0.1 * (larger & table["quantity"].eq("test/accuracy")) - 0.1 * (
            larger & table["quantity"].eq("valid/accuracy")
        )
        found = Evidence(table.assign(value=table["value"] + lead))
        assert all(
            (found.with_its_alpha(bench) == found.test(bench, "LoRA")).all() for bench in BENCHES
        )

    def test_without_the_control_there_is_no_claim_about_it(self, table: pd.DataFrame) -> None:
        assert len(board_claims(table[table["method"] != LARGER_ALPHA])) == 3

    def test_every_cell_is_a_family(self, table: pd.DataFrame) -> None:
        cells = Evidence(table).cells
        assert (
            set(cells) == {(bench, n) for bench in BENCHES for n in EXAMPLES}
            and MOST_EXAMPLES in EXAMPLES
        )
        assert all(set(told) == set(METHODS) - {"LoRA"} for told in cells.values())


def test_the_pace_is_the_mean_over_the_tasks_of_seconds_over_lora_s() -> None:
    assert pace(
        {"seconds": {"a": {"LoRA": 2.0, "DoRA": 3.0}, "b": {"LoRA": 10.0, "DoRA": 10.0}}}
    ) == {"LoRA": 1.0, "DoRA": 1.25}


class TestPlan:
    plan = Plan(
        "DoRA beats LoRA on opening",
        "accuracy on test",
        "equal parameters, 80 steps",
        0.01,
        tuple(range(8)),
        family=2,
    )

    def test_it_is_sealed_and_comes_back(self, tmp_path: Path) -> None:
        path = tmp_path / "plan.json"
        seal = self.plan.write(path)
        assert (
            read(path) == self.plan
            and self.plan.write(path) == seal == json.loads(path.read_text())["seal"]
        )

    def test_it_can_be_neither_changed_nor_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "plan.json"
        self.plan.write(path)
        with pytest.raises(
            ValueError, match="a plan must not be replaced, got another one for plan.json"
        ):
            Plan(**{**vars(self.plan), "margin": 0.02}).write(path)
        path.write_text(path.read_text().replace("0.01", "0.001"))
        with pytest.raises(
            ValueError, match="plan.json must be unchanged since it was sealed, got another text"
        ):
            read(path)
        path.write_text("[]")
        with pytest.raises(
            ValueError, match="plan.json must be a plan that `Plan.write` wrote, got something else"
        ):
            read(path)

    def test_with_a_run_that_diverged_it_is_inconclusive(self) -> None:
        says = self.plan.decide([0.03] * 3 + [math.nan] + [0.02] * 4)
        assert says.startswith("inconclusive: the run at position 3 diverged, 8 seeds, plan ")

    def test_it_decides_by_its_rule(self) -> None:
        clear = [0.03, 0.025, 0.02, 0.03, 0.035, 0.02, 0.03, 0.025]
        assert self.plan.decide(clear).startswith("beats: +0.0269")
        assert Plan(**{**vars(self.plan), "family": 7}).decide(clear).startswith("inconclusive"), (
            "2/256 times seven is above 0.05"
        )
        assert self.plan.decide([0.001, -0.001] * 4).startswith("ties")
        assert self.plan.seal in self.plan.decide(clear)
        with pytest.raises(
            ValueError, match="there must be one difference for each of 8 planned seeds, got 7"
        ):
            self.plan.decide(clear[:7])

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"hypothesis": " "}, "the hypothesis must be written down, got nothing"),
            ({"margin": 0.0}, "the margin must be above 0, got 0.0"),
            (
                {"seeds": tuple(range(7))},
                r"there must be at least 8 seeds, each once, got \[0, 1, 2",
            ),
            ({"seeds": (*range(8), 7)}, "there must be at least 8 seeds, each once"),
            ({"family": 0}, "the family must count this comparison, got 0"),
        ],
    )
    def test_an_incomplete_plan_is_refused(self, other: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Plan(**{**vars(self.plan), **other})


class TestClass:
    def hand_in(
        self,
        table: pd.DataFrame,
        folder: Path,
        seed: int,
        methods: tuple[str, ...] = ("LoRA", "BitFit"),
    ) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(classroom, "trial", fake_trial)
            return classroom.hand_in(folder, seed, table, "digits", methods)

    def test_files_of_a_class_make_one_error_bar(self, table: pd.DataFrame, tmp_path: Path) -> None:
        paths = [self.hand_in(table, tmp_path, seed) for seed in range(100, 110)]
        found = Evidence(classroom.merged(paths))
        differences = found.minus_lora("digits", "BitFit", examples=EXAMPLES[1])
        assert len(differences) == 10 and differences.mean() == pytest.approx(-0.05, abs=0.005)
        assert found.rate("digits", "LoRA", examples=EXAMPLES[1]) == BEST["LoRA"]

    def test_a_recorded_seed_is_refused(self, table: pd.DataFrame, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=f"seed must not be one of the recorded seeds, got {SEEDS[0]}"
        ):
            self.hand_in(table, tmp_path, SEEDS[0])

    def test_files_that_do_not_fit_are_refused(self, table: pd.DataFrame, tmp_path: Path) -> None:
        first, other = (
            self.hand_in(table, tmp_path, 100),
            self.hand_in(table, tmp_path, 101, ("LoRA",)),
        )
        with pytest.raises(
            ValueError, match=r"all files must agree on methods, got \['LoRA'\] in seed-101.parquet"
        ):
            classroom.merged([first, other])
        twice = tmp_path / "seed-100-again.parquet"
        twice.write_bytes(first.read_bytes())
        with pytest.raises(
            ValueError,
            match="every seed must be handed in once, got 100 in seed-100-again.parquet and seed-",
        ):
            classroom.merged([first, twice])
        with pytest.raises(ValueError, match="there must be a file to merge, got none"):
            classroom.merged([])


class TestRecord:
    """The recorded runs."""

    @pytest.fixture(scope="class")
    def record(self) -> pd.DataFrame:
        return read_table(kit_path("data", "results", "09_can_lora_be_beaten.parquet"))[0]

    def test_the_answer(self, record: pd.DataFrame) -> None:
        found = Evidence(record)
        boards = {budget: found.board(budget=budget) for budget in BUDGETS}
        won = {
            budget: where(told, verdict="beats")["method"].tolist()
            for budget, told in boards.items()
        }
        assert won == {PARAMETERS: ["LoRA+", "sparse, random"], OPERATIONS: ["LoRA+"]}
        assert "beats" not in set(found.board(rank=RANKS[-1])["verdict"])

    def test_every_best_learning_rate_is_inside_the_grid_and_only_it_is_tested(
        self, record: pd.DataFrame
    ) -> None:
        by = ["bench", "method", "rank", "examples", "budget"]
        chosen = record[record["quantity"] == "test/accuracy"].groupby(by)
        assert set(chosen["lr"].nunique()) == {1} and set(chosen.size()) == {len(SEEDS)}
        tuning = record[record["seed"].isin(SEEDS[:TUNING])]
        best = tuned(tuning, by)
        assert dict(chosen["lr"].first().items()) == best
        for key, tried in tuning.groupby(by)["lr"]:
            assert tried.min() < best[key] < tried.max(), key  # type: ignore[index]

    def test_every_method_and_reference_is_there_on_every_task(self, record: pd.DataFrame) -> None:
        jobs = pd.DataFrame(board.jobs(SEEDS, tuple(BENCHES), EXAMPLES, (*METHODS, *REFERENCES)))
        by = ["bench", "method", "rank", "examples", "budget"]
        assert set(record[by].itertuples(index=False, name=None)) == set(
            jobs[by].itertuples(index=False, name=None)
        )

    def test_every_accuracy_on_test_says_which_items_were_right(self, record: pd.DataFrame) -> None:
        read = record[record["quantity"] == "test/accuracy"]
        right = [unpacked(items).mean() for items in read["items"]]
        np.testing.assert_allclose(right, read["value"], atol=1e-6)

    def test_a_run_today_gives_what_was_recorded(self, record: pd.DataFrame) -> None:
        settings = {
            "bench": "digits",
            "method": "BitFit",
            "rank": MIDDLE,
            "examples": 64,
            "budget": PARAMETERS,
            "seed": 1,
            "lr": 1e-2,
        }
        then = [
            event.values["valid/accuracy"]
            for event in replay(record)(**settings)
            if event.stage == "valid"
        ]
        now = [
            event.values["valid/accuracy"]
            for event in board_run.trial(**settings)
            if event.stage == "valid"
        ]  # type: ignore[arg-type]
        assert now == pytest.approx(then, abs=0.03), (
            "processors round differently; a change of the code makes more difference"
        )

    def test_the_panel_has_every_run_where_it_is_the_same(self, record: pd.DataFrame) -> None:
        shown = board.for_the_panel(record)
        own = where(
            shown, method=board.PANEL_METHOD, quantity="valid/accuracy", bench="digits", seed=0
        )
        assert set(shown[shown["method"] != board.PANEL_METHOD]["method"]) == set(
            REFERENCES
        ) and set(own["who"]) == set(METHODS)
        for who in WITHOUT_RANK:
            ends = [
                last(where(own, who=who, rank=rank, budget=PARAMETERS))["value"].tolist()
                for rank in RANKS
            ]
            assert ends[0] == ends[1] == ends[2] and ends[0]
        one, other = (
            last(where(own, who="LoRA", rank=MIDDLE, budget=budget))["value"].tolist()
            for budget in BUDGETS
        )
        assert one == other and one
