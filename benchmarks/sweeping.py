"""Benchmark a sweep in two processes against the same sweep in one, both warm."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from ftkit.experiments.benchmark import FULL, reference
from ftkit.experiments.recording import one_thread
from ftkit.experiments.sweep import grid, sweep

JOBS = grid(bench=["opening"], method=[FULL], lr=[1e-3], seed=range(12))


def seconds(processes: int) -> float:
    """The seconds of the sweep in a number of processes that have loaded base and task."""
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=one_thread) as pool:
        sweep(reference, JOBS[: 2 * processes], pool)  # to warm up
        start = time.perf_counter()
        sweep(reference, JOBS, pool)
        return time.perf_counter() - start


def rows() -> list[tuple[str, float, float | None, str]]:
    """Name, value, target and unit."""
    return [("sweep of 12 runs: two processes / one", seconds(2) / seconds(1), 0.588, "x")]
