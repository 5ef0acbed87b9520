"""A notebook without a front end, for every test of the lesson kit that asks for one."""

import pytest
from lesson_stage import Notebook

from ftkit.lesson import front


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    made = Notebook()
    monkeypatch.delenv("FTKIT_HEADLESS", raising=False)
    monkeypatch.setattr(front, "shell", lambda: made)
    return made
