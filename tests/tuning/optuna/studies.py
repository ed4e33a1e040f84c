"""Sweeps driven by hand, without Ray: trials are given out, get a record, and are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ofb_ray.config import Json, SweepSpec
from ofb_ray.results import records
from ofb_ray.results.files import TRIAL_FILE, trial_folder
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.lifecycle.promote import Promotions
from ofb_ray.tuning.optuna.study import Suggestions
from tests.tuning.fake import make_record

FAILED: Json = {"status": "failed", "reason": "loss is NaN", "subnet": None}
BASE: Json = {
    "name": "s",
    "search": {"lr": 1e-3},
    "budgets": [0.5, 0.75],
    "trials": 8,
    "parameters": {
        "search.lr": {"min": 1e-4, "max": 1e-2, "log": True},
        "search.eliminations_per_epoch": {"min": 1, "max": 8, "integer": True},
    },
}


def sweep(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate({**BASE, **changes})


def trial_json(results: Path, number: int) -> Json:
    found: Json = json.loads((trial_folder(results, number) / TRIAL_FILE).read_bytes())
    return found


def finish(results: Path, spec: SweepSpec, number: int, **changes: Any) -> None:
    """What run_trial would leave."""
    trial = trial_json(results, number)
    record = make_record(spec.trial(trial["cell"], trial["params"]), number, spec.name, **changes)
    records.write_record(trial_folder(results, number), record)


def open_sweep(results: Path, spec: SweepSpec) -> Suggestions:
    """The sweep with a new process's eyes."""
    return Suggestions.open(TrialIndex.read(results, spec))


def issue(source: Suggestions | Promotions) -> int | None:
    """The number of the next trial."""
    trial = source.next()
    return None if trial is None else trial.trial


def close(source: Suggestions | Promotions, number: int) -> None:
    """What the driver does when a trial has ended."""
    record = records.read_record(trial_folder(source.index.results, number))
    source.close(number, record.outcome if record else None)


def run_all(results: Path, spec: SweepSpec, restart_every: int = 1000) -> list[Json]:
    """All trials of a sweep one after the other, with a new process's eyes after every few; their trial.json."""
    results.mkdir(exist_ok=True)
    suggestions = open_sweep(results, spec)
    done = 0
    while (number := issue(suggestions)) is not None:
        finish(results, spec, number)
        close(suggestions, number)
        done += 1
        if done % restart_every == 0:
            suggestions = open_sweep(results, spec)
    return [trial_json(results, number) for number in range(done)]
