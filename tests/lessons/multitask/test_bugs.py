"""The planted bugs of lesson 07 do what their stories say; fixing the named lines fixes them."""

import inspect
from types import FunctionType
from typing import Any

import pytest
import torch
from torch import nn

from ftkit.lessons.multitask import bugs as bugs_multitask
from ftkit.lessons.multitask.bugs import (
    LearnedWeights,
    gives_way,
    gives_way_to_the_changed,
    weights_stay,
)
from ftkit.techniques.task_balancing import projected

OPPOSED = [torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])]


def fixed(broken: Any, **lines: str) -> Any:
    """Return the object with some lines replaced, `l7` the seventh."""
    source = inspect.getsource(broken).splitlines()
    for line, text in lines.items():
        at = int(line[1:]) - 1
        source[at] = source[at][: len(source[at]) - len(source[at].lstrip())] + text
    names = dict(vars(bugs_multitask))
    exec("\n".join(source), names)
    return names[broken.__name__]


def test_of_two_opposed_gradients_the_second_comes_back_as_it_was() -> None:
    first, second = gives_way(OPPOSED)
    assert first.tolist() == [0.5, 0.5] and torch.equal(second, OPPOSED[1])


def test_comparing_with_the_original_gradients_fixes_it() -> None:
    lines = {
        "l7": "dot = turned[i] @ gradients[j]",
        "l9": "    turned[i] -= dot / (gradients[j] @ gradients[j]) * gradients[j]",
    }
    repaired = fixed(gives_way, l7=lines["l7"], l9=lines["l9"].strip())
    assert isinstance(repaired, FunctionType)
    assert torch.equal(torch.stack(repaired(OPPOSED)), projected(torch.stack(OPPOSED), [[1], [0]]))
    assert set(gives_way_to_the_changed().lines) == {7, 9}


def after_a_hundred_steps(kind: Any) -> dict[str, float]:
    torch.manual_seed(0)
    model, x = nn.Linear(3, 2), torch.randn(8, 3)
    balanced = kind(model, ["easy", "hard"], lr=1e-2)
    for _ in range(100):
        easy, hard = model(x).square().mean(0)
        balanced.step({"easy": easy, "hard": hard + 3})
    return {task: s.item() for task, s in balanced.s.items()}


def test_the_weights_stay_where_they_were() -> None:
    assert after_a_hundred_steps(LearnedWeights) == {"easy": 0.0, "hard": 0.0}


def test_an_optimizer_that_has_them_trains_them() -> None:
    repaired = fixed(
        LearnedWeights,
        l4="trained = [*model.parameters(), *self.s.values()]; "
        "self.optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)",
    )
    assert weights_stay().lines.keys() == {4}
    found = after_a_hundred_steps(repaired)
    assert found["easy"] < -0.5 < 0.5 < found["hard"]


@pytest.mark.parametrize("ask", [gives_way_to_the_changed, weights_stay])
def test_a_line_that_is_not_the_bug_is_a_miss(ask: Any) -> None:
    asked = ask()
    assert all(not asked.guess(line) for line in asked.nudges)
    assert asked.guess(min(asked.lines))
