"""Quizzes: a question whose every option, right or wrong, has its explanation."""

from collections.abc import Mapping
from typing import Any

from ftkit.teaching.answer_kinds import Options, radio
from ftkit.teaching.cards import COLD, card, heading, inline, paragraph
from ftkit.teaching.display import Shown, boxed, controls
from ftkit.teaching.exercise import Result


class Quiz(Shown):
    """A question with `{option: explanation}` and the right option, `right`."""

    def __init__(self, question: str, options: Mapping[str, str], right: str) -> None:
        self.question, self.options, self.right = question, dict(options), right
        self._told: Any = None

    def answer(self, option: str) -> Result:
        """What choosing `option` tells.

        Raises:
            ValueError: there is no such option.
        """
        Options(tuple(self.options)).taken(option)
        is_right = option == self.right
        result = Result(
            "yes" if is_right else "no",
            "Right" if is_right else "Not this one",
            self.options[option],
        )
        if self._told is not None:
            self._told.value = result.html()
        return result

    def html(self) -> str:
        return card(
            "ask",
            self._asked(),
            f"<ul>{''.join(f'<li>{inline(option)}</li>' for option in self.options)}</ul>",
            COLD,
        )

    def text(self) -> str:
        return "\n".join(
            [
                f"Question: {self.question}",
                *(f"  - {option}" for option in self.options),
                'Answer with .answer("...")',
            ]
        )

    def __repr__(self) -> str:
        return self.text()

    def box(self) -> Any:
        if (widgets := controls()) is None:
            return None
        choice = radio(widgets, list(self.options))
        choice.observe(
            lambda change: change["new"] is not None and self.answer(change["new"]), "value"
        )
        self._told = widgets.HTML(layout=widgets.Layout(width="auto"))
        return boxed(widgets, "ask", self._asked(), choice, self._told)

    def _asked(self) -> str:
        return heading("Question") + paragraph(self.question)


def quiz(question: str, options: Mapping[str, str], answer: str) -> Quiz:
    """Asks `question`; choosing one of `options` shows its explanation, at once and as often as one likes.

    Args:
        options: `{option: why it is right, or why not}`, at least two.
        answer: the option that is right.

    Raises:
        ValueError: fewer than two options, an option without an explanation, or an answer that is none of them.
    """
    Options(tuple(options)).taken(answer)
    if silent := [option for option, why in options.items() if not why.strip()]:
        raise ValueError(
            f"every option must have an explanation, got none for {silent[0]!r}; say why it is right, or why not"
        )
    made = Quiz(question, options, answer)
    made.put()
    return made
