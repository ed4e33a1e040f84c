"""Run one trial, without Ray: dense network -> search -> fuse -> fine-tune -> evaluate -> export -> record."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from ofb_ray.config import TrialSpec
from ofb_ray.data import Dataset
from ofb_ray.data import load as load_data
from ofb_ray.errors import InputError, TrialFailed, TrialStopped
from ofb_ray.export import build, make_arch, save_network, tensors
from ofb_ray.export.network import widths_of
from ofb_ray.method.cost import cost, units_of
from ofb_ray.results.files import STATE_FILE, WORK_LOCK
from ofb_ray.results.records import Network, Record, now, read_record, write_record
from ofb_ray.search import loop, trace
from ofb_ray.search.calibrate import Calibration, calibration_images
from ofb_ray.search.supernet import Supernet
from ofb_ray.train import checkpoint
from ofb_ray.train.evaluate import evaluate_splits
from ofb_ray.train.run import Run, Stopwatch, pick_device, progress
from ofb_ray.train.supervised import fit
from ofb_ray.train.team import Team, current_team
from ofb_ray.trial import phases
from ofb_ray.trial.calibration import shared_calibration
from ofb_ray.trial.dense import Dense, dense_network
from ofb_ray.trial.environment import environment, gpu_seconds, images, peak_memory_bytes, reset_peak_memory
from ofb_ray.trial.phases import FineTuning, Searched, Searching, TrialState
from ofb_ray.trial.plan import Plan, plan
from ofb_ray.trial.teacher import make_teacher

Report = Callable[[dict[str, Any]], None]
# Facts of a fine-tune epoch (epoch, epochs, top1_val in percent, used: cost over target) -> a reason to stop, or None.
EarlyStop = Callable[[dict[str, Any]], str | None]
Status = Literal["finished", "failed", "stopped"]
StateT = TypeVar("StateT", Searching, Searched, FineTuning)


def run_trial(
    spec: TrialSpec,
    report: Report,
    workdir: Path,
    *,
    shared: Path,
    trial: int = 0,
    sweep: str = "",
    explored: dict[str, Any] | None = None,
    gate: EarlyStop | None = None,
    keep_search: bool = False,
    test: bool = True,
) -> Record:
    """Run one trial in `workdir`, or go on with it, or return its record if it is finished.

    A checkpoint is written after every epoch and phase, so a killed trial that is called again ends with the numbers of
    one that was never killed (bit for bit on a CPU with as many threads). One that diverges returns a failed record.

    Args:
        report: called after every epoch with plain values by name, those of `ofb_ray.train.run.progress`.
        workdir: folder of this trial alone.
        shared: folder for what trials share: dense networks and decoded images.
        trial: number in its sweep, for the record.
        sweep: name of the sweep, for the record.
        explored: parameters that a sampler chose, by dotted key, for the record.
        gate: called after the checkpoint of every fine-tune epoch but the last, and for the checkpoint's again when the
            trial is resumed; a string that it returns is the reason to stop, and the record's status then `stopped`.
        keep_search: leave the searched subnet in `shared`, or start from there where an equal search has left its own.
        test: measure the subnet on the test split, too; a preview does not.
    Raises:
        InputError: the spec cannot be run, or another process is running this trial.
    """
    team = current_team()
    if (stored := team.broadcast(read_record(workdir) if team.is_main else None)) is not None:
        return stored
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(workdir / WORK_LOCK, timeout=60) if team.is_main else contextlib.nullcontext():
            # Another process may have finished it while this one waited for the lock.
            if (stored := team.broadcast(read_record(workdir) if team.is_main else None)) is not None:
                return stored
            state = _stored_state(spec, workdir, shared, team, keep_search)
            show = report if team.is_main else lambda _: None
            current = _Trial(spec, plan(spec), state, show, workdir, shared, team, gate, keep_search, test)
            record = current.run(trial, sweep, explored or {})
            if team.is_main:
                write_record(workdir, record)
                (workdir / STATE_FILE).unlink(missing_ok=True)
            return record
    except Timeout:
        raise InputError(f"another process is running the trial in {workdir}; wait for it or stop it") from None


def _stored_state(spec: TrialSpec, workdir: Path, shared: Path, team: Team, keep_search: bool) -> TrialState:
    """Read this trial's checkpoint; where it has none, that of an equal search if one was kept."""
    plain = team.broadcast(checkpoint.load(workdir / STATE_FILE) if team.is_main else None)
    if plain is not None and plain["key"] != spec.key:
        raise InputError(f"{workdir} holds the checkpoint of another trial; choose another folder")
    if plain is None and keep_search:
        plain = team.broadcast(checkpoint.load(checkpoint.kept_search(shared, spec)) if team.is_main else None)
    return Searching() if plain is None else phases.trial_state(plain)


