"""Stored notebooks have one style sheet, compact tables and no tracebacks."""

import nbformat
import pandas as pd
import pytest

from ftkit.teaching.cards import STYLE
from ftkit.teaching.store_notebooks import _compact_tables, _style_once, _without_tracebacks


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


def test_a_table_is_one_line_with_the_same_cells_and_code_keeps_its_lines() -> None:
    table = pd.DataFrame({"lr": [0.01, 0.1], "words": ["a b", "c"]})
    code = "<pre>def f():\n    return 1</pre>"
    pages = [
        nbformat.v4.new_output("display_data", {"text/html": html})
        for html in (table._repr_html_(), code)  # type: ignore[operator]
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=pages)])
    _compact_tables(notebook)
    stored, other = (page["data"]["text/html"] for page in notebook.cells[0].outputs)
    assert "\n" not in stored and other == code
    for text in ("<th>lr</th>", "<td>0.01</td>", "<td>a b</td>"):
        assert text in stored


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
