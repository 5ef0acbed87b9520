"""What a lesson tells a reader to do with its panel can be done there."""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

from ftkit.panel.explorer import Explorer

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
ON_EVERY_PANEL = {"seed", "8 seeds", "cost axis", "share"}


def panel_and_text(path: Path) -> tuple[set[str], list[str]]:
    """Return the names of the panel's controls, and the list items of the text below it."""
    sources = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    (place,) = [i for i, source in enumerate(sources) if "= Explorer(" in source]
    calls = [node for node in ast.walk(ast.parse(sources[place])) if isinstance(node, ast.Call)]
    (call,) = [
        each for each in calls if isinstance(each.func, ast.Name) if each.func.id == "Explorer"
    ]
    given = {str(keyword.arg) for keyword in call.keywords}
    settings = given - set(inspect.signature(Explorer).parameters)
    items = [line for line in sources[place + 1].splitlines() if re.match(r"\d\. ", line)]
    return settings | ON_EVERY_PANEL, items


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_text_below_a_panel_names_controls_that_it_has(path: Path) -> None:
    controls, items = panel_and_text(path)
    # A name of a control is in italics, and so is nothing else in these lists.
    named = {name for item in items for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", item)}
    assert named - controls == set()
    assert bool(named) == (path.stem != "00_the_picture"), "lesson 00 explains a panel instead"
