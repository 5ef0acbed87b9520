"""How long a run takes where each lesson's explorer opens: 80 steps, the readings of valid and what the picture looks at, beside them."""

from collections.abc import Callable, Iterator
from functools import partial

from ftkit.experiments.step_time import in_turns
from ftkit.lessons.bitfit import study as bitfit
from ftkit.lessons.can_lora_be_beaten import study as board
from ftkit.lessons.distillation import trial as distill
from ftkit.lessons.limits_of_lora import trial as distance
from ftkit.lessons.lora import study as lora
from ftkit.lessons.multitask import trial as multitask
from ftkit.lessons.sparse import mask_readings as sparse_look
from ftkit.lessons.sparse import trial as sparse
from ftkit.lessons.the_lora_family import study as family
from ftkit.lessons.transfer_learning import trial as freezing
from ftkit.training.background_readings import in_background
from ftkit.training.events import Event

RUNS: dict[str, Callable[[], Iterator[Event]]] = {
    "01": partial(freezing.trial, "opening", 3, 3e-3, probe=freezing.moved),
    "02": partial(lora.trial, "opening", 4, 3e-3, probe=lora.spectrum),
    "03": partial(distance.trial, distance.PLACES[4], distance.LORA, 4, 3e-3, probe=freezing.moved),
    "04": partial(bitfit.trial, "opening", bitfit.ALL, 2000, 3e-2, probe=bitfit.moved),
    "05": partial(sparse.trial, "opening", "random", 0.01, 0.1, probe=sparse_look.seen),
    "06": partial(
        distill.trial, "library", 2.0, 0.9, distill.MOST, "two blocks", 3e-3, probe=distill.answers
    ),
    "07": partial(multitask.trial, multitask.HELPS, multitask.FIXED, 0.5, 1e-3, probe=True),
    "08": partial(family.trial, "opening", "DoRA", 8, 1e-2, probe=family.turned),
    "09": partial(
        board.trial,
        "opening",
        "sparse, random",
        board.MIDDLE,
        board.MOST,
        3e-2,
        probe=freezing.moved,
    ),
}
"""The settings at which the explorers open; the temperature of lesson 06 does not matter to the time."""
BUDGET = 2.0


def rows(rounds: int = 5) -> list[tuple[str, float, float | None, str]]:
    """Name, value, target and unit: seconds of a run, the median of `rounds` in turns, on the thread count that is set."""
    with in_background():
        seconds = in_turns(
            {lesson: lambda run=run: list(run()) for lesson, run in RUNS.items()}, rounds
        )  # type: ignore[misc]
    return [
        (f"lesson {lesson}: live run where the panel opens, one thread", value, BUDGET, "s")
        for lesson, value in seconds.items()
    ]
