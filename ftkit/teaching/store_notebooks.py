"""Run notebooks in a clean kernel and store them with pictures, but without widget state."""

import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from ftkit.panel.still_image import ASKED
from ftkit.storage import check_writable, whole_file
from ftkit.teaching.cards import STYLE
from ftkit.teaching.display import VIEW


def store(path: Path) -> None:
    """Execute the notebook at `path` in its own folder and write it back.

    If a cell fails, the file stays as it was.

    Raises:
        CellExecutionError: a cell failed.
        ValueError: the file cannot be written; or a cell printed a traceback, which drawing
            pictures does on a machine that is too busy.
    """
    check_writable(path)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    _drop_what_differs(notebook)
    _style_once(notebook)
    _compact_tables(notebook)
    _without_tracebacks(notebook, path.name)
    with whole_file(path) as new:
        nbformat.write(notebook, new)


def _drop_what_differs(notebook: nbformat.NotebookNode) -> None:
    """Drop the state of widgets, which only this kernel could use, and times of day."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(VIEW, None)


def _style_once(notebook: nbformat.NotebookNode) -> None:
    """Keep the style sheet of the cards in its first output only: a stored notebook is one page."""
    pages = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if STYLE in output.get("data", {}).get("text/html", "")
    ]
    for page in pages[1:]:
        page["text/html"] = page["text/html"].replace(STYLE, "")


def _compact_tables(notebook: nbformat.NotebookNode) -> None:
    """Join the lines of pandas' tables: a notebook stores each line as a JSON string of its own."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            page = output.get("data", {}).get("text/html", "")
            if 'class="dataframe"' in page:
                output.data["text/html"] = re.sub(r"\s*\n\s*", " ", page)


def _without_tracebacks(notebook: nbformat.NotebookNode, name: str) -> None:
    """Raise ValueError if a cell printed a traceback."""
    for number, cell in enumerate(notebook.cells):
        printed = [output.get("text", "") for output in cell.get("outputs", [])]
        if any("Traceback (most recent call last)" in text for text in printed):
            raise ValueError(
                f"{name} must be stored without tracebacks, got one under cell {number}; "
                "store it again when the machine is idle"
            )


if __name__ == "__main__":
    os.environ[ASKED] = "1"
    folder, number = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    files = sorted(Path(folder).glob(f"{number}*.ipynb"))
    if not files:
        raise SystemExit(
            f"{folder} must hold a notebook whose name starts with {number!r}, got none; "
            "give a folder and the number of a lesson, such as 02"
        )
    for file in files:
        print(file.name, flush=True)
        store(file)
