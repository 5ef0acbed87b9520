"""A sweep in the processes of a Dask cluster, one of which is killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from distributed import Client, LocalCluster
from helpers.kept_trials import LOG, begun, counted

from ftkit.experiments.resumable import CachedExecutor, runs
from ftkit.experiments.sweep import grid, sweep

JOBS = grid(rank=[1, 2, 3, 4, 5], lr=[0.1, 0.3], seed=[0, 1, 2])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Client]:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_a_worker_is_killed_and_the_table_is_complete_and_that_of_one_process(
    client: Client, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    pids = list(client.run(os.getpid).values())
    assert len(set(pids)) == 2 and os.getpid() not in pids

    def kill() -> None:
        while len(begun(log)) < 8:
            time.sleep(0.01)
        os.kill(pids[0], signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    with CachedExecutor(tmp_path / "runs.sqlite", client.get_executor()) as executor:
        table = sweep(counted, JOBS, executor)
    killer.join()
    made = len(begun(log))
    assert set(client.run(os.getpid).values()) != set(pids), (
        "the worker was killed, and another took its place"
    )
    assert len(JOBS) <= made <= len(JOBS) + 3, (
        "the runs of the killed worker are made again, and no others"
    )
    assert len(runs(tmp_path / "runs.sqlite")) == len(JOBS)
    pd.testing.assert_frame_equal(table, sweep(counted, JOBS))
