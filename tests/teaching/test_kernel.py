"""The teaching kit in a real kernel, with and without FTKIT_HEADLESS, without a front end."""

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ftkit.teaching.display import VIEW

CELLS = [
    "from ftkit.teaching import predict, quiz, tally, hint, show, claims, Claim, bug\n"
    "from ftkit.teaching.exercise import exercise\n"
    "guess = predict('p', 'How many?', low=0, high=10, tolerance=1)",
    "quiz('Which?', {'a': 'because', 'b': 'for'}, 'a')",
    "guess.write(4); guess.score(5)",
    "made = exercise('T', difficulty=1, minutes=1, hints=['h'], solution='s')\n"
    "check = made(lambda yours: str(yours(0)))\n"
    "def mine(x):\n    y = x + 1\n    return y / x\n"
    "check(mine)",
    "def stub(x): raise NotImplementedError\ncheck(stub)",
    "bug('a = 1\\nb = a', lines={2: 'why'}, story='s')\nshow(exercise)\nhint(check)",
    "tally()",
]


@pytest.fixture(scope="module", params=["0", "1"], ids=["controls", "headless"])
def ran(request: pytest.FixtureRequest) -> tuple[bool, list[list[dict[str, Any]]]]:
    headless = request.param == "1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTKIT_HEADLESS", request.param)
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in CELLS]
        )
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return headless, [[output["data"] for output in cell.outputs] for cell in notebook.cells]


def test_everything_is_shown_once(ran: tuple[bool, list[list[dict[str, Any]]]]) -> None:
    assert [len(shown) for shown in ran[1]] == [1, 1, 1, 1, 1, 3, 1]


def test_controls_are_there_unless_headless(ran: tuple[bool, list[list[dict[str, Any]]]]) -> None:
    headless, cells = ran
    for shown in (cells[0][0], cells[1][0], cells[5][0]):
        assert (VIEW in shown) == (not headless)
        assert {"text/html", "text/plain"} <= set(shown)


def test_the_words_are_the_same_in_a_kernel(ran: tuple[bool, list[list[dict[str, Any]]]]) -> None:
    cells = ran[1]
    assert "You said 4, it was 5: Right, within 1." in cells[2][0]["text/plain"]
    assert (
        "ZeroDivisionError: division by zero" in cells[3][0]["text/plain"]
        and "line 5: return y / x" in cells[3][0]["text/plain"]
    )
    assert "not attempted yet" in cells[4][0]["text/html"]
    assert "1 of 1" in cells[6][0]["text/plain"]
