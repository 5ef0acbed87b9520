"""Times of what takes turns, so that a machine's noise hits all alike."""

import time
from collections.abc import Callable
from statistics import median

Step = Callable[[], object]


def in_turns(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Seconds a call of each step, the median of `rounds` after two to warm up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}
