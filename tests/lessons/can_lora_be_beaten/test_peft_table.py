"""What public tables with one run a row can show, and by which yardstick."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy import stats

from ftkit.figures.plots import COLOURS
from ftkit.lessons.can_lora_be_beaten import peft_table
from ftkit.lessons.can_lora_be_beaten.peft_table import (
    ITEMS,
    REFERENCE,
    SPELLING,
    Noise,
    against,
    critical_differences,
    image_table,
    is_plain_lora,
    method_name,
    public_table,
    rerun_noise,
    rerun_pairs,
    right,
)
from ftkit.lessons.can_lora_be_beaten.picture import LOWEST, VERDICTS, yardsticks
from ftkit.paths import kit_path
from ftkit.stats.paired import holm, two_proportions

DATE = "2026-08-21"
WORDS = {1: "one", 2: "two", 3: "three", 4: "four"}
ORDINALS = {9: "ninth", 15: "15th"}
LILY = "Lily r140 MLP a2 b2 s8.0"
BEST_LORA = "LoRA r64 rsLoRA"


def source(name: str) -> pd.DataFrame:
    """Read a file of data/public as it is."""
    return pd.read_csv(kit_path("data", "public", f"{name}.csv"))


def accuracy(method: str) -> float:
    """The accuracy of a row, in per cent."""
    return float(public_table().set_index("method").loc[method, "accuracy"])


def one_round() -> pd.DataFrame:
    """The pairs from January to July 2026."""
    pairs = rerun_pairs()
    return pairs[(pairs["previous_run"] < "2026-02") & (pairs["run"] > "2026-07")]


class TestTables:
    @pytest.mark.parametrize(
        ("name", "rows"),
        [("peft_metamathqa", 63), ("peft_metamathqa_earlier", 111), ("peft_image_generation", 31)],
    )
    def test_a_file_has_all_rows_of_its_date_with_one_seed(self, name: str, rows: int) -> None:
        table = source(name)
        assert len(table) == rows and table["run"].max() <= DATE and set(table["seed"]) == {0}
        assert not table.duplicated(["experiment", "run"]).any()

    def test_an_accuracy_is_a_share_of_the_questions(self) -> None:
        for name in ("peft_metamathqa", "peft_metamathqa_earlier"):
            counts = ITEMS * source(name)["accuracy"]
            np.testing.assert_allclose(counts, counts.round(), atol=1e-9)

    def test_every_earlier_run_has_a_newer_one(self) -> None:
        newest = source("peft_metamathqa").set_index("experiment")["run"]
        earlier = source("peft_metamathqa_earlier")
        assert newest.index.is_unique
        assert (earlier["run"] < earlier["experiment"].map(newest)).all()

    @pytest.mark.parametrize(
        ("table", "score"), [(public_table, "accuracy"), (image_table, "similarity")]
    )
    def test_the_best_row_is_first_and_equal_rows_share_a_place(
        self, table: Callable[[], pd.DataFrame], score: str
    ) -> None:
        rows = table()
        assert rows[score].is_monotonic_decreasing and rows["method"].is_unique
        better = [int((rows[score] > value).sum()) for value in rows[score]]
        assert rows["place"].tolist() == [1 + count for count in better]

    def test_an_interval_is_as_wide_as_five_points(self) -> None:
        table = public_table()
        assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
        row = table.set_index("method").loc[REFERENCE]
        assert row["high"] - row["low"] == pytest.approx(5.4, abs=0.1)

    def test_columns_have_their_units(self) -> None:
        full = public_table().set_index("method").loc["full fine-tuning lr 1e-05"]
        assert full["trainable_millions"] == pytest.approx(3212.75, abs=0.01)
        assert full["gigabytes"] == pytest.approx(38.9, abs=0.05)
        assert full["seconds"] == pytest.approx(2147, abs=1) and full["lr"] == 1e-5


class TestNames:
    @pytest.mark.parametrize(
        ("experiment", "name"),
        [
            ("lora/llama-3.2-3B-rank32", "LoRA r32"),
            ("adaptionprompt/llama-3.2-3B-lr_5e-3", "adaption prompt lr 0.005"),
            ("hira/llama-3.2-3B-rank32-lr4.5e-3", "HiRA r32 lr 0.0045"),
            ("lora/llama-3.2-3B-rank14-target-mlp-bdlora", "LoRA r14 on MLP BD-LoRA"),
            ("lokr/flux2-klein-lr1e-3", "LoKr lr 0.001"),
            ("vera/llama-3.2-3B-default", "VeRA"),
        ],
    )
    def test_a_name_follows_from_the_experiment(self, experiment: str, name: str) -> None:
        assert method_name(experiment) == name

    def test_every_technique_has_a_spelling(self) -> None:
        for name in ("peft_metamathqa", "peft_metamathqa_earlier", "peft_image_generation"):
            techniques = source(name)["experiment"].str.partition("/")[0]
            assert set(techniques) <= SPELLING.keys()

    def test_four_rows_are_lora_itself_and_its_variants_are_not(self) -> None:
        rows = public_table().set_index("method")
        assert set(rows.index[rows["is_lora"]]) == {
            "LoRA r32",
            "LoRA r64",
            BEST_LORA,
            "LoRA r10 on MLP",
        }
        variants = rows.index[(rows["technique"] == "LORA") & ~rows["is_lora"]]
        assert {name.split()[-1] for name in variants} == {"DoRA", "BD-LoRA", "MiCA", "LoRA-FA"}
        assert is_plain_lora("lora/flux2-klein-default")
        assert not is_plain_lora("dora/flux2-klein-rank64")

    def test_rslora_divides_alpha_by_the_root_of_the_rank(self) -> None:
        rows = public_table().set_index("method")
        row = rows.loc[BEST_LORA]
        assert row["scale"] == row["alpha"] / row["rank"] ** 0.5 == 8
        assert set(rows.loc[rows["is_lora"], "scale"]) == {2.0, 8.0}
        assert np.isnan(rows.loc[LILY, "scale"])


class TestReruns:
    def test_a_pair_repeats_an_experiment_with_the_same_size_rate_and_steps(self) -> None:
        names = ("peft_metamathqa_earlier", "peft_metamathqa")
        runs = pd.concat([source(name) for name in names]).set_index(["experiment", "run"])
        pairs = rerun_pairs()
        for pair in pairs.itertuples():
            before = runs.loc[(pair.experiment, pair.previous_run)]
            after = runs.loc[(pair.experiment, pair.run)]
            for quantity in ("lr", "trainable", "steps"):
                assert before[quantity] == after[quantity]
            between = runs.loc[pair.experiment].index
            assert not ((between > pair.previous_run) & (between < pair.run)).any()
            assert pair.change == pytest.approx(100 * (after["accuracy"] - before["accuracy"]))

    def test_the_figures_of_the_pairs(self) -> None:
        change = rerun_pairs()["change"]
        assert (len(change), rerun_pairs()["experiment"].nunique()) == (87, 51)
        assert change.abs().mean() == pytest.approx(1.20, abs=0.005)
        assert change.mean() == pytest.approx(-0.68, abs=0.005)
        assert change.std() == pytest.approx(1.43, abs=0.005)
        assert change.abs().max() == pytest.approx(5.4, abs=0.05)

    def test_one_more_pair_would_have_another_number_of_steps(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(peft_table, "SAME", ["lr", "trainable"])
        change = rerun_pairs()["change"]
        assert len(change) == 88 and change.abs().mean() == pytest.approx(1.19, abs=0.005)
        assert change.std() == pytest.approx(1.43, abs=0.005)

    def test_independent_pairs_have_one_degree_of_freedom_less(self) -> None:
        pairs = one_round()
        assert pairs["experiment"].is_unique
        noise = rerun_noise(pairs)
        assert noise.freedom == len(pairs) - 1 == 36
        assert noise.shift == pytest.approx(-1.6, abs=0.05)
        assert noise.deviation == pytest.approx(0.97, abs=0.005)

    def test_a_break_between_two_pairs_of_a_row_makes_them_independent(self) -> None:
        pairs = rerun_pairs().query("method == 'OFT r32'")
        assert len(pairs) == 3
        assert rerun_noise(pairs).freedom == pytest.approx(9 / (3 + 2 / 2) - 1)
        assert rerun_noise(pairs.iloc[[0, 2]]).freedom == 1

    def test_pairs_that_share_runs_estimate_the_noise_of_two_new_runs(self) -> None:
        pairs, random = rerun_pairs(), np.random.default_rng(0)
        chains = pairs.groupby("experiment").size()
        variances, p = [], []
        for _ in range(4000):
            runs = [random.normal(size=length + 1) for length in chains]
            made = pairs.assign(change=np.concatenate([np.diff(values) for values in runs]))
            noise = rerun_noise(made)
            variances.append(noise.deviation**2)
            difference = random.normal() - random.normal()
            p.append(2 * stats.t.sf(abs(difference) / noise.deviation, noise.freedom))
        assert np.mean(variances) == pytest.approx(2, rel=0.02)
        # The variance of an estimate with f degrees of freedom is 2 / f of its squared mean.
        found = 2 * np.mean(variances) ** 2 / np.var(variances)
        assert found == pytest.approx(rerun_noise().freedom, rel=0.08)
        assert found < 0.9 * (len(pairs) - 1)
        assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.011)

    def test_one_pair_has_no_spread(self) -> None:
        with pytest.raises(ValueError, match="pairs must have two rows at least, got 1"):
            rerun_noise(rerun_pairs().head(1))


class TestYardsticks:
    def test_p_is_that_of_two_proportions_and_of_students_t(self) -> None:
        table, noise = public_table(), Noise(-1.0, 2.0, 10.0)
        found = against(table, noise=noise).set_index("method")
        row, baseline = found.loc[LILY], accuracy(REFERENCE)
        assert row["difference"] == accuracy(LILY) - baseline > 0
        assert row["questions"] == two_proportions(
            right(accuracy(LILY)), ITEMS, right(baseline), ITEMS
        )
        assert row["reruns"] == pytest.approx(2 * stats.t.sf(row["difference"] / 2.0, 10.0))
        for yardstick in ("questions", "reruns"):
            assert found[f"{yardstick}_holm"].tolist() == holm(found[yardstick].tolist())
        assert len(found) == len(table) - 1 and REFERENCE not in found.index

    def test_a_critical_difference_is_where_p_is_a_twentieth(self) -> None:
        baseline, noise = accuracy(REFERENCE), rerun_noise()
        bands = critical_differences(public_table())
        assert bands["other questions"] == pytest.approx(3.8, abs=0.05)
        assert bands["re-runs"] == pytest.approx(2.9, abs=0.05)
        at = 2 * stats.t.sf(bands["re-runs"] / noise.deviation, noise.freedom)
        assert at == pytest.approx(0.05)
        other = right(baseline + bands["other questions"])
        p = two_proportions(other, ITEMS, right(baseline), ITEMS)
        assert p == pytest.approx(0.05, abs=0.002)

    def test_no_row_leads_by_other_questions_and_one_by_reruns(self) -> None:
        found = against(public_table())
        above, below = found[found["difference"] > 0], found[found["difference"] < 0]
        assert len(above) == 14 and len(found) == 62
        assert above["method"][above["questions"] < 0.05].tolist() == [LILY]
        assert (above["reruns"] < 0.05).sum() == 5
        assert above["questions_holm"].min() == pytest.approx(0.36, abs=0.005)
        assert above["reruns_holm"].min() == pytest.approx(0.035, abs=0.001)
        assert above["method"][above["reruns_holm"] < 0.05].tolist() == [LILY]
        differing = [(below[f"{kind}_holm"] < 0.05).sum() for kind in ("questions", "reruns")]
        assert differing == [34, 37]

    @pytest.mark.parametrize("freedom", [50.0, 86.0])
    def test_lily_leads_by_other_degrees_of_freedom_too(self, freedom: float) -> None:
        noise = rerun_noise()
        found = against(public_table(), noise=Noise(noise.shift, noise.deviation, freedom))
        above = found[found["difference"] > 0]
        assert above["method"][above["reruns_holm"] < 0.05].tolist() == [LILY]

    def test_a_reference_that_is_no_row_is_refused(self) -> None:
        for refused in (against, critical_differences):
            with pytest.raises(ValueError, match="reference must be a row of the table, got 'QLo"):
                refused(public_table(), "QLoRA")


class TestPicture:
    figure = go.Figure(yardsticks(against(public_table()), critical_differences(public_table())))

    def test_rows_are_drawn_best_first(self) -> None:
        tested = against(public_table())
        drawn = tested["method"][tested["difference"] > LOWEST].tolist()
        assert list(self.figure.layout.yaxis.categoryarray) == drawn and len(drawn) == 26

    @pytest.mark.parametrize("shift", [0, 4])  # 4 brings rows that differ by both into view
    def test_a_row_is_drawn_once_with_the_symbol_of_its_verdict(self, shift: float) -> None:
        tested = against(public_table())
        tested["difference"] += shift
        points = [
            (name, x, trace.marker.symbol)
            for trace in go.Figure(yardsticks(tested, {})).data
            for name, x in zip(trace.y, trace.x, strict=True)
        ]
        drawn = tested[tested["difference"] > LOWEST]
        count = (drawn[["reruns_holm", "questions_holm"]] < 0.05).sum(axis=1)
        symbols = count.map({0: "circle-open", 1: "circle", 2: "square"})
        expected = zip(drawn["method"], drawn["difference"], symbols, strict=True)
        assert sorted(points) == sorted(expected)
        assert (2 in count.tolist()) == (shift == 4)

    def test_the_legend_says_what_the_symbols_mean(self) -> None:
        assert {trace.name: trace.marker.symbol for trace in self.figure.data} == {
            "differs from LoRA by neither": "circle-open",
            "by re-runs alone": "circle",
        }
        assert VERDICTS["by both"] == "square"

    def test_rows_below_the_picture_differ_by_reruns(self) -> None:
        tested = against(public_table())
        below = tested[tested["difference"] <= LOWEST]
        assert len(below) == 36 and (below["reruns_holm"] < 0.05).all()

    def test_rows_that_are_lora_have_its_colour(self) -> None:
        coloured = {
            name
            for trace in self.figure.data
            for name, colour in zip(trace.y, trace.marker.color, strict=True)
            if colour == COLOURS["LoRA"]
        }
        assert coloured == {BEST_LORA, "LoRA r10 on MLP", "LoRA r64"}

    def test_each_band_is_named_and_lies_around_zero(self) -> None:
        bands = critical_differences(public_table())
        ends = [(shape.x0, shape.x1) for shape in self.figure.layout.shapes]
        assert ends == [(-half, half) for half in bands.values()]
        names = [note.text for note in self.figure.layout.annotations]
        assert names == ["other questions: ± 3.8", "re-runs: ± 2.9"]


def cells(kind: str) -> list[dict[str, Any]]:
    """The cells of one kind of the stored notebook."""
    path = Path(__file__).parents[3] / "notebooks" / "09_can_lora_be_beaten.ipynb"
    stored = json.loads(path.read_text(encoding="utf8"))["cells"]
    return [cell for cell in stored if cell["cell_type"] == kind]


def test_the_prose_has_the_figures_of_the_tables() -> None:
    table, pairs, tested = public_table(), rerun_pairs(), against(public_table())
    rows, pictures = table.set_index("method"), image_table()
    above = tested[tested["difference"] > 0]
    on_mlp = accuracy("LoRA r10 on MLP") - accuracy(REFERENCE)
    scale = accuracy(BEST_LORA) - accuracy("LoRA r64")
    freedom = rerun_noise().freedom
    widest = (pairs["change"] - rerun_noise().shift).abs()
    once = one_round().set_index("method")
    was, now = once.loc[REFERENCE, ["previous", "accuracy"]]
    fell = once[(once["previous"] > was) & (once["accuracy"] < now)]
    rose = once[(once["previous"] < was) & (once["accuracy"] > now)]
    sharper = against(table, noise=rerun_noise(one_round()))
    leads = sharper[(sharper["difference"] > 0) & (sharper["reruns_holm"] < 0.05)]
    at_32 = pictures.set_index("method").loc["LoRA"]
    assert at_32["rank"] == 32 and pictures["method"][0] == "LoRA r64"
    assert "full fine-tuning lr 1e-05" in fell.index and rose.empty
    assert leads["is_lora"].sum() == 1 and (table["accuracy"] > accuracy(BEST_LORA)).sum() == 1
    prose = ["".join(cell["source"]) for cell in cells("markdown")]
    text = " ".join(" ".join(prose).split())
    for stated in (
        f"learns mathematics, {len(table)} times",
        f"The kit has all {len(table)} rows, as they were on 21 August 2026",
        f"{WORDS[above['is_lora'].sum()].capitalize()} of the {len(above)} rows above LoRA *are*",
        f"LoRA on the MLP has {on_mlp:.1f} points more",
        f"rsLoRA has {scale:.1f} points more than LoRA of the same rank",
        f"Are {on_mlp:.1f} points much? Are {scale:.1f}?",
        f"right answers to {ITEMS:,} questions",
        f"So {len(pairs)} pairs count as {freedom + 1:.0f} (Satterthwaite), with {freedom:.0f} deg",
        f"{WORDS[(widest > above['difference'].max()).sum()]} pair of the {len(pairs)} lies",
        f"{WORDS[len(fell)].capitalize()} rows stood above LoRA in January and stand below it now",
        f"In one table LoRA is {ORDINALS[rows.loc[REFERENCE, 'place']]}, in the other first: "
        f"{pictures['similarity'][0]:.3f}, and the next row has {pictures['similarity'][1]:.3f}",
        f"LoRA with rank {at_32['rank']:.0f} is {ORDINALS[at_32['place']]}",
        f"The other {(tested['difference'] <= LOWEST).sum()} rows are farther left",
        f"Holm's $p$ in the family of all {len(tested)}",
        f"{WORDS[len(leads)]} rows above LoRA differ",
        f"here among all {len(table)} rows",
    ):
        assert stated in text, stated


def test_the_verdict_on_the_table_is_that_of_both_yardsticks() -> None:
    above = against(public_table()).query("difference > 0")
    found = above[["questions_holm", "reruns_holm"]]
    differ, smallest = (found < 0.05).sum(), found.min()
    assert differ.max() < len(above)
    verdict = (
        f"differ: {differ.iloc[0]} by other questions (smallest p {smallest.iloc[0]:.2f}), "
        f"{differ.iloc[1]} by re-runs ({smallest.iloc[1]:.2f})\n  -> inconclusive\n"
    )
    outputs = [output for cell in cells("code") for output in cell["outputs"]]
    texts = ["".join(output.get("data", {}).get("text/plain", "")) for output in outputs]
    assert sum(verdict in text for text in texts) == 1


def test_layers_and_scale_are_all_that_the_compared_rows_differ_in() -> None:
    rows = public_table().set_index("method")
    on_mlp, reference = rows.loc["LoRA r10 on MLP"], rows.loc[REFERENCE]
    assert on_mlp["scale"] == reference["scale"] and on_mlp["lr"] == reference["lr"]
    assert on_mlp["trainable"] / reference["trainable"] == pytest.approx(1, abs=0.04)
    assert (reference["targets"], on_mlp["targets"]) == ("q, v", "down, gate, up")
    larger, smaller = rows.loc[BEST_LORA], rows.loc["LoRA r64"]
    for quantity in ("targets", "trainable", "lr", "rank", "steps"):
        assert larger[quantity] == smaller[quantity]
    assert larger["scale"] / smaller["scale"] == 4


def test_a_learning_rate_is_worth_more_than_the_best_lead() -> None:
    rows = public_table().set_index("method")
    low, high = rows.loc["(IA)3"], rows.loc["(IA)3 lr 0.001"]
    assert (low["targets"], low["trainable"]) == (high["targets"], high["trainable"])
    best = rows["accuracy"].max() - accuracy(REFERENCE)
    assert high["accuracy"] - low["accuracy"] > best
    found = against(public_table()).set_index("method")
    three = found[found.index.str.startswith("(IA)3")].sort_values("difference")
    for yardstick in ("questions_holm", "reruns_holm"):
        assert (three[yardstick] < 0.05).tolist() == [True, True, False]


def test_the_best_lora_row_is_told_from_no_row_above_it() -> None:
    found = against(public_table(), BEST_LORA).query("difference > 0")
    assert found["method"].tolist() == [LILY]
    assert (found[["questions", "reruns"]] > 0.05).all(axis=None)


def test_in_the_second_suite_full_fine_tuning_ran_fewer_steps() -> None:
    rows = image_table().set_index("method")
    assert rows["steps"].value_counts().to_dict() == {750: 30, 300: 1}
    assert rows.loc["full fine-tuning", "steps"] == 300
    assert rows.loc["full fine-tuning", "place"] == 26
