"""The study of lesson 06: what teachers and students are given, its design with fake trials, its picture, and its recorded files."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from torch import Tensor

from ftkit.experiments import benchmark
from ftkit.experiments.benchmark import FROZEN, FULL
from ftkit.experiments.tables import where
from ftkit.lessons.distillation import students, study, teachers
from ftkit.lessons.distillation import trial as distill
from ftkit.lessons.distillation.picture import Example, plain, teaching
from ftkit.lessons.distillation.study import (
    DIALS,
    DISTILLATION,
    MAIN,
    MOVED,
    TRIED_TEMPERATURES,
    best_temperature,
)
from ftkit.lessons.distillation.trial import CONTROL_ROWS, LABELS, MOST_TRANSFER, PSEUDO, TRUE
from ftkit.model.adapted import Adapted
from ftkit.panel.recorded_runs import Recorded
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.techniques.distillation import Teacher
from ftkit.techniques.stored_answers import Stored, input_keys
from ftkit.training.events import Event, unpacked

BENCHES = list(students.LABELLED)
AT = {**MAIN, "temperature": 2.0}
"""Where the made-up runs are best."""
COSTS = dict.fromkeys(
    ("trainable", "flops", "weights", "gradients", "optimizer", "activations", "disk", "seconds"),
    60.0,
)


def events(accuracy: float, test: bool) -> Iterator[Event]:
    for step in (5, 80):
        yield Event(step, "valid", {"valid/accuracy": accuracy * step / 80, "valid/loss": 1.0})
    if test:
        yield Event(80, "test", {"test/accuracy": accuracy, "test/agreement": accuracy + 0.05})
    yield Event(80, "cost", {f"cost/{name}": value for name, value in COSTS.items()})


def off(lr: float, best: float) -> float:
    return 0.05 * abs(math.log10(lr / best))


def fake_trial(
    bench: str,
    temperature: float,
    weight: float,
    transfer: int,
    body: str,
    lr: float,
    seed: int = 0,
    test: bool = False,
) -> Iterator[Event]:
    """Best at a rate of 0.1, beyond the grid; each dial that is moved costs two points, random weights twenty, mini's answers three."""
    worse = (
        0.02 * (temperature != 2.0)
        + 0.02 * (transfer != MOST_TRANSFER)
        + 0.02 * (weight != 0.9)
        + 0.2 * (body == "two random blocks")
    )
    yield from events(
        0.8 - worse - 0.03 * (bench == "library by mini") - off(lr, 0.1) + 0.001 * seed, test
    )


def fake_control(
    bench: str, method: str, lr: float, seed: int = 0, test: bool = False
) -> Iterator[Event]:
    """Labels alone ten points worse, pseudo-labels four, true labels three better."""
    worse = {LABELS: 0.1, PSEUDO: 0.04, TRUE: -0.03, FULL: 0.05, FROZEN: 0.2}[method]
    yield from events(0.8 - worse - off(lr, 0.003) + 0.001 * seed, test)


