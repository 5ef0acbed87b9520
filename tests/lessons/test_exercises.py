"""Every exercise refuses wrong answers in words that name the mistake, and accepts right ones."""

import contextlib
import itertools
import json
import re
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lessons.answers import RIGHT, WRONG, right_answers, tally_of, wrong_answers
from torch import nn

import ftkit
from ftkit.lessons import Lesson, lessons
from ftkit.lessons.lora import exercises as check
from ftkit.lessons.lora.exercises import fair_comparison as fair
from ftkit.teaching import exercise as exercise_module
from ftkit.teaching import hint
from ftkit.teaching import learner_code as learner
from ftkit.teaching.exercise import Exercise, Result, exercise
from ftkit.teaching.learner_code import is_stub

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
OURS = str(Path(ftkit.__file__).parent)
EXERCISES = [
    getattr(lesson.exercises, name)
    for lesson in lessons().values()
    if lesson.exercises
    for name in lesson.exercises.__all__
]


def named(name: str) -> Exercise:
    return next(of for of in EXERCISES if of.__name__ == name)


def first_right(of: Exercise) -> Any:
    return next(iter(RIGHT[of.__name__].values()))


@pytest.mark.parametrize(
    ("name", "_", "answer", "words"),
    wrong_answers(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_answer_is_refused_in_words_that_name_the_mistake(
    name: str, _: str, answer: Any, words: str
) -> None:
    result = named(name)(answer)
    assert not result and result.kind == "no"
    assert words in repr(result)
    assert OURS not in repr(result) and "Traceback" not in repr(result)


@pytest.mark.parametrize(
    ("name", "_", "answer"),
    right_answers(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_right_answer_is_accepted_however_it_is_written(name: str, _: str, answer: Any) -> None:
    result = named(name)(answer)
    assert result and "passed" in repr(result), repr(result)


def test_tried_and_caught() -> None:
    outcomes = {
        name: {
            "wrong": [
                not named(name)(answer) and words in repr(named(name)(answer))
                for answer, words in WRONG[name].values()
            ],
            "right": [bool(named(name)(answer)) for answer in RIGHT[name].values()],
        }
        for name in WRONG
    }
    print("\n" + tally_of(outcomes))
    assert sorted(outcomes) == sorted(of.__name__ for of in EXERCISES), (
        "every exercise, under a name of its own"
    )
    for seen in outcomes.values():
        assert len(seen["wrong"]) >= 5 and all(seen["wrong"])
        assert len(seen["right"]) >= 2 and all(seen["right"])


def test_every_way_to_read_the_tables_gives_other_numbers() -> None:
    ways = {
        words: [np.array(list(read(*case.given).values())) for case in fair.TABLES]
        for words, read in fair.MISREADINGS.items()
    }
    ways["right"] = [
        np.array(list(fair.tuned_scores(*case.given).values())) for case in fair.TABLES
    ]
    for one, other in itertools.combinations(ways, 2):
        differences = [np.abs(a - b).max() for a, b in zip(ways[one], ways[other], strict=True)]
        assert max(differences) > 5e-3, (one, other)


@pytest.mark.parametrize("of", EXERCISES, ids=lambda of: of.__name__)
def test_the_solution_passes(of: Exercise) -> None:
    names: dict[str, Any] = {"torch": torch, "nn": nn}
    exec(of.solution, names)
    assert of(names["LoRAEmbedding" if of is check.lora_embedding else of.__name__])


@pytest.mark.parametrize("of", EXERCISES, ids=lambda of: of.__name__)
def test_each_exercise_has_a_ladder_and_is_quick(of: Exercise) -> None:
    assert len(of.hints) >= 3 and of.__doc__ and of.__doc__.startswith("`yours")
    start = time.perf_counter()
    of(first_right(of))
    assert time.perf_counter() - start < 3


RISING = [lesson for lesson in lessons().values() if lesson.exercises]


@pytest.mark.parametrize("lesson", RISING, ids=lambda lesson: lesson.name)
def test_the_exercises_rise(lesson: Lesson) -> None:
    """In the notebook's order, no exercise is easier than the one before it."""
    order = [getattr(lesson.exercises, name) for name in asked_in(lesson)]
    assert sorted(of.__name__ for of in order) == sorted(lesson.exercises.__all__)
    assert [of.difficulty for of in order] == sorted(of.difficulty for of in order)
    pinned = import_module(f"lessons.{lesson.folder}.wrong_answers").RISING
    assert [(of.__name__, (of.difficulty, of.minutes)) for of in order] == list(pinned.items())


def asked_in(lesson: Lesson) -> list[str]:
    """Return the exercises of a lesson in the order in which its notebook checks them."""
    cells = json.loads((NOTEBOOKS / f"{lesson.name}.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return list(dict.fromkeys(re.findall(r"^check\.(\w+)\(", code, re.MULTILINE)))


def raises(weight: Any, a: Any, b: Any, alpha: Any) -> Any:
    raise NotImplementedError("write me")


def only_dots(weight: Any, a: Any, b: Any, alpha: Any) -> Any: ...


def only_pass(weight: Any, a: Any, b: Any, alpha: Any) -> Any:
    """Merges."""


def returns_dots(weight: Any, a: Any, b: Any, alpha: Any) -> Any:
    return ...


class Untouched(nn.Module):
    pass


class StubMethods(nn.Module):
    def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, ids: Any) -> Any:
        raise NotImplementedError


class StubForward(nn.Module):
    def __init__(self, embedding: Any, rank: int, alpha: float) -> None:
        super().__init__()

    def forward(self, ids: Any) -> Any: ...


@pytest.mark.parametrize(
    "stub",
    [raises, only_dots, only_pass, returns_dots, ..., lambda *_: None, torch.no_grad()(only_dots)],
)
def test_a_stub_is_not_attempted_yet(stub: Any) -> None:
    result = check.merge(stub)
    assert not result and result.kind == "open"
    assert "not attempted yet" in repr(result) and "hint(check.merge)" in repr(result)


@pytest.mark.parametrize("stub", [Untouched, StubMethods, StubForward])
def test_a_stub_of_a_class_is_not_attempted_yet(stub: Any) -> None:
    assert "not attempted yet" in repr(check.lora_embedding(stub))


def test_what_computes_something_is_no_stub() -> None:
    assert is_stub(lambda x: None) and is_stub(lambda x: ...)
    assert not is_stub(lambda x: 1) and not is_stub(lambda x: x) and not is_stub(len)
    assert not is_stub(check.merge._check)


def helper_that_fails(x: Any) -> Any:
    return x.no_such_method()


def fails_below(weight: Any, a: Any, b: Any, alpha: Any) -> Any:
    return helper_that_fails(weight)


def fails_in_torch(weight: Any, a: Any, b: Any, alpha: Any) -> Any:
    return nn.functional.layer_norm(weight, [3])


def test_an_error_names_the_learners_own_line_and_no_other() -> None:
    first = check.merge(fails_below)
    assert "AttributeError: 'Tensor' object has no attribute 'no_such_method'" in first.words
    assert (
        first.code
        == f"line {helper_that_fails.__code__.co_firstlineno + 1}: return x.no_such_method()"
    )
    assert check.merge(fails_in_torch).code.endswith("return nn.functional.layer_norm(weight, [3])")
    for result in (first, check.merge(fails_in_torch)):
        assert not re.search(r"File \"|Traceback|exercises|\.py", repr(result))


def test_an_error_of_torch_that_says_not_implemented_is_no_stub() -> None:
    class NoForward(nn.Module):
        def __init__(self) -> None:
            super().__init__()

    assert "raised NotImplementedError" in repr(check.merge(NoForward))


def test_what_a_learner_raises_is_escaped_and_cut() -> None:
    def attack(shapes: Any, rank: int) -> int:
        raise ValueError("<script>alert(1)</script>" + "x" * 1000)

    page = check.trainable_parameters(attack)._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert len(check.trainable_parameters(attack).words) < 400

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def broken(shapes: Any, rank: int) -> int:
        raise Broken

    assert check.trainable_parameters(broken).words == "Your code raised Broken"


def test_keys_and_types_of_the_learner_are_escaped() -> None:
    page = check.tuned(
        lambda table: {"<img src=x>": 1.0} | dict.fromkeys(table["method"], 0.5)
    )._repr_html_()
    assert "<img" not in page and "&lt;img" in page


def test_an_exit_is_words_and_an_interrupt_stays_one() -> None:
    def leaves(shapes: Any, rank: int) -> int:
        raise SystemExit

    def interrupted(shapes: Any, rank: int) -> int:
        raise KeyboardInterrupt

    assert "raised SystemExit" in repr(check.trainable_parameters(leaves))
    with pytest.raises(KeyboardInterrupt):
        check.trainable_parameters(interrupted)


def test_a_loop_without_an_end_is_stopped_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def turns(shapes: Any, rank: int) -> int:
        total = 0
        while shapes:
            with contextlib.suppress(Exception):
                total += rank
        return total

    monkeypatch.setattr(exercise_module, "SECONDS", 0.2)
    result = check.trainable_parameters(turns)
    assert "still running after 0.2 seconds" in result.words
    assert re.match(r"line \d+: (while shapes:|total \+= rank|with )", result.code)
    time.sleep(0.3)  # nothing is raised after the end
    assert check.trainable_parameters(lambda shapes, rank: rank * sum(map(sum, shapes)))


def test_a_timer_that_fires_too_late_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fire = []

    class Late:
        def __init__(self, seconds: float, stop: Any) -> None:
            fire.append(stop)

        def start(self) -> None: ...

        def cancel(self) -> None: ...

    monkeypatch.setattr(learner.threading, "Timer", Late)
    with pytest.raises(learner.TooLong), learner.time_limit(1):
        fire[0]()
    fire[0]()
    sum(range(10))


def test_checks_leave_the_random_numbers_of_the_notebook_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    for of in EXERCISES:
        assert of(first_right(of))
    assert torch.equal(torch.rand(2), wanted)


@pytest.fixture
def ladder() -> Exercise:
    def check(yours: Any) -> str:
        """`yours(x)` is <one>."""
        return "so"

    return exercise(
        "Say <one>", difficulty=2, minutes=3, hints=["a `b < c`", "second"], solution="x < 1\ny = 2"
    )(check)


def test_hints_come_one_by_one_and_then_the_solution_folded(
    ladder: Exercise, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [hint(ladder).html() for _ in range(4)]
    printed = capsys.readouterr().out
    assert (
        "<code>b &lt; c</code>" in pages[0]
        and "second" not in pages[0]
        and "<details>" not in pages[0]
    )
    assert "b &lt; c" in pages[1] and "second" in pages[1] and "<details>" not in pages[1]
    assert "<details><summary>" in pages[2] and "open" not in pages[2] and pages[3] == pages[2]
    assert all(words in printed for words in ("Hint 1 of 2", "Hint 2 of 2", "x < 1\ny = 2"))


def test_the_lines_of_a_task_are_joined_and_its_paragraphs_kept() -> None:
    @exercise("Say", difficulty=1, minutes=1, hints=("a",), solution="1")
    def wordy(yours: Any) -> str:
        """`yours(x)` is
        x.

        Always.
        """
        return ""

    assert "<p>Wanted: <code>yours(x)</code> is x.</p><p>Always.</p>" in wordy.card().html()


def test_the_card_shows_title_task_difficulty_and_minutes(
    ladder: Exercise, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ladder.card().html()
    assert "Say &lt;one&gt;" in page and "Wanted: <code>yours(x)</code> is &lt;one&gt;." in page
    assert "●●○○○" in page and 'aria-label="difficulty 2 of 5"' in page
    assert "about 3 minutes" in page
    assert (
        capsys.readouterr().out.strip()
        == "Say <one> (●●○○○ difficulty 2 of 5, about 3 minutes)"
        == repr(ladder)
    )


def test_a_result_reads_the_same_in_text_and_html() -> None:
    assert Result("yes", "Right", "why").html().count("why") == 1
    assert repr(Result("no", "Not", "why", "line 1: x")) == "Not: why\nline 1: x"
    assert (
        "✓" in Result("yes", "Right").html()
        and "✗" in Result("no", "Not").html()
        and "○" in Result("open", "Open").html()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"difficulty": 6}, "difficulty must be 1 to 5, got 6"),
        ({"minutes": 0}, "minutes must be at least 1, got 0"),
        ({"hints": []}, "must have a hint and a solution, got 0 hints"),
        ({"solution": " "}, "must have a hint and a solution"),
    ],
)
def test_an_exercise_that_lacks_something_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exercise(
            "Title", **{"difficulty": 1, "minutes": 1, "hints": ["h"], "solution": "s"} | change
        )


def test_hint_wants_an_exercise() -> None:
    with pytest.raises(TypeError, match="hint must get an exercise, got function; write hint"):
        hint(raises)  # type: ignore[arg-type]
