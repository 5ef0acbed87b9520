"""Exercises: a check that says in words what is wrong, a ladder of hints, a folded solution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ftkit.teaching.cards import STYLE, SYMBOLS, card, heading, listing, paragraph
from ftkit.teaching.display import Page, Shown
from ftkit.teaching.learner_code import TooLong, line_of, message_of, raised_by_them, time_limit
from ftkit.teaching.show_source import highlighted

SECONDS = 10.0
"""A check stops the learner's code after this time."""


class Wrong(Exception):
    """A check raises it for a wrong answer; the words say what is wrong, and for which input."""


class NotAttempted(Exception):
    """A check raises it for an untouched stub."""


@dataclass(frozen=True)
class Result:
    """The outcome of a check, a quiz or a bug hunt; true if the answer is right.

    Attributes:
        kind: "yes", "no" or "open", for an answer that was not given yet.
        title: the first line of its card.
        words: what is wrong, or what the exercise shows.
        code: the line of the learner's own code that raised an error.
    """

    kind: str
    title: str
    words: str = ""
    code: str = ""

    def __bool__(self) -> bool:
        return self.kind == "yes"

    def __repr__(self) -> str:
        first = f"{self.title}: {self.words}" if self.words else self.title
        return f"{first}\n{self.code}" if self.code else first

    def html(self) -> str:
        """Return the outcome as a card."""
        code = listing([escape(self.code)]) if self.code else ""
        return card(
            self.kind, heading(f"{SYMBOLS[self.kind]} {self.title}"), paragraph(self.words), code
        )

    def _repr_html_(self) -> str:
        return STYLE + self.html()


class Exercise:
    """A check with its card, its hints and its solution.

    Call it with what the learner wrote. It returns a `Result`, and turns whatever their code raises
    into words.
    """

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
            words = (
                f"Your code was still running after {SECONDS:g} seconds, so the check stopped it; "
                "does a loop never end?"
            )
            return Result("no", f"{self.title}: not yet", words, line_of(error))
        except (Exception, SystemExit) as error:
            if isinstance(error, NotImplementedError) and raised_by_them(error):
                return self._not_attempted()
            words = f"Your code raised {message_of(error)}"
            return Result("no", f"{self.title}: not yet", words, line_of(error))

    def __repr__(self) -> str:
        effort = f"difficulty {self.difficulty} of 5, about {self.minutes} minutes"
        return f"{self.title} ({self._dots()} {effort})"

    def _repr_html_(self) -> str:
        return STYLE + self._card().html()

    def card(self) -> Shown:
        """Show the title, the task, the difficulty and the minutes."""
        shown = self._card()
        shown.put()
        return shown

    def hint(self) -> Shown:
        """Show one more hint below the earlier ones; after the last one, the folded solution."""
        self.hints_given += 1
        given = self.hints[: self.hints_given]
        parts = [
            paragraph(f"Hint {n} of {len(self.hints)}: {words}") for n, words in enumerate(given, 1)
        ]
        text = f"Hint {len(given)} of {len(self.hints)}: {given[-1]}"
        if self.hints_given > len(self.hints):
            code = listing(highlighted(self.solution))
            parts.append(f"<details><summary>One solution of many</summary>{code}</details>")
            text = f"One solution of many:\n\n{self.solution}"
        shown = Page("ask", [heading(self.title), *parts], text)
        shown.put()
        return shown

    def _checked(self, yours: Any) -> str:
        if yours is ...:
            raise NotAttempted
        return self._check(yours)

    def _not_attempted(self) -> Result:
        words = (
            "Replace the stub with your own code, then run the check again; "
            f"`hint(check.{self.__name__})` shows a first hint."
        )
        return Result("open", f"{self.title}: not attempted yet", words)

    def _dots(self) -> str:
        return "●" * self.difficulty + "○" * (5 - self.difficulty)

    def _card(self) -> Page:
        label = f"difficulty {self.difficulty} of 5"
        dots = f'<span role="img" aria-label="{label}">{self._dots()}</span>'
        effort = f'<p class="ftkit-small">{dots} about {self.minutes} minutes</p>'
        wanted = f"Wanted: {self.__doc__}".split("\n\n") if self.__doc__ else []
        task = [paragraph(" ".join(words.split())) for words in wanted]
        return Page("ask", [heading(self.title), *task, effort], repr(self))


def _sentence(words: str) -> str:
    """Start `words` with a capital and end them with a full stop."""
    return words[0].upper() + words[1:] + ("" if words.endswith((".", "?", "!", ")")) else ".")


def exercise(
    title: str, *, difficulty: int, minutes: int, hints: Sequence[str], solution: str
) -> Callable[[Callable[[Any], str]], Exercise]:
    """Decorate a check to make it an `Exercise`.

    The check takes what the learner wrote. It raises `Wrong`, or returns what the exercise shows
    to someone who has solved it. Its docstring is the task: "`yours(x)` is ...".

    Args:
        title: what the exercise is about, in a few words.
        difficulty: 1 to 5.
        minutes: at least 1.
        hints: at least one; the first gives least away.
        solution: code that passes the check.

    Raises:
        ValueError: one of these does not hold.
    """
    if not 1 <= difficulty <= 5:
        raise ValueError(
            f"difficulty must be 1 to 5, got {difficulty}; "
            "choose 3 for an exercise that takes most learners a hint"
        )
    if minutes < 1:
        raise ValueError(
            f"minutes must be at least 1, got {minutes}; "
            "give the time that a learner needs, not an expert"
        )
    if not hints or not all(hints) or not solution.strip():
        raise ValueError(
            f"an exercise must have a hint and a solution, got {len(hints)} hints for {title!r}; "
            "add what is missing"
        )
    return lambda check: Exercise(check, title, difficulty, minutes, hints, solution)


def hint(of: Exercise) -> Shown:
    """Show the next hint of an exercise, `hint(check.merge)`; after the last one, its solution.

    Raises:
        TypeError: `of` is not an exercise.
    """
    if not isinstance(of, Exercise):
        raise TypeError(
            f"hint must get an exercise, got {type(of).__name__}; write hint(check.merge)"
        )
    return of.hint()
