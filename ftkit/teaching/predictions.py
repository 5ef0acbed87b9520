"""Predictions: written down before a run, scored after it, counted at the end of the notebook."""

from collections.abc import Hashable, Sequence
from typing import Any

from ftkit.teaching.answer_kinds import Answer, Number, Options
from ftkit.teaching.cards import COLD, SYMBOLS, card, chip, heading, inline, paragraph, table
from ftkit.teaching.display import Page, Shown, boxed, button, controls
from ftkit.teaching.exercise import Result

_NOTHING_SAID = (
    "No prediction was written down, and that is fine. Next time write one before the run: a surprise stays in mind, "
    "an answer that was only read does not."
)


class Prediction(Shown):
    """A question and what the learner said before the run. `late` says that the answer had been shown before this one was made."""

    def __init__(self, name: str, question: str, answer: Answer, late: bool = False) -> None:
        self.name, self.question, self.answer, self.late = name, question, answer, late
        self.said: Any = None
        self.truth: Any = None
        self.hit = False
        self.scored = False
        self._controls: tuple[Any, Any, Any] | None = None

    def write(self, value: Any) -> None:
        """Writes `value` down, as the button does; it may be changed until it is scored.

        Raises:
            ValueError: `value` is no possible answer, or the prediction is scored.
        """
        if self.scored:
            raise ValueError(
                f"a prediction must be written before it is scored, got {value!r} after; run the cell of the question again"
            )
        self.said = self.answer.taken(value)
        self._tell(
            Result(
                "open",
                f"Written down: {self.answer.words(self.said)}",
                "You may change it until the run is scored.",
            )
        )

    def score(self, truth: Any, note: str = "") -> Shown:
        """Compares what was said with `truth`, the outcome of the run, and locks both; `note` says what the outcome means.

        Raises:
            ValueError: `truth` is no possible outcome.
        """
        outcome = self.answer.truth(truth)
        again = ""
        if self.scored:
            again = f"This was scored before and stays as it was; this run gave {self.answer.words(outcome)}."
        else:
            self._lock(outcome)
        result = self.result()
        self._tell(result)
        text = "\n".join(part for part in (repr(result), again, note) if part)
        title = heading(f"{SYMBOLS[result.kind]} {result.title}")
        shown = Page(
            result.kind, [title, paragraph(result.words), paragraph(again), paragraph(note)], text
        )
        shown.put()
        return shown

    def result(self) -> Result:
        """What the comparison says."""
        was = self.answer.words(self.truth)
        if self.said is None:
            return Result("open", f"It was {was}", _NOTHING_SAID)
        words = self.answer.verdict(self.said, self.truth)[1]
        late = " The answer had been shown before, so it does not count." if self.late else ""
        return Result(
            "yes" if self.hit else "no",
            f"You said {self.answer.words(self.said)}, it was {was}",
            words + late,
        )

    def html(self) -> str:
        return card(
            "ask",
            self._asked(),
            f"<ul>{''.join(f'<li>{inline(line)}</li>' for line in self.answer.listing())}</ul>",
            COLD,
        )

    def text(self) -> str:
        options = [f"  - {line}" for line in self.answer.listing()]
        return "\n".join([f"Predict: {self.question}", *options, "Write it down with .write(...)"])

    def __repr__(self) -> str:
        return f"Prediction {self.name!r}: {'nothing' if self.said is None else self.answer.words(self.said)} written down"

    def box(self) -> Any:
        if (widgets := controls()) is None:
            return None
        if self._controls is None:
            self._controls = (
                self.answer.control(widgets),
                button(widgets, "Write it down", self._press),
                widgets.HTML(),
            )
            self._controls[2].layout.width = "auto"
        small = (
            paragraph(self.answer.listing()[0], small=True)
            if isinstance(self.answer, Number)
            else ""
        )
        return boxed(widgets, "ask", self._asked() + small, *self._controls)

    def _asked(self) -> str:
        return heading("Predict, before the run") + paragraph(self.question)

    def _press(self) -> None:
        value = self._controls[0].value if self._controls else None
        if self.scored:
            return
        if value is None:
            self._tell(Result("open", "Choose one first"))
        else:
            self.write(value)

    def _lock(self, outcome: Any) -> None:
        self.truth, self.scored = outcome, True
        self.hit = self.said is not None and self.answer.verdict(self.said, outcome)[0]
        first = _BOOK.get(self.name)
        if first is None or not first.scored or (first.said is None and self.said is not None):
            _BOOK[self.name] = self

    def _tell(self, result: Result) -> None:
        if self._controls:
            control, press, told = self._controls
            control.disabled = press.disabled = self.scored
            told.value = result.html()


# The predictions of this kernel, by name; one that is scored stays as the first try.
_BOOK: dict[str, Prediction] = {}


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
    """Asks `question` before a run: one of `options`, or a number from `low` to `high`. Keep what it returns, and `score` it after the run.

    Args:
        name: a word for the tally. Running the cell again asks anew; a prediction that was scored stays in the tally as the first try.
        options: at least two.
        unit: the number's unit, "%" say.
        tolerance: how far off still counts as right; a tenth of the scale by default.

    Raises:
        ValueError: neither options nor a scale, or both; a scale or tolerance that makes no sense.
    """
    scale = low is not None or high is not None
    if scale == (options is not None) or (low is None) != (high is None):
        raise ValueError(
            f"predict must get options or a scale, got {options} and low={low}, high={high}; give one of the two"
        )
    answer: Answer
    if low is not None and high is not None:
        answer = Number(low, high, unit, (high - low) / 10 if tolerance is None else tolerance)
    else:
        answer = Options(tuple(options or ()))
    first = _BOOK.get(name)
    made = Prediction(name, question, answer, late=first is not None and first.scored)
    if first is None or not first.scored:
        _BOOK[name] = made
    made.put()
    return made


class Tally(Page):
    """The predictions of this notebook: `hits` were right, of `made` that were written down in time and scored."""

    def __init__(self, book: list[Prediction]) -> None:
        counted = [p for p in book if p.scored and p.said is not None and not p.late]
        self.hits, self.made = sum(p.hit for p in counted), len(counted)
        left = len(book) - len(counted)
        summary = f"{self.hits} of {self.made}" + (f"; {left} more did not count" if left else "")
        rows = [(p.name, _or_dash(p, p.said), _or_dash(p, p.truth), *_verdict(p)) for p in book]
        cells = [
            [inline(name), inline(said), inline(truth), chip(kind, word)]
            for name, said, truth, kind, word in rows
        ]
        lines = [
            f"  {name}: you said {said}, it was {truth}: {word}"
            for name, said, truth, _, word in rows
        ]
        whole = (
            table(["Question", "You said", "It was", ""], cells)
            if rows
            else paragraph("No prediction was asked for yet.")
        )
        super().__init__(
            "ask",
            [heading(f"Your predictions: {summary}"), whole],
            "\n".join([f"Your predictions: {summary}", *lines]),
        )


def _or_dash(prediction: Prediction, value: Any) -> str:
    return "–" if value is None else prediction.answer.words(value)


def _verdict(prediction: Prediction) -> tuple[str, str]:
    if not prediction.scored:
        return "open", "not scored yet"
    if prediction.said is None:
        return "open", "not predicted"
    if prediction.late:
        return "open", "after the answer"
    return ("yes", "right") if prediction.hit else ("no", "not this time")


def tally() -> Tally:
    """Shows the predictions that this notebook asked for, the outcomes, and how many were right."""
    shown = Tally(list(_BOOK.values()))
    shown.put()
    return shown
