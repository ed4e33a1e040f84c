"""A trial in progress: what it was called with, its state, and how its state goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from ofb_ray.config import Phase, TrialSpec
from ofb_ray.errors import InputError
from ofb_ray.method.cost import Table
from ofb_ray.results.files import STATE_FILE
from ofb_ray.train import checkpoint
from ofb_ray.train.run import Run, pick_device, progress
from ofb_ray.train.team import Team
from ofb_ray.trial import phases
from ofb_ray.trial.phases import FineTuning, Searched, Searching, TrialState
from ofb_ray.trial.plan import Plan, plan

Report = Callable[[dict[str, Any]], None]
StateT = TypeVar("StateT", Searching, Searched, FineTuning)


@dataclass
class Current:
    """A trial in progress.

    Args:
        state: how far it is; `advance` replaces it.
        report: called on rank 0 with every epoch's values.
        workdir: folder of this trial alone.
        shared: folder for what trials share.
        keep_search: leave the searched subnet in `shared`.
        latency: the tables of the latency that the budget limits; none where it limits another cost.
        latency_error: the median error of what these tables say.
    """

    spec: TrialSpec
    planned: Plan
    state: TrialState
    report: Report
    workdir: Path
    shared: Path
    team: Team
    keep_search: bool
    latency: tuple[Table, ...] = ()
    latency_error: float | None = None
    device: torch.device = field(default_factory=pick_device)

    def show(self, phase: Phase, row: dict[str, Any], message: str = "") -> None:
        """Report an epoch, or what the trial does before the first one."""
        self.report(progress(self.spec, phase, row, message))

    def run(self, phase: Phase, epoch_done: Callable[[dict[str, Any], Callable[[], checkpoint.State]], None]) -> Run:
        """Give a phase's loop what it needs of this trial."""
        return Run(phase, self.spec.seed, self.device, epoch_done, self.team)

    def advance(self, state: StateT, resume_state: Callable[[], checkpoint.State] | None = None) -> StateT:
        """Make `state` the trial's, and write its checkpoint with what the running loop would go on from."""
        self.state = state
        if self.team.is_main:
            plain = phases.to_plain(state, self.spec.key, resume_state() if resume_state else None)
            checkpoint.save(self.workdir / STATE_FILE, plain)
        return state

    def elsewhere(self, spec: TrialSpec, workdir: Path, message: str) -> Current:
        """Return another trial in progress, of which this one needs the search, in a folder of its own.

        Args:
            message: put into its reports, which go where this one's go.
        """
        if self.team.is_main:  # which removes it again
            workdir.mkdir(parents=True, exist_ok=True)
        state = stored_state(spec, workdir, self.shared, self.team, keep_search=True)

        def report(row: dict[str, Any]) -> None:
            self.report({**row, "message": row["message"] or message})

        return replace(
            self,
            spec=spec,
            planned=plan(spec, latency=self.latency),
            state=state,
            report=report,
            workdir=workdir,
            keep_search=True,
        )


def stored_state(spec: TrialSpec, workdir: Path, shared: Path, team: Team, keep_search: bool) -> TrialState:
    """Read a trial's checkpoint; where it has none, that of an equal search if one was kept.

    Raises:
        InputError: the checkpoint is another trial's.
    """
    plain = team.broadcast(checkpoint.load(workdir / STATE_FILE) if team.is_main else None)
    if plain is not None and plain["key"] != spec.key:
        raise InputError(f"{workdir} holds the checkpoint of another trial; choose another folder")
    if plain is None and keep_search:
        plain = team.broadcast(checkpoint.load(checkpoint.kept_search(shared, spec)) if team.is_main else None)
    return Searching() if plain is None else phases.trial_state(plain)
