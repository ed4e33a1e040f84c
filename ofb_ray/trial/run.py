"""One trial, a plain function that knows nothing of Ray: dense -> search -> fuse -> fine-tune -> evaluate -> export."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ofb_ray.backbones import describe_backbone
from ofb_ray.backbones.base import Backbone
from ofb_ray.config import Phase, TrialSpec
from ofb_ray.data import Dataset
from ofb_ray.data import load as load_data
from ofb_ray.errors import InputError, TrialFailed, TrialStopped
from ofb_ray.export import Arch, build, make_arch, save_network, tensors
from ofb_ray.method.cost import Term, cost, units_of
from ofb_ray.results.files import STATE_FILE, WORK_LOCK
from ofb_ray.results.records import BudgetOutcome, Record, now, read_record, write_record
from ofb_ray.search import loop as searching
from ofb_ray.search import trace
from ofb_ray.search.supernet import Supernet
from ofb_ray.train import checkpoint
from ofb_ray.train.run import Run, pick_device, progress
from ofb_ray.train.supervised import fit
from ofb_ray.train.team import Team, current_team
from ofb_ray.trial.dense import Dense, dense_network, evaluate_splits, make_teacher
from ofb_ray.trial.environment import environment, gpu_seconds, images, peak_memory_bytes, reset_peak_memory
from ofb_ray.trial.plan import (
    Estimate,
    Plan,
    estimate_from_tflops,
    estimate_on_device,
    goal_of,
    plan,
    resolve_data,
    resolve_model,
)

__all__ = ["Estimate", "Gate", "Plan", "Report", "estimate_from_tflops", "estimate_on_device", "plan", "run_trial"]

Report = Callable[[dict[str, Any]], None]
# Called with the facts of a fine-tune epoch: epoch, epochs, top1_val and used, the subnet's cost over its target.
Gate = Callable[[dict[str, Any]], str | None]


def run_trial(
    spec: TrialSpec,
    report: Report,
    workdir: Path,
    *,
    shared: Path,
    trial: int = 0,
    sweep: str = "",
    explored: dict[str, Any] | None = None,
    gate: Gate | None = None,
    keep_search: bool = False,
) -> Record:
    """Run one trial in `workdir`, or go on with it, or return its record if it is finished.

    A checkpoint is written after every epoch and phase, so a killed trial that is called again ends with the numbers
    of one that was never killed (bit for bit on a CPU with as many threads). A trial that diverges returns a failed
    record.

    Args:
        report: called after every epoch with plain values: phase, epoch, epochs, progress in [0, 1], message, and
            top1_val, loss, expected_macs where they are known.
        shared: folder for what trials share: dense networks and decoded images.
        trial, sweep, explored: written into the record.
        gate: asked after the checkpoint of every fine-tune epoch but the last, and again about the checkpoint's when
            the trial is resumed; an answer is the reason to stop, and the record's status is then `stopped`.
        keep_search: leave what the search finds in `shared`, or take from there what an equal search has found.
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
            made = _Trial(spec, report if team.is_main else lambda _: None, workdir, shared, team, gate, keep_search)
            record = made.run(trial, sweep, explored or {})
            if team.is_main:
                write_record(workdir, record)
                (workdir / STATE_FILE).unlink(missing_ok=True)
            return record
    except Timeout:
        raise InputError(f"another process is running the trial in {workdir}; wait for it or stop it") from None