def made_up() -> pd.DataFrame:
    """The study's table, as it would be if the runs were those."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "trial", fake_trial)
        patch.setattr(study, "control", fake_control)
        return study.record(None)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


class TestTeachers:
    @pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
    def test_no_row_is_both_for_the_teacher_and_for_its_students(self, bench: str) -> None:
        task = benchmark.load_benchmark(bench)[1]
        theirs, ours = (set(input_keys(part.train).tolist()) for part in teachers.split_task(task))
        assert not theirs & ours and len(theirs) + len(ours) >= len(
            set(input_keys(task.train).tolist())
        )
        assert 0.55 < len(theirs) / (len(theirs) + len(ours)) < 0.7

    def test_which_part_a_row_is_in_does_not_depend_on_the_others(self) -> None:
        task = benchmark.load_benchmark("library")[1]
        few = task.take(300, seed=4)
        whole, some = (
            set(input_keys(teachers.split_task(t)[0].train).tolist()) for t in (task, few)
        )
        assert some == whole & set(input_keys(few.train).tolist())

    def test_a_teacher_is_made_at_its_best_rate_and_its_answers_are_found_again(
        self, tmp_path: Path, monkeypatch: Any
    ) -> None:
        how = teachers.TeacherRecipe("digits", "mini-vit", 40, (1e-9, 1e-3))
        monkeypatch.setitem(teachers.TEACHERS, "digits", how)
        path = tmp_path / "answers.safetensors"
        teachers.make_answers(path, ["digits"])
        tensors, about = teachers.read_answers(path)
        assert about["digits"]["lr"] == 1e-3 and about["digits"]["rows"] == len(
            teachers.split_task(benchmark.load_benchmark("digits")[1])[0].train
        )
        answers = Stored(tensors["digits/keys"], tensors["digits/logits"])
        for_students = teachers.split_task(benchmark.load_benchmark("digits")[1])[1]
        assert all(
            answers.knows(for_students.split(stage)).all() for stage in ("train", "valid", "test")
        )
        assert not answers.knows(
            teachers.split_task(benchmark.load_benchmark("digits")[1])[0].train
        ).any(), "it is not asked about what it has learned"
        right = (answers.logits[answers.knows(for_students.valid).sum() :].argmax(-1)).numel()
        assert right and tensors["digits/logits"].dtype == torch.float16

    def test_a_teacher_that_is_made_anew_leaves_the_others(
        self, tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.setitem(
            teachers.TEACHERS, "digits", teachers.TeacherRecipe("digits", "mini-vit", 1, (1e-3,))
        )
        path = tmp_path / "answers.safetensors"
        path.write_bytes(teachers.answers_path().read_bytes())
        teachers.make_answers(path, ["digits"])
        (before, _), (after, about) = (
            teachers.read_answers(teachers.answers_path()),
            teachers.read_answers(path),
        )
        assert about.keys() == set(BENCHES) and about["digits"]["steps"] == 1
        assert all(
            torch.equal(before[key], after[key]) for key in before if not key.startswith("digits/")
        )
        assert not torch.equal(before["digits/logits"], after["digits/logits"])

    def test_an_unknown_teacher_is_refused(self) -> None:
        with pytest.raises(
            ValueError,
            match="the teacher must be one of opening, library, library by mini, digits, got 'librari'",
        ):
            teachers.stored_answers("librari")


class TestStudents:
    @pytest.mark.parametrize("bench", ["opening", "digits"])
    def test_a_few_rows_keep_their_label_and_the_others_have_none(self, bench: str) -> None:
        data, few = (
            students.student_data(bench, 50, seed=1),
            students.student_task(bench).take(students.LABELLED[bench], 1),
        )
        labels = data.labels("train")
        assert (
            len(labels) == students.LABELLED[bench] + 50
            and (labels[students.LABELLED[bench] :] == -1).all()
        )
        assert torch.equal(labels[: students.LABELLED[bench]], few.labels("train"))
        assert (
            len(set(input_keys(data.train).tolist()))
            == len(set(input_keys(few.train).tolist())) + 50
        )

    def test_without_a_transfer_set_there_are_the_labelled_rows_alone(self) -> None:
        assert len(students.student_data("digits", 0, seed=0).train) == 40

    def test_no_row_is_one_that_the_teacher_has_learned_from(self) -> None:
        learned = set(
            input_keys(teachers.split_task(benchmark.load_benchmark("digits")[1])[0].train).tolist()
        )
        assert not learned & set(
            input_keys(students.student_data("digits", MOST_TRANSFER, 0).train).tolist()
        )

    def test_where_there_are_not_so_many_rows_all_are_given(self) -> None:
        assert len(students.student_data("digits", MOST_TRANSFER, 0).train) == len(
            students.student_task("digits").train
        )

    def test_the_same_rows_have_the_teachers_labels_or_the_true_ones(self) -> None:
        bare, hard, true = (
            students.student_data("library by mini", 60, 3, labels)
            for labels in ("none", "teacher", "true")
        )
        assert bare.train["text"][:] == hard.train["text"][:] == true.train["text"][:]
        said = students.teacher("library by mini").logits(bare.train, "docs").argmax(-1)
        assert torch.equal(hard.labels("train")[200:], said[200:]), (
            "beyond the labelled rows, the teacher's most probable class"
        )
        assert torch.equal(
            hard.labels("train")[:200], true.labels("train")[:200]
        ) and not torch.equal(said, true.labels("train"))
        known = dict(
            zip(
                input_keys(students.student_task("library").train).tolist(),
                students.student_task("library").labels("train").tolist(),
                strict=True,
            )
        )
        assert [known[key] for key in input_keys(true.train).tolist()] == true.labels(
            "train"
        ).tolist()

    def test_another_seed_draws_other_rows(self) -> None:
        one, other = (
            set(input_keys(students.student_data("digits", 20, seed).train).tolist())
            for seed in (0, 1)
        )
        assert one != other
        assert students.student_data("digits", 20, 0) is students.student_data("digits", 20, 0), (
            "read once"
        )

    @pytest.mark.parametrize(("transfer", "labels"), [(-1, "none"), (5, "soft")])
    def test_a_wrong_wish_is_refused(self, transfer: int, labels: str) -> None:
        with pytest.raises(
            ValueError, match="labels must be none, teacher or true and transfer at least 0, got"
        ):
            students.student_data("digits", transfer, 0, labels)

    def test_a_student_has_every_second_block_of_the_base_or_random_ones(self) -> None:
        base = benchmark.load_benchmark("digits")[0].state_dict()
        taught, random = (
            students.new_student("digits", body, 2).state_dict()
            for body in ("two blocks", "two random blocks")
        )
        name = "attention.q_proj.weight"
        assert torch.equal(taught[f"body.layers.1.{name}"], base[f"body.layers.2.{name}"])
        assert taught.keys() == random.keys() and not torch.equal(
            taught[f"body.layers.0.{name}"], random[f"body.layers.0.{name}"]
        )
        head, another = (
            "heads.digits.weight",
            students.new_student("digits", "two random blocks", 3).state_dict(),
        )
        assert torch.equal(taught[head], random[head]) and not torch.equal(
            taught[head], another[head]
        )
        assert not [
            key
            for key in students.new_student("digits", "one block", 2).state_dict()
            if key.startswith("body.layers.1.")
        ]
        with pytest.raises(
            ValueError,
            match="body must be one of two blocks, one block, two random blocks, got 'teacher'",
        ):
            students.new_student("digits", "teacher", 0)

    def test_marks_are_accuracy_on_all_of_test_and_agreement_where_the_teacher_has_answered(
        self, monkeypatch: Any
    ) -> None:
        task, answers = students.student_task("digits"), teachers.stored_answers("digits")
        part = Stored(input_keys(task.test)[:100], answers(task.batch("test", torch.arange(100))))
        whole, right = students.evaluate_student(
            "digits", students.new_student("digits", "two blocks", 0)
        )
        assert whole["accuracy"] == pytest.approx(right.float().mean().item()) and len(
            right
        ) == len(task.test)
        monkeypatch.setattr(students, "stored_answers", lambda bench: part)
        monkeypatch.setattr(students, "answered_rows", lambda bench, data: torch.arange(100))
        some, _ = students.evaluate_student(
            "digits", students.new_student("digits", "two blocks", 0)
        )
        assert some["accuracy"] == whole["accuracy"] and some["agreement"] != whole["agreement"]

    def test_a_model_that_is_its_teacher_has_its_marks(self) -> None:
        task, teacher = students.student_task("digits"), students.teacher("digits")
        found, _ = students.evaluate_student("digits", lambda batch: teacher(batch))  # type: ignore[arg-type]
        assert found == {
            "accuracy": pytest.approx(students.teacher_accuracies("digits")["test"]),
            "agreement": 1.0,
        }
        assert found["accuracy"] == float(
            (teacher.logits(task.test, task.name).argmax(-1) == task.labels("test")).float().mean()
        )


def ends(run: Iterator[Event], stage: str) -> dict[str, float]:
    return dict([event for event in run if event.stage == stage][-1].values)


class TestRuns:
    def test_a_run_reads_test_only_when_it_is_asked_to(self) -> None:
        stages = [
            {
                event.stage
                for event in distill.trial("digits", 4.0, 0.9, 20, "two blocks", 1e-3, test=test)
            }
            for test in (False, True)
        ]
        assert stages[1] - stages[0] == {"test"} and stages[0] == {"train", "valid", "cost"}

    def test_the_dials_reach_the_run(self) -> None:
        def losses(**moved: Any) -> list[float]:
            settings = {
                "bench": "digits",
                "temperature": 4.0,
                "weight": 0.9,
                "transfer": 20,
                "body": "two blocks",
                "lr": 1e-3,
            } | moved
            return [
                event.values["train/loss"]
                for event in distill.trial(**settings)
                if event.stage == "train"
            ]

        usual = losses()
        moved = (
            {"temperature": 1.0},
            {"weight": 0.5},
            {"transfer": 0},
            {"body": "two random blocks"},
            {"lr": 1e-2},
            {"seed": 1},
        )
        assert len(usual) == benchmark.STEPS and all(losses(**one) != usual for one in moved)

    def test_the_whole_base_and_the_student_have_bills_of_their_own(self) -> None:
        student, full, frozen = (
            ends(distill.control("digits", method, 1e-3), "cost")
            for method in (LABELS, FULL, FROZEN)
        )
        assert (
            student["cost/flops"] < 0.75 * full["cost/flops"]
            and frozen["cost/trainable"] < 0.05 * student["cost/trainable"]
        )

    def test_the_controls_have_the_rows_that_they_are_named_after(self, monkeypatch: Any) -> None:
        asked = []
        monkeypatch.setattr(
            distill,
            "student_data",
            lambda *wanted: asked.append(wanted) or students.student_data("digits", 0, 0),
        )
        for method in CONTROL_ROWS:
            next(distill.control("digits", method, 1e-3, seed=5))
        rows = {
            LABELS: (0, "none"),
            PSEUDO: (MOST_TRANSFER, "teacher"),
            TRUE: (MOST_TRANSFER, "true"),
            FULL: (0, "none"),
            FROZEN: (0, "none"),
        }
        assert dict(zip(CONTROL_ROWS, asked, strict=True)) == {
            method: ("digits", transfer, 5, of) for method, (transfer, of) in rows.items()
        }

    def test_an_unknown_control_is_refused(self) -> None:
        with pytest.raises(
            ValueError,
            match="method must be one of labels alone, pseudo-labels, .*, frozen body, got 'no labels'",
        ):
            next(distill.control("digits", "no labels", 1e-3))


class TestRecord:
    def test_a_rate_at_the_edge_of_its_grid_is_followed_until_the_best_lies_inside(
        self, table: pd.DataFrame
    ) -> None:
        ours = where(table, method=DISTILLATION, bench="opening", temperature=2.0, **MAIN)
        assert (
            set(ours[ours["quantity"] == "test/accuracy"]["lr"]) == {0.1} and ours["lr"].max() > 0.1
        )

    def test_test_is_read_once_with_every_seed_for_what_was_chosen(
        self, table: pd.DataFrame
    ) -> None:
        assert not table.drop(columns="value").duplicated().any(), "a run stands in the table once"
        read = table[table["quantity"] == "test/accuracy"].groupby(["bench", "method", *DIALS])
        assert set(read.size()) == {len(study.SEEDS)} and set(read["lr"].nunique()) == {1}
        assert len(read) == len(TRIED_TEMPERATURES) * len(BENCHES) + 3 * len(MOVED) + 3 * 5

    def test_the_temperature_is_chosen_on_valid(self, table: pd.DataFrame) -> None:
        assert {best_temperature(table, bench) for bench in BENCHES} == {2.0}
        assert best_temperature(table, "digits", among=(1.0,)) == 1.0
        main = (table["transfer"] == MAIN["transfer"]) & (table["body"] == MAIN["body"])
        elsewhere = table.assign(lr=table["lr"].where(main, 10 * table["lr"]))
        assert best_temperature(elsewhere, "digits") == 2.0, (
            "the rate that suits another position of a dial does not count"
        )
        other, hot = table.copy(), table["temperature"] == 4.0
        other.loc[hot & (other["quantity"] == "test/accuracy"), "value"] += 0.5
        assert best_temperature(other, "digits") == 2.0, "test does not count"
        other.loc[hot & (other["quantity"] == "valid/accuracy"), "value"] += 0.5
        assert best_temperature(other, "digits") == 4.0

    def test_every_stop_of_a_dial_is_recorded_on_every_task(self, table: pd.DataFrame) -> None:
        stops = {
            "temperature": distill.TEMPERATURES,
            "weight": distill.WEIGHTS,
            "transfer": distill.TRANSFER,
            "body": tuple(students.BODIES),
        }
        for bench in benchmark.BENCHMARKS:
            for dial, values in stops.items():
                assert all(
                    len(where(table, bench=bench, method=DISTILLATION, **{**AT, dial: value}))
                    for value in values
                ), (bench, dial)

    def test_the_record_is_affordable(self) -> None:
        runs: list[dict[str, Any]] = []

        def best_at(rate: Any) -> Any:
            def trial(lr: float, test: bool = False, **others: Any) -> Iterator[Event]:
                runs.append(others)
                yield from events(0.8 - off(lr, rate(others)), test)

            return trial

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(study, "trial", best_at(lambda _: study.LRS[1]))
            patch.setattr(
                study,
                "control",
                best_at(lambda others: study.CONTROL_LRS[others["method"]][1]),
            )
            study.record(None)
        assert len([run for run in runs if run.get("method") != FROZEN]) <= 680, (
            "runs that move a body, of 80 steps each"
        )

    def test_a_panel_can_stand_on_the_table(self, table: pd.DataFrame) -> None:
        recorded = Recorded(study.for_the_panel(table), method=DISTILLATION, over="transfer")
        for bench in BENCHES:
            curve = recorded.curve({**AT, "bench": bench, "lr": 3e-3})
            assert curve is not None and curve["runs"][-1] == len(study.SEEDS) // 2
            names = [point["name"] for point in recorded.points({**AT, "bench": bench, "lr": 3e-3})]
            missing = {PSEUDO} if bench == "library by mini" else set()
            assert set(names) == {DISTILLATION, *CONTROL_ROWS} - missing, (
                "two teachers of one task share the rails that need none"
            )


@pytest.fixture(scope="module")
def probes() -> dict[str, dict[str, Any]]:
    def last(bench: str) -> dict[str, Any]:
        return ends(
            distill.trial(bench, 4.0, 0.9, 0, "two blocks", 1e-3, probe=distill.probe_answers),
            "probe",
        )

    return {bench: last(bench) for bench in ("digits", "library by mini")}


class TestPicture:
    def test_a_look_gives_probabilities_of_both_and_how_often_they_agree(
        self, probes: dict[str, dict[str, float]]
    ) -> None:
        for bench, probe in probes.items():
            classes = len(students.student_task(bench).classes)
            for who in ("teacher", "student"):
                said = torch.tensor(
                    [value for key, value in probe.items() if key.startswith(f"probe/{who}/")]
                )
                assert said.shape[1] == classes
                assert len(said) == (
                    distill.TEXTS_SHOWN if bench != "digits" else distill.IMAGES_SHOWN
                )
                torch.testing.assert_close(said.sum(-1), torch.ones(len(said)))
            assert (
                0 < probe["probe/accuracy/student"] < probe["probe/accuracy/teacher"] < 1
                and 0 < probe["probe/agreement/both"] < 1
            )

    def test_the_same_sentences_are_shown_from_the_least_sure_to_the_surest(
        self, probes: dict[str, dict[str, float]]
    ) -> None:
        sure: dict[int, float] = {}
        for key, value in probes["library by mini"].items():
            if key.startswith("probe/teacher/"):
                row = int(key.split("/")[3])
                sure[row] = max(value)
        assert list(sure) == distill.rows_to_show("library by mini", torch.zeros(400, 8))
        assert (
            list(sure.values()) == sorted(sure.values())
            and next(iter(sure.values())) < 0.6 < list(sure.values())[-1]
        )

    def test_the_images_that_the_student_gets_wrong_come_first(self) -> None:
        seen = students.probe_rows("digits")
        said = torch.nn.functional.one_hot(seen.labels, 10).float()
        said[[7, 150]] = said[[7, 150]].roll(1, dims=-1)
        assert distill.rows_to_show("digits", said)[:3] == [7, 150, 0]

    def test_the_sentence_stands_over_its_bars(self, probes: dict[str, dict[str, float]]) -> None:
        examples = {"library by mini": distill.examples("library by mini")}
        figure = go.Figure(teaching(probes["library by mini"], examples))
        probe, first = (
            probes["library by mini"],
            distill.rows_to_show("library by mini", torch.zeros(400, 8))[0],
        )
        titles = [note.text for note in figure.layout.annotations]
        assert (
            plain(str(examples["library by mini"][first].content)) in titles
            and "the same answer" in titles[0]
        )
        teacher, student = figure.data[:2]
        assert len(teacher.y) == len(student.y) == 8
        assert list(teacher.y) == probe[f"probe/teacher/library by mini/{first}"]
        assert list(student.y) == probe[f"probe/student/library by mini/{first}"]
        label = examples["library by mini"][first].label
        assert [text.startswith("<b>") for text in figure.layout.xaxis.ticktext] == [
            i == label for i in range(8)
        ]
        assert len(figure.data) == 2 * distill.TEXTS_SHOWN

    def test_a_wrong_digit_is_marked(self) -> None:
        image = [[0.0, 1.0], [0.5, 0.0]]
        classes = tuple("0123456789")
        values = {
            f"probe/{who}/digits/0": [0.91 if i == said else 0.01 for i in range(10)]
            for who, said in (("teacher", 3), ("student", 8))
        }
        figure = go.Figure(teaching(values, {"digits": [Example(image, 3, classes)]}))
        words = figure.layout.annotations[1].text
        assert words.startswith("teacher: 3 (91%)<br><span") and "✗ student: 8 (91%), is 3" in words
        assert [list(line) for line in figure.data[0].z] == image

    def test_text_from_data_is_shown_and_not_obeyed(self) -> None:
        nasty = Example("<script>alert(1)</script> costs $5$ & more", 0, ("<i>a</i>", "b"))
        values = {"probe/teacher/x/0": [1.0, 0.0], "probe/student/x/0": [1.0, 0.0]}
        figure = json.dumps(teaching(values, {"x": [nasty]}))
        assert (
            "<script>" not in figure
            and "&lt;script&gt;" in figure
            and "$5" not in figure
            and "<i>" not in figure
        )

    def test_the_picture_of_a_run_that_has_not_begun_is_empty(self) -> None:
        assert not go.Figure(teaching({}, {})).data


class TestShipped:
    """The files that come with the kit."""

    def test_the_answers_are_small_and_finite(self) -> None:
        tensors, about = teachers.read_answers(teachers.answers_path())
        assert teachers.answers_path().stat().st_size < 600_000 and about.keys() == set(BENCHES)
        assert all(tensors[f"{bench}/logits"].isfinite().all() for bench in BENCHES)

    def test_every_teacher_knows_more_than_the_most_frequent_answer(self) -> None:
        for bench in BENCHES:
            task = students.student_task(bench)
            floor = float(task.labels("valid").bincount().max()) / len(task.valid)
            assert students.teacher_accuracies(bench)["valid"] > floor + 0.05, bench

    def test_most_rows_of_the_installed_libraries_have_an_answer(self) -> None:
        for bench in BENCHES:
            whole = teachers.split_task(
                benchmark.load_benchmark(teachers.TEACHERS[bench].bench)[1]
            )[1]
            assert all(
                len(teachers.answered_rows(bench, whole.split(stage)))
                > 0.9 * len(whole.split(stage))
                for stage in ("train", "valid", "test")
            )

    def test_the_teachers_answers_stand_in_the_right_rows(self) -> None:
        task, said = students.student_task("digits"), Teacher(teachers.stored_answers("digits"))
        right: Tensor = said.logits(task.train, task.name).argmax(-1) == task.labels("train")
        assert right.float().mean() > 0.8

    def test_every_recorded_rate_lies_inside_its_grid(self) -> None:
        table, about = read_table(kit_path("data", "results", "06_distillation.parquet"))
        assert about["seeds"] == list(study.SEEDS) and about["command"] == "make results LESSON=06"
        read = table[table["quantity"] == "test/accuracy"]
        for bench, method, *dials in (
            read[["bench", "method", *DIALS]].drop_duplicates().itertuples(index=False)
        ):
            own = where(table, bench=bench, method=method, **dict(zip(DIALS, dials, strict=True)))
            (lr,) = set(own[own["quantity"] == "test/accuracy"]["lr"])
            assert own["lr"].min() < lr < own["lr"].max(), (bench, method, dials)
        assert about["fingerprints"]["digits"] == benchmark.load_benchmark("digits")[
            1
        ].fingerprint and about["teachers"].keys() == set(BENCHES)

    def test_every_teachers_rate_lies_inside_its_grid(self) -> None:
        for name, how in teachers.read_answers(teachers.answers_path())[1].items():
            assert min(how["lrs"]) < how["lr"] < max(how["lrs"]), name


def test_a_student_of_the_kit_agrees_with_the_run_it_came_from() -> None:
    model = Adapted(students.new_student("digits", "two blocks", 0))
    list(
        distill.train_model(
            model, students.student_data("digits", 0, 0), 1e-3, 0, distill.supervised
        )
    )
    found, right = students.evaluate_student("digits", model.net)
    told = distill.tested("digits", model)
    assert told.values == {f"test/{name}": value for name, value in found.items()}
    assert unpacked(told.items["test/accuracy"]).tolist() == right.tolist()
