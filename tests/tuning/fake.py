"""A trial function without torch: epochs that sleep, a checkpoint after each, a log of all that was done."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ofb_ray.config import TrialSpec
from ofb_ray.results.atomic import write_atomic, write_json
from ofb_ray.results.files import trial_folder
from ofb_ray.results.records import BudgetOutcome, Network, Record, read_record, write_record

EPOCH_SECONDS = "OFB_FAKE_EPOCH_SECONDS"
DENSE_MACS = 1_000_000
LARGE = 1 << 20


def make_record(spec: TrialSpec, trial: int = 0, sweep: str = "fake", **changes: Any) -> Record:
    """A finished record whose accuracy depends on budget and learning rate alone."""
    target = spec.budget.target(DENSE_MACS, DENSE_MACS)
    top1 = 100 - 10 * (1 - target / DENSE_MACS) - abs(spec.search.lr - 1e-3) * 1000
    top1 = min(100.0, max(0.0, top1))
    network = Network(macs=target, params=target, top1_val=top1, top5_val=top1, top1_test=top1, top5_test=top1)
    fields: dict[str, Any] = {
        "trial": trial,
        "sweep": sweep,
        "key": spec.key,
        "status": "finished",
        "spec": spec.model_dump(mode="json"),
        "seed": spec.seed,
        "budget": BudgetOutcome(label=spec.budget.label, resource="macs", target=target, used=1.0, minimum=1000),
        "dense": network.model_copy(update={"macs": DENSE_MACS, "params": DENSE_MACS}),
        "subnet": network,
        "seconds": {"search": 1.0},
    }
    return Record(**{**fields, **changes})


def run_trial(
    spec: TrialSpec,
    report: Callable[[dict[str, Any]], None],
    workdir: Path,
    *,
    shared: Path,
    trial: int = 0,
    sweep: str = "",
    explored: dict[str, Any] | None = None,
) -> Record:
    """`search.epochs` epochs; every one is a line `pid epoch` in epochs.log.

    Seed 13 diverges, 14 raises, 15 dies once, 16 hangs after its first epoch, 17 writes a large checkpoint.

    Raises:
        RuntimeError: for seed 14.
    """
    if (stored := read_record(workdir)) is not None:
        return stored
    state = workdir / "state.json"
    first = json.loads(state.read_text())["epoch"] if state.exists() else 0
    if spec.seed == 14:
        raise RuntimeError("out of memory")
    for epoch in range(first, spec.search.epochs):
        if spec.seed == 16 and epoch == 1:
            time.sleep(1000)
        time.sleep(float(os.environ.get(EPOCH_SECONDS, "0.02")))
        with (workdir / "epochs.log").open("a") as log:
            log.write(f"{os.getpid()} {epoch}\n")
        write_json(state, {"epoch": epoch + 1})
        if spec.seed == 15 and epoch == 0:  # dies once: the next attempt starts after this epoch
            os.kill(os.getpid(), signal.SIGKILL)
        if spec.seed == 17:
            write_atomic(workdir / "large", bytes(LARGE))
        progress = (epoch + 1) / spec.search.epochs
        report({"phase": "search", "epoch": epoch, "epochs": spec.search.epochs, "progress": progress, "loss": 1.0})
    failed = {"status": "failed", "reason": "loss is NaN", "subnet": None} if spec.seed == 13 else {}
    record = make_record(spec, trial, sweep, params_explored=explored or {}, **failed)
    write_record(workdir, record)
    return record


def run_on_gpu(spec: TrialSpec, report: Callable[[dict[str, Any]], None], workdir: Path, **others: Any) -> Record:
    """Trial 0 or 1: wait for the other one to begin, for a while; note when it ran and which GPUs it saw."""
    start = time.time()
    (workdir / "begun").touch()
    other = trial_folder(workdir.parent, 1 - others["trial"]) / "begun"
    while not other.exists() and time.time() < start + 10:
        time.sleep(0.05)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    write_json(workdir / "seen.json", {"start": start, "end": time.time(), "gpus": seen})
    record = make_record(spec, others["trial"], others["sweep"], params_explored=others["explored"] or {})
    write_record(workdir, record)
    return record
