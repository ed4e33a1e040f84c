"""Say what a tracker gets of a trial, and what it must be able to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from ofb_ray.config import PHASES, Budget, Json
from ofb_ray.results.files import Progress, TrialFile, trial_name
from ofb_ray.results.records import Record

METRICS = ("loss", "top1_val", "expected_macs")


@dataclass(frozen=True)
class EpochRow:
    """One epoch of a trial, from a report or from a record's history. What a phase does not measure is None.

    Args:
        phase: in which it was trained.
        epoch: epochs of the phase that are done; 0 in a report before the first.
        loss: mean training loss.
        top1_val: top-1 accuracy on the held-out part of train, in percent.
        expected_macs: expected MACs of the network that is searched.
    """

    phase: str
    epoch: int
    loss: float | None = None
    top1_val: float | None = None
    expected_macs: float | int | None = None

    @property
    def phase_index(self) -> int:
        """The position of its phase in `PHASES`."""
        return next(index for index, phase in enumerate(PHASES) if phase == self.phase)

    @property
    def metrics(self) -> Json:
        """The metrics that were measured, by name."""
        return {key: value for key in METRICS if (value := getattr(self, key)) is not None}


@dataclass(frozen=True)
class TrackedTrial:
    """One trial as trackers know it.

    Args:
        number: of the trial.
        sweep: name of its sweep.
        label: its cell as short text.
        key: the hash of its spec.
        hparams: budget, grid values, seed and explored parameters, plain scalars.
        before: the epochs of all phases ahead of each phase.
    """

    number: int
    sweep: str
    label: str
    key: str
    hparams: Json
    before: dict[str, int]

    @property
    def name(self) -> str:
        """Five digits, as the trial's folder."""
        return trial_name(self.number)

    def step(self, row: EpochRow) -> int | None:
        """Return the global step of a row: epochs over all phases. None where no epoch was trained."""
        if row.phase not in self.before or not row.metrics:
            return None
        return self.before[row.phase] + row.epoch


class Tracker(Protocol):
    """Deliver trials to one kind of tracker. One thread calls it; what it raises is printed and tried again later.

    A run that an earlier launch began is gone on with: every method opens the trial's run where it is not open.
    """

    def start(self, trial: TrackedTrial) -> None:
        """Open the trial's run with its hyperparameters."""

    def log(self, trial: TrackedTrial, step: int, row: EpochRow) -> None:
        """Log `metrics(row)`, unless the run has this step."""

    def end(self, trial: TrackedTrial, record: Record | None, reason: str) -> None:
        """Log what the run lacks of the record's history, its final metrics, and how it ended.

        Without a record the trial was interrupted, or died for `reason`.
        """

    def forget(self, number: int) -> None:
        """Drop what is known of the trial's run, so that the next call finds out what has arrived."""

    def close(self) -> None:
        """End whatever is open; no call follows."""


def track(trial: TrialFile) -> TrackedTrial:
    """Return a trial as trackers know it."""
    cell = dict(trial.cell)
    before: dict[str, int] = {}
    epochs = 0
    for phase in PHASES:
        before[phase] = epochs
        epochs += int(trial.spec[phase]["epochs"])
    budget = Budget.model_validate(cell.pop("budget"))
    # A ratio as a number: TensorBoard's and MLflow's parallel coordinates then have an axis for it.
    value = budget.label if budget.macs_ratio is None else budget.macs_ratio
    hparams = {"budget": value, **{key: _scalar(value) for key, value in {**cell, **trial.params}.items()}}
    return TrackedTrial(trial.trial, trial.sweep, trial.label, trial.key, hparams, before)


def row_of(report: Progress) -> EpochRow | None:
    """Return the epoch of a report; None where it is of none."""
    if report.phase not in PHASES or report.epoch is None:
        return None
    return EpochRow(report.phase, report.epoch, report.loss, report.top1_val, report.expected_macs)


def metrics(row: EpochRow) -> dict[str, float]:
    """Return the numbers of one epoch; the phase as its position in `PHASES`."""
    known = {key: float(value) for key, value in row.metrics.items()}
    return {**known, "phase": float(row.phase_index), "epoch": float(row.epoch)}


def history(trial: TrackedTrial, record: Record) -> dict[int, EpochRow]:
    """Return step -> epoch of all epochs that the record knows, in order; those of a shared dense network, too."""
    rows = [EpochRow(row["phase"], row["epoch"], *(row.get(key) for key in METRICS)) for row in record.history]
    steps = {step: row for row in rows if (step := trial.step(row)) is not None}
    return dict(sorted(steps.items()))


def final_metrics(record: Record) -> dict[str, float]:
    """Return `final/top1_val`, `final/macs`, ...: what the record says of the subnet, and its seconds."""
    known: dict[str, Any] = record.subnet.model_dump() if record.subnet is not None else {}
    known["seconds"] = sum(record.seconds.values())
    return {f"final/{key}": float(value) for key, value in known.items() if value is not None}


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else json.dumps(value, sort_keys=True)
