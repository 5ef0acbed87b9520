"""Predictions: written down before a run, scored after it, counted at the end of the notebook."""

from collections.abc import Hashable, Sequence
from typing import Any

from ftkit.teaching.answer_kinds import Answer, Number, Options
from ftkit.teaching.cards import (
    COLD,
    SYMBOLS,
    bullets,
    card,
    chip,
    heading,
    inline,
    paragraph,
    table,
)
from ftkit.teaching.display import Page, Shown, boxed, button, controls
from ftkit.teaching.exercise import Result

_NO_GUESS = (
    "You made no prediction, and that is fine. Make one before the next run: "
    "a surprise is easier to remember than an answer that you only read."
)


class Prediction(Shown):
    """A question, and the learner's guess before the run.

    Attributes:
        guess: what the learner wrote down; None until then.
        outcome: what the run gave; None until it is scored.
        right: whether the guess agrees with the outcome.
        late: whether the outcome had been shown before this prediction was made.
    """

    def __init__(self, name: str, question: str, answer: Answer, late: bool = False) -> None:
        self.name, self.question, self.answer, self.late = name, question, answer, late
        self.guess: Any = None
        self.outcome: Any = None
        self.right = False
        self.scored = False
        self._controls: tuple[Any, Any, Any] | None = None

    def write(self, value: Any) -> None:
        """Write down `value`, as the button does; it may be changed until it is scored.

        Raises:
            ValueError: `value` is not a possible answer, or the prediction is scored.
        """
        if self.scored:
            raise ValueError(
                f"a prediction must be written before it is scored, got {value!r} after that; "
                "run the cell with the question again"
            )
        self.guess = self.answer.accept(value)
        title = f"Written down: {self.answer.words(self.guess)}"
        self._show_result(Result("open", title, "You can change it until you score it."))

    def score(self, truth: Any, note: str = "") -> Shown:
        """Compare the guess with `truth`, the outcome of the run, and lock both.

        Args:
            truth: the outcome.
            note: a sentence that says what the outcome means.

        Raises:
            ValueError: `truth` is not a possible outcome.
        """
        outcome = self.answer.accept_outcome(truth)
        again = ""
        if self.scored:
            again = f"Scored before; that score stays. This run gave {self._said(outcome)}."
        else:
            self._lock(outcome)
        result = self.result()
        self._show_result(result)
        title = heading(f"{SYMBOLS[result.kind]} {result.title}")
        parts = [title, paragraph(result.words), paragraph(again), paragraph(note)]
        lines = [repr(result), again, note]
        page = Page(result.kind, parts, "\n".join(line for line in lines if line))
        page.put()
        return page

    def result(self) -> Result:
        """Return how the guess compares with the outcome."""
        outcome = self._said(self.outcome)
        if self.guess is None:
            return Result("open", f"It was {outcome}", _NO_GUESS)
        words = self.answer.verdict(self.guess, self.outcome)[1]
        if self.late:
            words += " You had already seen the answer, so this one does not count."
        title = f"You said {self._said(self.guess)}, it was {outcome}"
        return Result("yes" if self.right else "no", title, words)

    def html(self) -> str:
        return card("ask", self._question_html(), bullets(self.answer.lines()), COLD)

    def text(self) -> str:
        options = [f"  - {line}" for line in self.answer.lines()]
        return "\n".join([f"Predict: {self.question}", *options, "Write it down with .write(...)"])

    def __repr__(self) -> str:
        guess = "nothing" if self.guess is None else self._said(self.guess)
        return f"Prediction {self.name!r}: {guess} written down"

    def box(self) -> Any:
        widgets = controls()
        if widgets is None:
            return None
        if self._controls is None:
            result = widgets.HTML(layout=widgets.Layout(width="auto"))
            press = button(widgets, "Write it down", self._press)
            self._controls = self.answer.control(widgets), press, result
        scale = ""
        if isinstance(self.answer, Number):
            scale = paragraph(self.answer.lines()[0], small=True)
        return boxed(widgets, "ask", self._question_html() + scale, *self._controls)

    def _question_html(self) -> str:
        return heading("Predict before the run") + paragraph(self.question)

    def _said(self, value: Any) -> str:
        return self.answer.words(value)

    def _press(self) -> None:
        value = self._controls[0].value if self._controls else None
        if self.scored:
            return
        if value is None:
            self._show_result(Result("open", "Choose an answer first"))
        else:
            self.write(value)

    def _lock(self, outcome: Any) -> None:
        self.outcome, self.scored = outcome, True
        self.right = self.guess is not None and self.answer.verdict(self.guess, outcome)[0]
        first = _BOOK.get(self.name)
        if first is None or not first.scored or (first.guess is None and self.guess is not None):
            _BOOK[self.name] = self

    def _show_result(self, result: Result) -> None:
        if self._controls:
            control, press, shown = self._controls
            control.disabled = press.disabled = self.scored
            shown.value = result.html()


