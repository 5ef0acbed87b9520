"""Bug hunts: listings with a planted bug that the learner has to find."""

import inspect
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from ftkit.teaching.cards import COLD, card, heading, listing, paragraph
from ftkit.teaching.display import Shown, boxed, button, controls
from ftkit.teaching.exercise import Result
from ftkit.teaching.show_source import highlighted

MISSES_BEFORE_HELP = 3
"""After this number of wrong lines the hunt says in which part of the listing the bug is."""


class Bug(Shown):
    """A listing with a planted bug; see `bug` for its parts."""

    def __init__(
        self, source: str, lines: Mapping[int, str], nudges: Mapping[int, str], story: str
    ) -> None:
        self.source, self.lines, self.nudges, self.story = source, dict(lines), dict(nudges), story
        self.missed: list[int] = []
        self._controls: tuple[Any, Any] | None = None

    def guess(self, line: int) -> Result:
        """Return whether the bug is in `line`, counted from 1.

        Raises:
            ValueError: the listing has no such line.
        """
        last = len(self.source.splitlines())
        if not isinstance(line, int) or not 1 <= line <= last:
            raise ValueError(
                f"line must be 1 to {last}, got {line!r}; "
                "take a number from the left of the listing"
            )
        if line in self.lines:
            result = Result("yes", f"Found: line {line}", self.lines[line])
        else:
            result = self._miss(line, last)
        if self._controls:
            self._controls[1].value = result.html()
        return result

    def _miss(self, line: int, last: int) -> Result:
        if line not in self.missed:
            self.missed.append(line)
        tried = f"Tried so far: {', '.join(map(str, sorted(self.missed)))}."
        sentences = [self.nudges.get(line, ""), tried, self._narrow_down(last)]
        words = " ".join(sentence for sentence in sentences if sentence)
        return Result("no", f"Line {line} is not it", words)

    def _narrow_down(self, last: int) -> str:
        """Return the block of lines that has the bug, once enough lines were tried.

        The blocks cut the listing from its first line on, so the bug is not always in the middle.
        """
        if len(self.missed) < MISSES_BEFORE_HELP:
            return ""
        size = max(3, last // 3)
        first = (min(self.lines) - 1) // size * size + 1
        return f"Narrow it down: the bug is in lines {first} to {min(first + size - 1, last)}."

    def html(self) -> str:
        return card("ask", self._listing_html(), COLD)

    def text(self) -> str:
        lines = enumerate(self.source.splitlines(), 1)
        numbered = "\n".join(f"{number:>3}  {line}".rstrip() for number, line in lines)
        return f"Find the bug. {self.story}\n\n{numbered}\n\nGuess a line with .guess(1)"

    def __repr__(self) -> str:
        return f"Bug in {len(self.source.splitlines())} lines, {len(self.missed)} missed"

    def box(self) -> Any:
        widgets = controls()
        if widgets is None:
            return None
        number = widgets.BoundedIntText(
            value=1,
            min=1,
            max=len(self.source.splitlines()),
            description="line",
            layout=widgets.Layout(width="9em"),
            style={"description_width": "initial"},
        )
        result = widgets.HTML(layout=widgets.Layout(width="auto"))
        self._controls = number, result
        press = button(widgets, "This line", lambda: self.guess(number.value))
        return boxed(widgets, "ask", self._listing_html(), widgets.HBox([number, press]), result)

    def _listing_html(self) -> str:
        code = listing(highlighted(self.source), first=1)
        return heading("Find the bug") + paragraph(self.story) + code


def bug(
    source: Any, *, lines: Mapping[int, str], nudges: Mapping[int, str] | None = None, story: str
) -> Bug:
    """Show a numbered listing with a planted bug, and ask for its line.

    After three misses it says in which part of the listing the bug is.

    Args:
        source: code as text, or a function or class, of which the source is shown.
        lines: `{line: why this is the bug}`; several if the bug can be fixed in more than one line.
        nudges: `{line: something to think about}` for lines that look wrong and are not.
        story: what the code should do, and what it does instead.

    Raises:
        ValueError: no line is given; or the listing has no such line; or a line is both bug and
            nudge.
    """
    code = dedent(source if isinstance(source, str) else inspect.getsource(source)).strip("\n")
    last, nudges = len(code.splitlines()), nudges or {}
    if not lines:
        raise ValueError("lines must name the bug, got none; say which line it is in and why")
    outside = [line for line in [*lines, *nudges] if not 1 <= line <= last]
    if outside:
        raise ValueError(
            f"lines and nudges must be in 1 to {last}, got {outside[0]}; "
            "count from the first line of the listing"
        )
    both = lines.keys() & nudges.keys()
    if both:
        raise ValueError(f"a line must be bug or nudge, got both for {min(both)}; leave one out")
    hunt = Bug(code, lines, nudges, story)
    hunt.put()
    return hunt
