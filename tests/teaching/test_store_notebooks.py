"""Stored notebooks have one style sheet and no tracebacks."""

import nbformat
import pytest

from ftkit.teaching.cards import STYLE
from ftkit.teaching.store_notebooks import _style_once, _without_tracebacks


def test_the_style_sheet_is_stored_once() -> None:
    pages = [
        nbformat.v4.new_output(
            "display_data", {"text/html": f"{STYLE}<p>{i}</p>", "text/plain": str(i)}
        )
        for i in range(3)
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1", outputs=pages), nbformat.v4.new_markdown_cell("2")]
    )
    _style_once(notebook)
    assert [page["data"]["text/html"] for page in notebook.cells[0].outputs] == [
        f"{STYLE}<p>0</p>",
        "<p>1</p>",
        "<p>2</p>",
    ]


def test_a_traceback_is_not_stored() -> None:
    printed = nbformat.v4.new_output(
        "stream", name="stderr", text="JSONError\nTraceback (most recent call last):\n"
    )
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("1"),
            nbformat.v4.new_code_cell("2", outputs=[printed]),
        ]
    )
    with pytest.raises(
        ValueError,
        match="09.ipynb must be stored without tracebacks, got one under cell 1; store it again",
    ):
        _without_tracebacks(notebook, "09.ipynb")
    printed["text"] = "a warning"
    _without_tracebacks(notebook, "09.ipynb")
