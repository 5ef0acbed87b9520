"""How lessons are stored."""

import nbformat

from ftkit.lesson.look import STYLE
from ftkit.lesson.store import _style_once


def test_the_style_sheet_is_stored_once() -> None:
    pages = [nbformat.v4.new_output("display_data", {"text/html": f"{STYLE}<p>{i}</p>", "text/plain": str(i)}) for i in range(3)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=pages), nbformat.v4.new_markdown_cell("2")])
    _style_once(notebook)
    assert [page["data"]["text/html"] for page in notebook.cells[0].outputs] == [f"{STYLE}<p>0</p>", "<p>1</p>", "<p>2</p>"]
