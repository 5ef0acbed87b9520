"""Predictions are written before the run, locked when scored, and counted as the first try."""

import pytest
from helpers.lesson_stage import Notebook, parts

from ftkit.teaching import predict, predictions, tally
from ftkit.teaching.answer_kinds import Number
from ftkit.teaching.display import VIEW
from ftkit.teaching.predictions import Prediction


@pytest.fixture(autouse=True)
def book(monkeypatch: pytest.MonkeyPatch) -> dict[str, Prediction]:
    empty: dict[str, Prediction] = {}
    monkeypatch.setattr(predictions, "_BOOK", empty)
    return empty


def rank() -> Prediction:
    return predict("rank", "Which rank is best?", options=["1", "32 & <more>"])


def share() -> Prediction:
    return predict(
        "share", "How much of the gap does rank 1 close?", low=0, high=100, unit="%", tolerance=5
    )


def test_an_option_is_right_or_not() -> None:
    made = rank()
    made.write("1")
    assert "You said “1”, it was “1”: Right." in made.score("1").text()
    again = predict("other", "Again?", options=[1, 2])
    again.write(2)
    assert (
        "You said “2”, it was “1”: Not this time."
        in again.score(1, note="Rank 1 is enough here.").text()
    )


@pytest.mark.parametrize(
    ("said", "truth", "words"),
    [
        (40, 42.5, "Right, within 5 %."),
        (45, 40, "Right, within 5 %."),
        (44, 50, "Too low by 6 %; within 5 % counts as right."),
        (40, 52, "Too low by 12 %; within 5 % counts as right."),
        (90, 52.25, "Too high by 37.75 %; within 5 % counts as right."),
    ],
)
def test_a_number_is_within_the_tolerance_or_too_high_or_low(
    said: float, truth: float, words: str
) -> None:
    made = share()
    made.write(said)
    shown = made.score(truth, note="One seed.")
    assert f"You said {said} %, it was {truth} %" in shown.html()
    assert words in shown.text() and "One seed." in shown.text() and words in shown.html()
    assert made.right == ("Right" in words)


def test_large_numbers_and_exact_ones_read_well() -> None:
    made = predict("count", "How many parameters are trained?", low=0, high=2_000_000, tolerance=0)
    made.write(1_500_000)
    assert (
        "You said 1,500,000, it was 1,400,000: Too high by 100,000." in made.score(1_400_000).text()
    )
    assert Number(0, 10, "", 0).verdict(3, 3) == (True, "Exactly right.")


def test_a_guess_may_change_until_it_is_scored_and_not_after() -> None:
    made = share()
    made.write(10)
    made.write(50)
    made.score(50)
    with pytest.raises(ValueError, match="must be written before it is scored, got 60"):
        made.write(60)
    assert made.guess == 50 and made.right
    second = made.score(70)
    assert "it was 50 %: Right" in second.text() and "This run gave 70 %" in second.text()
    assert made.outcome == 50


def test_scoring_without_a_guess_shows_the_outcome() -> None:
    shown = share().score(37)
    assert (
        "It was 37 %" in shown.text()
        and "You made no prediction, and that is fine." in shown.text()
    )
    assert tally().made == 0


def test_asking_again_replaces_a_prediction_that_is_not_scored() -> None:
    share().write(90)
    again = share()
    assert "you said –" in tally().text()
    again.write(50)
    again.score(50)
    counted = tally()
    assert (counted.hits, counted.made) == (1, 1)
    assert "you said 50 %" in counted.text() and "90" not in counted.text()


def test_a_scored_prediction_stays_as_the_first_try() -> None:
    first = share()
    first.write(90)
    first.score(50)
    second = share()
    second.write(50)
    assert "You had already seen the answer, so this one does not count." in second.score(50).text()
    counted = tally()
    assert (counted.hits, counted.made) == (0, 1)
    assert "you said 90 %, it was 50 %: not this time" in counted.text()


def test_a_try_after_the_answer_does_not_count() -> None:
    share().score(50)  # "run all", before any guess
    late = share()
    late.write(50)
    late.score(50)
    counted = tally()
    assert (counted.hits, counted.made) == (0, 0)
    assert "0 of 0; 1 more did not count" in counted.text() and "after the answer" in counted.text()


def test_the_tally_counts_hits_of_those_that_were_made_and_scored() -> None:
    for name, said in [("a", 10), ("b", 50), ("c", 52), ("d", None)]:
        made = predict(name, "How much?", low=0, high=100, unit="%", tolerance=5)
        if said is not None:
            made.write(said)
        made.score(50)
    predict("e", "And this?", options=["yes", "no"]).write("yes")
    shown = tally()
    assert (shown.hits, shown.made) == (2, 3)
    assert "2 of 3; 2 more did not count" in shown.text()
    assert (
        "d: you said –, it was 50 %: no prediction" in shown.text()
        and "e: you said “yes”, it was –: not scored yet" in shown.text()
    )
    assert shown.html().count("<tr>") == 6 and "✓" in shown.html() and "✗" in shown.html()


