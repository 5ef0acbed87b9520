"""Quizzes: questions in which every option, right or wrong, has an explanation."""

from collections.abc import Mapping
from typing import Any

from ftkit.teaching.answer_kinds import Options, radio
from ftkit.teaching.cards import COLD, bullets, card, heading, paragraph
from ftkit.teaching.display import Shown, boxed, controls
from ftkit.teaching.exercise import Result


class Quiz(Shown):
    """A question with `{option: explanation}`; the option `right` is the right one."""

    def __init__(self, question: str, options: Mapping[str, str], right: str) -> None:
        self.question, self.options, self.right = question, dict(options), right
        self._result: Any = None

    def answer(self, option: str) -> Result:
        """Choose `option`, and return whether it is right and why.

        Raises:
            ValueError: there is no such option.
        """
        Options(tuple(self.options)).accept(option)
        kind, title = ("yes", "Right") if option == self.right else ("no", "Not this one")
        result = Result(kind, title, self.options[option])
        if self._result is not None:
            self._result.value = result.html()
        return result

    def html(self) -> str:
        return card("ask", self._question_html(), bullets(list(self.options)), COLD)

    def text(self) -> str:
        options = [f"  - {option}" for option in self.options]
        return "\n".join([f"Question: {self.question}", *options, 'Answer with .answer("...")'])

    def __repr__(self) -> str:
        return self.text()

    def box(self) -> Any:
        widgets = controls()
        if widgets is None:
            return None
        choice = radio(widgets, list(self.options))
        choice.observe(self._choose, "value")
        self._result = widgets.HTML(layout=widgets.Layout(width="auto"))
        return boxed(widgets, "ask", self._question_html(), choice, self._result)

    def _choose(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self.answer(change["new"])

    def _question_html(self) -> str:
        return heading("Question") + paragraph(self.question)


def quiz(question: str, options: Mapping[str, str], answer: str) -> Quiz:
    """Ask `question`; each choice shows its explanation at once, as often as the learner likes.

    Args:
        options: `{option: why it is right, or why not}`, at least two.
        answer: the right option.

    Raises:
        ValueError: fewer than two options, an option without an explanation, or an answer that is
            not an option.
    """
    Options(tuple(options)).accept(answer)
    unexplained = [option for option, why in options.items() if not why.strip()]
    if unexplained:
        raise ValueError(
            f"every option must have an explanation, got none for {unexplained[0]!r}; "
            "say why it is right, or why not"
        )
    asked = Quiz(question, options, answer)
    asked.put()
    return asked
