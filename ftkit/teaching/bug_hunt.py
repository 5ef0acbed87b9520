"""A listing with a planted bug, which the learner must find."""

import inspect
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from ftkit.teaching.cards import COLD, card, heading, listing, paragraph
from ftkit.teaching.display import Shown, boxed, button, controls
from ftkit.teaching.exercise import Result
from ftkit.teaching.show_source import highlighted

MISSES_BEFORE_HELP = 3


class Bug(Shown):
    """A listing, `source`, of which `{line: why it is the bug}` are wrong; `nudges` answer some other lines."""

    def __init__(
        self, source: str, lines: Mapping[int, str], nudges: Mapping[int, str], story: str
    ) -> None:
        self.source, self.lines, self.nudges, self.story = source, dict(lines), dict(nudges), story
        self.missed: list[int] = []
        self._controls: tuple[Any, Any] | None = None

    def guess(self, line: int) -> Result:
        """Says whether the bug stands in `line`, counted from 1.

        Raises:
            ValueError: the listing has no such line.
        """
        last = len(self.source.splitlines())
        if not isinstance(line, int) or not 1 <= line <= last:
            raise ValueError(
                f"line must be 1 to {last}, got {line!r}; take a number from the left of the listing"
            )
        if line in self.lines:
            result = Result("yes", f"Found: line {line}", self.lines[line])
        else:
            if line not in self.missed:
                self.missed.append(line)
            tried = f"Tried so far: {', '.join(map(str, sorted(self.missed)))}."
            words = " ".join(
                part for part in (self.nudges.get(line, ""), tried, self._narrower(last)) if part
            )
            result = Result("no", f"Line {line} is not it", words)
        if self._controls:
            self._controls[1].value = result.html()
        return result

    def html(self) -> str:
        return card("ask", self._asked(), COLD)

    def text(self) -> str:
        numbered = "\n".join(
            f"{n:>3}  {line}".rstrip() for n, line in enumerate(self.source.splitlines(), 1)
        )
        return f"Find the bug. {self.story}\n\n{numbered}\n\nGuess a line with .guess(1)"

    def __repr__(self) -> str:
        return f"Bug in {len(self.source.splitlines())} lines, {len(self.missed)} missed"

    def box(self) -> Any:
        if (widgets := controls()) is None:
            return None
        last = len(self.source.splitlines())
        layout, style = widgets.Layout(width="9em"), {"description_width": "initial"}
        number = widgets.BoundedIntText(
            value=1, min=1, max=last, description="line", layout=layout, style=style
        )
        told = widgets.HTML(layout=widgets.Layout(width="auto"))
        self._controls = number, told
        row = widgets.HBox([number, button(widgets, "This line", lambda: self.guess(number.value))])
        return boxed(widgets, "ask", self._asked(), row, told)

    def _asked(self) -> str:
        return (
            heading("Find the bug")
            + paragraph(self.story)
            + listing(highlighted(self.source), first=1)
        )

    def _narrower(self, last: int) -> str:
        if len(self.missed) < MISSES_BEFORE_HELP:
            return ""
        wide = max(
            3, last // 3
        )  # blocks of the listing, so that the bug is not always in the middle
        first = (min(self.lines) - 1) // wide * wide + 1
        return f"A narrower search: it stands in lines {first} to {min(first + wide - 1, last)}."


def bug(
    source: Any, *, lines: Mapping[int, str], nudges: Mapping[int, str] | None = None, story: str
) -> Bug:
    """Shows a numbered listing with a planted bug and asks for its line; after three misses it says in which part to look.

    Args:
        source: code as text, or a function or class whose source is taken.
        lines: `{line: why this is the bug}`; several where it can be mended in more than one place.
        nudges: `{line: what to think about}` for lines that look guilty and are not.
        story: what the code should do, and what is seen instead.

    Raises:
        ValueError: no line is given, or one that the listing lacks, or one that is both bug and nudge.
    """
    code = dedent(source if isinstance(source, str) else inspect.getsource(source)).strip("\n")
    last, nudges = len(code.splitlines()), nudges or {}
    if not lines:
        raise ValueError("lines must name the bug, got none; say in which line it stands and why")
    if wrong := [line for line in [*lines, *nudges] if not 1 <= line <= last]:
        raise ValueError(
            f"lines and nudges must lie in 1 to {last}, got {wrong[0]}; count from the beginning of the listing"
        )
    if both := lines.keys() & nudges.keys():
        raise ValueError(f"a line must be bug or nudge, got both for {min(both)}; leave one out")
    made = Bug(code, lines, nudges, story)
    made.put()
    return made
