"""Turns the events of a panel's runs into figures and words."""

import html
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftkit.figures.plots import COLOURS, learning, trade_off
from ftkit.panel.layout import Panel
from ftkit.panel.recorded_runs import ACCURACY, Recorded
from ftkit.panel.worker import Job, JobEnd
from ftkit.stats.paired import interval
from ftkit.training.events import Event

SECONDS_BETWEEN_PAINTS = 0.11
STEPS_UNKNOWN = 100
"""The length of the progress bar, in steps, if the number of steps is not known."""

Curve = Mapping[str, Sequence[float]]


@dataclass
class Run:
    """The state of one run, from its events so far.

    Args:
        losses: pairs of step and training loss, in nats.
        accuracies: pairs of step and accuracy on the validation set, in [0, 1].
        probe: the values of the last event of stage "probe".
        cost: the cost, by the names of `Cost`.
    """

    settings: Mapping[str, Any]
    seed: int
    losses: list[tuple[int, float]] = field(default_factory=list)
    accuracies: list[tuple[int, float]] = field(default_factory=list)
    probe: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """The last accuracy on the validation set, in [0, 1]; nan before the first."""
        return self.accuracies[-1][1] if self.accuracies else float("nan")

    def add(self, event: Event) -> None:
        """Take in one event."""
        if event.stage == "train":
            self.losses.append((event.step, event.values["train/loss"]))
        elif event.stage == "valid":
            self.accuracies.append((event.step, event.values[ACCURACY]))
        elif event.stage == "probe":
            self.probe = event.values
        elif event.stage == "cost":
            self.cost = {name.removeprefix("cost/"): value for name, value in event.values.items()}


class Painter:
    """Paints the runs of the newest job on a panel, at most nine times a second and at the end.

    Args:
        panel: what is painted on.
        recorded: recorded runs behind the live ones, if there are any.
        picture: from the values of an event of stage "probe" to a figure.
        name: the technique's name, as in `figures.plots.COLOURS`.
        steps: the number of steps of a run, if it is known.
        replayed: whether the runs are recorded ones that are shown again.
    """

    def __init__(
        self,
        panel: Panel,
        recorded: Recorded | None,
        picture: Callable[[Mapping[str, Any]], Any] | None,
        name: str,
        steps: int | None,
        replayed: bool = False,
    ) -> None:
        self._panel, self._recorded, self._picture = panel, recorded, picture
        self._colour, self._steps, self._replayed = COLOURS[name], steps, replayed
        self.runs: list[Run] = []
        self._painted = 0.0

    def start(self, job: Job) -> None:
        """Clear the older runs, and paint the recorded runs of the new settings at once."""
        self.runs = []
        self._paint(job, None)
        self.paint_costs(job.settings)

    def add(self, job: Job, seed: int, event: Event) -> None:
        """Take in an event of the newest job, and paint if it is time."""
        if not self.runs or self.runs[-1].seed != seed:
            self.runs.append(Run(job.settings, seed))
        run = self.runs[-1]
        run.add(event)
        first = len(self.runs) == 1 and len(run.losses) + len(run.accuracies) == 1
        if first or time.perf_counter() - self._painted >= SECONDS_BETWEEN_PAINTS:
            self._paint(job, None)
        if event.stage == "probe" and self._picture:
            self._panel.picture.show(self._picture(event.values))

    def end(self, end: JobEnd) -> None:
        """Paint the end of the newest job; the status line says why a failed one failed."""
        self._paint(end.job, end)
        self.paint_costs(end.job.settings)

    def paint_costs(self, settings: Mapping[str, Any]) -> None:
        """Paint the trade-off plot and the cost table."""
        points = self._recorded.points(settings) if self._recorded else []
        run = self.runs[-1] if self.runs and self.runs[-1].cost else None
        live = {**run.cost, "accuracy": run.accuracy} if run else None
        note = self._missing(settings)
        # Also when it is empty: the plot of the older settings must not stay.
        self._panel.costs.show(trade_off(points, self._panel.axis, live, self._colour, note))
        full = next((point for point in points if point["name"] == "full fine-tuning"), None)
        recorded = self._recorded.cost(settings) if self._recorded else None
        self._panel.show_cost(live or recorded, full, live is not None)

    def _paint(self, job: Job, end: JobEnd | None) -> None:
        """Paint the curves, the progress bar and the status line."""
        self._painted = time.perf_counter()
        run = self.runs[-1] if self.runs else Run(job.settings, job.seeds[0])
        curve = self._recorded.curve(job.settings) if self._recorded else None
        baseline = self._recorded.baseline(job.settings) if self._recorded else None
        accuracies = [each.accuracies for each in self.runs]
        note = self._missing(job.settings)
        figure = learning(accuracies, run.losses, curve, self._colour, self._steps, baseline, note)
        figure["layout"]["meta"] = {
            "run": job.number,
            "validations": len(run.accuracies),
            "steps": len(run.losses),
            "how": end.how if end else "running",
        }
        steps = self._steps or STEPS_UNKNOWN
        done = steps * max(0, len(self.runs) - 1) + len(run.losses)
        self._panel.show_progress(done, steps * len(job.seeds))
        self._panel.say(self._status(job, run, end, curve))
        # The curves come last: who sees the end of a run there can read at once how it ended.
        self._panel.curves.show(figure)

    def _missing(self, settings: Mapping[str, Any]) -> str:
        """Return a note that there are no recorded runs of these settings; "" if there are some.

        It is empty too on a panel that has no recorded runs at all.
        """
        if self._recorded is None or self._recorded.curve(settings) is not None:
            return ""
        return "no recorded runs for these settings"

    def _status(self, job: Job, run: Run, end: JobEnd | None, curve: Curve | None) -> str:
        """Return the status line, HTML."""
        step = len(run.losses)
        if end is None:
            of_steps = f" of {self._steps}" if self._steps else ""
            position = f"seed {run.seed} ({len(self.runs)} of {len(job.seeds)}), "
            return f"Training: {position if len(job.seeds) > 1 else ''}step {step}{of_steps}."
        if end.error is not None:
            reason = html.escape(str(end.error) or type(end.error).__name__)
            return f"<b>Failed</b> after step {step}: {reason}"
        if end.how == "stopped":
            return f"<b>Stopped</b> after step {step}. Move a control or press Run to start again."
        if self._replayed:
            return f"<b>Recorded:</b> {_result(self.runs)} This run was not trained just now."
        recorded = f" {_recorded_result(curve)}" if curve else ""
        return f"<b>Done:</b> {_result(self.runs)}{recorded}"


def _result(runs: Sequence[Run]) -> str:
    if not runs or not all(run.accuracies for run in runs):
        return "No accuracy: a run was not validated."
    mean, low, high = interval([100 * run.accuracy for run in runs])
    if len(runs) == 1:
        return f"{mean:.1f} % on the validation set, one seed."
    seeds = f"{len(runs)} seeds"
    return f"{mean:.1f} % on the validation set, {seeds}, 95 % interval {low:.1f} to {high:.1f}."


def _recorded_result(curve: Curve) -> str:
    mean, low, high = (100 * curve[name][-1] for name in ("mean", "low", "high"))
    if math.isnan(mean):
        return "Recorded: no mean, a run diverged."
    seeds = f"{curve['runs'][-1]:g} seeds"
    return f"Recorded ({seeds}): {mean:.1f} %, 95 % interval {low:.1f} to {high:.1f}."