@dataclass
class _Trial:
    """A trial in progress: what it was called with, its state, and what its record is made of beside that."""

    spec: TrialSpec
    planned: Plan
    state: TrialState
    report: Report
    workdir: Path
    shared: Path
    team: Team
    gate: EarlyStop | None
    keep_search: bool
    test: bool
    device: torch.device = field(default_factory=pick_device)
    dense: Dense | None = None
    subnet: Network | None = None
    images: dict[str, Any] = field(default_factory=dict)

    def run(self, trial: int, sweep: str, explored: dict[str, Any]) -> Record:
        """Train what is left to train and return the record, however the trial ends."""
        reset_peak_memory(self.device)
        try:
            self._train()
        except TrialFailed as error:
            return self._record(trial, sweep, explored, "failed", str(error))
        except TrialStopped as error:
            return self._record(trial, sweep, explored, "stopped", str(error))
        return self._record(trial, sweep, explored, "finished")

    def _train(self) -> None:
        """Go through the phases that are left."""
        data = load_data(self.planned.data, self.shared / "data")
        try:
            self.dense = self._dense(data)
            searched = self._search(self.state, self.dense, data) if isinstance(self.state, Searching) else self.state
            if isinstance(searched, Searched) and self.team.is_main:
                trace.write(self.workdir, self.planned.backbone.axes, searched.trace)
            self.subnet = self._finetune(searched, self.dense, data)
        finally:
            self.images = images(data)
        done = {"phase": "done", "epoch": 0, "epochs": 0, "progress": 1.0, "message": ""}
        self.report(done | {"top1_val": self.subnet.top1_val})

    def _dense(self, data: Dataset) -> Dense:
        def show(row: dict[str, Any], message: str = "") -> None:
            self.report(progress(self.spec, "dense", row, message))

        waiting = "another trial trains the dense network"
        return dense_network(self.spec, self.planned, data, self.shared, show, lambda: show({"epoch": 0}, waiting))

    def _search(self, state: Searching, dense: Dense, data: Dataset) -> Searched:
        """Search from the dense network, decide every width, and fuse."""
        watch = Stopwatch(state.seconds.get("search", 0.0))

        def epoch_done(row: dict[str, Any], resume_state: Callable[[], checkpoint.State]) -> None:
            nonlocal state
            state = self._advance(phases.search_epoch(state, row, watch.seconds), resume_state)
            self.report(progress(self.spec, "search", row))

        run, planned = Run("search", self.spec.seed, self.device, epoch_done, self.team), self.planned
        teacher = make_teacher(self.spec.search.distill, dense.net, planned, self.device)
        parts, images = self.spec.search.parts, list[Tensor]()
        if parts.compensate:
            images = calibration_images(data.train, self.spec.search.calibration_images, self.device)
        problem = loop.Problem(data, self.spec.search, planned.goal, planned.dense_cost, teacher, images)
        known = self._calibration(dense, data, run) if state.loop is None else Calibration(dense.net)
        torch.manual_seed(self.spec.seed)
        net = Supernet(copy.deepcopy(known.net), planned.backbone).to(self.device)
        if state.loop is None:
            begun = loop.start(net, problem, run, known)
        else:
            begun = loop.resume(net, problem, run, state.loop)
        result = loop.search(begun, problem, run)
        arch = make_arch(planned.model.name, planned.model.args, result.net.backbone.widths, planned.data)
        searched = phases.end_search(state, arch, tensors(result.net.fuse()), result.events, result.trace.state())
        if self.keep_search and self.team.is_main:
            plain = phases.to_plain(searched, self.spec.search_key)
            checkpoint.save(checkpoint.kept_search(self.shared, self.spec), plain)
        return self._advance(searched)

    def _calibration(self, dense: Dense, data: Dataset, run: Run) -> Calibration:
        """What calibration images tell of the dense network, from the sweep's folder if it is there."""

        def show(done: int, total: int, rest: float) -> None:
            message = f"measuring sensitivities: {done} of {total} axes, {rest:.0f} s left"
            self.report(progress(self.spec, "search", {"epoch": 0}, message))

        if not self.spec.search.parts.any:
            return Calibration(dense.net)
        folder = self.shared / self.spec.dense_key
        return shared_calibration(dense.net, self.planned.backbone, data.train, self.spec.search, run, folder, show)

    def _finetune(self, state: Searched | FineTuning, dense: Dense, data: Dataset) -> Network:
        """Fine-tune the subnet, write it, and return its size and accuracy."""
        watch = Stopwatch(state.seconds.get("finetune", 0.0))
        units, backbone = units_of(widths_of(state.arch)), self.planned.backbone
        used = cost(self.planned.goal.terms, units) / self.planned.target
        net = build(state.arch)
        resumed = state.loop if isinstance(state, FineTuning) else None
        if isinstance(state, Searched):
            net.load_state_dict(state.weights)
        else:  # the process may have died between the checkpoint and the answer
            self._stop_early(state.history[-1], used)

        def epoch_done(row: dict[str, Any], resume_state: Callable[[], checkpoint.State]) -> None:
            nonlocal state
            state = self._advance(phases.finetune_epoch(state, row, watch.seconds), resume_state)
            self.report(progress(self.spec, "finetune", row))
            self._stop_early(row, used)

        run = Run("finetune", self.spec.seed, self.device, epoch_done, self.team)
        teacher = make_teacher(self.spec.finetune.distill, dense.net, self.planned, self.device)
        net = fit(net.to(self.device), data, self.spec.finetune, run, resumed, teacher)
        subnet = evaluate_splits(
            net, data, self.device, cost(backbone.macs, units), cost(backbone.params, units), test=self.test
        )
        if self.team.is_main:
            save_network(net, state.arch, self.workdir)
        return subnet

    def _stop_early(self, row: dict[str, Any], used: float) -> None:
        """Let the gate, which rank 0 asks, end the trial; after the last epoch it could save nothing.

        Raises:
            TrialStopped: it gives a reason to stop.
        """
        epochs = self.spec.finetune.epochs
        if row["epoch"] < epochs:
            gate = self.gate if self.team.is_main else None
            facts = {"epoch": row["epoch"], "epochs": epochs, "top1_val": row["top1_val"], "used": used}
            if (reason := self.team.broadcast(gate(facts) if gate else None)) is not None:
                raise TrialStopped(reason)

    def _advance(self, state: StateT, resume_state: Callable[[], checkpoint.State] | None = None) -> StateT:
        """Make `state` the trial's, and write its checkpoint with what the running loop would go on from."""
        self.state = state
        if self.team.is_main:
            plain = phases.to_plain(state, self.spec.key, resume_state() if resume_state else None)
            checkpoint.save(self.workdir / STATE_FILE, plain)
        return state

    def _record(self, trial: int, sweep: str, explored: dict[str, Any], status: Status, reason: str = "") -> Record:
        state, dense = self.state, self.dense
        seconds = ({"dense": dense.seconds} if dense else {}) | dict(state.seconds)
        return Record(
            trial=trial,
            sweep=sweep,
            key=self.spec.key,
            status=status,
            reason=reason,
            spec=self.spec.model_dump(mode="json"),
            params_explored=explored,
            seed=self.spec.seed,
            budget=self.planned.outcome(self.spec.budget.label, self.subnet),
            dense=dense.network if dense else None,
            subnet=self.subnet,
            arch=None if isinstance(state, Searching) else state.arch,
            seconds=seconds,
            gpu_seconds=gpu_seconds(self.device, seconds, self.team.world),
            peak_memory_bytes=peak_memory_bytes(self.device),
            history=[*(dense.history if dense else ()), *state.history],
            events=[] if isinstance(state, Searching) else list(state.events),
            environment=environment(self.device) | {"workers": self.team.world} | self.images,
            finished=now(),
        )