def test_an_empty_tally_says_so() -> None:
    assert "You have not been asked for a prediction yet." in tally().html()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "must get options or a scale, got None and low=None"),
        ({"low": 0}, "must get options or a scale"),
        ({"low": 0, "high": 1, "options": ["a", "b"]}, "must get options or a scale"),
        ({"options": ["a"]}, "options must be at least two and all different, got \\['a'\\]"),
        ({"options": ["a", "a"]}, "must be at least two and all different"),
        ({"low": 1, "high": 1}, "low must be below high, got 1 and 1"),
        (
            {"low": 0, "high": 1, "tolerance": -1},
            "tolerance must be at least 0 and below the length of the scale, got -1",
        ),
    ],
)
def test_an_impossible_question_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict("x", "What?", **arguments)  # type: ignore[arg-type]


def test_impossible_answers_are_refused() -> None:
    with pytest.raises(
        ValueError, match="the answer must be one of \\['1', '32 & <more>'\\], got '2'"
    ):
        rank().write("2")
    with pytest.raises(ValueError, match="the answer must be one of"):
        rank().score("2")
    with pytest.raises(ValueError, match="the answer must be from 0 % to 100 %, got 101"):
        share().write(101)
    with pytest.raises(ValueError, match="must be a number, got '70%'; write it without a unit"):
        predict("n", "q", low=0, high=100).write("70%")
    with pytest.raises(ValueError, match="must be a finite number, got nan"):
        share().score(float("nan"))


def test_an_outcome_beyond_the_scale_is_no_error() -> None:
    made = share()
    made.write(100)
    assert "it was 130 %: Too low by 30 %" in made.score(130).text()


def test_without_a_notebook_it_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    rank()
    assert capsys.readouterr().out == (
        "Predict: Which rank is best?\n  - 1\n  - 32 & <more>\nWrite it down with .write(...)\n"
    )
    share()
    assert "  - a number from 0 % to 100 %; within 5 % counts as right" in capsys.readouterr().out


def test_the_button_writes_the_chosen_option_and_the_score_locks_it(notebook: Notebook) -> None:
    made = rank()
    (choice,), (button,) = parts(notebook.box(), "RadioButtons"), parts(notebook.box(), "Button")
    shown = parts(notebook.box(), "HTML")[-1]
    assert choice.value is None
    button.click()
    assert made.guess is None and "Choose an answer first" in shown.value
    choice.value = "32 & <more>"
    assert made.guess is None  # only the button writes
    button.click()
    assert made.guess == "32 & <more>" and "32 &amp; &lt;more&gt;" in shown.value
    made.score("1")
    assert choice.disabled and button.disabled and "Not this time" in shown.value
    button.click()
    assert made.guess == "32 & <more>"


def test_the_button_writes_the_number_of_the_slider(notebook: Notebook) -> None:
    made = share()
    (slider,), (button,) = parts(notebook.box(), "FloatSlider"), parts(notebook.box(), "Button")
    assert (slider.min, slider.max, slider.value, slider.description, slider.readout) == (
        0,
        100,
        50,
        "your guess",
        True,
    )
    slider.value = 62.5
    button.click()
    assert made.guess == 62.5


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 100), (-3, 3), (0, 2_000_000), (1e-5, 1e-1), (0.2, 0.25)]
)
def test_the_slider_has_enough_steps_and_they_are_round(low: float, high: float) -> None:
    step = Number(low, high, "", 0).step()
    assert 100 <= (high - low) / step <= 250 * (1 + 1e-6)
    assert f"{step:e}"[0] in "125" and float(f"{step:.0e}") == pytest.approx(step)


def test_a_notebook_gets_controls_html_and_text_in_one_bundle(notebook: Notebook) -> None:
    made = rank()
    assert set(notebook.last("text/html") and notebook.shown[-1]) == {
        VIEW,
        "text/html",
        "text/plain",
    }
    assert "<li>32 &amp; &lt;more&gt;</li>" in notebook.last() and "<style>" in notebook.last()
    assert "Run this cell to answer." in notebook.last()
    made._ipython_display_()
    assert len(notebook.shown) == 1  # as the last value of its own cell it is not shown twice
    notebook.execution_count = 2
    made._ipython_display_()
    assert len(notebook.shown) == 2


def test_headless_there_are_no_controls(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTKIT_HEADLESS", "1")
    rank()
    assert set(notebook.shown[-1]) == {"text/html", "text/plain"}
    monkeypatch.setenv("FTKIT_HEADLESS", "0")
    rank()
    assert VIEW in notebook.shown[-1]


def test_a_terminal_has_no_controls(notebook: Notebook) -> None:
    del notebook.kernel
    rank()
    assert set(notebook.shown[-1]) == {"text/html", "text/plain"}
