"""`Lesson`: everything that belongs to one lesson, as one value in the lesson's folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from ftkit.experiments.recording import More, Record, make
from ftkit.experiments.sweep import Trial
from ftkit.paths import kit_path
from ftkit.storage import read_table
from ftkit.teaching.claim_table import Claim
from ftkit.training.events import Event

Judge = Callable[[pd.DataFrame, dict[str, Any]], list[Claim]]
"""From the recorded table and how it was made to the claims with their verdicts."""


@dataclass(frozen=True)
class Lesson:
    """One lesson: its notebook, its recorded study, its claims, its exercises and the run that its panel opens with.

    Args:
        name: the stem of its notebook and of its record, such as "05_sparse". The folder of the lesson and the folder of
            its tests have the same name without the number.
        record: runs the study with an executor and seeds, and returns its long table.
        seeds: all seeds of the study.
        judge: the claims of the lesson, judged by the recorded table.
        exercises: the module that lists the lesson's exercises in `__all__`.
        trial, probe, opens_at: the run that the panel opens with is `trial(**opens_at, probe=probe)`.
        more: measures what the record stores beside the table.
        reads: files that the runs read besides the benchmarks: if they change, the runs are made again.
        before, after: what is done before the study runs, and with the path of the record that it wrote.
    """

    name: str
    record: Record
    seeds: Sequence[int]
    judge: Judge | None = None
    exercises: ModuleType | None = None
    trial: Trial | None = None
    probe: Any = None
    opens_at: Mapping[str, Any] = field(default_factory=dict)
    more: More = dict
    reads: Sequence[Path] = ()
    before: Callable[[], object] | None = None
    after: Callable[[Path], object] | None = None

    @property
    def number(self) -> str:
        """The two digits of the lesson, such as "05"."""
        return self.name[:2]

    @property
    def folder(self) -> str:
        """The name of the lesson's folder, such as "sparse"."""
        return self.name[3:]

    @property
    def path(self) -> Path:
        """Where the record of the lesson is."""
        return kit_path("data", "results", f"{self.name}.parquet")

    def read(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The recorded table, and how it was made."""
        return read_table(self.path)

    def claims(self) -> list[Claim]:
        """The claims of the lesson, judged by its record; none where the lesson tests none."""
        return self.judge(*self.read()) if self.judge else []

    def opening_run(self) -> Iterator[Event]:
        """The run that the panel opens with.

        Raises:
            ValueError: the lesson has no panel.
        """
        if self.trial is None:
            raise ValueError(
                f"a lesson must have a trial to run, got {self.name} without one; give it a trial"
            )
        yield from self.trial(**self.opens_at, probe=self.probe)

    def make(self, path: Path | None = None, seeds: Sequence[int] | None = None) -> None:
        """Runs the study and writes its record, or with `path` and `seeds` a part of it."""
        path = path or self.path
        if self.before:
            self.before()
        make(path, self.number, self.record, seeds or self.seeds, more=self.more, reads=self.reads)
        if self.after:
            self.after(path)
