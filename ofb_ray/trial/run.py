"""Run one trial, without Ray: dense network -> search -> fuse -> fine-tune -> evaluate -> export -> record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from ofb_ray.config import Phase, TrialSpec
from ofb_ray.data import Dataset
from ofb_ray.data import load as load_data
from ofb_ray.data.store import decoding_told
from ofb_ray.errors import InputError, TrialFailed, TrialStopped
from ofb_ray.export import build, save_network
from ofb_ray.export.network import widths_of
from ofb_ray.method.cost import cost, units_of
from ofb_ray.results.files import DENSE_FILE, PROMISE_FILE, STATE_FILE, WORK_LOCK
from ofb_ray.results.records import LatencyOutcome, Network, Record, now, read_record, write_record
from ofb_ray.search import trace
from ofb_ray.train import checkpoint
from ofb_ray.train.evaluate import evaluate_splits
from ofb_ray.train.run import Stopwatch, progress
from ofb_ray.train.supervised import fit
from ofb_ray.train.team import current_team
from ofb_ray.trial import phases
from ofb_ray.trial.current import Current, Report, stored_state
from ofb_ray.trial.dense import Dense, dense_network
from ofb_ray.trial.environment import environment, gpu_seconds, images, peak_memory_bytes, reset_peak_memory
from ofb_ray.trial.latency import trial_latency
from ofb_ray.trial.origin import traced_axes
from ofb_ray.trial.phases import FineTuning, Searched, Searching
from ofb_ray.trial.plan import plan
from ofb_ray.trial.promise import note_of, read_outcome
from ofb_ray.trial.searching import search
from ofb_ray.trial.teacher import make_teacher

# Facts of a fine-tune epoch (epoch, epochs, top1_val in percent, used: cost over target) -> a reason to stop, or None.
EarlyStop = Callable[[dict[str, Any]], str | None]
Status = Literal["finished", "failed", "stopped"]


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
            state = stored_state(spec, workdir, shared, team, keep_search)
            show = report if team.is_main else lambda _: None
            known = trial_latency(spec, shared, team, lambda text: show(progress(spec, "dense", {"epoch": 0}, text)))
            planned = plan(spec, latency=known.tables)
            current = _Trial(
                spec, planned, state, show, workdir, shared, team, keep_search, *known, gate=gate, test=test
            )
            record = current.record(trial, sweep, explored or {})
            if team.is_main:
                write_record(workdir, record)
                for name in (STATE_FILE, PROMISE_FILE):
                    (workdir / name).unlink(missing_ok=True)
            return record
    except Timeout:
        raise InputError(f"another process is running the trial in {workdir}; wait for it or stop it") from None


@dataclass
class _Trial(Current):
    """A trial in progress, and what its record is made of beside its state."""

    gate: EarlyStop | None = None
    test: bool = True
    dense: Dense | None = None
    subnet: Network | None = None
    latency_outcome: LatencyOutcome | None = None
    images: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def record(self, trial: int, sweep: str, explored: dict[str, Any]) -> Record:
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
        data = self._data()
        try:
            self.dense = self._dense(data)
            state = self.state
            searched = search(self, state, self.dense, data) if isinstance(state, Searching) else state
            if isinstance(searched, Searched) and self.team.is_main:
                trace.write(self.workdir, traced_axes(self.planned.backbone, searched), searched.trace)
            if isinstance(searched, Searched | FineTuning) and self.team.is_main:
                self.latency_outcome = read_outcome(self, widths_of(searched.arch))
            if self.keep_search:  # others may go on from the search
                done = sum(row["phase"] == "finetune" for row in searched.history)
                self.show("finetune", {"epoch": done})
            self.subnet = self._finetune(searched, self.dense, data)
        finally:
            self.images, self.class_names = images(data), data.class_names
        done = {"phase": "done", "epoch": 0, "epochs": 0, "progress": 1.0, "message": ""}
        self.report(done | {"top1_val": self.subnet.top1_val})

    def _data(self) -> Dataset:
        state = self.state
        trained = (self.shared / self.spec.dense_key / DENSE_FILE).exists()
        phase: Phase = ("search" if trained else "dense") if isinstance(state, Searching) else "finetune"
        done = sum(row["phase"] == phase for row in state.history)

        def show(message: str) -> None:
            self.show(phase, {"epoch": done}, message)

        show("reading the data")
        with decoding_told(show):
            return load_data(self.planned.data, self.shared / "data")

    def _dense(self, data: Dataset) -> Dense:
        def show(row: dict[str, Any]) -> None:
            self.show("dense", row)

        def tell(message: str, done: int) -> None:
            self.show("dense", {"epoch": done}, message)

        return dense_network(self.spec, self.planned, data, self.shared, show, tell)

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
            state = self.advance(phases.finetune_epoch(state, row, watch.seconds), resume_state)
            self.show("finetune", row)
            self._stop_early(row, used)

        run = self.run("finetune", epoch_done)
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

    def _record(self, trial: int, sweep: str, explored: dict[str, Any], status: Status, reason: str = "") -> Record:
        state, dense, planned = self.state, self.dense, self.planned
        if self.spec.chain is not None and not isinstance(state, Searching):
            planned = replace(planned, note=state.note)
        if note := note_of(self.latency_outcome):
            planned = replace(planned, note=note)
        if isinstance(state, Searching):
            arch, told = None, None
        else:
            arch, told = state.arch, planned.latency_ns(widths_of(state.arch))
        subnet = None if self.subnet is None else self.subnet.model_copy(update={"latency_ns": told})
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
            budget=planned.outcome(self.spec.budget.label, subnet),
            dense=dense.network.model_copy(update={"latency_ns": planned.dense_ns}) if dense else None,
            dense_widths={name: (size.heads, size.width) for name, size in planned.backbone.widths.items()},
            subnet=subnet,
            arch=arch,
            latency=self.latency_outcome,
            seconds=seconds,
            gpu_seconds=gpu_seconds(self.device, seconds, self.team.world),
            peak_memory_bytes=peak_memory_bytes(self.device),
            history=[*(dense.history if dense else ()), *state.history],
            events=[] if isinstance(state, Searching) else list(state.events),
            class_names=list(self.class_names),
            environment=environment(self.device) | {"workers": self.team.world} | self.images,
            finished=now(),
        )
