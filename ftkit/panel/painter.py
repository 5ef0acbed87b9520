"""What a panel shows of its runs: events in, paint out."""

import html
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftkit.figures.plots import COLOURS, learning, trade_off
from ftkit.panel.layout import Panel
from ftkit.panel.recorded_runs import ACCURACY, Recorded
from ftkit.panel.worker import Ended, Job
from ftkit.stats.paired import interval
from ftkit.training.events import Event

SECONDS_BETWEEN_PAINTS = 0.11
STEPS_UNKNOWN = 100


@dataclass
class Run:
    """What one trial has said so far: (step, value) pairs of training loss in nats and accuracy on valid in [0, 1], and the last look
    and bill."""

    settings: Mapping[str, Any]
    seed: int
    losses: list[tuple[int, float]] = field(default_factory=list)
    accuracies: list[tuple[int, float]] = field(default_factory=list)
    probe: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """The last accuracy on valid, in [0, 1]; nan before the first."""
        return self.accuracies[-1][1] if self.accuracies else float("nan")

    def hear(self, event: Event) -> None:
        """Takes in one event."""
        if event.stage == "train":
            self.losses.append((event.step, event.values["train/loss"]))
        elif event.stage == "valid":
            self.accuracies.append((event.step, event.values[ACCURACY]))
        elif event.stage == "probe":
            self.probe = event.values
        elif event.stage == "cost":
            self.cost = {name.removeprefix("cost/"): value for name, value in event.values.items()}


class View:
    """Paints the runs of the newest job on a panel, at most nine times a second and always at the end. Runs that are `replayed` from a
    record are named so."""

    def __init__(
        self,
        panel: Panel,
        recorded: Recorded | None,
        picture: Callable[[Mapping[str, float]], Any] | None,
        name: str,
        steps: int | None,
        replayed: bool = False,
    ) -> None:
        self._replayed = replayed
        self._panel, self._recorded, self._picture, self._name, self._steps = (
            panel,
            recorded,
            picture,
            name,
            steps,
        )
        self.runs: list[Run] = []
        self._painted = 0.0

    def heard(self, job: Job, seed: int, event: Event) -> None:
        """Takes in an event of the newest job."""
        if not self.runs or self.runs[-1].seed != seed:
            self.runs.append(Run(job.settings, seed))
        run = self.runs[-1]
        run.hear(event)
        first = len(self.runs) == 1 and len(run.losses) + len(run.accuracies) == 1
        if first or time.perf_counter() - self._painted >= SECONDS_BETWEEN_PAINTS:
            self._paint(job, None)
        if event.stage == "probe" and self._picture:
            self._panel.picture.show(self._picture(event.values))

    def begin(self, job: Job) -> None:
        """Clears the runs before, and paints what was recorded of the new settings: the answer that needs no waiting."""
        self.runs = []
        self._paint(job, None)
        self.costs(job.settings)

    def ended(self, end: Ended) -> None:
        """Paints the end of the newest job; a failure is said in the line of status."""
        self._paint(end.job, end)
        self.costs(end.job.settings)

    def _paint(self, job: Job, end: Ended | None) -> None:
        self._painted = time.perf_counter()
        curve = self._recorded.curve(job.settings) if self._recorded else None
        run = self.runs[-1] if self.runs else Run(job.settings, job.seeds[0])
        floor = self._recorded.floor(job.settings) if self._recorded else None
        figure = learning(
            [each.accuracies for each in self.runs],
            run.losses,
            curve,
            COLOURS[self._name],
            self._steps,
            floor,
        )
        how = end.how if end else "running"
        figure["layout"]["meta"] = {
            "run": job.number,
            "readings": len(run.accuracies),
            "steps": len(run.losses),
            "how": how,
        }
        steps = self._steps or STEPS_UNKNOWN
        self._panel.show_progress(
            steps * max(0, len(self.runs) - 1) + len(run.losses), steps * len(job.seeds)
        )
        self._panel.say(self._status(job, run, end, curve))
        self._panel.curves.show(
            figure
        )  # last: whoever sees the end of a run in the curves finds it in the words too

    def costs(self, settings: Mapping[str, Any]) -> None:
        """Paints the trade-off plot and the bill."""
        points = self._recorded.points(settings) if self._recorded else []
        run = self.runs[-1] if self.runs and self.runs[-1].cost else None
        live = {**run.cost, "accuracy": run.accuracy} if run else None
        if points or live:
            self._panel.costs.show(trade_off(points, self._panel.axis, live, COLOURS[self._name]))
        full = next((point for point in points if point["name"] == "full fine-tuning"), None)
        self._panel.show_bill(
            live or (self._recorded.cost(settings) if self._recorded else None),
            full,
            live is not None,
        )

    def _status(
        self, job: Job, run: Run, end: Ended | None, curve: Mapping[str, Sequence[float]] | None
    ) -> str:
        step, of = len(run.losses), f" of {self._steps}" if self._steps else ""
        if end is None:
            many = (
                f"seed {run.seed}, {len(self.runs)} of {len(job.seeds)}, "
                if len(job.seeds) > 1
                else ""
            )
            return f"Training: {many}step {step}{of}"
        if end.error is not None:
            return f"<b>Failed</b> after step {step}: {html.escape(str(end.error) or type(end.error).__name__)}"
        if end.how == "stopped":
            return f"<b>Stopped</b> after step {step}. Move a control or press Run to start again."
        if self._replayed:
            return f"<b>Recorded.</b> {_result(self.runs)} This panel shows runs of the record; nothing was trained just now."
        return f"<b>Done.</b> {_result(self.runs)} {_beside(curve) if self._recorded else ''}"


def _result(runs: Sequence[Run]) -> str:
    mean, low, high = interval([100 * run.accuracy for run in runs])
    return (
        f"{len(runs)} seeds: {mean:.1f} % [{low:.1f}, {high:.1f}]."
        if len(runs) > 1
        else f"{mean:.1f} % on valid, one seed."
    )


def _beside(curve: Mapping[str, Sequence[float]] | None) -> str:
    if curve is None:
        return "These settings were not recorded."
    mean, low, high, runs = (curve[name][-1] for name in ("mean", "low", "high", "runs"))
    return f"Recorded, {runs:g} seeds: {100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]."
