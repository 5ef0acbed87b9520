"""The study of lesson 06: teachers, students, design (with fake trials), picture, shipped files."""

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
from ftkit.techniques.stored_answers import Stored, input_keys
from ftkit.training.events import Event, unpacked

BENCHES = list(students.LABELLED)
AT = {**MAIN, "temperature": 2.0}
"""The settings at which the made-up runs are best."""
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
    """Run a fake that is best at a learning rate of 0.1, outside the grid.

    Each changed setting costs two points, random weights twenty, mini as the teacher three.
    """
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
    """Run a fake: labels alone ten points worse, pseudo-labels four, true labels three better."""
    worse = {LABELS: 0.1, PSEUDO: 0.04, TRUE: -0.03, FULL: 0.05, FROZEN: 0.2}[method]
    yield from events(0.8 - worse - off(lr, 0.003) + 0.001 * seed, test)


def made_up() -> pd.DataFrame:
    """Return the table of the study, made of fake runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "trial", fake_trial)
        patch.setattr(study, "control", fake_control)
        return study.record(None)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return made_up()


def keys_of(task: Any) -> set[int]:
    """Return the keys of the training rows of a task."""
    return set(input_keys(task.train).tolist())


class TestTeachers:
    @pytest.mark.parametrize("bench", list(benchmark.BENCHMARKS))
    def test_teacher_and_students_share_no_row(self, bench: str) -> None:
        task = benchmark.load_benchmark(bench)[1]
        teachers_keys, students_keys = (keys_of(part) for part in teachers.split_task(task))
        assert not teachers_keys & students_keys
        together = len(teachers_keys) + len(students_keys)
        assert together >= len(keys_of(task))
        assert 0.55 < len(teachers_keys) / together < 0.7

    def test_the_part_of_a_row_does_not_depend_on_the_other_rows(self) -> None:
        task = benchmark.load_benchmark("library")[1]
        few = task.take(300, seed=4)
        of_all, of_few = (keys_of(teachers.split_task(part)[0]) for part in (task, few))
        assert of_few == of_all & keys_of(few)

    def test_a_teacher_has_its_best_learning_rate_and_answers_that_can_be_looked_up(
        self, tmp_path: Path, monkeypatch: Any
    ) -> None:
        recipe = teachers.TeacherRecipe("digits", "mini-vit", 40, (1e-9, 1e-3))
        monkeypatch.setitem(teachers.TEACHERS, "digits", recipe)
        path = tmp_path / "answers.safetensors"
        teachers.make_answers(path, ["digits"])
        tensors, about = teachers.read_answers(path)
        for_teacher, for_students = teachers.split_task(benchmark.load_benchmark("digits")[1])
        assert about["digits"]["lr"] == 1e-3
        assert about["digits"]["rows"] == len(for_teacher.train)
        answers = Stored(tensors["digits/keys"], tensors["digits/logits"])
        for stage in ("train", "valid", "test"):
            assert answers.knows(for_students.split(stage)).all()
        assert not answers.knows(for_teacher.train).any(), (
            "the teacher answers none of its own training rows"
        )
        assert len(answers.logits) > answers.knows(for_students.valid).sum()
        assert tensors["digits/logits"].dtype == torch.float16

    def test_a_teacher_that_is_trained_again_leaves_the_others(
        self, tmp_path: Path, monkeypatch: Any
    ) -> None:
        recipe = teachers.TeacherRecipe("digits", "mini-vit", 1, (1e-3,))
        monkeypatch.setitem(teachers.TEACHERS, "digits", recipe)
        path = tmp_path / "answers.safetensors"
        path.write_bytes(teachers.answers_path().read_bytes())
        teachers.make_answers(path, ["digits"])
        before, _ = teachers.read_answers(teachers.answers_path())
        after, about = teachers.read_answers(path)
        assert about.keys() == set(BENCHES)
        assert about["digits"]["steps"] == 1
        others = [key for key in before if not key.startswith("digits/")]
        assert all(torch.equal(before[key], after[key]) for key in others)
        assert not torch.equal(before["digits/logits"], after["digits/logits"])

    def test_an_unknown_teacher_is_refused(self) -> None:
        with pytest.raises(
            ValueError,
            match="the teacher must be one of opening, library, library by mini, digits, "
            "got 'librari'",
        ):
            teachers.stored_answers("librari")


class TestStudents:
    @pytest.mark.parametrize("bench", ["opening", "digits"])
    def test_a_few_rows_keep_their_label_and_the_others_have_none(self, bench: str) -> None:
        count = students.LABELLED[bench]
        data = students.student_data(bench, 50, seed=1)
        few = students.student_task(bench).take(count, 1)
        labels = data.labels("train")
        assert len(labels) == count + 50
        assert (labels[count:] == -1).all()
        assert torch.equal(labels[:count], few.labels("train"))
        assert len(keys_of(data)) == len(keys_of(few)) + 50

    def test_without_a_transfer_set_there_are_the_labelled_rows_alone(self) -> None:
        assert len(students.student_data("digits", 0, seed=0).train) == 40

    def test_the_teacher_was_trained_on_none_of_the_rows(self) -> None:
        for_teacher, _ = teachers.split_task(benchmark.load_benchmark("digits")[1])
        data = students.student_data("digits", MOST_TRANSFER, 0)
        assert not keys_of(for_teacher) & keys_of(data)

    def test_with_fewer_rows_than_asked_for_all_are_used(self) -> None:
        data = students.student_data("digits", MOST_TRANSFER, 0)
        assert len(data.train) == len(students.student_task("digits").train)

    def test_the_same_rows_have_the_teachers_labels_or_the_true_ones(self) -> None:
        unlabelled, pseudo, true = (
            students.student_data("library by mini", 60, 3, labels)
            for labels in ("none", "teacher", "true")
        )
        texts = unlabelled.train["text"][:]
        assert texts == pseudo.train["text"][:] == true.train["text"][:]
        logits = students.teacher("library by mini").logits(unlabelled.train, "docs")
        answers = logits.argmax(-1)
        pseudo_labels, true_labels = pseudo.labels("train"), true.labels("train")
        assert torch.equal(pseudo_labels[200:], answers[200:]), (
            "after the labelled rows, the teacher's most probable class"
        )
        assert torch.equal(pseudo_labels[:200], true_labels[:200])
        assert not torch.equal(answers, true_labels)
        task = students.student_task("library")
        keys, labels = input_keys(task.train).tolist(), task.labels("train").tolist()
        label_of = dict(zip(keys, labels, strict=True))
        assert [label_of[key] for key in input_keys(true.train).tolist()] == true_labels.tolist()

    def test_another_seed_draws_other_rows(self) -> None:
        one, other, again = (students.student_data("digits", 20, seed) for seed in (0, 1, 0))
        assert keys_of(one) != keys_of(other)
        assert one is again, "the result is cached"

    @pytest.mark.parametrize(("transfer", "labels"), [(-1, "none"), (5, "soft")])
    def test_wrong_arguments_are_refused(self, transfer: int, labels: str) -> None:
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
        assert taught.keys() == random.keys()
        lowest = f"body.layers.0.{name}"
        assert not torch.equal(taught[lowest], random[lowest])
        another_seed = students.new_student("digits", "two random blocks", 3).state_dict()
        head = "heads.digits.weight"
        assert torch.equal(taught[head], random[head])
        assert not torch.equal(taught[head], another_seed[head])
        one_block = students.new_student("digits", "one block", 2).state_dict()
        assert not [key for key in one_block if key.startswith("body.layers.1.")]
        with pytest.raises(
            ValueError,
            match="body must be one of two blocks, one block, two random blocks, got 'teacher'",
        ):
            students.new_student("digits", "teacher", 0)

    def test_accuracy_is_on_all_of_test_and_agreement_on_the_answered_rows(
        self, monkeypatch: Any
    ) -> None:
        task, answers = students.student_task("digits"), teachers.stored_answers("digits")
        part = Stored(input_keys(task.test)[:100], answers(task.batch("test", torch.arange(100))))
        student = students.new_student("digits", "two blocks", 0)
        scores, right = students.evaluate_student("digits", student)
        assert scores["accuracy"] == pytest.approx(right.float().mean().item())
        assert len(right) == len(task.test)
        monkeypatch.setattr(students, "stored_answers", lambda bench: part)
        monkeypatch.setattr(students, "answered_rows", lambda bench, data: torch.arange(100))
        on_part, _ = students.evaluate_student("digits", student)
        assert on_part["accuracy"] == scores["accuracy"]
        assert on_part["agreement"] != scores["agreement"]

    def test_a_model_that_is_its_teacher_has_its_accuracy(self) -> None:
        task, teacher = students.student_task("digits"), students.teacher("digits")

        def model(batch: Any) -> Any:
            return teacher(batch)

        scores, _ = students.evaluate_student("digits", model)  # type: ignore[arg-type]
        accuracy = students.teacher_accuracies("digits")["test"]
        assert scores == {"accuracy": pytest.approx(accuracy), "agreement": 1.0}
        right = teacher.logits(task.test, task.name).argmax(-1) == task.labels("test")
        assert scores["accuracy"] == float(right.float().mean())


def ends(run: Iterator[Event], stage: str) -> dict[str, Any]:
    """Return the values of the last event of a stage."""
    return dict([event for event in run if event.stage == stage][-1].values)


class TestRuns:
    def test_a_run_is_evaluated_on_test_only_when_asked(self) -> None:
        without, with_test = (
            {
                event.stage
                for event in distill.trial("digits", 4.0, 0.9, 20, "two blocks", 1e-3, test=test)
            }
            for test in (False, True)
        )
        assert without == {"train", "valid", "cost"}
        assert with_test - without == {"test"}

    def test_every_setting_changes_the_run(self) -> None:
        usual_settings = {
            "bench": "digits",
            "temperature": 4.0,
            "weight": 0.9,
            "transfer": 20,
            "body": "two blocks",
            "lr": 1e-3,
        }

        def losses(**changed: Any) -> list[float]:
            run = distill.trial(**{**usual_settings, **changed})
            return [event.values["train/loss"] for event in run if event.stage == "train"]

        usual = losses()
        changes = (
            {"temperature": 1.0},
            {"weight": 0.5},
            {"transfer": 0},
            {"body": "two random blocks"},
            {"lr": 1e-2},
            {"seed": 1},
        )
        assert len(usual) == benchmark.STEPS
        assert all(losses(**change) != usual for change in changes)

    def test_the_full_model_and_the_student_have_their_own_costs(self) -> None:
        student, full, frozen = (
            ends(distill.control("digits", method, 1e-3), "cost")
            for method in (LABELS, FULL, FROZEN)
        )
        assert student["cost/flops"] < 0.75 * full["cost/flops"]
        assert frozen["cost/trainable"] < 0.05 * student["cost/trainable"]

    def test_the_controls_have_the_rows_of_their_name(self, monkeypatch: Any) -> None:
        calls = []

        def fake_student_data(*arguments: Any) -> Any:
            calls.append(arguments)
            return students.student_data("digits", 0, 0)

        monkeypatch.setattr(distill, "student_data", fake_student_data)
        for method in CONTROL_ROWS:
            next(distill.control("digits", method, 1e-3, seed=5))
        rows = {
            LABELS: (0, "none"),
            PSEUDO: (MOST_TRANSFER, "teacher"),
            TRUE: (MOST_TRANSFER, "true"),
            FULL: (0, "none"),
            FROZEN: (0, "none"),
        }
        assert dict(zip(CONTROL_ROWS, calls, strict=True)) == {
            method: ("digits", transfer, 5, labels) for method, (transfer, labels) in rows.items()
        }

    def test_an_unknown_control_is_refused(self) -> None:
        with pytest.raises(
            ValueError,
            match="method must be one of labels alone, pseudo-labels, .*, frozen body, "
            "got 'no labels'",
        ):
            next(distill.control("digits", "no labels", 1e-3))


class TestRecord:
    def test_the_grid_is_widened_until_the_best_learning_rate_is_inside(
        self, table: pd.DataFrame
    ) -> None:
        runs = where(table, method=DISTILLATION, bench="opening", temperature=2.0, **MAIN)
        assert set(where(runs, quantity="test/accuracy")["lr"]) == {0.1}
        assert runs["lr"].max() > 0.1

    def test_chosen_rates_are_evaluated_on_test_once_with_every_seed(
        self, table: pd.DataFrame
    ) -> None:
        assert not table.drop(columns="value").duplicated().any(), "each run is in the table once"
        on_test = table[table["quantity"] == "test/accuracy"]
        cells = on_test.groupby(["bench", "method", *DIALS])
        assert set(cells.size()) == {len(study.SEEDS)}
        assert set(cells["lr"].nunique()) == {1}
        assert len(cells) == len(TRIED_TEMPERATURES) * len(BENCHES) + 3 * len(MOVED) + 3 * 5

    def test_the_temperature_is_chosen_on_valid(self, table: pd.DataFrame) -> None:
        assert {best_temperature(table, bench) for bench in BENCHES} == {2.0}
        assert best_temperature(table, "digits", among=(1.0,)) == 1.0
        main = (table["transfer"] == MAIN["transfer"]) & (table["body"] == MAIN["body"])
        elsewhere = table.assign(lr=table["lr"].where(main, 10 * table["lr"]))
        assert best_temperature(elsewhere, "digits") == 2.0, (
            "the learning rate of another setting does not count"
        )
        better, is_4 = table.copy(), table["temperature"] == 4.0
        better.loc[is_4 & (better["quantity"] == "test/accuracy"), "value"] += 0.5
        assert best_temperature(better, "digits") == 2.0, "test does not count"
        better.loc[is_4 & (better["quantity"] == "valid/accuracy"), "value"] += 0.5
        assert best_temperature(better, "digits") == 4.0

    def test_every_value_of_a_dial_is_recorded_on_every_task(self, table: pd.DataFrame) -> None:
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
            middle_of_grid = best_at(lambda others: study.CONTROL_LRS[others["method"]][1])
            patch.setattr(study, "control", middle_of_grid)
            study.record(None)
        training_a_body = [run for run in runs if run.get("method") != FROZEN]
        assert len(training_a_body) <= 680, "runs of 80 steps"

    def test_the_panel_can_use_the_table(self, table: pd.DataFrame) -> None:
        recorded = Recorded(study.for_the_panel(table), method=DISTILLATION, over="transfer")
        for bench in BENCHES:
            curve = recorded.curve({**AT, "bench": bench, "lr": 3e-3})
            assert curve is not None and curve["runs"][-1] == len(study.SEEDS) // 2
            names = [point["name"] for point in recorded.points({**AT, "bench": bench, "lr": 3e-3})]
            missing = {PSEUDO} if bench == "library by mini" else set()
            assert set(names) == {DISTILLATION, *CONTROL_ROWS} - missing, (
                "two teachers of one task share the controls that need no teacher"
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
    def test_a_probe_has_the_probabilities_of_both_and_their_agreement(
        self, probes: dict[str, dict[str, Any]]
    ) -> None:
        for bench, probe in probes.items():
            classes = len(students.student_task(bench).classes)
            count = distill.IMAGES_SHOWN if bench == "digits" else distill.TEXTS_SHOWN
            for model in ("teacher", "student"):
                prefix = f"probe/{model}/"
                probabilities = torch.tensor(
                    [value for key, value in probe.items() if key.startswith(prefix)]
                )
                assert probabilities.shape == (count, classes)
                torch.testing.assert_close(probabilities.sum(-1), torch.ones(count))
            assert 0 < probe["probe/accuracy/student"] < probe["probe/accuracy/teacher"] < 1
            assert 0 < probe["probe/agreement/both"] < 1

    def test_the_same_sentences_are_shown_from_the_least_to_the_most_certain(
        self, probes: dict[str, dict[str, Any]]
    ) -> None:
        confidence_by_row = {
            int(key.split("/")[3]): max(probabilities)
            for key, probabilities in probes["library by mini"].items()
            if key.startswith("probe/teacher/")
        }
        rows = distill.rows_to_show("library by mini", torch.zeros(400, 8))
        assert list(confidence_by_row) == rows
        confidences = list(confidence_by_row.values())
        assert confidences == sorted(confidences)
        assert confidences[0] < 0.6 < confidences[-1]

    def test_the_images_that_the_student_gets_wrong_come_first(self) -> None:
        labels = students.probe_rows("digits").labels
        logits = torch.nn.functional.one_hot(labels, 10).float()
        logits[[7, 150]] = logits[[7, 150]].roll(1, dims=-1)
        assert distill.rows_to_show("digits", logits)[:3] == [7, 150, 0]

    def test_a_sentence_is_shown_above_its_bars(self, probes: dict[str, dict[str, Any]]) -> None:
        bench = "library by mini"
        probe, examples = probes[bench], distill.examples(bench)
        figure = go.Figure(teaching(probe, {bench: examples}))
        first = distill.rows_to_show(bench, torch.zeros(400, 8))[0]
        titles = [note.text for note in figure.layout.annotations]
        assert plain(str(examples[first].content)) in titles
        assert "the same answer" in titles[0]
        teacher, student = figure.data[:2]
        assert len(teacher.y) == len(student.y) == 8
        assert list(teacher.y) == probe[f"probe/teacher/{bench}/{first}"]
        assert list(student.y) == probe[f"probe/student/{bench}/{first}"]
        is_bold = [text.startswith("<b>") for text in figure.layout.xaxis.ticktext]
        assert is_bold == [i == examples[first].label for i in range(8)]
        assert len(figure.data) == 2 * distill.TEXTS_SHOWN

    def test_a_wrong_digit_is_marked(self) -> None:
        image = [[0.0, 1.0], [0.5, 0.0]]
        classes = tuple("0123456789")
        values = {
            f"probe/{model}/digits/0": [0.91 if i == answer else 0.01 for i in range(10)]
            for model, answer in (("teacher", 3), ("student", 8))
        }
        figure = go.Figure(teaching(values, {"digits": [Example(image, 3, classes)]}))
        words = figure.layout.annotations[1].text
        assert words.startswith("teacher: 3 (91%)<br><span")
        assert "✗ student: 8 (91%), is 3" in words
        assert [list(line) for line in figure.data[0].z] == image

    def test_markup_in_the_data_is_escaped(self) -> None:
        example = Example("<script>alert(1)</script> costs $5$ & more", 0, ("<i>a</i>", "b"))
        values = {"probe/teacher/x/0": [1.0, 0.0], "probe/student/x/0": [1.0, 0.0]}
        figure = json.dumps(teaching(values, {"x": [example]}))
        assert "&lt;script&gt;" in figure
        for markup in ("<script>", "$5", "<i>"):
            assert markup not in figure

    def test_the_picture_without_values_is_empty(self) -> None:
        assert not go.Figure(teaching({}, {})).data


class TestShipped:
    """The files that come with the kit."""

    def test_the_answers_are_small_and_finite(self) -> None:
        tensors, about = teachers.read_answers(teachers.answers_path())
        assert teachers.answers_path().stat().st_size < 600_000 and about.keys() == set(BENCHES)
        assert all(tensors[f"{bench}/logits"].isfinite().all() for bench in BENCHES)

    def test_every_teacher_beats_the_majority_class_baseline(self) -> None:
        for bench in BENCHES:
            task = students.student_task(bench)
            baseline = float(task.labels("valid").bincount().max()) / len(task.valid)
            assert students.teacher_accuracies(bench)["valid"] > baseline + 0.05, bench

    def test_most_rows_of_the_installed_libraries_have_an_answer(self) -> None:
        for bench in BENCHES:
            _, task = benchmark.load_benchmark(teachers.TEACHERS[bench].bench)
            _, for_students = teachers.split_task(task)
            for stage in ("train", "valid", "test"):
                data = for_students.split(stage)
                assert len(teachers.answered_rows(bench, data)) > 0.9 * len(data)

    def test_the_teachers_answers_belong_to_the_right_rows(self) -> None:
        task, teacher = students.student_task("digits"), students.teacher("digits")
        right: Tensor = teacher.logits(task.train, task.name).argmax(-1) == task.labels("train")
        assert right.float().mean() > 0.8

    def test_every_recorded_learning_rate_is_inside_its_grid(self) -> None:
        table, about = read_table(kit_path("data", "results", "06_distillation.parquet"))
        assert about["seeds"] == list(study.SEEDS) and about["command"] == "make results LESSON=06"
        on_test = table[table["quantity"] == "test/accuracy"]
        names = ["bench", "method", *DIALS]
        for values in on_test[names].drop_duplicates().itertuples(index=False):
            runs = where(table, **dict(zip(names, values, strict=True)))
            (lr,) = set(where(runs, quantity="test/accuracy")["lr"])
            assert runs["lr"].min() < lr < runs["lr"].max(), values
        fingerprint = benchmark.load_benchmark("digits")[1].fingerprint
        assert about["fingerprints"]["digits"] == fingerprint
        assert about["teachers"].keys() == set(BENCHES)

    def test_every_teachers_learning_rate_is_inside_its_grid(self) -> None:
        for name, how in teachers.read_answers(teachers.answers_path())[1].items():
            assert min(how["lrs"]) < how["lr"] < max(how["lrs"]), name


def test_the_test_event_has_the_evaluation_of_the_student() -> None:
    model = Adapted(students.new_student("digits", "two blocks", 0))
    data = students.student_data("digits", 0, 0)
    list(distill.train_model(model, data, 1e-3, 0, distill.supervised))
    scores, right = students.evaluate_student("digits", model.net)
    event = distill.tested("digits", model)
    assert event.values == {f"test/{name}": value for name, value in scores.items()}
    assert unpacked(event.items["test/accuracy"]).tolist() == right.tolist()
