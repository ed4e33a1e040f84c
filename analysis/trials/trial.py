"""Hold what is known of a trial and of all trials of one or several results folders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.trials.compare import data_differ
from analysis.trials.dominance import non_dominated
from ofb_ray.results.records import Record


@dataclass(frozen=True)
class Trial:
    """One trial folder.

    Args:
        status: the record's, or running, queued, died or unreadable where there is no record.
        sweep: empty in the analysis of one folder.
        budget: its label; the target is in the record.
        label: the label of the cell, which is the budget's and the grid's.
        promoted: whether the sweep let it fine-tune longer than the trial whose search it took over.
    """

    folder: Path
    number: int
    status: str
    record: Record | None = None
    sweep: str = ""
    budget: str = ""
    label: str = ""
    seed: int | None = None
    explored: dict[str, Any] | None = None
    reason: str = ""
    promoted: bool = False

    @property
    def name(self) -> int | str:
        """The number, with the sweep in front of it where several are analysed together."""
        return f"{self.sweep}/{self.number}" if self.sweep else self.number

    @property
    def met_budget(self) -> bool:
        """Finished, and the subnet costs no more than its budget allows."""
        record = self.record
        if record is None or record.status != "finished" or record.subnet is None:
            return False
        return int(getattr(record.subnet, record.budget.resource)) <= record.budget.target


@dataclass(frozen=True)
class Results:
    """Everything that is known of one or several results folders; `problems` are lines for the reader."""

    folders: tuple[Path, ...]
    name: str
    question: str
    trials: tuple[Trial, ...] = field(repr=False)  # megabytes in a notebook
    problems: tuple[str, ...] = ()

    def by_status(self, status: str) -> list[Trial]:
        """List the trials with this status, in their order."""
        return [trial for trial in self.trials if trial.status == status]

    @property
    def mixed(self) -> bool:
        """Whether the trials learned from different data, so that their accuracies do not compare."""
        return data_differ((trial.sweep, trial.record) for trial in self.trials if trial.record)

    @property
    def on_front(self) -> list[bool]:
        """For each trial: on the front of top-1 val over MACs, among the finished ones that met their budget.

        No trial is where the data are mixed.
        """
        nan, compare = float("nan"), not self.mixed
        points: list[tuple[float, float]] = []
        for trial in self.trials:
            subnet = trial.record.subnet if trial.record and trial.met_budget and compare else None
            top1 = subnet.top1_val if subnet else None
            points.append((top1, subnet.macs) if subnet and top1 is not None else (nan, nan))
        return [bool(flag) for flag in non_dominated(*zip(*points, strict=True))] if points else []
