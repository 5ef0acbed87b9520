"""The environment of the tests, and the fixtures that many of them use."""

import os
from collections.abc import Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that needs the hub fails at once
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from helpers.lesson_stage import Notebook

from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task
from ftkit.teaching import display

torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("there is no GPU here: torch.cuda.is_available() is False")


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Let torch refuse operations that are not deterministic."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def docs() -> Task:
    return load_task("docs")


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A stand-in for the notebook of a lesson."""
    made = Notebook()
    monkeypatch.delenv("FTKIT_HEADLESS", raising=False)
    monkeypatch.setattr(display, "shell", lambda: made)
    return made
