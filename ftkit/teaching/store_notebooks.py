"""Runs notebooks from a clean kernel and stores them executed, with pictures of their figures and without widget state."""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from ftkit.panel.still_image import ASKED
from ftkit.teaching.cards import STYLE


def store(path: Path) -> None:
    """Executes the notebook at `path` in its own folder and writes it back; a cell that fails leaves the file as it was.

    Raises:
        CellExecutionError: a cell failed.
        ValueError: a cell printed a traceback, as what draws its pictures does on a machine that is too busy.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    notebook.metadata.pop(
        "widgets", None
    )  # megabytes that only the kernel which made them could use
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day, which differ on every run
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    _style_once(notebook)
    _without_tracebacks(notebook, path.name)
    nbformat.write(notebook, path)


def _style_once(notebook: nbformat.NotebookNode) -> None:
    """Leaves the style sheet of the lesson's cards in its first output alone: stored, they are one page."""
    pages = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if STYLE in output.get("data", {}).get("text/html", "")
    ]
    for page in pages[1:]:
        page["text/html"] = page["text/html"].replace(STYLE, "")


def _without_tracebacks(notebook: nbformat.NotebookNode, name: str) -> None:
    for i, cell in enumerate(notebook.cells):
        if any(
            "Traceback (most recent call last)" in output.get("text", "")
            for output in cell.get("outputs", [])
        ):
            raise ValueError(
                f"{name} must be stored without tracebacks, got one under cell {i}; store it again when the machine is at rest"
            )


if __name__ == "__main__":
    os.environ[ASKED] = "1"
    for file in sorted(Path(sys.argv[1]).glob("*.ipynb")):
        print(file.name, flush=True)
        store(file)
