"""A trial function without torch whose fine-tuning can be gated: a row a fine-tune epoch, a checkpoint after each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ofb_ray.config import TrialSpec
from ofb_ray.results.atomic import write_json
from ofb_ray.results.records import Record, read_record, write_record
from tests.tuning.fake import EPOCH_SECONDS, make_record


def run_trial(
    spec: TrialSpec,
    report: Callable[[dict[str, Any]], None],
    workdir: Path,
    *,
    shared: Path,
    trial: int = 0,
    sweep: str = "",
    explored: dict[str, Any] | None = None,
    gate: Callable[[dict[str, Any]], str | None] | None = None,
    keep_search: bool = False,
) -> Record:
    """`finetune.epochs` epochs, in which the accuracy comes closer to what `fake.make_record` ends with.

    With seed 13 the second budget of a chain diverges.
    """
    if (stored := read_record(workdir)) is not None:
        return stored
    if spec.seed == 13 and spec.chain is not None and len(spec.chain.above) == 1:
        failed = make_record(spec, trial, sweep, status="failed", reason="loss is NaN", subnet=None)
        write_record(workdir, failed)
        return failed
    state = workdir / "state.json"
    history = json.loads(state.read_text()) if state.exists() else []
    record = make_record(spec, trial, sweep, params_explored=explored or {})
    assert record.subnet is not None
    assert record.subnet.top1_val is not None
    for epoch in range(len(history), spec.finetune.epochs):
        time.sleep(float(os.environ.get(EPOCH_SECONDS, "0.02")))
        top1 = record.subnet.top1_val - (spec.finetune.epochs - epoch - 1)
        history.append({"phase": "finetune", "epoch": epoch + 1, "top1_val": top1})
        write_json(state, history)
        report({**history[-1], "epochs": spec.finetune.epochs, "progress": (epoch + 1) / spec.finetune.epochs})
        facts = {"epoch": epoch + 1, "epochs": spec.finetune.epochs, "top1_val": top1, "used": 1.0}
        reason = gate(facts) if gate else None
        if reason is not None:
            record = record.model_copy(update={"status": "stopped", "reason": reason, "subnet": None})
            break
    record = record.model_copy(update={"history": history, "seconds": {"search": 0.1, "finetune": 0.1 * len(history)}})
    write_record(workdir, record)
    return record