_BOOK: dict[str, Prediction] = {}
"""The predictions of this kernel by name. A scored one stays: the first try counts."""


def predict(
    name: str,
    question: str,
    options: Sequence[Hashable] | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    tolerance: float | None = None,
) -> Prediction:
    """Ask `question` before a run, and return the prediction, to be scored after the run.

    The answer is one of `options`, or a number from `low` to `high`.

    Args:
        name: a word for the tally. Running the cell again asks again; once scored, the first try
            stays in the tally.
        options: at least two.
        unit: the unit of the number, such as "%".
        tolerance: how far off still counts as right; a tenth of the scale by default.

    Raises:
        ValueError: neither options nor a scale, or both; or an impossible scale or tolerance.
    """
    has_scale = low is not None or high is not None
    if has_scale == (options is not None) or (low is None) != (high is None):
        raise ValueError(
            f"predict must get options or a scale, got {options} and low={low}, high={high}; "
            "give one of the two"
        )
    answer: Answer
    if low is not None and high is not None:
        answer = Number(low, high, unit, (high - low) / 10 if tolerance is None else tolerance)
    else:
        answer = Options(tuple(options or ()))
    first = _BOOK.get(name)
    prediction = Prediction(name, question, answer, late=first is not None and first.scored)
    if first is None or not first.scored:
        _BOOK[name] = prediction
    prediction.put()
    return prediction


class Tally(Page):
    """The predictions of this notebook.

    Attributes:
        made: the number of predictions that were made in time and scored.
        hits: the number of those that are right.
    """

    def __init__(self, book: list[Prediction]) -> None:
        counted = [p for p in book if p.scored and p.guess is not None and not p.late]
        self.hits, self.made = sum(p.right for p in counted), len(counted)
        left = len(book) - len(counted)
        summary = f"{self.hits} of {self.made}"
        if left:
            summary += f"; {left} more did not count"
        title = f"Your predictions: {summary}"
        rows = [(p.name, _or_dash(p, p.guess), _or_dash(p, p.outcome), *_verdict(p)) for p in book]
        cells = [
            [inline(name), inline(guess), inline(outcome), chip(kind, word)]
            for name, guess, outcome, kind, word in rows
        ]
        lines = [
            f"  {name}: you said {guess}, it was {outcome}: {word}"
            for name, guess, outcome, _, word in rows
        ]
        body = paragraph("You have not been asked for a prediction yet.")
        if rows:
            body = table(["Question", "You said", "It was", ""], cells)
        super().__init__("ask", [heading(title), body], "\n".join([title, *lines]))


def _or_dash(prediction: Prediction, value: Any) -> str:
    return "–" if value is None else prediction.answer.words(value)


def _verdict(prediction: Prediction) -> tuple[str, str]:
    """Return the kind of chip, and its word."""
    if not prediction.scored:
        return "open", "not scored yet"
    if prediction.guess is None:
        return "open", "no prediction"
    if prediction.late:
        return "open", "after the answer"
    return ("yes", "right") if prediction.right else ("no", "not this time")


def tally() -> Tally:
    """Show all predictions of this notebook, their outcomes, and how many were right."""
    page = Tally(list(_BOOK.values()))
    page.put()
    return page
