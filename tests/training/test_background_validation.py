"""Background validation: the same events, from a snapshot, and no thread left behind."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers.nets import net, task_for

from ftkit.lessons.bitfit import trial as bitfit
from ftkit.lessons.lora import trial as lora
from ftkit.lessons.multitask import trial as multitask
from ftkit.model.adapted import Adapted
from ftkit.model.change import Change
from ftkit.model.objective import supervised
from ftkit.techniques.lora import LoRA
from ftkit.training.background_validation import BackgroundValidation, in_background
from ftkit.training.events import Diverged, Event
from ftkit.training.loop import train

BASE = "mini"


def run(**more: Any) -> Iterator[Event]:
    model = Adapted(net(BASE), LoRA(2), seed=0)
    return train(
        model, task_for(BASE), steps=8, lr=1e-2, size=6, validations=4, valid_rows=12, **more
    )


def in_order(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.step, event.stage))


def delta_norm(model: Adapted) -> dict[str, float]:
    return {"probe/norm": model.delta().norm()}


def test_background_validations_equal_those_between_steps() -> None:
    between = list(run(probe=delta_norm))
    with in_background():
        later = list(run(probe=delta_norm))
    assert in_order(later) == in_order(between)
    assert [event.step for event in later if event.stage == "valid"] == [
        event.step for event in between if event.stage == "valid"
    ]
    assert len({event.values["probe/norm"] for event in later if event.stage == "probe"}) == 4, (
        "each validation gets a later model"
    )


@pytest.mark.parametrize(
    "trial",
    [
        lambda: lora.trial("digits", 2, 3e-3, probe=lora.spectrum),
        lambda: bitfit.trial("digits", bitfit.ALL_GROUPS, 32, 1e-2, probe=bitfit.movement_by_group),
        lambda: multitask.trial(multitask.IMAGES, multitask.FIXED_WEIGHTS, 0.5, 1e-3, probe=True),
    ],
)
def test_a_trial_of_a_lesson_has_the_same_events_in_the_background(trial: Any) -> None:
    between = list(trial())
    with in_background():
        assert in_order(list(trial())) == in_order(between)


def test_a_validation_gets_the_model_of_its_request_on_another_thread() -> None:
    model, seen, go = Adapted(net(BASE), LoRA(2), seed=0), [], threading.Event()

    def validate(copy: Adapted, step: int) -> list[Event]:
        assert go.wait(10)
        on_main_thread = threading.current_thread() is threading.main_thread()
        seen.append((on_main_thread, copy is model, copy.delta().norm()))
        return [Event(step, "valid", {})]

    with in_background():
        validations = BackgroundValidation(validate)
        assert not list(validations.request(model, 1)) and not list(validations.finished())
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(1.0)
        go.set()
        assert list(validations.drain()) == [Event(1, "valid", {})]
        assert not list(validations.drain())
    assert seen == [(False, False, 0.0)] and model.delta().norm() > 0


def test_an_abandoned_run_leaves_no_validation_and_no_thread() -> None:
    done, go = [], threading.Event()

    def validate(copy: Adapted, step: int) -> list[Event]:
        go.wait(10)
        done.append(step)
        return []

    with in_background():
        validations, model = BackgroundValidation(validate), Adapted(net(BASE), LoRA(2), seed=0)
        for step in (1, 2, 3):
            list(validations.request(model, step))
    go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("ftkit validation"):
            thread.join(10)
    assert done in ([], [1]) and not [
        t for t in threading.enumerate() if t.name.startswith("ftkit validation")
    ]


def test_a_validation_that_fails_ends_the_run_with_its_error() -> None:
    def fails(model: Adapted) -> dict[str, float]:
        raise ZeroDivisionError("in a probe")

    with in_background(), pytest.raises(ZeroDivisionError, match="in a probe"):
        list(run(probe=fails))


def test_a_run_that_diverges_yields_the_validations_before_it() -> None:
    calls = iter(range(99))

    def objective(model: Any, batch: Any) -> dict[str, torch.Tensor]:
        factor = float("nan") if next(calls) == 5 else 1.0
        return {"labels": supervised(model, batch)["labels"] * factor}

    events: list[Event] = []
    with in_background(), pytest.raises(Diverged, match="at step 6"):
        events.extend(run(objective=objective))  # events before the error stay in the list
    assert [event.step for event in events if event.stage == "valid"] == [1, 3, 5]


def test_after_the_context_validations_come_at_once_again() -> None:
    with in_background():
        pass
    events = list(run())
    before = [events[i - 1] for i, event in enumerate(events) if event.stage == "valid"]
    assert [event.stage for event in before] == ["train"] * 4
    assert [event.step for event in before] == [
        event.step for event in events if event.stage == "valid"
    ]


def test_a_copy_draws_with_the_same_seed_what_is_not_in_the_state() -> None:
    class Drawn(Change):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(1))

        def draw(self, generator: torch.Generator) -> None:
            # No parameter and no buffer, so it is not in the state.
            self.number = torch.rand(1, generator=generator)

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight + self.scale * self.number

    class DrawnHead:
        def changes(self, model: torch.nn.Module) -> dict[str, Change]:
            return {"heads." + task_for(BASE).name + ".weight": Drawn()}

    def go() -> list[Event]:
        model = Adapted(net(BASE), DrawnHead(), seed=3)
        events = train(
            model, task_for(BASE), steps=4, head_lr=1.0, size=6, validations=2, valid_rows=12
        )
        return in_order(list(events))

    between = go()
    with in_background():
        assert go() == between