@dataclass
class _Trial:
    """A trial in progress. `state` is what its checkpoint holds; it is replaced, never shared."""

    spec: TrialSpec
    report: Report
    workdir: Path
    shared: Path
    team: Team = field(default_factory=Team)
    gate: Gate | None = None
    keep_search: bool = False
    device: torch.device = field(default_factory=pick_device)
    state: dict[str, Any] = field(default_factory=dict)

    def run(self, trial: int, sweep: str, explored: dict[str, Any]) -> Record:
        reset_peak_memory(self.device)
        stored = self.team.broadcast(self._stored() if self.team.is_main else None)
        self.state = stored or {"phase": "search", "resume": None, "history": [], "events": [], "seconds": {}}
        self.state["key"] = self.state.get("key") or self.spec.key
        if self.state["key"] != self.spec.key:
            raise InputError(f"{self.workdir} holds the checkpoint of another trial; choose another folder")
        numbers = plan(self.spec)
        facts: dict[str, Any] = {"dense": None, "subnet": None, "arch": None, "history": [], "images": {}}
        try:
            self._train(facts, numbers)
            status, reason = "finished", ""
        except TrialFailed as error:
            status, reason = "failed", str(error)
        except TrialStopped as error:
            status, reason = "stopped", str(error)
        used = None
        if facts["subnet"] is not None:
            used = round(getattr(facts["subnet"], numbers.resource) / numbers.target, 6)
        return Record(
            trial=trial,
            sweep=sweep,
            key=self.spec.key,
            status=status,
            reason=reason,
            spec=self.spec.model_dump(mode="json"),
            params_explored=explored,
            seed=self.spec.seed,
            budget=BudgetOutcome(
                label=self.spec.budget.label,
                resource=numbers.resource,
                target=numbers.target,
                used=used,
                minimum=numbers.minimum,
                note=numbers.note,
            ),
            dense=facts["dense"],
            subnet=facts["subnet"],
            arch=facts["arch"],
            seconds=self.state["seconds"],
            gpu_seconds=gpu_seconds(self.device, self.state["seconds"], self.team.world),
            peak_memory_bytes=peak_memory_bytes(self.device),
            history=facts["history"] + self.state["history"],
            events=self.state["events"],
            environment=environment(self.device) | {"workers": self.team.world} | facts["images"],
            finished=now(),
        )

    def _stored(self) -> checkpoint.State | None:
        """This trial's checkpoint; where it has none, that of an equal search if it was kept."""
        found = checkpoint.load(self.workdir / STATE_FILE)
        return checkpoint.load(checkpoint.kept(self.shared, self.spec)) if found is None and self.keep_search else found

    def _train(self, facts: dict[str, Any], numbers: Plan) -> None:
        data = load_data(resolve_data(self.spec), self.shared / "data")
        try:
            self._phases(data, facts, numbers)
        finally:
            facts["images"] = images(data)

    def _phases(self, data: Dataset, facts: dict[str, Any], numbers: Plan) -> None:
        dense = self._dense(data)
        facts["dense"], facts["history"] = dense.network, dense.history
        self.state["seconds"]["dense"] = dense.seconds
        if self.state["phase"] == "search":
            self._search(dense, data)
        self._write_trace(dense)
        arch: Arch = self.state["arch"]
        facts["arch"] = arch
        net = build(arch)
        if "fused" in self.state:
            net.load_state_dict(self.state["fused"])
        backbone = describe_backbone(net, self.spec.search.space)
        used = _full(getattr(backbone, numbers.resource), backbone) / numbers.target
        if self.state["resume"]:  # the process may have died between the checkpoint and the answer
            self._ask(self.state["history"][-1], used)
        run = self._phase("finetune", used)
        teacher = make_teacher(self.spec.finetune.distill, dense.net, self.spec, self.device)
        net = fit(net.to(self.device), data, self.spec.finetune, run, self.state["resume"], teacher)
        subnet = evaluate_splits(net, self.spec, data)
        if self.team.is_main:
            save_network(net, arch, self.workdir)
        facts["subnet"] = subnet
        done = {"phase": "done", "epoch": 0, "epochs": 0, "progress": 1.0, "message": ""}
        self.report({**done, "top1_val": subnet.top1_val})

    def _dense(self, data: Dataset) -> Dense:
        def show(row: dict[str, Any], message: str = "") -> None:
            self.report(progress(self.spec, "dense", row, message))

        waiting = "another trial trains the dense network"
        return dense_network(self.spec, data, self.shared, show, lambda: show({"epoch": 0}, waiting))

    def _search(self, dense: Dense, data: Dataset) -> None:
        """Search and fuse; leaves the state at the start of fine-tuning."""
        backbone = describe_backbone(dense.net, self.spec.search.space)
        goal = goal_of(self.spec, backbone)
        teacher = make_teacher(self.spec.search.distill, dense.net, self.spec, self.device)
        problem = searching.Problem(data, self.spec.search, goal, _full(goal.terms, backbone), teacher)
        run = self._phase("search")
        torch.manual_seed(self.spec.seed)
        net = Supernet(copy.deepcopy(dense.net), backbone).to(self.device)
        resume = self.state["resume"]
        current = searching.resume(net, problem, run, resume) if resume else searching.start(net, problem, run)
        current = searching.search(current, problem, run)
        model = resolve_model(self.spec)
        self.state |= {
            "phase": "finetune",
            "resume": None,
            "arch": make_arch(model.name, model.args, current.net.backbone.widths, resolve_data(self.spec)),
            "fused": tensors(current.net.fuse()),
            "events": current.events,
            "trace": current.trace.state(),
        }
        if self.keep_search and self.team.is_main:
            checkpoint.save(checkpoint.kept(self.shared, self.spec), {**self.state, "key": None})
        self._save()

    def _write_trace(self, dense: Dense) -> None:
        """What the search went through, as a file; taken over with a kept search, and out of the next checkpoint."""
        told = self.state.pop("trace", None)
        if told is not None and self.team.is_main:
            trace.write(self.workdir, describe_backbone(dense.net, self.spec.search.space).axes, told)

    def _ask(self, row: dict[str, Any], used: float) -> None:
        """Let the gate, which rank 0 asks, end the trial (TrialStopped); after the last epoch it could save nothing."""
        epochs = self.spec.finetune.epochs
        if row["epoch"] < epochs:
            gate = self.gate if self.team.is_main else None
            facts = {"epoch": row["epoch"], "epochs": epochs, "top1_val": row["top1_val"], "used": used}
            if (reason := self.team.broadcast(gate(facts) if gate else None)) is not None:
                raise TrialStopped(reason)

    def _save(self) -> None:
        if self.team.is_main:
            checkpoint.save(self.workdir / STATE_FILE, self.state)

    def _phase(self, phase: Phase, used: float = 0.0) -> Run:
        """The hooks of one phase: every epoch is logged, saved and reported, in this order; then the gate is asked."""
        start = time.perf_counter() - self.state["seconds"].get(phase, 0.0)

        def epoch_done(row: dict[str, Any], resume_state: Callable[[], checkpoint.State]) -> None:
            self.state["history"].append(row)
            self.state["seconds"][phase] = time.perf_counter() - start
            if self.team.is_main:
                self.state["resume"] = resume_state()
            self.state.pop("fused", None)  # its successor is in `resume`
            self._save()
            self.report(progress(self.spec, phase, row))
            if phase == "finetune":
                self._ask(row, used)

        return Run(phase, self.spec.seed, self.device, epoch_done, self.team)


def _full(terms: tuple[Term, ...], backbone: Backbone) -> int:
    return cost(terms, units_of(backbone.widths))
