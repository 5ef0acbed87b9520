"""Exercises: a check that takes what the learner wrote and says in words what is wrong, a ladder of hints, a folded solution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ftkit.teaching.cards import STYLE, SYMBOLS, card, heading, listing, paragraph
from ftkit.teaching.display import Page, Shown
from ftkit.teaching.learner_code import TooLong, line_of, message_of, raised_by_them, time_limit
from ftkit.teaching.show_source import highlighted

SECONDS = 10.0


class Wrong(Exception):
    """What a check raises: the words say what is wrong, and for which input."""


class NotAttempted(Exception):
    """What a check raises when it was handed an untouched stub."""


@dataclass(frozen=True)
class Result:
    """What came of an answer: true if it is right. `code` is a line of the learner's own."""

    kind: str
    title: str
    words: str = ""
    code: str = ""

    def __bool__(self) -> bool:
        return self.kind == "yes"

    def __repr__(self) -> str:
        return "\n".join(
            part
            for part in (f"{self.title}: {self.words}" if self.words else self.title, self.code)
            if part
        )

    def html(self) -> str:
        """The same as a card."""
        code = listing([escape(self.code)]) if self.code else ""
        return card(
            self.kind, heading(f"{SYMBOLS[self.kind]} {self.title}"), paragraph(self.words), code
        )

    def _repr_html_(self) -> str:
        return STYLE + self.html()


class Exercise:
    """A check with its card. Call it with what the learner wrote; it answers with a `Result` and raises nothing of theirs."""

    def __init__(
        self,
        check: Callable[[Any], str],
        title: str,
        difficulty: int,
        minutes: int,
        hints: Sequence[str],
        solution: str,
    ) -> None:
        self.title, self.difficulty, self.minutes = title, difficulty, minutes
        self.hints, self.solution = tuple(hints), solution.strip()
        self.hints_given = 0
        self._check = check
        self.__name__, self.__doc__ = check.__name__, check.__doc__

    def __call__(self, yours: Any) -> Result:
        try:
            with time_limit(SECONDS):
                return Result("yes", f"{self.title}: passed", self._checked(yours))
        except NotAttempted:
            return self._not_attempted()
        except Wrong as wrong:
            return Result("no", f"{self.title}: not yet", _sentence(str(wrong)))
        except TooLong as error:
            words = f"Your code was still running after {SECONDS:g} seconds, so the check stopped it; does a loop never end?"
            return Result("no", f"{self.title}: not yet", words, line_of(error))
        except (Exception, SystemExit) as error:
            if isinstance(error, NotImplementedError) and raised_by_them(error):
                return self._not_attempted()
            return Result(
                "no",
                f"{self.title}: not yet",
                f"Your code raised {message_of(error)}",
                line_of(error),
            )

    def __repr__(self) -> str:
        return f"{self.title} ({self._dots()} difficulty {self.difficulty} of 5, about {self.minutes} minutes)"

    def _repr_html_(self) -> str:
        return STYLE + self._card().html()

    def card(self) -> Shown:
        """Shows title, difficulty and minutes; for the place under an exercise's heading."""
        shown = self._card()
        shown.put()
        return shown

    def hint(self) -> Shown:
        """Shows one more hint, below those already given; after the last, the solution, folded."""
        self.hints_given += 1
        given = self.hints[: self.hints_given]
        parts = [
            paragraph(f"Hint {n} of {len(self.hints)}: {words}") for n, words in enumerate(given, 1)
        ]
        text = f"Hint {len(given)} of {len(self.hints)}: {given[-1]}"
        if self.hints_given > len(self.hints):
            parts.append(
                f"<details><summary>One solution of many</summary>{listing(highlighted(self.solution))}</details>"
            )
            text = f"One solution of many:\n\n{self.solution}"
        shown = Page("ask", [heading(self.title), *parts], text)
        shown.put()
        return shown

    def _checked(self, yours: Any) -> str:
        if yours is ...:
            raise NotAttempted
        return self._check(yours)

    def _not_attempted(self) -> Result:
        words = f"Replace the stub by your own code, then run the check again; `hint(check.{self.__name__})` gives a first push."
        return Result("open", f"{self.title}: not attempted yet", words)

    def _dots(self) -> str:
        return "●" * self.difficulty + "○" * (5 - self.difficulty)

    def _card(self) -> Page:
        label = f'<span role="img" aria-label="difficulty {self.difficulty} of 5">{self._dots()}</span> about {self.minutes} minutes'
        wanted = f"Wanted: {self.__doc__}".split("\n\n") if self.__doc__ else []
        task = [paragraph(" ".join(words.split())) for words in wanted]
        return Page(
            "ask", [heading(self.title), *task, f'<p class="ftkit-small">{label}</p>'], repr(self)
        )


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + ("" if words.endswith((".", "?", "!", ")")) else ".")


def exercise(
    title: str, *, difficulty: int, minutes: int, hints: Sequence[str], solution: str
) -> Callable[[Callable[[Any], str]], Exercise]:
    """Makes an `Exercise` of a function that takes the learner's object, raises `Wrong` with words, or returns what the exercise shows.

    Args:
        title: what the learner is to write.
        difficulty: 1 to 5.
        minutes: at least 1.
        hints: at least one; the first gives least away.
        solution: code that passes the check.

    Raises:
        ValueError: one of these does not hold.
    """
    if not 1 <= difficulty <= 5:
        raise ValueError(
            f"difficulty must be 1 to 5, got {difficulty}; 3 is what most need a hint for"
        )
    if minutes < 1:
        raise ValueError(
            f"minutes must be at least 1, got {minutes}; say what a learner needs, not what you need"
        )
    if not hints or not all(hints) or not solution.strip():
        raise ValueError(
            f"an exercise must have a hint and a solution, got {len(hints)} hints for {title!r}; add what is missing"
        )
    return lambda check: Exercise(check, title, difficulty, minutes, hints, solution)


def hint(of: Exercise) -> Shown:
    """Shows the next hint of an exercise, `hint(check.merge)`; after the last one, its solution.

    Raises:
        TypeError: `of` is not an exercise.
    """
    if not isinstance(of, Exercise):
        raise TypeError(
            f"hint must get an exercise, got {type(of).__name__}; write hint(check.merge)"
        )
    return of.hint()
