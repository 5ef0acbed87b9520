"""`Lesson`: the parts of one lesson as one value, `LESSON`, in the lesson's folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from ftkit.checksums import MANIFEST, checked, record
from ftkit.experiments.recording import More, Record, make
from ftkit.experiments.sweep import Trial
from ftkit.paths import kit_path
from ftkit.storage import check_writable, read_table
from ftkit.teaching.claim_table import Claim
from ftkit.training.events import Event

Judge = Callable[[pd.DataFrame, dict[str, Any]], list[Claim]]
"""A function from the table of recorded runs, and how it was made, to claims with verdicts."""


@dataclass(frozen=True)
class Lesson:
    """One lesson: its notebook, recorded runs, claims, exercises, and the first run of its panel.

    Only `name`, `record` and `seeds` are needed; leave out what a lesson does not have.

    Args:
        name: the file name, without its ending, of the notebook and of the table of recorded runs,
            such as "05_sparse". The lesson's folder and its test folder have this name without the
            number.
        record: runs the study, given an executor and seeds, and returns one long table.
        seeds: all seeds of the study.
        judge: judges the claims of the lesson by the recorded runs.
        exercises: the module that lists the exercises in `__all__`.
        trial: the trial behind the panel.
        opens_at: the settings of the panel's first run.
        probe: what the panel passes to the trial as `probe`, for the picture next to the curves.
        more: measures what is stored with the table, such as times; runs after the study.
        reads: files that the runs read, other than the data and bases of the benchmarks. If one
            changes, the runs are made again.
        before: runs before the study.
        after: runs after the study, with the path of the table.
        writes: the files of the kit that `before` and `after` write.
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
    writes: Sequence[Path] = ()

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
        """The file with the recorded runs."""
        return kit_path("data", "results", f"{self.name}.parquet")

    def read(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Read the table of recorded runs, and how it was made.

        Raises:
            ValueError: the file is not as the kit wrote it, see `ftkit.checksums`.
        """
        return read_table(checked(kit_path("data"), f"results/{self.name}.parquet"))

    def claims(self) -> list[Claim]:
        """Judge the claims of the lesson by its recorded runs; without claims, return none."""
        return self.judge(*self.read()) if self.judge else []

    def opening_run(self) -> Iterator[Event]:
        """Run the trial as the panel does when it opens.

        Raises:
            ValueError: the lesson has no panel.
        """
        if self.trial is None:
            raise ValueError(
                f"a lesson must have a trial to run, got none in {self.name}; "
                "give its LESSON a trial"
            )
        yield from self.trial(**self.opens_at, probe=self.probe)

    def make(self, path: Path | None = None, seeds: Sequence[int] | None = None) -> None:
        """Run the study and write its table; by default all seeds, to `self.path`.

        The checksums of the kit's own files that this writes are recorded.

        Raises:
            ValueError: a file that this writes cannot be written; nothing has run then.
        """
        path = path or self.path
        for each in (path, *self.writes, kit_path("data", MANIFEST)):
            check_writable(each)
        if self.before:
            self.before()
            self._record_checksums()
        make(path, self.number, self.record, seeds or self.seeds, more=self.more, reads=self.reads)
        if self.after:
            self.after(path)
        self._record_checksums(*([path] if path == self.path else []))

    def _record_checksums(self, *written: Path) -> None:
        """Record the checksums of `self.writes` and of these files."""
        data = kit_path("data")
        names = [each.relative_to(data).as_posix() for each in (*self.writes, *written)]
        record(data, *names)
